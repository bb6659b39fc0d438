//! What Envoy answers to host calls that it refuses: the table in `src/shell/host.rs`, as far as a
//! request can provoke it; and that the worker goes on. An SDK that panicked at one of them would take
//! every request of the worker along. And that the SDK forgets each request that has ended.

use serde_json::json;

use crate::TURN;
use crate::broken::{VARIABLE, module};
use crate::row::{CANARY_TOKEN, good};
use crate::run::{Catalogue, Subject};
use crate::worlds::{IDLE, listener_name};

const ANSWERS: &str = "\
a call to no cluster: Err(BadArgument)
the configuration of a request: Ok(None)
a body of no call: Ok(None)
a context that is gone: Err(BadArgument)
shared data that nobody left: Ok((None, None))
shared data that has changed: Err(CasMismatch)
a metric of no kind: Err(BadArgument)
a counter that is not there: Err(NotFound)
a histogram added to: Err(BadArgument)
a metric that is not there: Err(NotFound)
headers of no answer: Ok(0)
trailers of a request without: Err(Failed)
filter state of no request: Err(Failed)
an end that nobody waits for: Err(Failed)
requests that the SDK knows: 1
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_host_call_stops_no_worker() {
    let _turn = TURN.lock().await;
    let subject = Subject {
        module: Some(module()),
        environment: vec![(VARIABLE.to_owned(), "refused".to_owned())],
        worlds: vec![IDLE],
        ..Subject::default()
    };
    let started = Catalogue::start(&subject, Vec::new()).await;
    let gateway = started.envoy.gateway(&listener_name(IDLE, true));
    gateway.provider.answer(good());
    for n in 0..10 {
        assert_eq!(
            gateway.get(&format!("/before/{n}")).bearer(CANARY_TOKEN).send().await.status,
            200
        );
    }
    let before = gateway.upstream.count();
    let refused = gateway.get("/refused").header("x-fault-injection-refused", "1").send().await;
    assert_eq!(refused.text(), ANSWERS);
    // Of two local replies the first is sent, and the access log has the details of the second.
    assert_eq!(refused.status, 200);
    let entry = gateway.envoy.access_entry("\"/refused\"").await;
    assert_eq!(entry["details"], json!("refused_again"), "{entry}");
    assert_eq!(gateway.upstream.count(), before);

    assert_eq!(gateway.get("/after").bearer(CANARY_TOKEN).send().await.status, 200);
    gateway.envoy.assert_no_vm_restart().await;
}

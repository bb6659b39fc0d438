//! The identifiers that are sent with a call, so that the provider's log can be joined.

use integration::{Gate, Headers, Provider, Reply};
use serde_json::json;

use crate::World;

const NAMES: [&str; 3] = ["x-request-id", "traceparent", "tracestate"];
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// An Envoy that leaves the client's `x-request-id` as it is, so that the filter must look.
async fn world() -> World {
    World::made(2, json!({}), |listener| {
        listener.connection_manager(|hcm| hcm["preserve_external_request_id"] = json!(true))
    })
    .await
}

fn identifiers(headers: &Headers) -> [Vec<String>; 3] {
    NAMES.map(|name| headers.all(name))
}

#[tokio::test]
async fn identifiers_are_sent_with_every_call() {
    let world = world().await;
    world.sites[0].answer(Reply::reset());
    let headers =
        [("x-request-id", "shop-4711"), ("traceparent", PARENT), ("tracestate", "a=1,b=2")];
    let response = world.request("t").headers(headers).send().await;
    let expected = headers.map(|(_, value)| vec![value.to_owned()]);
    assert_eq!(identifiers(&response.upstream_headers()), expected);
    // The first site's call is repeated.
    assert_eq!(world.calls(), [2, 1]);
    for call in world.sites.iter().flat_map(Provider::calls) {
        assert_eq!(identifiers(&call.headers), expected);
    }
}

/// Envoy gives a request that has none an `x-request-id` of its own.
#[tokio::test]
async fn envoys_request_id_is_sent() {
    let world = world().await;
    let response = world.request("t").send().await;
    let of_call = identifiers(&world.sites[0].only_call().headers);
    assert_eq!(of_call, identifiers(&response.upstream_headers()));
    assert_eq!((of_call[0].len(), of_call[1].len(), of_call[2].len()), (1, 0, 0));
}

#[tokio::test]
async fn malformed_identifiers_are_not_sent() {
    let world = world().await;
    let (upper, zero) =
        (PARENT.to_uppercase(), PARENT.replace("00f067aa0ba902b7", "0000000000000000"));
    let long = "x".repeat(129);
    let state = ("tracestate", "a=1");
    for (n, headers) in [
        vec![("traceparent", upper.as_str())],
        vec![("traceparent", zero.as_str()), state],
        vec![("traceparent", "secret")],
        vec![("traceparent", PARENT), ("traceparent", PARENT), state],
        vec![state],
        vec![("x-request-id", "a secret")],
        vec![("x-request-id", "a=b")],
        vec![("x-request-id", long.as_str())],
    ]
    .into_iter()
    .enumerate()
    {
        let response = world.request("t").headers(headers.iter().copied()).send().await;
        assert_eq!(response.status, 200, "{headers:?}");
        // It came as far as the filter.
        let came = response.upstream_headers();
        let calls = world.sites[0].calls();
        let call = &calls[n].headers;
        for (name, value) in headers {
            assert!(came.all(name).join(",").contains(value), "{name}: {value}");
            assert_eq!(call.all(name), [""; 0], "{value}");
        }
    }
    // A parent is of use without a state that can be read.
    let headers = [("traceparent", PARENT), ("tracestate", "A=1")];
    world.request("t").headers(headers).send().await;
    let calls = world.sites[0].calls();
    let last = calls.last().expect("a call");
    assert_eq!(
        (last.headers.all("traceparent"), last.headers.all("tracestate")),
        (vec![PARENT.to_owned()], Vec::new())
    );
}

#[tokio::test]
async fn joined_call_has_the_first_requests_identifiers() {
    let world = world().await;
    let gate = Gate::closed();
    world.sites[0].answer(Reply::status(500).held_by(&gate));
    let ask = |id: &str| {
        let (headers, id) = ([("x-request-id", id)], id.to_owned());
        let request = world.request("t").headers(headers);
        tokio::spawn(async move { (id, request.send().await) })
    };
    let mut asking = vec![ask("leader")];
    world.sites[0].wait_calls(1).await;
    asking.push(ask("follower"));
    world.counted("requests_waiting", 2).await;
    gate.open();
    for asked in asking {
        let (id, response) = asked.await.expect("a response");
        assert_eq!(response.upstream_header("x-request-id"), Some(id));
    }
    for site in &world.sites {
        assert_eq!(site.only_call().headers.get("x-request-id").as_deref(), Some("leader"));
    }
}

//! What a provider's answers may cost in memory, with the reference configuration.

use integration::{Gate, Gateway, Reply};
use tokio::task::JoinSet;

const ANSWERS: usize = 40;
const ANSWER_BYTES: usize = 31 << 20;
const ALLOWED_KIB: u64 = 64 << 10;

/// A line of `/proc/<id>/status`, in KiB.
fn memory(id: u32, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("Envoy runs");
    let found = status.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':'));
    let text = found.unwrap_or_else(|| panic!("no {line} in {status}"));
    text.trim().trim_end_matches(" kB").parse().expect("a number of kB")
}

#[tokio::test]
async fn forty_answers_of_31_mb_at_once() {
    let gw = Gateway::reference().await;
    // Whatever a first request allocates is not what is measured.
    assert_eq!(gw.get("/warm-up").bearer("good").send().await.status, 200);
    let upstream_before = gw.upstream.bytes();
    let body = vec![b' '; ANSWER_BYTES];
    let gate = Gate::closed();
    let reply = Reply::text(200, body).header("content-type", "application/json");
    gw.provider.answer(reply.held_by(&gate));
    let before = memory(gw.envoy.id(), "VmRSS");

    let mut requests = JoinSet::new();
    for n in 0..ANSWERS {
        requests.spawn(gw.get("/orders").bearer(&format!("token{n}")).send());
    }
    // All forty answers come at once.
    gw.provider.wait_calls(1 + ANSWERS).await;
    gate.open();
    while let Some(response) = requests.join_next().await {
        assert_eq!(response.expect("a response").status, 503);
    }

    let (after, peak) = (memory(gw.envoy.id(), "VmRSS"), memory(gw.envoy.id(), "VmHWM"));
    println!("RSS before {before} KiB, after {after} KiB, at most {peak} KiB");
    assert!(after.saturating_sub(before) < ALLOWED_KIB, "RSS {before} KiB, then {after} KiB");
    assert!(peak.saturating_sub(before) < ALLOWED_KIB, "RSS {before} KiB, at most {peak} KiB");
    assert_eq!(gw.upstream.bytes(), upstream_before);
    assert_eq!(gw.envoy.stat("wasmcustom.oidc_outcome.unavailable").await, ANSWERS as u64);
    gw.envoy.assert_no_vm_restart().await;
}

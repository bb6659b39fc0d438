//! The harness is believed because it notices: rows that say something wrong on purpose, one for each
//! kind of check that a row can provoke, and what it must find of each.

use std::pin::Pin;
use std::time::Duration;

use integration::{Reply, Request, Response};
use serde_json::json;

use crate::row::{CANARY_CLAIM, CANARY_TOKEN, Pace, Row, Skip, good, row};
use crate::run::{Catalogue, Subject, catalogue};
use crate::stage::Stage;
use crate::worlds::listener_name;

/// A good request, byte for byte.
const GOOD: &str = "GET {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {t}\r\n\r\n";

type Played = Pin<Box<dyn Future<Output = Result<Response, String>> + Send>>;

/// Requests another path than the row's.
fn elsewhere(stage: Stage) -> Played {
    Box::pin(async move { Ok(stage.gateway.get("/elsewhere").bearer(CANARY_TOKEN).send().await) })
}

/// Sends the same request again.
fn asks_twice(stage: Stage) -> Played {
    Box::pin(async move {
        stage.gateway.get(&stage.path).bearer(CANARY_TOKEN).send().await;
        Ok(stage.gateway.get(&stage.path).bearer(CANARY_TOKEN).send().await)
    })
}

/// The provider gets another call, with more data.
fn tells_more(stage: Stage) -> Played {
    Box::pin(async move {
        let provider = stage.gateway.provider.address();
        Request::new(provider, "GET", "/").bearer(CANARY_TOKEN).header("x-odd", "1").send().await;
        Ok(stage.gateway.get(&stage.path).bearer(CANARY_TOKEN).send().await)
    })
}

/// Something comes upstream while the provider holds its answer.
fn comes_early(stage: Stage) -> Played {
    Box::pin(async move {
        // The harness looks first.
        tokio::task::yield_now().await;
        Request::new(stage.gateway.upstream.address(), "GET", "/leak").send().await;
        let request = stage.gateway.get(&stage.path).bearer(CANARY_TOKEN);
        // It waits for as many bytes as the row would send.
        Ok(request.header("x-filler", "f".repeat(1000)).send().await)
    })
}

/// Wrong rows, with a part of the complaint that each must cause in every variant.
fn wrong() -> Vec<(Row, &'static str)> {
    let missing = |n| row(n, "wrong").no_authorization().refused(401, "no_credentials:absent");
    let post = |n| row(n, "wrong").method("POST");
    let twice = "GET {path} HTTP/1.1\r\nhost: a\r\n\r\nGET /again HTTP/1.1\r\nhost: a\r\n\r\n";
    let websocket =
        GOOD.replace("\r\n\r\n", "\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\nearly");
    let elsewhere_raw = GOOD.replace("{path}", "/elsewhere");
    vec![
        (missing("1-status").refused(403, "no_credentials:absent"), "expected Refused"),
        (missing("1-details").refused(401, "no_credentials:empty"), "details are"),
        (missing("1-logged").logged("pass;asked;default"), "outcome is"),
        (missing("1-header").reply_header("retry-after", "5"), "the reply's headers are"),
        (missing("1-no-header").no_reply_header("cache-control"), "the reply's headers are"),
        (missing("1-body").reply_body("another"), "the body is"),
        (missing("1-length").reply_body("another"), "content-length is not"),
        (missing("1-passes").passes_with(401), "0 requests came upstream, not 1"),
        (missing("1-envoy").envoy(&[400]), "expected Envoy"),
        (missing("1-calls").calls(1), "0 calls at the provider, not 1"),
        (missing("1-counted").counted(&["no_credentials", "pass"]), ""),
        (missing("1-twice").http1(twice), "after the reply came: HTTP/1.1 401"),
        (row("2-refused", "wrong").refused(401, "malformed:several"), "bytes came upstream"),
        (row("2-calls", "wrong").calls(0), "1 calls at the provider, not 0"),
        (row("2-token", "wrong").token("another"), "the provider was told another token"),
        (row("2-region", "wrong").region("eu"), "asked at /default/userinfo"),
        (row("2-identity", "wrong").identity(&[]), "headers upstream are"),
        (row("2-kept", "wrong").header("X-User-Id", "admin"), "headers upstream are"),
        (row("2-lost", "wrong").forged("x-other", "1"), "headers upstream are"),
        (row("2-value", "wrong").claims(&json!({"sub": "other"})), "headers upstream are"),
        (row("2-arrivals", "wrong").arrivals(2), "1 requests came upstream, not 2"),
        (row("2-reply", "wrong").reply_header("x-none", "1"), "x-none is not"),
        (row("2-path", "wrong").upstream_answers(500, &[]), "expected Pass(200)"),
        (post("2-body").body("hello").body_upstream("other"), "another body came upstream"),
        (
            post("2-trailer").world("trailers").body("a").trailer("x-user-id", "admin"),
            "trailers upstream are",
        ),
        (
            row("3-late", "wrong")
                .answers(good().drip(30, Duration::from_millis(50)))
                .within(Duration::from_millis(40)),
            ", at most 40ms",
        ),
        (
            row("3-told", "wrong")
                .world("told")
                .answers(Reply::json(401, &json!({"sub": CANARY_CLAIM})))
                .refused(401, "invalid_token:provider_4xx"),
            "the reply tells canary-claim",
        ),
        (
            // No call is made, and the stage waits for one.
            row("3-hangs", "wrong")
                .world("reference")
                .under("/public")
                .method("PUT")
                .body("hello")
                .pace(Pace::Held)
                .not(Skip::Http2, "once is enough: it takes its time"),
            "not over within",
        ),
        (row("3-left", "wrong").leaves().logged("pass;asked;default"), "outcome is"),
        (row("3-early", "wrong").waits(), ", at least 950ms"),
        (row("3-elsewhere", "wrong").played(elsewhere), "came upstream as GET /elsewhere"),
        (row("3-echo", "wrong").http1(&elsewhere_raw), "not the upstream's answer to this request"),
        (row("3-more", "wrong").played(tells_more), "the provider was told more than the token"),
        (row("3-before", "wrong").pace(Pace::Held).played(comes_early), "before the verdict"),
        (
            row("3-asked", "wrong").played(asks_twice),
            "had come upstream when the provider was asked",
        ),
        (
            missing("3-entries").http1(twice.replace("/again", "{path}")),
            "2 entries in the access log",
        ),
        (
            row("3-tail", "wrong").world("tunnel").http1(websocket).passes_with(101).tail("other"),
            "after the reply came \"early\"",
        ),
        (
            row("3-header", "wrong").upstream_answers(200, &[("x-told", CANARY_CLAIM)]),
            "the reply tells canary-claim",
        ),
        (row("3-down", "wrong").provider_down().refused(401, "unavailable:cut_off"), "details are"),
    ]
}

/// Rows that are right, among the wrong ones: a harness that complains of everything notices
/// nothing.
fn right() -> Vec<Row> {
    vec![
        row("4-passes", "right"),
        row("4-refused", "right").no_authorization().refused(401, "no_credentials:absent"),
        row("4-left", "right").leaves(),
        row("4-down", "right").provider_down().refused(401, "unavailable:unreachable"),
        row("4-up", "right"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_wrong_row_is_detected() {
    let _turn = crate::TURN.lock().await;
    let wrong = wrong();
    let mut rows: Vec<Row> = wrong.iter().map(|(row, _)| row.clone()).collect();
    rows.extend(right());
    // One run counts for two, and one claim is in a path and so in the access log.
    rows.push(row(format!("5-{CANARY_CLAIM}"), "wrong"));
    let failures = catalogue(&Subject::default(), rows).await;

    let mut unnoticed = Vec::new();
    for (row, part) in &wrong {
        let of_row: Vec<_> = failures.iter().filter(|f| f.row == row.number).collect();
        let mut variants: Vec<&str> = of_row
            .iter()
            .filter(|f| f.complaint.contains(part))
            .map(|f| f.variant.as_str())
            .collect();
        variants.sort_unstable();
        variants.dedup();
        let only_http1 = row.sent.http1.is_some() || !row.left_out.is_empty();
        let expected = if only_http1 { 2 } else { 4 };
        if variants.len() != expected && !part.is_empty() {
            unnoticed.push(format!("{}: {part:?} only in {variants:?}: {of_row:?}", row.number));
        }
    }
    for part in ["the rows say {", "the access log tells canary-claim"] {
        if !failures.iter().any(|f| f.row == "-" && f.complaint.contains(part)) {
            unnoticed.push(format!("{part:?} of Envoy as a whole"));
        }
    }
    for failure in failures.iter().filter(|f| f.row.starts_with("4-")) {
        unnoticed.push(format!("a right row fails: {failure}"));
    }
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
}

/// The counters and the log are judged right where nothing is wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn correct_rows_pass() {
    let _turn = crate::TURN.lock().await;
    let failures = catalogue(&Subject::default(), right()).await;
    assert!(failures.is_empty(), "{failures:?}");
}

/// A request that is left open is noticed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_request_is_detected() {
    let started = Catalogue::start(&Subject::default(), vec![row("4-passes", "right")]).await;
    let gateway = started.envoy.gateway(&listener_name("plain", false));
    let mut connection = gateway.connect().await.unwrap();
    let head = "POST /open HTTP/1.1\r\nhost: a\r\nauthorization: Bearer good\r\n";
    connection.write(format!("{head}content-length: 10\r\n\r\nhalf")).await.unwrap();
    gateway.provider.wait_calls(1).await;
    let failures = started.judge_envoy().await;
    let open =
        |f: &crate::run::Failure| f.complaint.contains("http.plain_unset.downstream_rq_active");
    assert!(failures.iter().any(open), "{failures:?}");
}

/// Requests at the upstream outside of the runs are detected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_between_runs_are_detected() {
    let _turn = crate::TURN.lock().await;
    let started = Catalogue::start(&Subject::default(), vec![row("4-passes", "right")]).await;
    let upstream = started.envoy.gateway(&listener_name("plain", true)).upstream.address();
    Request::new(upstream, "GET", "/late").send().await;
    let failures = started.run().await.failures;
    for part in [" bytes came upstream, ", ": 3 requests came upstream, the rows say 2"] {
        let complaint = |f: &crate::run::Failure| f.complaint.contains(part);
        assert!(failures.iter().any(complaint), "{part}: {failures:?}");
    }
    assert!(failures.iter().all(|f| f.complaint.starts_with("plain_stop: ")), "{failures:?}");
}

//! The rig works: the reference configuration starts, provider and upstream behave and misbehave as
//! told, and nothing remains. Other files test the filter's decisions.

use std::io::ErrorKind;
use std::time::Duration;

use integration::{
    Connection, Gate, Gateway, Listener, Provider, Reply, Request, Response, Setup, Upstream,
};
use serde_json::json;

/// Calls the provider directly, as Envoy would.
async fn ask(provider: &Provider) -> std::io::Result<Response> {
    Request::new(provider.address(), "GET", "/userinfo").bearer("t").try_send().await
}

async fn answer_to(reply: Reply) -> std::io::Result<Response> {
    let provider = Provider::start().await;
    provider.answer(reply);
    ask(&provider).await
}

async fn failure_of(reply: Reply) -> ErrorKind {
    match answer_to(reply).await {
        Ok(response) => panic!("expected a broken response, got {response:?}"),
        Err(e) => e.kind(),
    }
}

#[test]
fn envoy_has_the_tested_version() {
    let binary = integration::envoy_binary().unwrap();
    assert_eq!(integration::version(&binary).unwrap(), integration::envoy_version());
}

#[tokio::test]
async fn the_reference_configuration_starts_and_serves() {
    let gw = Gateway::reference().await;
    assert_eq!(gw.envoy.stat("listener_manager.total_listeners_active").await, 1);
    // Switched off for this route, whatever the module does elsewhere.
    let r = gw.get("/public/health?q=1").header("X-User-Id", "forged").send().await;
    assert_eq!(r.status, 200, "{r:?}");
    assert_eq!(gw.upstream.only().target, "/public/health?q=1");
    assert_eq!(r.upstream_header("x-user-id"), None);
    gw.envoy.assert_no_vm_restart().await;
    let line = gw.envoy.access_log().wait_for("/public/health").await;
    assert!(!line.contains("q=1"), "the access log shows the query: {line}");
}

#[tokio::test]
async fn the_reference_configuration_refuses_underscores_and_checks_keys() {
    let gw = Gateway::reference().await;
    assert_eq!(gw.get("/public").header("x_user_id", "1").send().await.status, 400);
    assert_eq!(gw.get("/public/..%2Forders").send().await.status, 400);
    let r = gw.get("/machines/1").bearer("good").send().await;
    assert_eq!((r.status, r.text().as_str()), (401, "Client authentication failed."));
    gw.upstream.assert_untouched();
    assert_eq!(gw.provider.count(), 0);
}

#[tokio::test]
async fn cors_answers_preflights_before_the_filter() {
    let gw = Gateway::reference().await;
    let r = gw
        .request("OPTIONS", "/orders")
        .header("origin", "https://app.example")
        .header("access-control-request-method", "GET")
        .send()
        .await;
    assert_eq!(r.status, 200, "{r:?}");
    assert_eq!(r.header("access-control-allow-origin").as_deref(), Some("https://app.example"));
    assert_eq!(gw.provider.count(), 0);
}

#[tokio::test]
async fn listeners_of_one_envoy_have_separate_servers() {
    let running = Setup::new()
        .listener(Listener::named("one"))
        .listener(Listener::named("two").http2_upstream())
        .start()
        .await;
    let (one, two) = (running.gateway("one"), running.gateway("two"));
    assert_eq!(two.get("/public/2").send().await.json()["protocol"], "HTTP/2");
    one.upstream.assert_untouched();
    assert_eq!(one.get("/public/1").send().await.json()["protocol"], "HTTP/1.1");
    assert_eq!(two.upstream.count(), 1);
}

#[tokio::test]
async fn trailers_and_bodies_reach_the_upstream_over_both_protocols() {
    let gw = Gateway::start(Listener::reference().enable_trailers().http2_upstream()).await;
    let body = vec![b'x'; 300_000];
    let request = gw.post("/public", &body).trailer("x-last", "1");
    for r in [request.clone().send().await, request.send_h2().await] {
        let echo = r.json();
        assert_eq!(echo["body_sha256"], integration::sha256(&body), "{r:?}");
        assert_eq!(echo["trailers"][0]["name"], "x-last");
    }
}

#[tokio::test]
async fn early_answer_reaches_the_client_over_both_protocols() {
    let gw = Gateway::reference().await;
    let request = gw.post("/machines", vec![b'x'; 4 << 20]);
    assert_eq!(request.clone().send().await.status, 401);
    assert_eq!(request.send_h2().await.status, 401);
    gw.upstream.assert_untouched();
}

#[tokio::test]
async fn websocket_upgrades_reach_the_upstream() {
    let gw = Gateway::start(Listener::reference().websocket()).await;
    let mut connection = gw.connect().await.unwrap();
    let head =
        "GET /public HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    connection.write(head).await.unwrap();
    assert_eq!(connection.response().await.unwrap().status, 101);
    connection.write("ping").await.unwrap();
    assert_eq!(connection.read(4).await.unwrap(), b"ping");
}

#[tokio::test]
async fn a_refused_bootstrap_shows_exit_code_and_log() {
    let listener = Listener::reference().connection_manager(|hcm| hcm["no_such_field"] = json!(1));
    let failure = Gateway::try_start(listener).await.unwrap_err();
    assert_eq!(failure.code, Some(1), "{failure}");
    assert!(failure.log.contains("no_such_field"), "{failure}");
}

#[tokio::test]
async fn dropping_the_gateway_ends_envoy() {
    let gw = Gateway::reference().await;
    let process = format!("/proc/{}", gw.envoy.id());
    assert!(std::path::Path::new(&process).exists());
    drop(gw);
    assert!(!std::path::Path::new(&process).exists());
}

#[tokio::test]
async fn the_provider_records_calls_byte_for_byte() {
    let provider = Provider::start().await;
    let request = Request::new(provider.address(), "POST", "/userinfo?a=b")
        .bearer("t")
        .header("X-Bytes", b"\xff\x01")
        .header("X-Twice", "1")
        .header("x-twice", "2")
        .body("hello");
    assert_eq!(request.send().await.status, 401);
    let call = provider.only_call();
    assert_eq!((call.method.as_str(), call.target.as_str()), ("POST", "/userinfo?a=b"));
    assert_eq!(call.token().as_deref(), Some("t"));
    assert_eq!(call.headers.bytes("x-bytes"), [b"\xff\x01"]);
    assert_eq!(call.headers.all("x-twice"), ["1", "2"]);
    assert_eq!(call.body, b"hello");
}

#[tokio::test]
async fn most_specific_script_applies() {
    let provider = Provider::start().await;
    provider
        .answer(Reply::status(500))
        .answer_path("/userinfo", Reply::status(501))
        .answer_token("t", Reply::status(502))
        .answer_with(|call| call.headers.has("x-teapot").then(|| Reply::status(418)))
        .answer_next(Reply::status(504));
    let ask = async |target: &str, token: &str| {
        Request::new(provider.address(), "GET", target).bearer(token).send().await.status
    };
    assert_eq!(ask("/userinfo", "t").await, 504);
    assert_eq!(ask("/userinfo", "t").await, 502);
    assert_eq!(ask("/userinfo", "u").await, 501);
    assert_eq!(ask("/other", "u").await, 500);
    let teapot = Request::new(provider.address(), "GET", "/userinfo").header("x-teapot", "");
    assert_eq!(teapot.bearer("t").send().await.status, 418);
    assert_eq!(provider.count(), 5);
}

#[tokio::test]
async fn gate_holds_the_answer_until_opened() {
    let gate = Gate::closed();
    let provider = Provider::start().await;
    provider.answer(Provider::good().held_by(&gate));
    let mut connection = Connection::open(provider.address()).await.unwrap();
    connection.write("GET /userinfo HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    provider.wait_calls(1).await;
    let mut connection = connection.deadline(Duration::from_millis(50));
    assert_eq!(connection.response().await.unwrap_err().kind(), ErrorKind::TimedOut);
    gate.open();
    let mut connection = connection.deadline(integration::DEADLINE);
    assert_eq!(connection.response().await.unwrap().status, 200);
}

#[tokio::test]
async fn the_provider_misbehaves_on_the_wire() {
    let json = || Reply::json(200, &json!({"sub": "1"}));
    assert_eq!(failure_of(Reply::reset()).await, ErrorKind::ConnectionReset);
    assert_eq!(failure_of(Reply::close()).await, ErrorKind::UnexpectedEof);
    assert_eq!(failure_of(json().cut_after(3)).await, ErrorKind::UnexpectedEof);
    assert_eq!(failure_of(json().reset_after(3)).await, ErrorKind::ConnectionReset);
    assert_eq!(failure_of(json().chunk_cut_after(3)).await, ErrorKind::UnexpectedEof);
    assert_eq!(failure_of(Reply::raw("rubbish")).await, ErrorKind::UnexpectedEof);
    for silent in [Reply::silence(), json().stall_after(0), json().stall_after(3)] {
        let provider = Provider::start().await;
        provider.answer(silent);
        let request = Request::new(provider.address(), "GET", "/userinfo");
        let failure = request.deadline(Duration::from_millis(50)).try_send().await.unwrap_err();
        assert_eq!(failure.kind(), ErrorKind::TimedOut);
        assert_eq!(provider.count(), 1);
    }
}

#[tokio::test]
async fn the_provider_sends_unusual_answers() {
    let json = || Reply::json(200, &json!({"sub": "1"}));
    assert_eq!(answer_to(json().after_interim(103)).await.unwrap().interim, [103]);
    assert_eq!(answer_to(json().chunked()).await.unwrap().text(), r#"{"sub":"1"}"#);
    assert_eq!(answer_to(json().until_close()).await.unwrap().text(), r#"{"sub":"1"}"#);
    assert_eq!(answer_to(Reply::status(204)).await.unwrap().status, 204);
    assert_eq!(answer_to(Reply::status(999)).await.unwrap().status, 999);
    let raw =
        answer_to(Reply::raw("HTTP/1.1 200 OK\r\nX-A: \u{1}\r\ncontent-length: 0\r\n\r\n")).await;
    assert_eq!(raw.unwrap().header("x-a").as_deref(), Some("\u{1}"));
    let large = answer_to(Reply::text(200, vec![b'a'; 32 << 20])).await.unwrap();
    assert_eq!(large.body.len(), 32 << 20);
    let dripped = answer_to(json().drip(1, Duration::from_millis(5))).await.unwrap();
    assert!(dripped.elapsed >= Duration::from_millis(50), "11 bytes, 5 ms apart: {dripped:?}");
    let zipped = answer_to(json().gzip()).await.unwrap();
    assert_eq!(zipped.header("content-encoding").as_deref(), Some("gzip"));
    assert_eq!(zipped.body[..3], [0x1f, 0x8b, 8]);
}

#[tokio::test]
async fn the_provider_goes_down_and_comes_up_on_its_port() {
    let provider = Provider::start().await;
    let mut open = Connection::open(provider.address()).await.unwrap();
    open.write("GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(open.response().await.unwrap().status, 401);
    provider.down().await;
    assert_eq!(ask(&provider).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert!(open.response().await.is_err(), "connections from before end too");
    provider.up().unwrap();
    assert_eq!(ask(&provider).await.unwrap().status, 401);
}

#[tokio::test]
async fn upstream_shows_and_counts_requests() {
    let upstream = Upstream::start().await;
    upstream.assert_untouched();
    let request = Request::new(upstream.address(), "PUT", "/a?b")
        .header("X-Name", "Claes Rosenlöf")
        .header("X-Bytes", b"\xff")
        .body("hello")
        .trailer("x-last", "1");
    let r = request.send().await;
    let headers = r.upstream_headers();
    assert_eq!(headers.get("x-name").as_deref(), Some("Claes Rosenlöf"));
    assert_eq!(headers.bytes("x-bytes"), [b"\xff"]);
    let echo = r.json();
    assert_eq!((&echo["method"], &echo["path"]), (&json!("PUT"), &json!("/a?b")));
    assert_eq!((&echo["body_bytes"], &echo["body_sha256"]), (&json!(5), &json!(HELLO)));
    assert_eq!(echo["trailers"], json!([{"name": "x-last", "value": "1"}]));
    assert_eq!(upstream.only().body, b"hello");
    assert!(upstream.bytes() > 5);
}

const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

#[tokio::test]
async fn upstream_counts_bytes_of_incomplete_requests() {
    let upstream = Upstream::start().await;
    let mut connection = Connection::open(upstream.address()).await.unwrap();
    let part = "PUT / HTTP/1.1\r\ncontent-length: 10\r\n\r\nhalf";
    connection.write(part).await.unwrap();
    let quick = connection.deadline(Duration::from_millis(50)).response().await;
    assert_eq!(quick.unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!((upstream.bytes(), upstream.count()), (part.len() as u64, 0));
}

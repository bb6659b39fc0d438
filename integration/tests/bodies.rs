//! Request bodies: not one byte reaches the upstream before the verdict, and every byte, once and
//! in order, after it. Both with and without `allow_on_headers_stop_iteration`, which makes Envoy
//! offer the body to the filter while the request is held.

use integration::{
    Connection, Gate, Gateway, Listener, Provider, Request, Response, Running, Setup, envoy_since,
    frames, sha256,
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

const MEGABYTE: usize = 1_000_000;

/// `per_connection_buffer_limit_bytes` of the reference: what Envoy holds of an HTTP/1.1 request.
const LIMIT: usize = 1 << 20;
/// `initial_stream_window_size` of the reference: what Envoy holds of an HTTP/2 request.
const STREAM_WINDOW: usize = 1 << 16;

/// Tests with a listener for each value of `allow_on_headers_stop_iteration`.
const TESTS: [&str; 10] = [
    "upload", "packet", "trailers", "refused", "expect", "drip", "cut", "http10", "connect",
    "extended",
];

async fn rig() -> &'static Running {
    static RIG: OnceCell<Running> = OnceCell::const_new();
    RIG.get_or_init(|| async {
        let mut setup = Setup::new();
        for test in TESTS {
            for allow in [false, true] {
                let listener = Listener::named(&format!("{test}_{allow}"))
                    .config(config())
                    .allow_on_headers_stop_iteration(allow);
                setup = setup.listener(match test {
                    "upload" | "refused" => listener.connection_manager(|hcm| {
                        hcm["http2_protocol_options"]["initial_stream_window_size"] =
                            json!(2 * MEGABYTE);
                    }),
                    "trailers" => listener.enable_trailers().http2_upstream(),
                    "http10" => listener.connection_manager(|hcm| {
                        hcm["http_protocol_options"]["accept_http_10"] = json!(true);
                    }),
                    "connect" | "extended" => listener.connection_manager(allow_connect),
                    _ => listener,
                });
            }
        }
        setup.listener(Listener::named("large").config(config())).start().await
    })
    .await
}

fn config() -> Value {
    json!({
        "userinfo_endpoint": {"defaultURI": "http://idp.example/userinfo"},
        "clusters": {"idp.example": "idp_default"},
        "inject_headers": {"X-User-Id": "$.sub"},
        // Longer than any wait of a test: no verdict comes before its gate opens.
        "timeout": "30s",
    })
}

fn allow_connect(hcm: &mut Value) {
    hcm["upgrade_configs"] = json!([{"upgrade_type": "CONNECT"}, {"upgrade_type": "websocket"}]);
    hcm["http2_protocol_options"]["allow_connect"] = json!(true);
    let routes = hcm["route_config"]["virtual_hosts"][0]["routes"].as_array_mut().unwrap();
    routes.insert(
        0,
        json!({
            "match": {"connect_matcher": {}},
            "route": {
                "cluster": "upstream",
                // Tunnelled as it is, not terminated here.
                "upgrade_configs": [{"upgrade_type": "CONNECT"}],
            },
        }),
    );
}

/// The two listeners of a test, and their names.
async fn both(test: &str) -> [(Gateway, String); 2] {
    assert!(TESTS.contains(&test), "{test}");
    let rig = rig().await;
    [false, true].map(|allow| {
        let name = format!("{test}_{allow}");
        (rig.gateway(&name), name)
    })
}

/// A provider that delays every answer until the gate opens.
fn held(gw: &Gateway) -> Gate {
    let gate = Gate::closed();
    gw.provider.answer(Provider::good().held_by(&gate));
    gate
}

/// Bytes in which a lost, doubled or moved piece shows.
fn bytes(n: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..n).map(|_| next()).collect()
}

#[track_caller]
fn assert_delivered(r: &Response, body: &[u8]) {
    assert_eq!(r.status, 200, "{r:?}");
    let echo = r.json();
    assert_eq!(echo["body_bytes"], body.len(), "{r:?}");
    assert_eq!(echo["body_sha256"], sha256(body), "{r:?}");
    assert_eq!(r.upstream_headers().all("x-user-id"), ["248289761001"], "{r:?}");
}

fn received_by(listener: &str) -> String {
    format!("http.{listener}.downstream_cx_rx_bytes_total")
}

fn forwarded_by(listener: &str) -> String {
    format!("cluster.upstream_{listener}.upstream_rq_total")
}

/// Sends the request while the provider keeps it waiting, and lets it go once Envoy has read
/// `read` bytes of it.
async fn send_held(gw: &Gateway, name: &str, request: Request, http2: bool, read: u64) -> Response {
    let gate = held(gw);
    let (calls, upstream) = (gw.provider.count(), gw.upstream.bytes());
    let before = gw.envoy.stat(&received_by(name)).await;
    let request = request.bearer("good");
    let answer =
        tokio::spawn(
            async move { if http2 { request.send_h2().await } else { request.send().await } },
        );
    gw.provider.wait_calls(calls + 1).await;
    gw.envoy.wait_stat(&received_by(name), |now| now >= before + read).await;
    assert_eq!(gw.upstream.bytes(), upstream, "{name}: bytes at the upstream before the verdict");
    gate.open();
    answer.await.unwrap()
}

#[tokio::test]
async fn upload_waits_for_the_verdict_and_arrives_complete() {
    let body = bytes(MEGABYTE);
    for (gw, name) in both("upload").await {
        let request = gw.post("/upload", &body);
        for (request, http2) in
            [(request.clone(), false), (request.clone().chunked(), false), (request, true)]
        {
            let r = send_held(&gw, &name, request, http2, MEGABYTE as u64).await;
            assert_delivered(&r, &body);
        }
        assert_eq!(gw.upstream.count(), 3);
        gw.envoy.assert_no_vm_restart().await;
    }
}

// Header and whole body reach Envoy in one piece.
#[tokio::test]
async fn short_body_with_the_headers_waits() {
    for (gw, name) in both("packet").await {
        for body in [&b"x"[..], b"{\"a\":1}", b""] {
            for request in [gw.post("/packet", body), gw.post("/packet", body).chunked()] {
                let length = request.to_bytes().len() as u64;
                let r = send_held(&gw, &name, request, false, length).await;
                assert_delivered(&r, body);
            }
        }
    }
}

#[tokio::test]
async fn chunked_body_with_trailers_waits_for_the_verdict() {
    let body = bytes(MEGABYTE);
    for (gw, name) in both("trailers").await {
        let gate = held(&gw);
        let request = gw.post("/trailers", &body).trailer("x-checksum", "1");
        let length = request.to_bytes().len() as u64;
        let answer = tokio::spawn(request.bearer("good").send());
        gw.provider.wait_calls(1).await;
        gw.envoy.wait_stat(&received_by(&name), |now| now >= length).await;
        gw.upstream.assert_untouched();
        gate.open();
        let r = answer.await.unwrap();
        assert_delivered(&r, &body);
        assert_eq!(r.json()["trailers"], json!([{"name": "x-checksum", "value": "1"}]));
    }
}

#[tokio::test]
async fn refused_upload_is_answered_before_its_body() {
    for (gw, name) in both("refused").await {
        for token in ["", "expired"] {
            let head = format!(
                "POST /refused HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\
                 content-length: {MEGABYTE}\r\n\r\n"
            );
            let mut connection = gw.connect().await.unwrap();
            connection.write(head).await.unwrap();
            let r = connection.response().await.unwrap();
            assert_eq!(r.status, 401, "{name}: {r:?}");
            // The rest of the body must not be taken for a request.
            assert_eq!(r.header("connection").as_deref(), Some("close"), "{name}: {r:?}");

            let request = gw.post("/refused", "").bearer(token);
            let stream = gw.h2().await.unwrap().stream(&request, false).await.unwrap();
            assert_eq!(stream.response().await.unwrap().status, 401, "{name}");

            // Sent all the same, it goes nowhere.
            let whole = gw.post("/refused", bytes(MEGABYTE)).bearer(token);
            assert_eq!(whole.clone().send().await.status, 401, "{name}");
            assert_eq!(whole.send_h2().await.status, 401, "{name}");
        }
        gw.upstream.assert_untouched();
        gw.envoy.assert_no_vm_restart().await;
    }
}

// Envoy itself says 100, before any filter: it does not know yet whether the body is wanted.
#[tokio::test]
async fn expect_100_continue() {
    for (gw, name) in both("expect").await {
        let head = |token: &str| {
            format!(
                "POST /expect HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\
                 expect: 100-continue\r\ncontent-length: {MEGABYTE}\r\n\r\n"
            )
        };
        for token in ["", "expired"] {
            let mut connection = gw.connect().await.unwrap();
            connection.write(head(token)).await.unwrap();
            let r = connection.response().await.unwrap();
            assert_eq!((r.interim.as_slice(), r.status), (&[100][..], 401), "{name}: {r:?}");
        }
        gw.upstream.assert_untouched();

        let (gate, body) = (held(&gw), bytes(MEGABYTE));
        let calls = gw.provider.count();
        let mut connection = gw.connect().await.unwrap();
        connection.write(head("good")).await.unwrap();
        let told = connection.read(b"HTTP/1.1 100 Continue\r\n\r\n".len()).await.unwrap();
        assert_eq!(told, b"HTTP/1.1 100 Continue\r\n\r\n", "{name}");
        gw.provider.wait_calls(calls + 1).await;
        connection.write(&body).await.unwrap();
        gw.upstream.assert_untouched();
        gate.open();
        let r = connection.response().await.unwrap();
        assert_delivered(&r, &body);
        assert!(!r.upstream_headers().has("expect"), "{name}: {r:?}");
    }
}

#[tokio::test]
async fn body_may_arrive_after_the_verdict() {
    let body = bytes(60_000);
    for (gw, name) in both("drip").await {
        if name == "drip_true" && !envoy_since(39) {
            continue; // body_after_the_verdict_is_lost_in_the_other_mode_before_1_39
        }
        let request = gw.post("/drip", "").bearer("good");

        let gate = held(&gw);
        let mut connection = gw.connect().await.unwrap();
        let head = format!(
            "POST /drip HTTP/1.1\r\nhost: a\r\nauthorization: Bearer good\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        connection.write(head).await.unwrap();
        connection.write(&body[..20_000]).await.unwrap();
        gw.provider.wait_calls(1).await;
        gw.envoy.wait_stat(&received_by(&name), |now| now > 20_000).await;
        gw.upstream.assert_untouched();
        gate.open();
        gw.envoy.wait_stat(&forwarded_by(&name), |count| count == 1).await;
        for part in body[20_000..].chunks(10_000) {
            connection.write(part).await.unwrap();
        }
        assert_delivered(&connection.response().await.unwrap(), &body);

        let gate = held(&gw);
        let h2 = gw.h2().await.unwrap();
        let mut stream = h2.stream(&request, false).await.unwrap();
        stream.send(body[..20_000].to_vec()).await.unwrap();
        gw.provider.wait_calls(2).await;
        let before = gw.upstream.bytes();
        gate.open();
        gw.envoy.wait_stat(&forwarded_by(&name), |count| count == 2).await;
        for part in body[20_000..].chunks(10_000) {
            stream.send(part.to_vec()).await.unwrap();
        }
        stream.finish(&integration::Headers::default()).unwrap();
        assert_delivered(&stream.response().await.unwrap(), &body);
        assert!(gw.upstream.bytes() > before + 60_000);
    }
}

// The reason why docs/envoy-versions.md warns of the other mode: the backend takes a part of the
// body for the complete body, and no error shows it.
#[tokio::test]
async fn body_after_the_verdict_is_lost_in_the_other_mode_before_1_39() {
    let body = bytes(60_000);
    let (before, after) = body.split_at(20_000);
    let chunk = |bytes: &[u8]| {
        let size = format!("{:x}\r\n", bytes.len()).into_bytes();
        [size.as_slice(), bytes, b"\r\n"].concat()
    };
    for (gw, name) in both("cut").await {
        let gate = held(&gw);
        let mut connection = gw.connect().await.unwrap();
        let head = "POST /cut HTTP/1.1\r\nhost: a\r\nauthorization: Bearer good\r\n\
                    transfer-encoding: chunked\r\n\r\n";
        connection.write(head).await.unwrap();
        connection.write(chunk(before)).await.unwrap();
        gw.provider.wait_calls(1).await;
        gw.envoy.wait_stat(&received_by(&name), |now| now > 20_000).await;
        gate.open();
        gw.envoy.wait_stat(&forwarded_by(&name), |count| count == 1).await;
        connection.write(chunk(after)).await.unwrap();
        connection.write("0\r\n\r\n").await.unwrap();
        let delivered = if name == "cut_true" && !envoy_since(39) { before } else { &body };
        assert_delivered(&connection.response().await.unwrap(), delivered);
    }
}

// More than Envoy holds: the client is made to wait, and nothing is lost.
#[tokio::test]
async fn body_above_the_buffer_limit_arrives_complete() {
    const SIZE: usize = 8 * MEGABYTE;
    let gw = rig().await.gateway("large");
    let body = bytes(SIZE);
    let received = received_by("large");
    for http2 in [false, true] {
        let gate = held(&gw);
        let (calls, upstream) = (gw.provider.count(), gw.upstream.bytes());
        let before = gw.envoy.stat(&received).await;
        let request = gw.post("/large", &body).bearer("good");
        let answer = tokio::spawn(async move {
            if http2 { request.send_h2().await } else { request.send().await }
        });
        gw.provider.wait_calls(calls + 1).await;
        if http2 {
            gw.envoy.wait_stat(&received, |now| now - before >= STREAM_WINDOW as u64).await;
        } else {
            let paused = "http.large.downstream_flow_control_paused_reading_total";
            gw.envoy.wait_stat(paused, |now| now > 0).await;
        }
        let read = gw.envoy.stat(&received).await - before;
        assert!(read < 4 * LIMIT as u64, "Envoy has read {read} bytes (HTTP/2: {http2})");
        assert_eq!(gw.upstream.bytes(), upstream);
        gate.open();
        assert_delivered(&answer.await.unwrap(), &body);
    }
    gw.envoy.assert_no_vm_restart().await;
}

// With `allow_on_headers_stop_iteration` Envoy collects the body for the filter, and has no way to
// make the client wait: over HTTP/2 already above the stream's window.
#[tokio::test]
async fn above_the_buffer_limit_the_other_mode_answers_413() {
    let gw = Gateway::start(
        Listener::reference().config(config()).allow_on_headers_stop_iteration(true),
    )
    .await;
    for (n, http2, size) in [(1, false, LIMIT + 1), (2, true, STREAM_WINDOW + 1)] {
        let gate = held(&gw);
        // A token of its own: the call for the request before may not have ended yet.
        let request = gw.post("/over", bytes(size)).bearer(&format!("good{n}"));
        let r = if http2 { request.send_h2().await } else { request.send().await };
        assert_eq!(r.status, 413, "{r:?}");
        gw.envoy.access_log().wait_lines(n).await;
        gw.envoy.wait_stat("wasmcustom.oidc_outcome.client_gone", |count| count == n as u64).await;
        // A verdict for a request that has ended applies to no request.
        gate.open();
    }
    let log = gw.envoy.access_log().lines();
    assert!(log.iter().all(|line| line.contains("request_payload_too_large")), "{log:#?}");
    gw.upstream.assert_untouched();
    assert_delivered(&gw.post("/after", "x").bearer("good").send().await, b"x");
    assert_eq!(gw.envoy.stat("wasmcustom.oidc_requests").await, 3);
    assert_eq!(gw.envoy.stat("wasmcustom.oidc_outcome.pass").await, 1);
    gw.envoy.assert_no_vm_restart().await;
}

#[tokio::test]
async fn http_1_0_is_authenticated_if_accepted() {
    let send = async |gw: &Gateway, token: &str| {
        let mut connection = gw.connect().await.unwrap();
        let request = format!(
            "POST /old HTTP/1.0\r\nhost: a\r\nauthorization: Bearer {token}\r\n\
             content-length: 4\r\n\r\nbody"
        );
        connection.write(request).await.unwrap();
        connection.response().await.unwrap()
    };
    for (gw, name) in both("http10").await {
        for token in ["", "expired"] {
            let r = send(&gw, token).await;
            assert_eq!(r.status, 401, "{name}: {r:?}");
            assert!(r.headers.has("www-authenticate"), "{name}: {r:?}");
        }
        gw.upstream.assert_untouched();
        assert_delivered(&send(&gw, "good").await, b"body");
        gw.envoy.assert_no_vm_restart().await;
    }
    // Everywhere else Envoy calls the provider over HTTP/1.1, whatever the client's protocol.
    let gw = Gateway::reference().await;
    assert_eq!(send(&gw, "good").await.status, 426);
    gw.upstream.assert_untouched();
}

// A request without :path (RFC 9110 §9.3.6, RFC 9113 §8.5).
#[tokio::test]
async fn connect_is_authenticated() {
    for (gw, name) in both("connect").await {
        for token in ["", "expired"] {
            let head = format!(
                "CONNECT db.example:443 HTTP/1.1\r\nhost: db.example:443\r\n\
                 authorization: Bearer {token}\r\n\r\n"
            );
            let mut connection = gw.connect().await.unwrap();
            connection.write(head + "early").await.unwrap();
            assert_eq!(connection.response().await.unwrap().status, 401, "{name}");
            assert_eq!(h2_connect(&gw, &[], token).await, refused(token), "{name}");
        }
        gw.upstream.assert_untouched();
        gw.envoy.assert_no_vm_restart().await;

        let request = "CONNECT db.example:443 HTTP/1.1\r\nhost: db.example:443\r\n\
                       x-user-id: forged\r\nauthorization: Bearer good\r\n\r\n";
        let mut connection = gw.connect().await.unwrap();
        connection.write(request).await.unwrap();
        gw.upstream.wait(1).await;
        let received = gw.upstream.only();
        assert_eq!(received.method, "CONNECT", "{received:?}");
        assert_eq!(received.headers.all("x-user-id"), ["248289761001"], "{received:?}");
        assert!(!received.headers.has("authorization"), "{received:?}");
        gw.envoy.assert_no_vm_restart().await;
    }
}

// RFC 8441.
#[tokio::test]
async fn extended_connect_is_authenticated() {
    for (gw, name) in both("extended").await {
        let without_path = [(":protocol", "websocket"), (":scheme", "http")];
        let mut with_path = without_path.to_vec();
        with_path.push((":path", "/socket"));
        for token in ["", "expired"] {
            assert_eq!(h2_connect(&gw, &with_path, token).await, refused(token), "{name}");
        }
        // Malformed: Envoy itself ends the stream.
        for token in ["", "expired", "good"] {
            assert_eq!(h2_connect(&gw, &without_path, token).await, None, "{name}");
        }
        gw.upstream.assert_untouched();

        let mut connection = h2_connection(&gw, &with_path, "good").await;
        assert_eq!(frames::answer(&mut connection).await.unwrap().kind, frames::HEADERS, "{name}");
        connection.write(frames::data(b"ping", false)).await.unwrap();
        loop {
            let frame = frames::next(&mut connection).await.expect("an open connection");
            if frame.kind == frames::DATA && !frame.payload.is_empty() {
                assert_eq!(frame.payload, b"ping", "{name}");
                break;
            }
        }
        let received = gw.upstream.only();
        assert_eq!(received.headers.all("x-user-id"), ["248289761001"], "{received:?}");
        gw.envoy.assert_no_vm_restart().await;
    }
}

async fn h2_connection(gw: &Gateway, more: &[(&str, &str)], token: &str) -> Connection {
    let authorization = format!("Bearer {token}");
    let request =
        [(":method", "CONNECT"), (":authority", "db.example:443")].into_iter().chain(more.to_vec());
    let request: Vec<_> = request.chain([("authorization", authorization.as_str())]).collect();
    let mut connection = gw.connect().await.unwrap();
    let bytes = [frames::preface(), frames::headers(&request, false)].concat();
    connection.write(bytes).await.unwrap();
    connection
}

/// The body of the refusal; none where Envoy ends stream or connection by itself.
async fn h2_connect(gw: &Gateway, more: &[(&str, &str)], token: &str) -> Option<String> {
    let mut connection = h2_connection(gw, more, token).await;
    let answer = frames::answer(&mut connection).await?;
    if answer.kind != frames::HEADERS {
        return None;
    }
    Some(String::from_utf8(frames::body(&mut connection).await).unwrap())
}

/// The body of the refusal, by the reference's error settings.
fn refused(token: &str) -> Option<String> {
    let body = match token {
        "" => {
            "{\"error\":\"InvalidAuthorizationHeaderValue\",\"error_description\":\"The \
             Authorization header is missing, empty or not one Bearer token.\"}"
        }
        _ => "Error Response retrieved from UserInfo endpoint. Response Code - 401",
    };
    Some(body.to_owned())
}

#[tokio::test]
async fn request_ended_by_envoy_while_held_is_counted_and_dropped() {
    for allow in [false, true] {
        let listener = Listener::reference()
            .config(config())
            .allow_on_headers_stop_iteration(allow)
            .stream_idle_timeout("0.3s");
        let gw = Gateway::start(listener).await;
        let gate = held(&gw);
        let every = [gw.get("/idle"), gw.post("/idle", "body"), gw.post("/idle", "").chunked()];
        for (n, request) in (1..).zip(every) {
            let r = request.bearer("good").send().await;
            assert_eq!(r.status, 504, "{r:?}");
            gw.envoy.wait_stat("wasmcustom.oidc_outcome.client_gone", |count| count == n).await;
        }
        let log = gw.envoy.access_log().wait_lines(3).await;
        assert!(log.iter().all(|line| line.contains("stream_idle_timeout")), "{log:#?}");
        gw.upstream.assert_untouched();

        // Their verdicts come too late, the next one in time.
        gate.open();
        assert_delivered(&gw.post("/after", "x").bearer("good").send().await, b"x");
        assert_eq!(gw.upstream.only().target, "/after");
        let stats = gw.envoy.stats().await;
        assert_eq!(stats["wasmcustom.oidc_requests"], 4);
        assert_eq!(stats["wasmcustom.oidc_outcome.pass"], 1);
        assert_eq!(stats["wasmcustom.oidc_outcome.client_gone"], 3);
        gw.envoy.assert_no_vm_restart().await;
    }
}

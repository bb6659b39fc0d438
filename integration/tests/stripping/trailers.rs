//! Trailers and gRPC metadata.

use integration::{Gate, Headers, Provider, Request, Response, frames};
use serde_json::json;

use crate::{EVIL, assert_identity, forged, gateway};

// Row 35, while nothing is decided: the whole request is with Envoy before the verdict is there.
#[tokio::test]
async fn forged_trailers_are_stripped_while_held() {
    for name in ["trailers", "trailers_allow"] {
        let gw = gateway(name).await;
        let received = format!("http.{name}.downstream_cx_rx_bytes_total");
        let forwarded = format!("cluster.upstream_{name}.upstream_rq_total");
        for (http2, body) in [(false, "body"), (false, ""), (true, "body"), (true, "")] {
            let gate = Gate::closed();
            let token = format!("{name}-{http2}-{}", body.len());
            gw.provider.answer_token(&token, Provider::good().held_by(&gate));
            let bytes = if http2 {
                h2_with_trailers(&format!("Bearer {token}"), body)
            } else {
                with_trailers(gw.post("/held", body).bearer(&token).chunked()).to_bytes()
            };
            let calls = gw.provider.count();
            let before = gw.envoy.stats().await;
            let at_start = |stat: &str| before.get(stat).copied().unwrap_or(0);
            let mut connection = gw.connect().await.unwrap();
            connection.write(&bytes).await.unwrap();
            gw.provider.wait_calls(calls + 1).await;
            let all = at_start(&received) + bytes.len() as u64;
            gw.envoy.wait_stat(&received, |now| now >= all).await;
            let now = gw.envoy.stat(&forwarded).await;
            assert_eq!(now, at_start(&forwarded), "{token}: forwarded before the verdict");
            gate.open();
            let response = if http2 {
                // Its header is compressed; the upstream's echo tells enough.
                let body = frames::body(&mut connection).await;
                Response { status: 200, body, ..Response::default() }
            } else {
                connection.response().await.unwrap()
            };
            assert_trailers(&response, body);
        }
        gw.envoy.assert_no_vm_restart().await;
    }
}

fn h2_with_trailers(authorization: &str, body: &str) -> Vec<u8> {
    let request = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/held"),
        (":authority", "a"),
        ("authorization", authorization),
    ];
    let mut bytes = [frames::preface(), frames::headers(&request, false)].concat();
    if !body.is_empty() {
        bytes.extend(frames::data(body.as_bytes(), false));
    }
    bytes.extend(frames::headers(&TRAILERS, true));
    bytes
}

// Row 35, after the verdict.
#[tokio::test]
async fn late_forged_trailers_are_stripped() {
    for name in ["late", "late_allow"] {
        let gw = gateway(name).await;
        let forwarded = format!("cluster.upstream_{name}.upstream_rq_total");

        let r = with_trailers(gw.post("/late", "body").bearer("good"));
        let bytes = r.to_bytes();
        let (early, late) = bytes.split_at(bytes.len() - b"0\r\n".len() - trailer_bytes());
        assert!(late.starts_with(b"0\r\n"), "{}", late.escape_ascii());
        let mut connection = gw.connect().await.unwrap();
        connection.write(early).await.unwrap();
        gw.envoy.wait_stat(&forwarded, |count| count == 1).await;
        connection.write(late).await.unwrap();
        assert_trailers(&connection.response().await.unwrap(), "body");

        let h2 = gw.h2().await.unwrap();
        let mut stream = h2.stream(&gw.post("/late", "").bearer("good"), false).await.unwrap();
        stream.send("body").await.unwrap();
        gw.envoy.wait_stat(&forwarded, |count| count == 2).await;
        let mut trailers = Headers::default();
        TRAILERS.iter().for_each(|(name, value)| trailers.push(name, value));
        stream.finish(&trailers).unwrap();
        assert_trailers(&stream.response().await.unwrap(), "body");
        gw.envoy.assert_no_vm_restart().await;
    }
}

/// Credentials in a trailer are nobody's, also where those in the header are forwarded.
#[tokio::test]
async fn credentials_in_a_trailer_reach_no_backend() {
    let gw = gateway("trailers_forward").await;
    for request in [gw.post("/forward", "body").bearer("good"), gw.post("/forward", "body")] {
        let request = request.trailer("authorization", EVIL).trailer("x-checksum", "kept");
        for r in [request.clone().send().await, request.send_h2().await] {
            assert_eq!(r.status, 200, "{r:?}");
            assert_eq!(r.json()["trailers"], json!([{"name": "x-checksum", "value": "kept"}]));
        }
    }
}

// Rows 35 and 41.
#[tokio::test]
async fn refused_request_with_trailers_is_not_forwarded() {
    for name in ["trailers_refused", "trailers_refused_allow"] {
        let gw = gateway(name).await;
        for token in ["expired", "not a token", ""] {
            let r = with_trailers(gw.post("/refused", "body").bearer(token));
            for r in [r.clone().send().await, r.send_h2().await] {
                assert_eq!(r.status, 401, "{r:?}");
            }
        }
        gw.upstream.assert_untouched();
        gw.envoy.assert_no_vm_restart().await;
    }
}

const TRAILERS: [(&str, &str); 6] = [
    ("x-user-id", EVIL),
    ("x_de.unit", EVIL),
    ("x-checksum", "kept"),
    ("authorization", EVIL),
    ("x-user-id", EVIL),
    ("x-user-identity", "kept"),
];

fn with_trailers(request: Request) -> Request {
    TRAILERS.iter().fold(request, |request, (name, value)| request.trailer(name, value))
}

/// How many bytes they take on HTTP/1.1, with the empty line.
fn trailer_bytes() -> usize {
    TRAILERS.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>() + 2
}

#[track_caller]
fn assert_trailers(r: &Response, body: &str) {
    assert_identity(r, "default");
    let echo = r.json();
    assert_eq!(echo["protocol"], "HTTP/2", "{r:?}");
    assert_eq!(echo["body_sha256"], integration::sha256(body.as_bytes()), "{r:?}");
    let kept = json!([
        {"name": "x-checksum", "value": "kept"},
        {"name": "x-user-identity", "value": "kept"},
    ]);
    assert_eq!(echo["trailers"], kept, "{r:?}");
}

// Row 36: metadata are headers. `-bin` names other metadata, which no rule injects here.
#[tokio::test]
async fn grpc_metadata_are_stripped_like_headers() {
    let gw = gateway("grpc").await;
    let r = forged(gw.post("/acme.Orders/List", b"\0\0\0\0\0").bearer("good"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("x-user-id-bin", "AAEC")
        .send_h2()
        .await;
    assert_identity(&r, "default");
    assert_eq!(r.upstream_header("x-user-id-bin").as_deref(), Some("AAEC"));
    assert_eq!(r.upstream_header("te").as_deref(), Some("trailers"));
}

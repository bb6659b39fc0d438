//! Rows 67–80: methods and protocols.

use std::time::Duration;

use integration::Reply;
use serde_json::json;

use crate::row::{Pace, Row, Skip, row};

/// The rows.
pub fn rows() -> Vec<Row> {
    let mut rows = methods();
    rows.extend(grpc());
    rows.extend(tunnels());
    rows.extend(bodies());
    rows.extend(versions());
    rows.extend(smuggling());
    rows
}

/// 67, 68
fn methods() -> Vec<Row> {
    let options = |n, what| {
        let row = row(n, what).method("OPTIONS").no_authorization();
        row.refused(401, "no_credentials:absent")
    };
    let origin = "https://other.example";
    vec![
        row("67a", "HEAD without a token")
            .method("HEAD")
            .no_authorization()
            .refused(401, "no_credentials:absent"),
        row("67b", "HEAD with a token").method("HEAD"),
        options("68a", "OPTIONS alone"),
        options("68b", "a preflight, to be authenticated")
            .header("origin", origin)
            .header("access-control-request-method", "PUT"),
        options("68c", "no preflight: no method asked for")
            .world("preflight")
            .header("origin", origin),
        options("68d", "no preflight: no origin")
            .world("preflight")
            .header("access-control-request-method", "PUT"),
        row("68e", "no preflight: not OPTIONS")
            .world("preflight")
            .no_authorization()
            .header("origin", origin)
            .header("access-control-request-method", "PUT")
            .refused(401, "no_credentials:absent"),
        // Envoy's CORS filter is before the connector and answers for the origins it knows.
        row("68f", "a preflight that Envoy answers")
            .method("OPTIONS")
            .no_authorization()
            .header("origin", "https://app.example")
            .header("access-control-request-method", "PUT")
            .envoy(&[200]),
    ]
}

/// 69
fn grpc() -> Vec<Row> {
    let call = |n, what| {
        row(n, what)
            .method("POST")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body([0, 0, 0, 0, 0])
            .reply_header("content-type", "application/grpc")
            .no_reply_header("x-content-type-options")
            .reply_body("")
    };
    let challenge = |row: Row, error: &str| {
        row.reply_header("www-authenticate", &format!("Bearer realm=\"api\"{error}"))
            .reply_header("x-mashery-error-code", "ERR_401_UNAUTHORIZED")
    };
    let status = |row: Row, status: &str, message: &str| {
        row.reply_header("grpc-status", status).reply_header("grpc-message", message)
    };
    vec![
        status(
            challenge(call("69a", "gRPC without a token"), "").no_authorization(),
            "16",
            "The Authorization header is missing, empty or not one Bearer token.",
        )
        .refused(200, "no_credentials:absent"),
        status(
            call("69b", "gRPC with a token that is not enough"),
            "7",
            "The UserInfo endpoint refused the token.",
        )
        .reply_header("www-authenticate", "Bearer realm=\"api\", error=\"insufficient_scope\"")
        .answers(Reply::json(403, &json!({"error": "insufficient_scope"})))
        .refused(200, "forbidden:provider_4xx"),
        status(
            call("69c", "gRPC while the provider is away"),
            "14",
            "No usable response from the UserInfo endpoint.",
        )
        .world("busy")
        .reply_header("retry-after", "5")
        .answers(Reply::close())
        .refused(200, "unavailable:unreachable")
        .calls(3),
        row("69d", "gRPC with a good token")
            .world("trailers")
            .method("POST")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body([0, 0, 0, 0, 0]),
    ]
}

/// 70–73
fn tunnels() -> Vec<Row> {
    const EARLY: &str = "\x01early frame\x02another early frame";
    let websocket = |n, what, authorization: &str| {
        let head = format!(
            "GET {{path}} HTTP/1.1\r\nhost: gateway.example\r\nconnection: Upgrade\r\n\
             upgrade: websocket\r\n{authorization}\r\n{EARLY}"
        );
        row(n, what).world("tunnel").http1(head)
    };
    let extended = |authorization: &[(&str, &str)]| {
        let mut fields = vec![
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":authority", "gateway.example"),
            (":path", "{path}"),
        ];
        fields.extend(authorization);
        fields.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect::<Vec<_>>()
    };
    let connect = |n, what, authorization: &str| {
        let mut fields = vec![(":method", "CONNECT"), (":authority", "{host}:80")];
        fields.extend((!authorization.is_empty()).then_some(("authorization", authorization)));
        let line = match authorization {
            "" => String::new(),
            value => format!("authorization: {value}\r\n"),
        };
        row(n, what)
            .world("tunnel")
            .http1(format!(
                "CONNECT {{host}}:80 HTTP/1.1\r\nhost: {{host}}:80\r\n{line}\r\n{EARLY}"
            ))
            .http2(fields)
            .body(EARLY)
            .stays_open()
    };
    let no_http2 = "72b and 72c are the same in HTTP/2";
    let no_http1 = "70 and 71 are the same in HTTP/1.1";
    vec![
        websocket("70a", "WebSocket without a token, early data", "")
            .refused(401, "no_credentials:absent")
            .not(Skip::Http2, no_http2),
        websocket("70b", "WebSocket with a bad token, early data", "authorization: Bearer {t}\r\n")
            .pace(Pace::Held)
            .answers(Reply::status(401))
            .refused(401, "invalid_token:provider_4xx")
            .not(Skip::Http2, no_http2),
        websocket("71", "WebSocket with a token, early data", "authorization: Bearer {t}\r\n")
            .pace(Pace::Held)
            .arriving("connection", "Upgrade")
            .arriving("upgrade", "websocket")
            .passes_with(101)
            .tail(EARLY)
            .not(Skip::Http2, no_http2),
        connect("72a", "CONNECT without a token", "").refused(401, "no_credentials:absent"),
        row("72b", "extended CONNECT without a token, early data")
            .world("tunnel")
            .http2(extended(&[]))
            .body(EARLY)
            .stays_open()
            .refused(401, "no_credentials:absent")
            .not(Skip::Http1, no_http1),
        row("72c", "extended CONNECT with a token, early data")
            .world("tunnel")
            .http2(extended(&[("authorization", "Bearer {t}")]))
            .body(EARLY)
            .stays_open()
            .pace(Pace::Held)
            .arriving("connection", "upgrade")
            .arriving("upgrade", "websocket")
            .body_upstream("")
            .passes_with(200)
            .tail(EARLY)
            .not(Skip::Http1, no_http1),
        connect("72d", "CONNECT with a bad token", "Bearer {t}")
            .pace(Pace::Held)
            .answers(Reply::status(401))
            .refused(401, "invalid_token:provider_4xx"),
        // Envoy has no upgrade for it, and does not hand it on as an ordinary request either.
        row(73, "Upgrade: h2c")
            .forged("connection", "Upgrade, HTTP2-Settings")
            .forged("upgrade", "h2c")
            .forged("http2-settings", "AAMAAABkAAQAAP__")
            .not(Skip::Http2, "an upgrade to HTTP/2 starts in HTTP/1.1"),
    ]
}

/// 74–78
fn bodies() -> Vec<Row> {
    let post = |n, what| row(n, what).method("POST");
    let large: Vec<u8> = (0..16_u32 << 20).map(|n| n.to_le_bytes()[1]).collect();
    let continued = |n, what| post(n, what).forged("expect", "100-continue").body("hello");
    vec![
        post("74a", "a body before the verdict").body("hello").pace(Pace::Held),
        post("74b", "a chunked body before the verdict").body("hello").chunked().pace(Pace::Held),
        post("74c", "a body before the refusal")
            .body("hello")
            .pace(Pace::Held)
            .answers(Reply::status(401))
            .refused(401, "invalid_token:provider_4xx"),
        // 16 MiB instead of 100 MB: also far above every buffer, and faster.
        post("75a", "a large body while the provider is asked")
            .body(&large)
            .pace(Pace::Held)
            // The upload itself takes its time.
            .within(Duration::from_secs(6))
            .not(Skip::FlagTrue, "there Envoy refuses such a body: 75b"),
        // Measured: with the flag Envoy buffers what the filter does not yet want, up to its limit.
        post("75b", "a large body while the provider is asked")
            .body(&large)
            .pace(Pace::BodyAfterCall)
            .answers(Reply::silence())
            .calls(1)
            .counted(&["client_gone"])
            .envoy(&[413])
            .not(Skip::FlagUnset, "there the client waits: 75a"),
        post("76", "a chunked body with trailers before the verdict")
            .world("trailers")
            .body("hello")
            .pace(Pace::Held)
            .forged_trailer("x-user-id", "admin")
            .trailer("x-checksum", "5"),
        continued("77a", "Expect: 100-continue, refused")
            .no_authorization()
            .refused(401, "no_credentials:absent"),
        continued("77b", "Expect: 100-continue, refused by the provider")
            .answers(Reply::status(401))
            .refused(401, "invalid_token:provider_4xx"),
        continued("77c", "Expect: 100-continue, passed"),
        post("78a", "a slow body, refused")
            .body("hello")
            .pace(Pace::BodyWaits(2))
            .no_authorization()
            .refused(401, "no_credentials:absent"),
        post("78b", "a slow body, refused by the provider")
            .body("hello")
            .pace(Pace::BodyWaits(2))
            .answers(Reply::status(401))
            .refused(401, "invalid_token:provider_4xx"),
        post("78c", "a slow body, passed").body("hello").pace(Pace::BodyWaits(2)),
    ]
}

/// 79, without HTTP/3: the reference configuration does not speak it.
fn versions() -> Vec<Row> {
    let old = |n, what, authorization: &str| {
        let request = format!("GET {{path}} HTTP/1.0\r\nhost: a\r\n{authorization}\r\n");
        row(n, what).http1(request).not(Skip::Http2, "HTTP/1.0")
    };
    vec![
        old("79a", "HTTP/1.0", "authorization: Bearer {t}\r\n").envoy(&[426]),
        old("79b", "HTTP/1.0, allowed", "authorization: Bearer {t}\r\n").world("tunnel"),
        old("79c", "HTTP/1.0, allowed, no token", "")
            .world("tunnel")
            .refused(401, "no_credentials:absent"),
    ]
}

/// 80
fn smuggling() -> Vec<Row> {
    let probe = |n, what, framing: &str, body: &str| {
        let request = format!(
            "POST {{path}} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {{t}}\r\n{framing}\r\n{body}"
        );
        row(n, what).http1(request).envoy(&[400, 501]).not(Skip::Http2, "80g and 80h")
    };
    let hidden = "0\r\n\r\nGET /admin HTTP/1.1\r\nhost: a\r\nx-user-id: admin\r\n\r\n";
    let long = |n, what, fields: &[(&str, &str)]| {
        let mut all = vec![
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "{path}"),
            ("authorization", "Bearer {t}"),
        ];
        all.extend(fields);
        row(n, what).http2(all).body("hello").envoy(&[400, 0]).not(Skip::Http1, "80a to 80f")
    };
    vec![
        probe(
            "80a",
            "length and chunks",
            "content-length: 4\r\ntransfer-encoding: chunked\r\n",
            hidden,
        ),
        probe("80b", "two lengths", "content-length: 5\r\ncontent-length: 6\r\n", "hello!"),
        probe("80c", "a list of lengths", "content-length: 5, 6\r\n", "hello!"),
        probe("80d", "chunks written oddly", "transfer-encoding: xchunked\r\n", hidden),
        probe("80e", "chunks after a control", "transfer-encoding: \x0bchunked\r\n", hidden),
        probe("80f", "a blank before the colon", "transfer-encoding : chunked\r\n", hidden),
        // Its headers are valid, so a call is made; its body is not.
        long("80g", "a length too short", &[("content-length", "2")])
            .pace(Pace::BodyAfterCall)
            .answers(Reply::silence())
            .calls(1)
            .counted(&["client_gone"]),
        long("80h", "two lengths", &[("content-length", "5"), ("content-length", "6")]),
    ]
}

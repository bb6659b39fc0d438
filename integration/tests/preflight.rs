//! With `preflight: "pass"` only a preflight as a browser sends it passes: any other request is
//! authenticated, and above all gets no tunnel.

#[allow(dead_code, reason = "each file of tests uses its part")]
mod base;

use base::one;
use integration::{Gateway, H2, Listener, Request, Response, Running, Setup};
use serde_json::json;
use tokio::sync::OnceCell;

static RIG: OnceCell<Running> = OnceCell::const_new();

/// The listener of one test, in the Envoy that all tests of this file share.
async fn gateway(name: &str) -> Gateway {
    let rig = RIG.get_or_init(|| async {
        let pass = |name| {
            let config = one(json!({"preflight": "pass"}));
            Listener::named(name).without_filter("envoy.filters.http.cors").config(config)
        };
        let forwards = json!({"preflight": "pass", "block_authorization_header": false});
        let forwards = Listener::named("forwards").config(one(forwards));
        let forwards = forwards.without_filter("envoy.filters.http.cors");
        Setup::new()
            .listener(pass("passes"))
            .listener(forwards)
            .listener(pass("looks_like").websocket())
            .listener(pass("tunnel").websocket())
            .listener(pass("extended").websocket().connection_manager(|hcm| {
                hcm["http2_protocol_options"]["allow_connect"] = json!(true);
            }))
            .start()
            .await
    });
    rig.await.gateway(name)
}

const ORIGIN: (&str, &str) = ("origin", "https://app.example");
const METHOD: (&str, &str) = ("access-control-request-method", "POST");

fn preflight(gw: &Gateway) -> Request {
    gw.request("OPTIONS", "/orders").headers([ORIGIN, METHOD])
}

#[track_caller]
fn assert_authenticated(what: &str, r: &Response) {
    assert_eq!(r.status, 401, "{what} {r:?}");
    assert_eq!(r.json()["error"], "InvalidAuthorizationHeaderValue", "{what} {r:?}");
}

#[tokio::test]
async fn browser_preflight_passes() {
    let gw = gateway("passes").await;
    let asking = ("access-control-request-headers", "authorization");
    for headers in [&[][..], &[("content-length", "0")], &[asking], &[("connection", "close")]] {
        let r = preflight(&gw).headers(headers.iter().copied()).send().await;
        assert_eq!(r.status, 200, "{headers:?} {r:?}");
    }
    let nowhere = [("origin", "null"), METHOD];
    let r = gw.request("OPTIONS", "/orders").headers(nowhere).send_h2().await;
    assert_eq!(r.status, 200, "{r:?}");
    let r = preflight(&gw).send_h2().await;
    assert_eq!(r.status, 200, "{r:?}");
    assert_eq!(gw.upstream.count(), 6);
}

/// A backend that gets `Authorization` takes it for a token that was vouched for.
#[tokio::test]
async fn preflight_brings_no_credentials_to_the_backend() {
    let gw = gateway("forwards").await;
    let forged = preflight(&gw).header("authorization", "Bearer forged");
    for r in [forged.clone().send().await, forged.send_h2().await] {
        assert_eq!((r.status, r.upstream_header("authorization")), (200, None), "{r:?}");
    }
    let r = gw.get("/orders").bearer("good").send().await;
    assert_eq!(r.upstream_header("authorization").as_deref(), Some("Bearer good"), "{r:?}");
}

#[tokio::test]
async fn preflight_lookalike_is_authenticated() {
    let gw = gateway("looks_like").await;
    let options = || gw.request("OPTIONS", "/orders");
    let requests = [
        ("an empty origin", options().headers([("origin", ""), METHOD])),
        ("two origins", preflight(&gw).headers([("origin", "https://b.example")])),
        ("the same origin twice", preflight(&gw).headers([ORIGIN])),
        ("no method asked for", options().headers([ORIGIN, (METHOD.0, "")])),
        ("two methods asked for", preflight(&gw).headers([METHOD])),
        ("a body", preflight(&gw).body("x")),
        ("trailers", preflight(&gw).trailer("x-last", "1")),
    ];
    for (what, request) in requests {
        assert_authenticated(what, &request.clone().send().await);
        assert_authenticated(what, &request.send_h2().await);
    }
    // Over HTTP/1.1 a body in chunks is one, empty or not.
    assert_authenticated("empty chunks", &preflight(&gw).chunked().send().await);
    assert_authenticated("chunks", &preflight(&gw).body("x").chunked().send().await);
    // Over HTTP/2 a stream that stays open may bring one.
    let connection = H2::open(gw.address()).await.unwrap();
    let stream = connection.stream(&preflight(&gw), false).await.unwrap();
    assert_authenticated("an open stream", &stream.response().await.unwrap());
    gw.upstream.assert_untouched();
    gw.envoy.assert_no_vm_restart().await;
}

/// `OPTIONS` with an upgrade would be a two-way tunnel for anybody.
#[tokio::test]
async fn upgrade_is_not_a_preflight() {
    let gw = gateway("tunnel").await;
    let bytes = |upgrade: &str, more: &str| {
        format!(
            "OPTIONS /orders HTTP/1.1\r\nhost: a\r\norigin: https://app.example\r\n\
             access-control-request-method: GET\r\nconnection: {upgrade}\r\n\
             upgrade: websocket\r\n{more}\r\n"
        )
    };
    for head in [
        bytes("Upgrade", ""),
        bytes("Upgrade", "content-length: 0\r\n"),
        bytes("keep-alive, upgrade", "sec-websocket-version: 13\r\n"),
    ] {
        let mut connection = gw.connect().await.unwrap();
        connection.write(head.clone() + "through the gateway").await.unwrap();
        assert_authenticated(&head, &connection.response().await.unwrap());
    }
    // A client with a token gets the tunnel that the listener allows.
    gw.upstream.assert_untouched();
    let mut connection = gw.connect().await.unwrap();
    connection.write(bytes("Upgrade", "authorization: Bearer good\r\n")).await.unwrap();
    assert_eq!(connection.response().await.unwrap().status, 101);
    connection.write("ping").await.unwrap();
    assert_eq!(connection.read(4).await.unwrap(), b"ping");
    assert_eq!(gw.provider.count(), 1);
}

/// Over HTTP/2 an upgrade is an extended CONNECT (RFC 8441), which Envoy shows to filters as `GET`
/// with `upgrade`: another method, whatever its other headers are.
#[tokio::test]
async fn extended_connect_is_not_a_preflight() {
    let gw = gateway("extended").await;
    let stream = tokio::net::TcpStream::connect(gw.address()).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut sender = sender.ready().await.unwrap();
    while !sender.is_extended_connect_protocol_enabled() {
        // Envoy's settings come with its first bytes: a request's answer comes after them.
        let whole = http::Request::get("http://a/").body(()).unwrap();
        assert_eq!(sender.send_request(whole, true).unwrap().0.await.unwrap().status(), 401);
        sender = sender.ready().await.unwrap();
    }
    let connect = || {
        http::Request::builder()
            .method("CONNECT")
            .uri("http://a/orders")
            .header(ORIGIN.0, ORIGIN.1)
            .header(METHOD.0, METHOD.1)
            .extension(h2::ext::Protocol::from_static("websocket"))
            .body(())
            .unwrap()
    };
    let response = sender.send_request(connect(), false).unwrap().0.await.unwrap();
    assert_eq!(response.status(), 401, "{response:?}");
    gw.upstream.assert_untouched();
    gw.envoy.assert_no_vm_restart().await;
    driver.abort();
}

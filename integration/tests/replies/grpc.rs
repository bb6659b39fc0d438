//! The replies to gRPC clients, and which clients are gRPC clients.

use super::*;

/// A refused gRPC call ends with HTTP 200 and a gRPC status, and its message is one of a few texts.
#[tokio::test]
async fn grpc_clients_get_a_grpc_status() {
    let gw = gateway().await;
    const AUTHORIZATION: &str =
        "The Authorization header is missing, empty or not one Bearer token.";
    const UNAVAILABLE: &str = "No usable response from the UserInfo endpoint.";
    let detail = ("x-error-detail-header", "Not Authorized");
    let retry = ("retry-after", "5");
    for (path, token, status, message, headers) in [
        ("/header", "", "16", AUTHORIZATION, vec![BARE, ERR_401]),
        ("/true/no-endpoint", "", "7", AUTHORIZATION, vec![ERR_403, detail]),
        (
            "/false/no-endpoint",
            "t",
            "16",
            "The UserInfo endpoint is not configured.",
            vec![BARE, ERR_401],
        ),
        (
            "/false/no-default",
            "t",
            "16",
            "No default UserInfo endpoint is configured.",
            vec![BARE, ERR_401],
        ),
        ("/u503-set", "reset", "14", UNAVAILABLE, vec![retry]),
        ("/u401", "reset", "16", UNAVAILABLE, vec![BARE, ERR_401]),
        ("/u503-set", "page", "14", UNAVAILABLE, vec![]),
        ("/u401", "page", "16", UNAVAILABLE, vec![BARE, ERR_401]),
        ("/map", "page", "14", UNAVAILABLE, vec![]),
        (
            "/subject",
            "no-sub",
            "16",
            "The provider does not vouch for the access token.",
            vec![INVALID_TOKEN, ERR_401],
        ),
    ] {
        assert_grpc(&gw, path, token, status, message, &headers).await;
    }
    gw.upstream.assert_untouched();
}

/// Only a verdict is UNAUTHENTICATED or PERMISSION_DENIED, and only a verdict is called a refusal.
/// The rest is UNAVAILABLE, never the UNIMPLEMENTED, INTERNAL or UNKNOWN that Envoy would make of it.
#[tokio::test]
async fn grpc_clients_get_unavailable_without_a_verdict() {
    let gw = gateway().await;
    const REFUSED: &str = "The UserInfo endpoint refused the token.";
    const NO: &str = "The UserInfo endpoint denied the token.";
    const NO_VERDICT: &str = "The UserInfo endpoint gave no verdict on the token.";
    let (own, provider, past) =
        (("retry-after", "5"), ("retry-after", "120"), ("retry-after", PAST));
    for (token, status, message, headers, more_under_map) in [
        ("s1", "16", REFUSED, vec![EXPIRED_CHALLENGE, ERR_401], vec![]),
        ("bare-401", "16", REFUSED, vec![INVALID_TOKEN, ERR_401], vec![]),
        ("s2", "7", REFUSED, vec![SCOPE_CHALLENGE], vec![]),
        ("s5", "7", REFUSED, vec![INSUFFICIENT], vec![]),
        ("bare-403", "7", NO, vec![], vec![]),
        ("firewall", "7", NO, vec![], vec![]),
        ("s404", "14", NO_VERDICT, vec![], vec![]),
        ("s6", "14", NO_VERDICT, vec![], vec![own]),
        ("s405", "14", NO_VERDICT, vec![], vec![own]),
        ("s408", "14", NO_VERDICT, vec![], vec![own]),
        (BUSY, "14", NO_VERDICT, vec![provider], vec![]),
        ("limited", "14", NO_VERDICT, vec![], vec![own]),
        ("resting", "14", NO_VERDICT, vec![past], vec![]),
        ("s9", "14", NO_VERDICT, vec![], vec![own]),
        ("s502", "14", NO_VERDICT, vec![], vec![own]),
        ("s504", "14", NO_VERDICT, vec![], vec![own]),
        ("s599", "14", NO_VERDICT, vec![], vec![own]),
    ] {
        assert_grpc(&gw, "/nowhere", token, status, message, &headers).await;
        let under_map = [headers, more_under_map].concat();
        assert_grpc(&gw, "/map", token, status, message, &under_map).await;
    }
    // The status for a 400 or a 403 about the token: a 400 would become INTERNAL.
    for (path, token, status, headers) in [
        ("/nowhere", "s400-token", "16", vec![EXPIRED_CHALLENGE]),
        ("/map", "s400-token", "16", vec![EXPIRED_CHALLENGE, ERR_401]),
        ("/nowhere", "s403-token", "7", vec![EXPIRED_CHALLENGE]),
        ("/map", "s403-token", "16", vec![EXPIRED_CHALLENGE, ERR_401]),
    ] {
        assert_grpc(&gw, path, token, status, REFUSED, &headers).await;
    }
    gw.upstream.assert_untouched();
}

async fn assert_grpc(
    gw: &Gateway,
    path: &str,
    token: &str,
    status: &str,
    message: &str,
    headers: &[(&str, &str)],
) {
    for content_type in ["application/grpc", "application/grpc+proto"] {
        let request = || {
            let request = gw.post(path, b"\0\0\0\0\0").header("content-type", content_type);
            let request = request.header("te", "trailers");
            if token.is_empty() { request } else { asking(request, token) }
        };
        let r = both_of([request(), request()]).await;
        let fixed = [
            ("cache-control", "no-store"),
            ("content-type", "application/grpc"),
            ("grpc-status", status),
            ("grpc-message", message),
        ];
        let mut expected: Vec<String> =
            headers.iter().chain(&fixed).map(|(n, v)| format!("{n}: {v}")).collect();
        expected.sort();
        assert_eq!((r.status, lines(&r)), (200, expected), "{path} {token} {content_type}");
        assert!(r.body.is_empty(), "{r:?}");
    }
}

#[tokio::test]
async fn non_grpc_request_gets_an_http_reply() {
    let gw = gateway().await;
    for content_type in
        ["application/grpc-web", "application/grpcx", "application/grpc;a=b", "Application/GRPC"]
    {
        let r = both(gw.post("/u503", "x").header("content-type", content_type)).await;
        assert_reply(&r, 401, &[JSON, BARE, ERR_401], NO_AUTHORIZATION, content_type);
    }
}

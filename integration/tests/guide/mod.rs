//! The promises of the connector's guide about its configuration example, for any filter with that
//! configuration, written by hand or by `migrate`. It must hold no configuration.

use integration::{Gateway, Provider, Request};

/// Every header name that the example injects.
const IDENTITY: [&str; 4] = ["x-user-id", "x-user-email", "x-account-number", "x-unit-id"];

/// A request with a forged value in every injected header.
pub(crate) fn forging(request: Request) -> Request {
    request.forging(&IDENTITY)
}

/// Each region has its endpoint and its headers, and `Authorization` is forwarded.
pub(crate) async fn each_region(gw: &Gateway) {
    gw.provider.answer_token("ok", Provider::good());
    let us = [("x-user-email", "claes"), ("x-account-number", "4711"), ("x-unit-id", "unit-17")];
    let other = [
        ("x-user-id", "claes@example.com"),
        ("x-account-number", "4711"),
        ("x-unit-id", "unit-17"),
    ];
    let nine = "uki.acme-travel.com:9001";
    for (region, authority, path, headers) in [
        (Some("FR"), nine, "/fr/userinfo", &other),
        (Some("US"), nine, "/en/userinfo", &us),
        (Some("DE"), nine, "/de/userinfo", &other),
        (Some("SE"), "uki.acme-travel.com", "/en/userinfo", &other),
        (None, "uki.acme-travel.com", "/en/userinfo", &other),
    ] {
        let mut request = forging(gw.get("/")).bearer("ok");
        if let Some(region) = region {
            request = request.header("HTTP-REQUEST-REGION-KEY", region);
        }
        let r = request.send().await;
        assert_eq!(r.status, 200, "{region:?} {r:?}");
        let received = r.upstream_headers();
        for name in IDENTITY {
            let expected = headers.iter().filter(|(n, _)| *n == name).map(|(_, value)| *value);
            assert_eq!(received.all(name), expected.collect::<Vec<_>>(), "{region:?} {name}");
        }
        assert_eq!(received.all("authorization"), ["Bearer ok"], "{region:?}");
        let call = gw.provider.calls().pop().unwrap();
        assert_eq!(call.headers.all("host"), [authority], "{region:?}");
        assert_eq!(call.target, path, "{region:?}");
    }
}

/// The connector's own errors are replaced by the error set, the provider's are not.
pub(crate) async fn errors(gw: &Gateway) {
    let (calls, came) = (gw.provider.count(), gw.upstream.count());
    for request in [gw.get("/"), gw.get("/").header("authorization", "Basic dXNlcjpwYXNz")] {
        let r = request.send().await;
        assert_eq!((r.status, r.text().as_str()), (403, ""), "{r:?}");
        assert_eq!(r.header("x-mashery-error-code").as_deref(), Some("ERR_403_NOT_AUTHORIZED"));
        assert_eq!(r.header("x-error-detail-header").as_deref(), Some("Not Authorized"));
    }
    assert_eq!(gw.provider.count(), calls, "asked nobody");
    let r = gw.get("/").bearer("expired").send().await;
    let said = r#"Bearer error="invalid_token", error_description="The access token expired""#;
    assert_eq!((r.status, r.text().as_str()), (401, said), "{r:?}");
    assert_eq!(gw.upstream.count(), came);
}

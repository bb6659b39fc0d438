//! Redirects that Envoy follows itself.

use integration::Headers;

use super::*;

/// The backend's answer that Envoy follows.
fn redirected(gw: &Recipe) {
    let mut to = Headers::default();
    to.push("location", "http://gateway.example/stored/1");
    gw.upstream.answer_next(302, to);
}

#[tokio::test]
async fn redirect_is_followed_with_the_identity_and_without_the_token() {
    let gw = start("redirect").await;
    gw.provider.answer(claims(&json!({"sub": "alice"})));
    redirected(&gw);
    let response = gw.forged(gw.get("/files/1").bearer("good")).send().await;
    assert_eq!(response.status, 200, "{response:?}");
    let user = pairs(&[("x-user-id", "alice")]);
    let of = |path: &str| {
        let mut seen = arrived(&gw, path);
        assert_eq!(seen.len(), 1, "{path}");
        seen.remove(0)
    };
    let (first, second) = (of("/files/1"), of("/stored/1"));
    assert_eq!((gw.told(&first), gw.told(&second)), (user.clone(), user));
    assert!(first.headers.has("authorization") && !second.headers.has("authorization"));
    assert_eq!(gw.provider.calls_with("good").len(), 1);
    // What is not redirected.
    assert_passes(&gw, gw.get("/orders").bearer("good"), &[("x-user-id", "alice")]).await;
}

#[tokio::test]
async fn nothing_is_redirected_for_strangers() {
    let gw = start("redirect_refused").await;
    for path in ["/files/1", "/stored/1"] {
        assert_refuses_strangers(&gw, path).await;
        gw.provider.answer(integration::Provider::expired());
        assert_refused(&gw, gw.get(path).bearer("expired"), 401).await;
    }
}

//! Browsers by Envoy's `oauth2` filter, beside API clients here.

use super::*;

async fn rig_of(name: &str) -> Recipe {
    let gw = start(name).await;
    let token = json!({"access_token": "of-browser", "token_type": "Bearer", "expires_in": 600});
    gw.provider.answer_path("/token", claims(&token));
    for (token, user) in [("of-browser", "alice"), ("of-api", "bob")] {
        gw.provider.answer_token(token, claims(&json!({"sub": user})));
    }
    gw
}

fn page(gw: &Recipe, path: &str, cookies: &[String]) -> Request {
    let request = gw.get(path).host("app.example");
    if cookies.is_empty() { request } else { request.header("cookie", cookies.join("; ")) }
}

/// What a browser keeps of a response.
fn cookies(response: &Response) -> Vec<String> {
    let lines = response.headers.all("set-cookie");
    let pairs = lines.iter().filter_map(|line| line.split_once(';')).map(|(pair, _)| pair);
    pairs.filter(|pair| !pair.ends_with("=deleted")).map(str::to_owned).collect()
}

/// Logs in as a browser does, and returns its cookies.
async fn login(gw: &Recipe) -> Vec<String> {
    let start = page(gw, "/page", &[]).send().await;
    assert_eq!(start.status, 302, "{start:?}");
    let to = start.header("location").expect("where to log in");
    assert!(to.starts_with("https://idp.example/authorize?client_id=web&"), "{to}");
    let (_, state) = to.rsplit_once("&state=").expect("a state");
    let callback = format!("/callback?code=c&state={state}");
    // Somebody else's browser does not have the nonce.
    assert_eq!(page(gw, &callback, &[]).send().await.status, 401);
    let end = page(gw, &callback, &cookies(&start)).send().await;
    assert_eq!(end.status, 302, "{end:?}");
    cookies(&end)
}

#[tokio::test]
async fn browser_logs_in_and_passes_with_its_cookie() {
    let gw = rig_of("browsers").await;
    let session = login(&gw).await;
    let asked: Vec<_> = gw.provider.calls().into_iter().filter(|c| c.target == "/token").collect();
    let [call] = &asked[..] else { panic!("not one call: {asked:?}") };
    assert_eq!(call.field("client_secret").as_deref(), Some("s3cret"));
    assert_passes(&gw, page(&gw, "/page", &session), &[("x-user-id", "alice")]).await;
    for request in arrived(&gw, "/page") {
        assert!(!request.headers.has("cookie"), "{request:?}");
    }
    // The token in the cookie is revoked: the connector sees it, the cookie alone would not.
    gw.provider.answer_token("of-revoked", integration::Provider::expired());
    let revoked = json!({"access_token": "of-revoked", "token_type": "Bearer", "expires_in": 600});
    gw.provider.answer_path("/token", claims(&revoked));
    let session = login(&gw).await;
    assert_refused(&gw, page(&gw, "/page", &session), 401).await;
}

#[tokio::test]
async fn forged_session_logs_in_again() {
    let gw = rig_of("browsers_forged").await;
    let session = login(&gw).await;
    let forged = |name: &str, value: &str| -> Vec<String> {
        let other = |pair: &String| match pair.split_once('=') {
            Some((known, _)) if known == name => format!("{name}={value}"),
            _ => pair.clone(),
        };
        session.iter().map(other).collect()
    };
    for (name, value) in
        [("BearerToken", "of-api"), ("OauthExpires", "9999999999"), ("OauthHMAC", "AAAA")]
    {
        let session = forged(name, value);
        assert_refused(&gw, page(&gw, "/page", &session), 302).await;
    }
}

#[tokio::test]
async fn api_clients_are_the_connectors_own() {
    let gw = rig_of("browsers_api").await;
    let user = [("x-user-id", "bob")];
    assert_passes(&gw, page(&gw, "/api/a", &[]).bearer("of-api"), &user).await;
    let lower = page(&gw, "/api/b", &[]).header("authorization", "bearer of-api");
    assert_passes(&gw, lower, &user).await;
    // A token beside a session: the token counts, and a bad one is not replaced by the session's.
    let session = login(&gw).await;
    assert_passes(&gw, page(&gw, "/api/c", &session).bearer("of-api"), &user).await;
    assert_refused(&gw, page(&gw, "/api/d", &session).bearer("expired"), 401).await;
    for value in [None, Some("Basic dTpw"), Some("Bearer expired"), Some("Bearer ")] {
        let request = page(&gw, "/api/e", &[]);
        let request = value.into_iter().fold(request, |r, v| r.header("authorization", v));
        assert_refused(&gw, request, 401).await;
    }
    // Not a page to log in for those, but for browsers.
    assert_refused(&gw, page(&gw, "/page", &[]), 302).await;
}

//! A response cache behind the filter, and what Envoy's cache does with an identity that reaches it.

use super::*;
use integration::Headers;

/// The reference with the cache on everywhere, before the identity goes, and with a `vary` of the
/// route: what one would write first.
pub(crate) fn unsafe_recipe() -> Value {
    let mut recipe = file("response-cache");
    for filter in recipe["http_filters"].as_array_mut().expect("filters") {
        if filter["name"] == "envoy.filters.http.cache" {
            filter["disabled"] = json!(false);
        }
    }
    let vary = json!([{"header": {"key": "vary", "value": "x-user-id"}}]);
    recipe["route_config"]["virtual_hosts"][0]["response_headers_to_add"] = vary;
    recipe
}

/// The backend allows caches to store the next responses for every user.
async fn allow(gw: &Recipe, responses: usize) {
    let now = gw.get("/").send().await.header("date").expect("Envoy's own date");
    for _ in 0..responses {
        let mut headers = Headers::default();
        headers.push("cache-control", "max-age=600");
        headers.push("date", &now);
        gw.upstream.answer_next(200, headers);
    }
}

fn teach(gw: &Recipe) {
    for token in ["alice", "bob"] {
        gw.provider.answer_token(token, claims(&json!({"sub": token})));
    }
}

#[tokio::test]
async fn shared_pages_are_kept_and_made_for_nobody() {
    let gw = start("cache").await;
    teach(&gw);
    allow(&gw, 1).await;
    let path = "/catalogue/1";
    let request = |token| gw.forged(gw.get(path).bearer(token)).header("cookie", "session=1");
    for token in ["alice", "bob", "alice"] {
        assert_eq!(request(token).send().await.status, 200);
    }
    let seen = arrived(&gw, path);
    let [made] = &seen[..] else { panic!("not kept: {seen:?}") };
    for name in ["x-user-id", "x.user.id", "cookie", "authorization"] {
        assert!(!made.headers.has(name), "{name}: {made:?}");
    }
    // What is kept is for those who may have it.
    assert_refuses_strangers(&gw, path).await;
    assert_refused(&gw, gw.get(path).bearer("expired"), 401).await;
    assert_eq!(arrived(&gw, path).len(), 1);
}

#[tokio::test]
async fn pages_of_users_are_never_kept() {
    let gw = start("cache_users").await;
    teach(&gw);
    allow(&gw, 6).await;
    for path in ["/orders", "/catalogues", "/"] {
        for token in ["alice", "bob"] {
            let response = gw.forged(gw.get(path).bearer(token)).send().await;
            assert_eq!(response.upstream_header("x-user-id").as_deref(), Some(token), "{path}");
        }
        assert_eq!(arrived(&gw, path).len(), 2, "{path}");
    }
}

/// Why the page says so: Envoy's cache does not know that a response depends on what this filter
/// injects, and what a route adds (`vary`) does not reach it.
#[tokio::test]
async fn cache_of_envoy_gives_one_users_page_to_another() {
    let gw = start(UNSAFE_CACHE).await;
    teach(&gw);
    allow(&gw, 1).await;
    for token in ["alice", "bob"] {
        let response = gw.get("/orders").bearer(token).send().await;
        assert_eq!(response.upstream_header("x-user-id").as_deref(), Some("alice"), "{token}");
    }
}

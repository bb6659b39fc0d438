//! Several tenants, each with a provider of its own.

use super::*;

fn of(issuer: &str, n: u32) -> String {
    unsigned(&json!({"iss": issuer, "n": n}))
}

#[tokio::test]
async fn issuer_chooses_provider_and_headers() {
    let gw = start("tenants").await;
    let roles = json!({"sub": "1", "roles": ["admin", "user"]});
    gw.provider.answer(claims(&roles));
    let (home, acme) = (of("https://idp.example", 1), of("https://fr.idp.example", 1));
    let expected = [("x-roles", "admin,user"), ("x-tenant", "home"), ("x-user-id", "1")];
    assert_passes(&gw, gw.get("/home").bearer(&home), &expected).await;
    // The same subject, and roles that nobody asked the tenant for.
    let expected = [("x-tenant", "acme"), ("x-user-id", "1")];
    assert_passes(&gw, gw.get("/acme").bearer(&acme), &expected).await;
    let hosts = |token| -> Vec<Option<String>> {
        gw.provider.calls_with(token).iter().map(|call| call.headers.get("host")).collect()
    };
    assert_eq!(hosts(&home), [Some("idp.example".to_owned())]);
    assert_eq!(hosts(&acme), [Some("fr.idp.example".to_owned())]);
}

#[tokio::test]
async fn strangers_and_tokens_of_other_issuers_are_shown_to_nobody() {
    let gw = start("tenants_refused").await;
    assert_refuses_strangers(&gw, "/strangers").await;
    for token in
        [of("https://other.example", 1), of("https://idp.example/", 1), "opaque".to_owned()]
    {
        assert_refused(&gw, gw.get("/other").bearer(&token), 401).await;
    }
    assert_eq!(gw.provider.count(), 0);
    // A tenant's provider cannot speak for another issuer.
    let acme = of("https://fr.idp.example", 2);
    gw.provider.answer_token(&acme, claims(&json!({"sub": "1", "iss": "https://idp.example"})));
    assert_refused(&gw, gw.get("/claimed").bearer(&acme), 401).await;
    let revoked = of("https://fr.idp.example", 3);
    assert_refused(&gw, gw.get("/revoked").bearer(&revoked), 401).await;
}

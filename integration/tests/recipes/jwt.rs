//! `jwt_authn` before this filter: what is forged or expired costs no call, what is revoked is refused.

use rcgen::{KeyPair, PKCS_ED25519, SigningKey};

use super::*;

/// The provider's key.
struct Key(KeyPair);

impl Key {
    fn new() -> Key {
        Key(KeyPair::generate_for(&PKCS_ED25519).expect("a key"))
    }

    fn jwks(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.0.public_key_raw());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "k", "x": x}]})
    }

    fn sign(&self, payload: &Value) -> String {
        let header = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "k"}).to_string();
        let parts = [header, payload.to_string()].map(|part| URL_SAFE_NO_PAD.encode(part));
        let signed = parts.join(".");
        let signature = self.0.sign(signed.as_bytes()).expect("a signature");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn payload(n: u32) -> Value {
    json!({"iss": "https://idp.example", "aud": "https://api.example.com", "sub": "alice",
           "exp": 9_999_999_999_u64, "n": n})
}

/// A payload with another value for one of its members.
fn with(member: &str, value: Value) -> Value {
    let mut payload = payload(0);
    payload[member] = value;
    payload
}

async fn rig_of(name: &str) -> (Recipe, Key) {
    let (gw, key) = (start(name).await, Key::new());
    gw.provider.answer_path("/jwks", claims(&key.jwks()));
    (gw, key)
}

#[tokio::test]
async fn forged_and_expired_tokens_are_refused_without_a_call() {
    let (gw, key) = rig_of("jwt_forged").await;
    gw.provider.answer_path("/userinfo", claims(&json!({"sub": "alice"})));
    let other_key = Key::new();
    let good = key.sign(&payload(1));
    let (signed, _) = good.rsplit_once('.').expect("three parts");
    for (row, (token, status)) in [
        (other_key.sign(&payload(1)), 401),
        (unsigned(&payload(1)), 401),
        (format!("{signed}."), 401),
        (key.sign(&with("exp", json!(1))), 401),
        (key.sign(&with("iss", json!("https://other.example"))), 401),
        (key.sign(&with("aud", json!("https://other.example"))), 403),
        ("opaque".to_owned(), 401),
    ]
    .iter()
    .enumerate()
    {
        assert_refused(&gw, gw.get(&format!("/forged/{row}")).bearer(token), *status).await;
    }
    let in_query = format!("/query?access_token={good}");
    assert_refused(&gw, gw.get(&in_query), 401).await;
    // Nor does it vouch for another token, of which the provider would say that it is good.
    assert_refused(&gw, gw.get(&in_query).bearer("opaque"), 401).await;
    assert_refuses_strangers(&gw, "/strangers").await;
    let asked = gw.provider.calls();
    assert!(asked.iter().all(|call| call.target == "/jwks"), "{asked:?}");
}

#[tokio::test]
async fn signed_token_passes_until_it_is_revoked() {
    let (gw, key) = rig_of("jwt").await;
    let (good, revoked) = (key.sign(&payload(1)), key.sign(&payload(2)));
    gw.provider.answer_token(&good, claims(&json!({"sub": "alice"})));
    assert_passes(&gw, gw.get("/good").bearer(&good), &[("x-user-id", "alice")]).await;
    gw.provider.answer_token(&revoked, integration::Provider::expired());
    assert_refused(&gw, gw.get("/revoked").bearer(&revoked), 401).await;
    // A signed token does not vouch for a second one beside it.
    let doubled = gw.get("/doubled").bearer(&good).bearer("opaque");
    assert_refused(&gw, doubled, 401).await;
}

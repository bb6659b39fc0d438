//! Target: a token → the claims of its payload. Input: the token's characters.
//!
//! Only a signed JWT in its one spelling has claims: what is read must be the payload that any other reader
//! of base64url and JSON finds, and no doubtful token has any.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oidc_token_connector::claims::token;
use oidc_token_connector::request::bearer;
use oidc_token_connector::request::headers::HeaderView;
use serde_json::Value;

/// Runs the target.
pub fn check(data: &[u8]) {
    let _ = has_claims(data);
}

/// Whether these characters are a token that has claims.
pub fn has_claims(data: &[u8]) -> bool {
    let value = [b"Bearer ", data].concat();
    let head = HeaderView::new(vec![(b"authorization", value.as_slice())]);
    let Ok(token) = bearer::parse(&head, 65_536) else { return false };
    let payload = token::payload(&token);
    let claims = payload.as_deref().and_then(token::claims);
    let Some(claims) = claims else { return false };
    // More than one blank may part the scheme from the token.
    let parts: Vec<&[u8]> = data.trim_ascii_start().split(|byte| *byte == b'.').collect();
    let [header, payload, signature] = parts[..] else { panic!("claims of no JWT") };
    // One spelling: encoded again, the same characters come out.
    let decoded = [header, payload, signature].map(|part| {
        let bytes =
            URL_SAFE_NO_PAD.decode(part).expect("claims from a token that is not base64url");
        assert_eq!(URL_SAFE_NO_PAD.encode(&bytes).as_bytes(), part);
        bytes
    });
    assert!(!decoded[2].is_empty(), "claims without a signature");
    let [header, read] = [0, 1].map(|part| {
        let value: Value = serde_json::from_slice(&decoded[part]).expect("claims of no JSON");
        assert!(value.is_object());
        value
    });
    let alg = header["alg"].as_str().expect("an algorithm");
    assert!(!alg.eq_ignore_ascii_case("none"));
    assert!(header.get("crit").is_none() && header.get("b64").is_none());
    for (name, value) in read.as_object().expect("an object") {
        let known = claims.member(name).expect("every member");
        if let Value::String(text) = value {
            assert_eq!(known, &oidc_token_connector::claims::json::Json::String(text.into()));
        }
    }
    true
}

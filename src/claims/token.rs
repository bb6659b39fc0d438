//! The claims of the vouched token itself, where that is a JSON Web Token.
//!
//! They may be read only after the provider has vouched for exactly this string, never before and never
//! of a refused one: nothing here checks a signature. What two readers could take for different claims
//! has none.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::claims::json::{self, Json};
use crate::request::bearer::BearerToken;

/// The payload of a JWS in its compact form (RFC 7515 §7.1), as JSON text; `None` where it is none.
pub fn payload(token: &BearerToken<'_>) -> Option<Vec<u8>> {
    signed(token.expose())
}

/// The payload of a JWS that a provider itself has sent.
pub(crate) fn signed(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    // The standard engine takes no padding and no bits left over: one text for one payload.
    let header = URL_SAFE_NO_PAD.decode(header).ok()?;
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    (is_plain(&header) && !signature.is_empty()).then_some(payload)
}

/// The members of a payload; `None` unless it is one JSON object without repeated members.
pub fn claims(payload: &[u8]) -> Option<Json<'_>> {
    json::parse(payload).ok().filter(|document| matches!(document, Json::Object(_)))
}

/// The issuer that a token names in its payload, unverified. It may choose who is asked about the token,
/// and nothing else.
pub(crate) fn unverified_issuer(token: &BearerToken<'_>) -> Option<String> {
    let payload = payload(token)?;
    match claims(&payload)?.member("iss") {
        Some(Json::String(issuer)) => Some(issuer.clone().into_owned()),
        Some(Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_))
        | None => None,
    }
}

/// Whether the header is that of a signed token whose payload is what it seems to be: no extension that
/// must be understood (RFC 7515 §4.1.11), no unencoded payload (RFC 7797), and an algorithm.
fn is_plain(header: &[u8]) -> bool {
    let Ok(header @ Json::Object(_)) = json::parse(header) else {
        return false;
    };
    let is_alg = |alg: &str| {
        !alg.is_empty()
            && alg.bytes().all(|b| b.is_ascii_graphic())
            && !alg.eq_ignore_ascii_case("none")
    };
    let signed = matches!(header.member("alg"), Some(Json::String(alg)) if is_alg(alg));
    signed && header.member("crit").is_none() && header.member("b64").is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::bearer;

    fn token(header: &str, payload: &str, signature: &[u8]) -> String {
        let parts = [header.as_bytes(), payload.as_bytes(), signature];
        parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
    }

    fn issuer(token: &str) -> Option<String> {
        unverified_issuer(&bearer::of(token))
    }

    const HEADER: &str = r#"{"alg":"RS256","typ":"at+jwt"}"#;
    const PAYLOAD: &str = r#"{"iss":"https://idp.example"}"#;

    #[test]
    fn a_signed_token_has_claims() {
        let issuer = issuer(&token(HEADER, PAYLOAD, b"signature"));
        assert_eq!(issuer.as_deref(), Some("https://idp.example"));
    }

    #[test]
    fn what_is_doubtful_has_none() {
        let good = token(HEADER, PAYLOAD, b"signature");
        let parts: Vec<&str> = good.split('.').collect();
        let [header, payload, signature] = parts[..] else { panic!() };
        // "e30" is {} with no bit left over; "e31" has some.
        for (text, why) in [
            ("opaque".to_owned(), "no dots"),
            (format!("{header}.{payload}"), "two parts"),
            (format!("{good}.x"), "four parts"),
            (format!("{good}.e30.e30"), "five parts: encrypted"),
            (format!("{header}.{payload}."), "no signature"),
            (format!("{header}.{payload}.{signature}="), "padding"),
            (format!("{header}=.{payload}.{signature}"), "padding"),
            (format!("{header}.{payload}+.{signature}"), "another alphabet"),
            (format!("{header}.e31.{signature}"), "bits left over"),
            (format!(".{payload}.{signature}"), "no header"),
            (format!("{header}..{signature}"), "no payload"),
            (token(r#"{"alg":"none"}"#, PAYLOAD, b"s"), "alg none"),
            (token(r#"{"alg":"NONE"}"#, PAYLOAD, b"s"), "alg none"),
            (token(r#"{"alg":"none "}"#, PAYLOAD, b"s"), "alg none with a blank"),
            (token(r#"{"alg":""}"#, PAYLOAD, b"s"), "empty alg"),
            (token(r#"{"alg":1}"#, PAYLOAD, b"s"), "alg of another type"),
            (token("{}", PAYLOAD, b"s"), "no alg"),
            (token("[]", PAYLOAD, b"s"), "header of another type"),
            (token("x", PAYLOAD, b"s"), "header that is no JSON"),
            (token(r#"{"alg":"RS256","alg":"RS256"}"#, PAYLOAD, b"s"), "a member repeats"),
            (token(r#"{"alg":"RS256","crit":["exp"]}"#, PAYLOAD, b"s"), "crit"),
            (token(r#"{"alg":"RS256","b64":true}"#, PAYLOAD, b"s"), "b64"),
            (token(HEADER, "x", b"s"), "payload that is no JSON"),
            (token(HEADER, r#"["iss"]"#, b"s"), "payload of another type"),
            (token(HEADER, r#"{"iss":"a","iss":"a"}"#, b"s"), "a member repeats"),
            (token(HEADER, r#"{"iss":["a"]}"#, b"s"), "issuer of another type"),
            (token(HEADER, r#"{"iss":null}"#, b"s"), "no issuer"),
        ] {
            assert_eq!(issuer(&text), None, "{why}");
        }
    }
}

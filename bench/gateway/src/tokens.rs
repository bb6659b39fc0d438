//! The tokens of requests. The provider of the benchmark validates every token
//! that does not begin with `bad`; none of them is a real token.

use anyhow::{Result, anyhow};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde_json::json;

/// 40 bytes, as an opaque token of a common provider is.
pub(crate) const OPAQUE: &str = "2YotnFZFEjr1zCsicMWpAA.k5FhXq0vRtD8mLw3E";

/// Bytes of a token that differ from request to request: seconds since 1970, then a number.
pub(crate) const VARYING: usize = 17;

/// What all tokens like this one have in common.
pub(crate) fn kept(like: &str) -> &str {
    &like[..like.len() - VARYING]
}

/// A token like this one, with these bytes instead of those that vary.
pub(crate) fn fresh(like: &str, varying: &str) -> String {
    format!("{}{varying:0>VARYING$}", kept(like))
}

/// As long, and refused by the provider.
pub(crate) const BAD: &str = "badnFZFEjr1zCsicMWpAAAA.k5FhXq0vRtD8mLw3";

/// A token of 800 bytes that looks like a JWT with an expiry far away: the filter looks for one.
pub(crate) fn jwt() -> String {
    let head = json!({"alg": "RS256", "typ": "at+jwt", "kid": "2011-04-29"});
    let claims = json!({
        "iss": "https://idp.example", "sub": "248289761001", "aud": "https://api.example",
        "iat": 1_700_000_000, "exp": 4_000_000_000_u64, "jti": "dbe39bf3a3ba4238a513f51d6e1691c4",
        "client_id": "s6BhdRkqt3", "scope": "openid profile email orders:read orders:write",
    });
    let part = |value: serde_json::Value| BASE64.encode(value.to_string());
    let mut token = format!("{}.{}.", part(head), part(claims));
    token.extend("kQ7x_RmZ2vT-".chars().cycle().take(800 - token.len()));
    token
}

/// A JWT that `jwt_authn` accepts, and the key set that says so. The key is made for it.
pub(crate) fn signed() -> Result<(String, String)> {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
    let failed = |what: &'static str| move |_| anyhow!("cannot {what}");
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random);
    let pkcs8 = pkcs8.map_err(failed("make a key"))?;
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random)
        .map_err(|_| anyhow!("cannot read the key"))?;
    let head = json!({"alg": "ES256", "typ": "JWT", "kid": "1"});
    let claims = json!({
        "iss": "https://idp.example", "sub": "248289761001", "exp": 4_000_000_000_u64,
    });
    let part = |value: serde_json::Value| BASE64.encode(value.to_string());
    let text = format!("{}.{}", part(head), part(claims));
    let signature = pair.sign(&random, text.as_bytes()).map_err(failed("sign"))?;
    // An uncompressed point: a byte, then x, then y.
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    let keys = json!({"keys": [{
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "1",
        "x": BASE64.encode(x), "y": BASE64.encode(y),
    }]});
    Ok((format!("{text}.{}", BASE64.encode(signature.as_ref())), keys.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_the_documented_sizes() {
        assert_eq!([OPAQUE, BAD, &jwt()].map(str::len), [40, 40, 800]);
    }
}

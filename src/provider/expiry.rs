//! When a verdict begins and ends by what the provider or the token says. It is read to refuse, and to
//! shorten what is kept, never to accept anything: a token's own `exp` is not verified.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::claims::json::{self, Json};
use crate::refusal::NotVouched;
use crate::request::bearer::BearerToken;
use crate::request::headers::{Field, HeaderView};
use crate::time::UnixTime;

/// Base64url as in JSON Web Signature (RFC 7515 §2); some issuers pad it all the same.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The member `exp`, in whole seconds since 1970, rounded down; `None` where it says nothing that
/// could be understood. A date before 1970 counts as 1970.
pub(crate) fn of_claims(claims: &Json<'_>) -> Option<UnixTime> {
    date(claims.member("exp")?)
}

/// A date as a number, in whole seconds since 1970.
pub(crate) fn date(value: &Json<'_>) -> Option<UnixTime> {
    let text = match value {
        // Some providers write every claim as text.
        Json::Number(text) | Json::String(text) => text,
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => return None,
    };
    match text.parse::<f64>() {
        // A float's conversion saturates: what is beyond all dates stays there.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        Ok(seconds) if seconds.is_finite() => Some(UnixTime(seconds as u64)),
        Ok(infinite) if infinite > 0.0 => Some(UnixTime(u64::MAX)),
        Ok(infinite) if infinite < 0.0 => Some(UnixTime(0)),
        Ok(_) | Err(_) => None,
    }
}

/// How far ahead `nbf` may be, in seconds: clocks differ.
const LEEWAY: u64 = 60;

/// Whether what a provider vouches for by this document is in force at this date (RFC 7519 §4.1.4, §4.1.5).
/// A member that is null says nothing; one that cannot be understood does not let anything pass.
pub(crate) fn in_force(document: &Json<'_>, date: UnixTime) -> Result<(), NotVouched> {
    let said = |name: &str| document.member(name).filter(|value| **value != Json::Null);
    // A date beyond all dates is none.
    let over =
        |exp: Option<UnixTime>| exp.is_none_or(|exp| exp <= date || exp == UnixTime(u64::MAX));
    if said("exp").is_some_and(|exp| over(self::date(exp))) {
        return Err(NotVouched::Expired);
    }
    let ahead = |nbf: Option<UnixTime>| nbf.is_none_or(|nbf| nbf.0 > date.0.saturating_add(LEEWAY));
    if said("nbf").is_some_and(|nbf| ahead(self::date(nbf))) {
        return Err(NotVouched::NotYetValid);
    }
    Ok(())
}

/// The `exp` of a token that happens to be a JSON Web Token (RFC 7519 §4.1.4), unverified.
pub(crate) fn of_token(token: &BearerToken) -> Option<UnixTime> {
    let mut parts = token.expose().split('.');
    let (Some(_), Some(claims), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let claims = BASE64URL.decode(claims).ok()?;
    of_claims(&json::parse(&claims).ok()?)
}

/// What an answer says of its own freshness (RFC 9111 §5.2.2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Freshness {
    /// A positive `max-age`, the shortest if there are several.
    pub(crate) max_age: Option<Duration>,
    /// `no-store`, `no-cache` or `max-age=0`.
    pub(crate) no_store: bool,
}

impl Freshness {
    /// Reads `Cache-Control`.
    pub(crate) fn of(head: &HeaderView<'_>) -> Freshness {
        let mut freshness = Freshness::default();
        let directives = head.values("cache-control").flat_map(|v| v.split(|b| *b == b','));
        for directive in directives.map(<[u8]>::trim_ascii) {
            let (name, value) = match directive.iter().position(|b| *b == b'=') {
                Some(at) => directive.split_at(at),
                None => (directive, &b""[..]),
            };
            let value = value.strip_prefix(b"=").unwrap_or_default().trim_ascii();
            // `no-cache="field"` concerns one field; kept whole it would be stale all the same.
            if name.eq_ignore_ascii_case(b"no-store") || name.eq_ignore_ascii_case(b"no-cache") {
                freshness.no_store = true;
            } else if name.eq_ignore_ascii_case(b"max-age") {
                match seconds(value) {
                    Some(0) => freshness.no_store = true,
                    Some(seconds) => {
                        let age = Duration::from_secs(seconds);
                        let least = freshness.max_age.map_or(age, |known| known.min(age));
                        freshness.max_age = Some(least);
                    }
                    None => {}
                }
            }
        }
        freshness
    }
}

/// `Retry-After` (RFC 9110 §10.2.3) as a time from now: delay seconds or an HTTP date.
pub(crate) fn retry_after(head: &HeaderView<'_>, now: UnixTime) -> Option<Duration> {
    let Field::One(value) = head.field("retry-after") else {
        return None;
    };
    // As [`crate::provider::error`] hands it on: what is not well-formed there is none here.
    let is_delay = (1..=10).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).unwrap_or_default();
    let delay = if is_delay { text.parse::<u64>().ok() } else { None };
    let delay = delay.or_else(|| {
        // The one form that senders may use (RFC 9110 §5.6.7) has so many characters.
        let date =
            if value.len() == 29 { httpdate::parse_http_date(text).ok()? } else { return None };
        let date = date.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(date.as_secs().saturating_sub(now.0))
    });
    delay.map(Duration::from_secs)
}

/// Delta seconds (RFC 9111 §1.2.2), in quotation marks too; what is too large is the largest.
fn seconds(value: &[u8]) -> Option<u64> {
    let value = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value);
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    digits.then(|| {
        let text = std::str::from_utf8(value).unwrap_or_default();
        text.parse::<u32>().map_or(u64::from(u32::MAX), u64::from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::bearer;
    use crate::sim::head;

    #[track_caller]
    fn check_claims(exp: &str, expected: Option<u64>) {
        let text = format!(r#"{{"exp": {exp}}}"#);
        let claims = json::parse(text.as_bytes()).unwrap();
        assert_eq!(of_claims(&claims), expected.map(UnixTime), "{exp}");
    }

    /// The catalogue's row 138.
    #[test]
    fn every_kind_of_exp() {
        check_claims("1790000000", Some(1_790_000_000));
        check_claims("1790000000.9", Some(1_790_000_000));
        check_claims("1.79e9", Some(1_790_000_000));
        check_claims("\"1790000000\"", Some(1_790_000_000));
        check_claims("0", Some(0));
        check_claims("-1", Some(0));
        check_claims("-1e300", Some(0));
        check_claims("-1e400", Some(0));
        check_claims("1e300", Some(u64::MAX));
        check_claims("1e400", Some(u64::MAX));
        for nothing in ["null", "true", "[]", "{}", "\"soon\"", "\"\"", "\"NaN\""] {
            check_claims(nothing, None);
        }
        assert_eq!(of_claims(&json::parse(b"{}").unwrap()), None);
        assert_eq!(of_claims(&json::parse(b"[]").unwrap()), None);
    }

    #[track_caller]
    fn check_token(token: &str, expected: Option<u64>) {
        let value = format!("Bearer {token}");
        let token = bearer::parse(&head(&[("authorization", &value)]), 1000).unwrap();
        assert_eq!(of_token(&token), expected.map(UnixTime), "{value}");
    }

    #[test]
    fn a_tokens_own_exp() {
        let encoded = |claims: &str| {
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims.as_bytes())
        };
        let claims = encoded(r#"{"sub":"a","exp":1790000000}"#);
        check_token(&format!("e30.{claims}.c2ln"), Some(1_790_000_000));
        check_token(&format!("e30.{claims}."), Some(1_790_000_000));
        check_token("opaque", None);
        check_token("a.b", None);
        check_token(&format!("e30.{claims}.c.d.e"), None);
        check_token(&format!("e30.{}.c2ln", encoded("{}")), None);
        check_token(&format!("e30.{}.c2ln", encoded("no json")), None);
        check_token("e30.+/.c2ln", None);
        check_token("e30..c2ln", None);
    }

    #[track_caller]
    fn check_freshness(values: &[&str], max_age: Option<u64>, no_store: bool) {
        let pairs: Vec<_> = values.iter().map(|value| ("cache-control", *value)).collect();
        let expected = Freshness { max_age: max_age.map(Duration::from_secs), no_store };
        assert_eq!(Freshness::of(&head(&pairs)), expected, "{values:?}");
    }

    #[test]
    fn delays_and_dates() {
        let now = UnixTime(784_111_777); // Sun, 06 Nov 1994 08:49:37 GMT
        for (value, expected) in [
            ("5", Some(5)),
            ("0", Some(0)),
            ("9999999999", Some(9_999_999_999)),
            ("99999999999999999999", None),
            ("\"30\"", None),
            ("Sunday, 06-Nov-94 08:49:47 GMT", None),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:49:07 GMT", Some(0)),
            ("soon", None),
            ("-5", None),
            ("", None),
        ] {
            let found = retry_after(&head(&[("retry-after", value)]), now);
            assert_eq!(found, expected.map(Duration::from_secs), "{value}");
        }
        assert_eq!(retry_after(&head(&[]), now), None);
        assert_eq!(retry_after(&head(&[("retry-after", "5"), ("retry-after", "5")]), now), None);
    }

    #[test]
    fn cache_control() {
        check_freshness(&[], None, false);
        check_freshness(&["max-age=30"], Some(30), false);
        check_freshness(&["private, Max-Age=\"30\""], Some(30), false);
        check_freshness(&["max-age=30", "max-age=20, max-age=40"], Some(20), false);
        check_freshness(&["max-age=99999999999999999999"], Some(u64::from(u32::MAX)), false);
        check_freshness(&["max-age=0"], None, true);
        check_freshness(&["max-age=30, max-age=0"], Some(30), true);
        check_freshness(&["No-Store"], None, true);
        check_freshness(&["no-cache=\"set-cookie\""], None, true);
        for nothing in ["max-age", "max-age=", "max-age=-1", "max-age=x", "s-maxage=5", "public"] {
            check_freshness(&[nothing], None, false);
        }
    }
}

//! A provider's own error answer, reduced to what may safely be handed on.
//!
//! The status always goes to the client. Its text goes only where the configuration says that the
//! text is, and only if it is text: not encoded, UTF-8, without control characters, within 8 KiB.

use std::borrow::Cow;

use crate::claims;
use crate::claims::json::{self, Json};
use crate::claims::jsonpath::Budget;
use crate::provider::call_outcome::CallOutcome;
use crate::provider::challenge::{Challenge, ErrorCode};
use crate::provider::error_text::ProviderText;
use crate::provider::response::{Body, is_json};
use crate::request::headers::{Field, HeaderView, media_type, says_json};

/// Longest text that is handed on, in bytes.
const MAX_TEXT: usize = 8 * 1024;

/// An error status of 400 to 599 that the provider itself sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderError {
    /// Its status.
    pub status: u16,
    /// The error code that it named itself, in its Bearer challenge or its JSON body, if that is
    /// a known one. Of a token it speaks only so: a firewall answers 403 too.
    pub(crate) said: Option<ErrorCode>,
    /// Its text, where the configuration says where that is and it can be used.
    pub text: Option<ErrorText>,
    /// What the challenge to the client says; `None` where the reply carries none.
    pub challenge: Option<Challenge>,
    /// A well-formed `Retry-After` of a 429 or 503.
    pub retry_after: Option<String>,
}

/// Text of the provider for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorText {
    /// The text itself.
    pub text: String,
    /// Its content type.
    pub content_type: String,
}

impl ProviderError {
    /// What it is evidence of.
    pub(crate) fn call_outcome(&self) -> CallOutcome {
        CallOutcome::of_error(self.status, self.said, self.retry_after.is_some())
    }

    /// About how many bytes it takes.
    pub(crate) fn size(&self) -> usize {
        // The challenge's three texts have at most 256 bytes each.
        const REST: usize = 1024;
        let text = self.text.as_ref();
        text.map_or(0, |t| t.text.len().saturating_add(t.content_type.len())).saturating_add(REST)
    }

    pub(crate) fn read(
        status: u16,
        head: &HeaderView<'_>,
        body: Body<'_>,
        location: &ProviderText,
    ) -> ProviderError {
        let bytes = body.plain(head).unwrap_or_default();
        // Errors are JSON under many a content type, `text/html` among them: an object is proof
        // enough where nothing but texts at known places is taken from it.
        let document = json::parse(bytes).ok();
        let document = document.filter(|json| matches!(json, Json::Object(_)) || is_json(head));
        let words = words(head, document.as_ref());
        ProviderError {
            status,
            said: words.error,
            text: error_text(location, head, bytes, document.as_ref()),
            challenge: challenge(status, words),
            retry_after: retry_after(status, head),
        }
    }
}

fn error_text(
    location: &ProviderText,
    head: &HeaderView<'_>,
    body: &[u8],
    document: Option<&Json<'_>>,
) -> Option<ErrorText> {
    let (text, content_type) = match location {
        ProviderText::Withheld => return None,
        ProviderText::Header(name) => {
            (Cow::Owned(head.values(name).collect::<Vec<_>>().join(&b", "[..])), None)
        }
        ProviderText::PayloadAt(path) => {
            let selection = path.select(document?, &mut Budget::for_answer());
            (Cow::Owned(claims::text(&selection, MAX_TEXT).ok()?.into_bytes()), None)
        }
        ProviderText::Payload => (Cow::Borrowed(body), text_type(head)),
    };
    let text = String::from_utf8(text.into_owned()).ok()?;
    let usable = (1..=MAX_TEXT).contains(&text.len())
        && !text.chars().any(|c| c.is_control() && !matches!(c, '\r' | '\n' | '\t'));
    let content_type = content_type.unwrap_or("text/plain").to_owned();
    usable.then_some(ErrorText { text, content_type })
}

/// The provider's content type, if it is one that a browser does not run.
fn text_type<'b>(head: &HeaderView<'b>) -> Option<&'b str> {
    let Field::One(value) = head.field("content-type") else {
        return None;
    };
    let harmless = says_json(value) || media_type(value).eq_ignore_ascii_case(b"text/plain");
    let clean = value.len() <= 256 && value.iter().all(|b| matches!(b, 0x20..=0x7E));
    if harmless && clean { std::str::from_utf8(value).ok() } else { None }
}

/// What the provider said in OAuth's words: its challenge or its body, whichever names an error, and
/// never a mixture of both.
fn words(head: &HeaderView<'_>, document: Option<&Json<'_>>) -> Challenge {
    let challenge = Challenge::from_header(head.values("www-authenticate"));
    let body = document.map(Challenge::from_json).unwrap_or_default();
    match (challenge.error, body.error) {
        (None, Some(_)) => body,
        (None, None) if challenge == Challenge::default() => body,
        (None, None) | (Some(_), _) => challenge,
    }
}

/// A refused token is challenged (RFC 6750 §3): always on 401, on 403 and another client error only
/// if the provider named an error that goes with it; never where the token is not at fault.
fn challenge(status: u16, words: Challenge) -> Option<Challenge> {
    use ErrorCode::{InsufficientUserAuthentication, InvalidRequest, InvalidToken};
    let error = match (status, words.error) {
        (429 | 500.., _) => None,
        // The other codes do not go with a 401 (RFC 6750 §3.1).
        (401, Some(code @ (InvalidToken | InsufficientUserAuthentication))) => Some(code),
        (401, _) => Some(InvalidToken),
        // The client's request is not the one that the provider refuses.
        (403, Some(InvalidRequest)) => None,
        (_, said) => said,
    };
    let words = Challenge { error: Some(error?), ..words };
    if error == Some(InsufficientUserAuthentication) {
        return Some(words);
    }
    Some(Challenge { acr_values: None, max_age: None, ..words })
}

/// Delay seconds or an HTTP date (RFC 9110 §10.2.3).
fn retry_after(status: u16, head: &HeaderView<'_>) -> Option<String> {
    let (429 | 503, Field::One(value)) = (status, head.field("retry-after")) else {
        return None;
    };
    let is_delay = (1..=10).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    (is_delay || is_http_date(value)).then(|| String::from_utf8_lossy(value).into_owned())
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, the one form that senders may use (RFC 9110 §5.6.7).
fn is_http_date(value: &[u8]) -> bool {
    let shape = b"Aaa, 00 Aaa 0000 00:00:00 GMT";
    value.len() == shape.len()
        && value.iter().zip(shape).all(|(byte, model)| match model {
            b'0' => byte.is_ascii_digit(),
            b'A' => byte.is_ascii_uppercase(),
            b'a' => byte.is_ascii_lowercase(),
            _ => byte == model,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::head;

    #[track_caller]
    fn said(fields: &[(&str, &str)], body: &str) -> Option<ErrorCode> {
        let body = Body::Read(body.as_bytes());
        ProviderError::read(401, &head(fields), body, &ProviderText::Withheld).said
    }

    /// Not the meaning of a status, and not the code of a reply.
    #[test]
    fn the_providers_own_code() {
        use ErrorCode::*;
        let challenged = |value: &str| said(&[("www-authenticate", value)], "");
        assert_eq!(said(&[], ""), None);
        for (text, code) in [
            ("invalid_request", Some(InvalidRequest)),
            ("invalid_token", Some(InvalidToken)),
            ("insufficient_scope", Some(InsufficientScope)),
            ("insufficient_user_authentication", Some(InsufficientUserAuthentication)),
            ("Invalid_Token", None),
            ("invalid_grant", None),
            ("", None),
        ] {
            assert_eq!(challenged(&format!("Bearer error=\"{text}\"")), code, "{text}");
            assert_eq!(challenged(&format!("error=\"{text}\"")), code, "{text}");
            let body = format!("{{\"error\":\"{text}\"}}");
            assert_eq!(said(&[], &body), code, "{text}");
            assert_eq!(said(&[("content-type", "text/html")], &body), code, "{text}");
        }
        assert_eq!(challenged("DPoP error=invalid_token"), None);
        assert_eq!(said(&[], r#"{"error":["invalid_token"]}"#), None);
        let header = [("www-authenticate", "Bearer error=insufficient_scope")];
        assert_eq!(said(&header, r#"{"error":"invalid_token"}"#), Some(InsufficientScope));
    }
}

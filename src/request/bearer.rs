//! From the `Authorization` header to exactly one bearer token, or the reason why not.
//!
//! Only the syntax of RFC 6750 §2.1 is a token. Nothing is trimmed, split or guessed: a value that
//! two readers could take for different tokens is refused.

use crate::config::file::Fields;
use crate::config::key::{Choice, Integer, Key};
use crate::config::location::Report;
use crate::config::secret::Secret;
use crate::config::shape::{Keys, text};
use crate::request::headers::{Field, HeaderView};

/// The keys of this room.
pub(crate) const KEYS: Keys = &[&MAX_TOKEN_BYTES, &CREDENTIALS];

/// With `Bearer` and its name the header stays below the 8 KiB at which usual servers refuse it; some
/// drop the whole HTTP/2 connection then, with everybody's calls on it.
static MAX_TOKEN_BYTES: Key<Integer> = Key::new(
    "max_token_bytes",
    Integer { min: 1, max: 65_536, default: 7168 },
    text(
        "longer tokens are refused before any call. Usual servers refuse header fields of 8 KiB, and \
         some drop the whole HTTP/2 connection for one, with the calls of other users on it: set more \
         only where the provider takes more",
    ),
);

static CREDENTIALS: Key<Choice<Credentials>> = Key::new(
    "credentials",
    Choice {
        default: ("required", Credentials::Required),
        others: &[("optional", Credentials::Optional)],
    },
    text(
        "`optional`: a request without any `Authorization` goes on, stripped like any other, without an \
         identity; the backend decides what it may do. A bad, malformed, empty or doubled credential is \
         refused as always",
    ),
);

/// `credentials`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credentials {
    /// A request without them is refused.
    Required,
    /// A request without them goes on, without an identity.
    Optional,
}

/// Reads `credentials`.
pub(crate) fn credentials(top: &Fields<'_>, report: &mut Report) -> Credentials {
    CREDENTIALS.read(top, report)
}

/// Reads `max_token_bytes`.
pub(crate) fn longest(top: &Fields<'_>, report: &mut Report) -> usize {
    MAX_TOKEN_BYTES.read_size(top, report)
}

/// A token in the characters of RFC 6750's `b64token`, therefore safe to send on in a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BearerToken<'t>(Secret<'t>);

impl BearerToken<'_> {
    /// The value of `Authorization` that presents this token.
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.0.expose())
    }

    /// The same token, for longer than the headers that it came in.
    pub fn into_owned(self) -> BearerToken<'static> {
        BearerToken(self.0.into_owned())
    }

    /// The token itself, for what is computed from it and not kept.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// A token, for tests.
#[cfg(test)]
pub(crate) fn of(token: &str) -> BearerToken<'_> {
    BearerToken(Secret::new(token))
}

/// Why a request carries no usable bearer token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialFault {
    /// No `Authorization` header.
    Absent,
    /// The header has no value.
    Empty,
    /// Another authentication scheme than `Bearer`.
    OtherScheme,
    /// `Bearer` without a token.
    NoToken,
    /// `Bearer` with something that is not one `b64token`.
    NotAToken,
    /// A token longer than `max_token_bytes`.
    TooLong,
    /// Several credentials.
    Several,
}

impl CredentialFault {
    /// Whether the client tried `Bearer`, so that the challenge may say `invalid_request`;
    /// a request without credentials must not be told an error code (RFC 6750 §3.1).
    pub fn tried_bearer(self) -> bool {
        match self {
            CredentialFault::Absent | CredentialFault::Empty | CredentialFault::OtherScheme => {
                false
            }
            CredentialFault::NoToken
            | CredentialFault::NotAToken
            | CredentialFault::TooLong
            | CredentialFault::Several => true,
        }
    }
}

/// Reads the request's one bearer token of at most `max_bytes` bytes.
pub fn parse<'b>(
    head: &HeaderView<'b>,
    max_bytes: usize,
) -> Result<BearerToken<'b>, CredentialFault> {
    match head.field("authorization") {
        Field::Absent => Err(CredentialFault::Absent),
        Field::One(value) => credential(value, max_bytes),
        Field::Several if head.values("authorization").any(names_bearer) => {
            Err(CredentialFault::Several)
        }
        Field::Several => Err(CredentialFault::OtherScheme),
    }
}

fn credential(value: &[u8], max_bytes: usize) -> Result<BearerToken<'_>, CredentialFault> {
    if value.is_empty() {
        return Err(CredentialFault::Empty);
    }
    let Some(rest) = after_bearer(value) else {
        // Envoy joins repeated lines with a comma, so a second credential hides behind one.
        return Err(if names_bearer(value) {
            CredentialFault::Several
        } else {
            CredentialFault::OtherScheme
        });
    };
    // Spaces alone part the scheme from the token (RFC 9110 §11.4), no other blank.
    let spaces = rest.iter().take_while(|b| **b == b' ').count();
    let token = match rest.split_at_checked(spaces) {
        Some((_, [])) => return Err(CredentialFault::NoToken),
        Some((_, token)) if spaces > 0 => token,
        _ => return Err(CredentialFault::NotAToken),
    };
    if token.len() > max_bytes {
        return Err(CredentialFault::TooLong);
    }
    match std::str::from_utf8(token) {
        Ok(text) if is_b64token(token) => Ok(BearerToken(Secret::new(text))),
        _ => Err(CredentialFault::NotAToken),
    }
}

/// What follows the scheme `Bearer`, in any case (RFC 9110 §11.1), if the value starts with it.
fn after_bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked("bearer".len())?;
    let ends_here = rest.first().is_none_or(|b| !is_tchar(*b));
    (scheme.eq_ignore_ascii_case(b"bearer") && ends_here).then_some(rest)
}

/// Whether the scheme `Bearer` is at the start of the value or after a comma.
fn names_bearer(value: &[u8]) -> bool {
    value.split(|b| *b == b',').any(|part| after_bearer(part.trim_ascii_start()).is_some())
}

/// `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="` (RFC 6750 §2.1)
fn is_b64token(token: &[u8]) -> bool {
    /// Looked up rather than compared: every byte of every token comes here.
    #[allow(clippy::indexing_slicing, reason = "computed by the compiler, which checks it")]
    const BODY: [bool; 256] = {
        let mut body = [false; 256];
        let mut byte = 0_u8;
        while byte < u8::MAX {
            body[byte as usize] = byte.is_ascii_alphanumeric()
                || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
            byte = byte.saturating_add(1);
        }
        body
    };
    let is_body = |byte: &u8| BODY.get(usize::from(*byte)).copied().unwrap_or(false);
    let length = token.iter().position(|byte| !is_body(byte)).unwrap_or(token.len());
    length > 0 && token.iter().skip(length).all(|b| *b == b'=')
}

/// A character of an RFC 9110 §5.6.2 token.
fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::CredentialFault::*;
    use super::*;

    fn parse_value(value: &[u8]) -> Result<String, CredentialFault> {
        let head = HeaderView::new(vec![(b"authorization", value)]);
        parse(&head, 16).map(|token| token.authorization())
    }

    #[track_caller]
    fn accepted(value: &str, token: &str) {
        assert_eq!(parse_value(value.as_bytes()), Ok(format!("Bearer {token}")), "{value:?}");
    }

    #[track_caller]
    fn refused(value: &[u8], fault: CredentialFault) {
        assert_eq!(parse_value(value), Err(fault), "{:?}", String::from_utf8_lossy(value));
    }

    #[test]
    fn the_scheme_in_any_case_and_one_or_more_spaces() {
        for scheme in ["Bearer", "bearer", "BEARER", "BeArEr"] {
            accepted(&format!("{scheme} t"), "t");
        }
        accepted("Bearer   t", "t");
    }

    #[test]
    fn b64token_characters_only() {
        accepted("Bearer aZ09-._~+/==", "aZ09-._~+/==");
        accepted("Bearer 0123456789abcdef", "0123456789abcdef");
        refused(b"Bearer 0123456789abcdefg", TooLong);
        for token in ["=", "=====", "=a", "a=b", "t extra", "t,", "t, Bearer u", "t\tu", "\"t\""] {
            refused(format!("Bearer {token}").as_bytes(), NotAToken);
        }
    }

    #[test]
    fn every_byte_inside_a_token() {
        for byte in 0..=u8::MAX {
            let value = [b"Bearer a", &[byte][..], b"b"].concat();
            let allowed = byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
            assert_eq!(parse_value(&value).is_ok(), allowed, "byte {byte:#x}");
        }
    }

    #[test]
    fn no_credentials() {
        assert_eq!(parse(&HeaderView::default(), 16), Err(Absent));
        refused(b"", Empty);
        for value in
            ["Basic dXNlcjpw", "DPoP t", "Token t", "Bearert", "Bearer2 t", ",", "Basic a,b"]
        {
            refused(value.as_bytes(), OtherScheme);
        }
    }

    #[test]
    fn no_token() {
        refused(b"Bearer", NoToken);
        refused(b"bearer   ", NoToken);
        for value in
            [&b"Bearer\tt"[..], b"Bearer \tt", b"Bearer\t t", b"Bearer \x0ct", b"Bearer \t"]
        {
            refused(value, NotAToken);
        }
        refused(b"Bearer,Bearer t", NotAToken);
        refused(b"Bearer/t", NotAToken);
        refused(b"Bearer \xff", NotAToken);
    }

    #[test]
    fn several_credentials_joined_or_not() {
        refused(b"Bearer one,Bearer two", NotAToken);
        refused(b"Basic dXNlcjpw,Bearer t", Several);
        refused(b"Basic dXNlcjpw, bearer t", Several);
        let twice = |a, b| {
            let head = HeaderView::new(vec![(b"authorization", a), (b"authorization", b)]);
            parse(&head, 16)
        };
        assert_eq!(twice(b"Bearer t", b"Bearer t"), Err(Several));
        assert_eq!(twice(b"Basic x", b"Bearer t"), Err(Several));
        assert_eq!(twice(b"Basic x", b"Digest y"), Err(OtherScheme));
    }

    #[test]
    fn error_code_only_after_bearer_credentials() {
        assert_eq!([Absent, Empty, OtherScheme].map(CredentialFault::tried_bearer), [false; 3]);
        assert!([NoToken, NotAToken, TooLong, Several].iter().all(|f| f.tried_bearer()));
    }

    #[test]
    fn debug_shows_no_token() {
        let head = HeaderView::new(vec![(b"authorization", b"Bearer sesame")]);
        assert!(!format!("{:?}", parse(&head, 16)).contains("sesame"));
    }
}

//! `WWW-Authenticate` (RFC 9110 §11.6.1, RFC 6750 §3): written by the filter, read from the provider.
//!
//! Of what the provider said, only text in RFC 6750's characters goes into a challenge: Envoy does
//! not check the headers of local replies, and a line break would split the response.

use crate::json::Json;

/// Longest `error_description` or `scope` that is handed on, in bytes.
const MAX_PARAM: usize = 256;

/// The error codes of RFC 6750 §3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// The request is malformed.
    InvalidRequest,
    /// The token is expired, revoked, malformed or otherwise invalid.
    InvalidToken,
    /// The token does not give the needed privileges.
    InsufficientScope,
}

impl ErrorCode {
    fn text(self) -> &'static str {
        match self {
            ErrorCode::InvalidRequest => "invalid_request",
            ErrorCode::InvalidToken => "invalid_token",
            ErrorCode::InsufficientScope => "insufficient_scope",
        }
    }

    fn of(text: &str) -> Option<ErrorCode> {
        [ErrorCode::InvalidRequest, ErrorCode::InvalidToken, ErrorCode::InsufficientScope]
            .into_iter()
            .find(|code| code.text() == text)
    }
}

/// What a challenge says beside its realm.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Challenge {
    /// The error code.
    pub error: Option<ErrorCode>,
    /// For a developer to read.
    pub description: Option<String>,
    /// The scope that is needed.
    pub scope: Option<String>,
}

impl Challenge {
    /// A challenge that says only this error code.
    pub fn error(code: ErrorCode) -> Challenge {
        Challenge { error: Some(code), ..Challenge::default() }
    }

    /// The header value.
    pub fn header(&self, realm: &str) -> String {
        let mut value = format!("Bearer realm=\"{}\"", quote(realm));
        let mut push = |name: &str, text: &str| {
            value.push_str(", ");
            value.push_str(name);
            value.push_str("=\"");
            value.push_str(text);
            value.push('"');
        };
        if let Some(error) = self.error {
            push("error", error.text());
        }
        if let Some(description) = &self.description {
            push("error_description", description);
        }
        if let Some(scope) = &self.scope {
            push("scope", scope);
        }
        value
    }

    /// What the provider's challenges say. Tolerant, as providers are: parameters are taken
    /// wherever they stand, the first of each name counts, unusable ones are left out.
    pub(crate) fn from_header(value: &[u8]) -> Challenge {
        Challenge::from_params(|name| parameter(value, name))
    }

    /// What an OAuth error document says.
    pub(crate) fn from_json(document: &Json<'_>) -> Challenge {
        Challenge::from_params(|name| match document.member(name) {
            Some(Json::String(text)) => Some(text.clone().into_owned()),
            _ => None,
        })
    }

    fn from_params(get: impl Fn(&str) -> Option<String>) -> Challenge {
        Challenge {
            error: get("error").as_deref().and_then(ErrorCode::of),
            description: get("error_description").filter(|text| is_description(text)),
            scope: get("scope").filter(|text| is_scope(text)),
        }
    }
}

/// `%x20-21 / %x23-5B / %x5D-7E` (RFC 6750 §3)
fn is_description(text: &str) -> bool {
    (1..=MAX_PARAM).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, 0x20..=0x21 | 0x23..=0x5B | 0x5D..=0x7E))
}

/// Scope tokens of the same characters, one space between two and none around them
/// (RFC 6749 §3.3): with any other space, readers need not agree which scopes are meant.
fn is_scope(text: &str) -> bool {
    is_description(text) && text.split(' ').all(|token| !token.is_empty())
}

/// A quoted-string's inside (RFC 9110 §5.6.4).
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}

/// The first parameter of that name, outside quoted strings, unquoted.
fn parameter(value: &[u8], wanted: &str) -> Option<String> {
    let mut rest = value;
    loop {
        // To the next name: skip separators, and whatever is not one.
        let start = rest.iter().position(|b| is_name(*b) || *b == b'"')?;
        rest = rest.get(start..)?;
        if let [b'"', inside @ ..] = rest {
            rest = quoted(inside)?.1;
            continue;
        }
        let end = rest.iter().position(|b| !is_name(*b)).unwrap_or(rest.len());
        let (name, after) = rest.split_at_checked(end)?;
        rest = after;
        let [b'=', text @ ..] = after.trim_ascii_start() else {
            continue;
        };
        let text = text.trim_ascii_start();
        let (found, after) = match text {
            [b'"', inside @ ..] => quoted(inside)?,
            _ => {
                let end = text.iter().position(|b| !is_name(*b)).unwrap_or(text.len());
                let (bare, after) = text.split_at_checked(end)?;
                (bare.to_vec(), after)
            }
        };
        if name.eq_ignore_ascii_case(wanted.as_bytes()) {
            return String::from_utf8(found).ok();
        }
        rest = after;
    }
}

/// The inside of a quoted-string whose opening quote is gone, and what follows its closing one.
fn quoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut inside = Vec::new();
    let mut bytes = text.iter();
    loop {
        match bytes.next()? {
            b'"' => return Some((inside, bytes.as_slice())),
            b'\\' => inside.push(*bytes.next()?),
            byte => inside.push(*byte),
        }
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[track_caller]
    fn check(provider: &str, ours: &str) {
        let challenge = Challenge::from_header(provider.as_bytes());
        assert_eq!(challenge.header("api"), format!("Bearer realm=\"api\"{ours}"), "{provider}");
    }

    #[test]
    fn what_the_provider_said_in_rfc_6750_characters() {
        check(
            r#"error="invalid_token" , error_description="The Access Token expired""#,
            r#", error="invalid_token", error_description="The Access Token expired""#,
        );
        check(
            r#"Bearer realm="theirs", error="insufficient_scope", scope="read write""#,
            r#", error="insufficient_scope", scope="read write""#,
        );
        check("Bearer error=invalid_token", r#", error="invalid_token""#);
        check(
            r#"Basic realm="x", Bearer error = "invalid_request""#,
            r#", error="invalid_request""#,
        );
        check(r#"Bearer ERROR="invalid_token""#, r#", error="invalid_token""#);
        check(r#""error=insufficient_scope" error=invalid_token"#, r#", error="invalid_token""#);
    }

    #[test]
    fn what_cannot_be_said_is_left_out() {
        check("", "");
        check(r#"Bearer error="teapot""#, "");
        check(r#"Bearer realm="error=\"invalid_token\"""#, "");
        check(r#"Bearer error_description="a\"b""#, "");
        check("Bearer error_description=\"a\r\nx-evil: 1\"", "");
        check(r#"Bearer error_description="Zugriff verweigert für""#, "");
        check(r#"Bearer error_description="""#, "");
        check(r#"Bearer error="invalid_token"#, "");
        check(&format!("Bearer scope=\"{}\"", "s".repeat(257)), "");
        check(
            &format!("Bearer scope={}", "s".repeat(256)),
            &format!(", scope=\"{}\"", "s".repeat(256)),
        );
    }

    #[test]
    fn a_scope_is_tokens_with_one_space_between_two() {
        for scope in ["a", "a b", "orders:read orders:write openid", "!#[]~"] {
            check(&format!("Bearer scope=\"{scope}\""), &format!(", scope=\"{scope}\""));
        }
        for scope in [" ", "   ", " a", "a ", "a  b", "a\tb", "a\u{a0}b", "a\\\\b", ""] {
            check(
                &format!("Bearer error=\"invalid_token\", scope=\"{scope}\""),
                r#", error="invalid_token""#,
            );
        }
        let longest = format!("{}{}", "s ".repeat(127), "ss");
        check(&format!("Bearer scope=\"{longest}\""), &format!(", scope=\"{longest}\""));
        check(&format!("Bearer scope=\"{longest}s\""), "");
    }

    #[test]
    fn a_description_may_have_any_spaces() {
        check(
            r#"Bearer error_description="  gone  ", scope=" a""#,
            r#", error_description="  gone  ""#,
        );
    }

    #[test]
    fn the_realm_is_a_quoted_string() {
        assert_eq!(Challenge::default().header(r#"a"b\c"#), r#"Bearer realm="a\"b\\c""#);
    }

    #[test]
    fn an_oauth_error_document() {
        let document = json::parse(br#"{"error":"invalid_token","error_description":7}"#).unwrap();
        assert_eq!(Challenge::from_json(&document), Challenge::error(ErrorCode::InvalidToken));
    }
}

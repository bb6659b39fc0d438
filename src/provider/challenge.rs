//! `WWW-Authenticate` (RFC 9110 §11.6.1, RFC 6750 §3): written by the filter, read from the provider.
//! A parameter belongs only to its own scheme: a parameter of `DPoP` does not apply to `Bearer`.
//! Only provider text in RFC 6750's characters goes into a challenge: Envoy does
//! not check the headers of local replies, and a line break would split the response.

mod parse;
#[cfg(test)]
mod tests;

use parse::Parameters;

use crate::claims::json::Json;

/// Longest `error_description` or `scope` that is handed on, in bytes.
const MAX_PARAM: usize = 256;

/// Longest `max_age`, in digits: three hundred years in seconds.
const MAX_AGE: usize = 10;

/// The error codes of RFC 6750 §3.1, and that of RFC 9470 §3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// The request is malformed.
    InvalidRequest,
    /// The token is expired, revoked, malformed or otherwise invalid.
    InvalidToken,
    /// The token does not give the needed privileges.
    InsufficientScope,
    /// The user has to log in again, or better.
    InsufficientUserAuthentication,
}

impl ErrorCode {
    const ALL: [ErrorCode; 4] = [
        ErrorCode::InvalidRequest,
        ErrorCode::InvalidToken,
        ErrorCode::InsufficientScope,
        ErrorCode::InsufficientUserAuthentication,
    ];

    fn text(self) -> &'static str {
        match self {
            ErrorCode::InvalidRequest => "invalid_request",
            ErrorCode::InvalidToken => "invalid_token",
            ErrorCode::InsufficientScope => "insufficient_scope",
            ErrorCode::InsufficientUserAuthentication => "insufficient_user_authentication",
        }
    }

    fn of(text: &str) -> Option<ErrorCode> {
        ErrorCode::ALL.into_iter().find(|code| code.text() == text)
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
    /// The ways of logging in that would do (RFC 9470 §3).
    pub acr_values: Option<String>,
    /// How many seconds ago the user may have logged in (RFC 9470 §3).
    pub max_age: Option<String>,
}

impl Challenge {
    /// A challenge that says only this error code.
    pub fn error(code: ErrorCode) -> Challenge {
        Challenge { error: Some(code), ..Challenge::default() }
    }

    /// The header value. The gateway's own parameters come before anything that the provider says: clients
    /// search the whole header by a pattern. Where both name a scope, the gateway's counts.
    pub fn header(&self, realm: &str, own: &[(&'static str, String)]) -> String {
        let mut value = format!("Bearer realm=\"{}\"", quote(realm));
        let mut push = |name: &str, text: &str| {
            value.push_str(", ");
            value.push_str(name);
            value.push_str("=\"");
            value.push_str(text);
            value.push('"');
        };
        for (name, text) in own {
            push(name, text);
        }
        if let Some(error) = self.error {
            push("error", error.text());
        }
        let is_own = |name: &str| own.iter().any(|(own, _)| *own == name);
        for (name, text) in [
            ("error_description", &self.description),
            ("scope", &self.scope),
            ("acr_values", &self.acr_values),
            ("max_age", &self.max_age),
        ] {
            if let (Some(text), false) = (text, is_own(name)) {
                push(name, text);
            }
        }
        value
    }

    /// What the provider's Bearer challenge says, or parameters without any scheme, if there is no
    /// challenge that has one. Of several the first that names an error, else that says anything.
    pub(crate) fn from_header<'v>(lines: impl Iterator<Item = &'v [u8]>) -> Challenge {
        let said: Vec<Challenge> = parse::bearer(lines).iter().map(Challenge::of).collect();
        let named = said.iter().position(|challenge| challenge.error.is_some());
        let any = || said.iter().position(|challenge| *challenge != Challenge::default());
        let chosen = named.or_else(any).and_then(|place| said.into_iter().nth(place));
        chosen.unwrap_or_default()
    }

    fn of(parameters: &Parameters<'_>) -> Challenge {
        Challenge {
            acr_values: parameters.text("acr_values").filter(|text| is_tokens(text)),
            max_age: parameters.text("max_age").filter(|text| is_seconds(text)),
            ..Challenge::of_oauth(|name| parameters.text(name))
        }
    }

    /// What an OAuth error document says.
    pub(crate) fn from_json(document: &Json<'_>) -> Challenge {
        Challenge::of_oauth(|name| match document.member(name) {
            Some(Json::String(text)) => Some(text.clone().into_owned()),
            _ => None,
        })
    }

    fn of_oauth(get: impl Fn(&str) -> Option<String>) -> Challenge {
        Challenge {
            error: get("error").as_deref().and_then(ErrorCode::of),
            description: get("error_description").filter(|text| is_harmless(text)),
            scope: get("scope").filter(|text| is_tokens(text)),
            ..Challenge::default()
        }
    }
}

/// What clients look for in a challenge with a pattern. A provider's text that contains it could have
/// them register for another scope, or at another provider.
const LOOKED_FOR: [&str; 3] = ["scope=", "error=", "resource_metadata"];

/// A text that no client takes for another parameter.
fn is_harmless(text: &str) -> bool {
    let words = text.to_ascii_lowercase().replace(' ', "");
    is_description(text) && !LOOKED_FOR.iter().any(|parameter| words.contains(parameter))
}

/// `%x20-21 / %x23-5B / %x5D-7E` (RFC 6750 §3)
fn is_description(text: &str) -> bool {
    (1..=MAX_PARAM).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, 0x20..=0x21 | 0x23..=0x5B | 0x5D..=0x7E))
}

/// Tokens of the same characters, one space between two and none around them (RFC 6749 §3.3): with
/// any other space, readers need not agree which scopes are meant.
fn is_tokens(text: &str) -> bool {
    is_harmless(text) && text.split(' ').all(|token| !token.is_empty())
}

fn is_seconds(text: &str) -> bool {
    (1..=MAX_AGE).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
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

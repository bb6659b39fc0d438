//! A provider's discovery document (OpenID Connect Discovery 1.0 §3, RFC 8414 §2): what it says about the
//! endpoint that validates tokens.
//!
//! The document decides whom tokens are sent to, so it counts only if its issuer is the one that was
//! asked for, and every problem is told at once.

use serde_json::{Map, Value as Json, json};

use super::host::{self, is_loopback};
use super::members::Members;
use super::options::{Options, Platform};

/// The default of the filter, and of RFC 8414.
pub(super) const BASIC: &str = "client_secret_basic";

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Discovered {
    pub(super) issuer: String,
    /// The URL that is asked.
    pub(super) endpoint: String,
    pub(super) method: Method,
    /// Whether the provider names `email` among its claims.
    email: bool,
}

/// How tokens are validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Method {
    UserInfo,
    Introspection { client_id: String, auth_method: &'static str },
}

impl Method {
    /// The key of the endpoint: in the document, and in the filter's configuration.
    pub(super) fn key(&self) -> &'static str {
        match self {
            Method::UserInfo => USERINFO,
            Method::Introspection { .. } => INTROSPECTION,
        }
    }
}

impl Discovered {
    /// The headers for the backend.
    pub(super) fn headers(&self) -> Map<String, Json> {
        let mut headers = Map::from_iter([("X-User-Id".to_owned(), json!("$.sub"))]);
        let more = match self.method {
            Method::UserInfo => self.email.then_some(("X-User-Email", "$.email")),
            Method::Introspection { .. } => Some(("X-Client-Id", "$.client_id")),
        };
        headers.extend(more.map(|(name, path)| (name.to_owned(), json!(path))));
        headers
    }
}

const USERINFO: &str = "userinfo_endpoint";
const INTROSPECTION: &str = "introspection_endpoint";
const ALLOW: &str = "--allow-http accepts http:// on loopback, for trials";

/// Reads a document. `issuer` is the one that was asked for.
///
/// # Errors
///
/// Every problem with its remedy.
pub(super) fn read(
    text: &str,
    issuer: Option<&str>,
    options: &Options,
) -> Result<Discovered, Vec<String>> {
    let document: Json = serde_json::from_str(text).map_err(|error| {
        vec![format!(
            "the discovery document: got no JSON ({error}), expected a JSON object; give the text of \
             /.well-known/openid-configuration, not a page around it"
        )]
    })?;
    let Json::Object(document) = document else {
        return Err(vec![format!(
            "the discovery document: got {}, expected a JSON object; give the text of \
             /.well-known/openid-configuration",
            kind(&document)
        )]);
    };
    let mut problems: Vec<String> =
        Members::repeated(text).iter().map(|key| repeated(key)).collect();
    let found = own_issuer(&document, issuer, options, &mut problems);
    let method = method(&document, options, &mut problems);
    let endpoint = method
        .as_ref()
        .and_then(|method| endpoint(&document, method.key(), options, &mut problems));
    match (found, method, endpoint) {
        (Some(issuer), Some(method), Some(endpoint)) if problems.is_empty() => {
            let email = lists(&document, "claims_supported", "email");
            Ok(Discovered { issuer, endpoint, method, email })
        }
        _ => Err(problems),
    }
}

/// Why an issuer cannot be asked.
pub(super) fn wrong_issuer(issuer: &str, options: &Options) -> Option<String> {
    let wrong = |got: &str, expected: &str, remedy: &str| {
        Some(format!("issuer: got {got}, expected {expected}; {remedy}"))
    };
    let Some((scheme, rest)) = issuer.split_once("://") else {
        return wrong(&shown(issuer), "a URL with https://", "give the issuer as `iss` has it");
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if rest.contains(['?', '#']) || authority.contains('@') {
        // What is before an @ may be a password, so nothing of it is shown.
        let remedy = "give the issuer as `iss` has it (OpenID Connect Discovery 1.0 §3)";
        return wrong("a URL with more than that", "host, port and path alone", remedy);
    }
    // Microsoft Entra's document for all tenants says `{tenantid}`.
    if issuer.contains(['{', '}']) {
        let remedy = "give the issuer of your own tenant, as `iss` of its tokens has it";
        return wrong(&shown(issuer), "a URL without a placeholder in braces", remedy);
    }
    let is_of_a_url = |c: char| c.is_ascii_graphic() && !"\"<>\\^`|".contains(c);
    if authority.is_empty() || !issuer.chars().all(is_of_a_url) {
        let remedy = "correct it";
        let expected = "a URL with a host, without blanks and what a URL writes percent-encoded";
        return wrong(&shown(issuer), expected, remedy);
    }
    if let Some(wrong) = host::wrong_authority(authority, certified(scheme, options)) {
        return Some(format!("issuer: {wrong}"));
    }
    match scheme {
        "https" => None,
        "http" if options.allow_http && is_loopback(authority) => None,
        "http" if options.allow_http => wrong(
            &shown(issuer),
            "https://, or http:// on loopback",
            "a provider elsewhere needs TLS, or anybody on the way can let tokens pass",
        ),
        "http" => wrong(&shown(issuer), "https://", ALLOW),
        _ => wrong(&shown(issuer), "a URL with https://", "give the issuer as `iss` has it"),
    }
}

/// Whether only a public authority vouches for the provider. Istio and Envoy Gateway take no other names.
fn certified(scheme: &str, options: &Options) -> bool {
    scheme.eq_ignore_ascii_case("https")
        && (options.ca.is_none() || options.platform != Platform::Envoy)
}

/// The document's own issuer.
fn own_issuer(
    document: &Map<String, Json>,
    asked: Option<&str>,
    options: &Options,
    problems: &mut Vec<String>,
) -> Option<String> {
    let found = text(document, "issuer", problems)?;
    problems.extend(wrong_issuer(found, options));
    if let Some(asked) = asked.filter(|asked| *asked != found) {
        let slash = asked.trim_end_matches('/') == found.trim_end_matches('/');
        let remedy = match slash {
            true => "the slash at the end counts: give it as the document has it",
            false => {
                "give that issuer if it is your provider; else the document is not your provider's"
            }
        };
        problems.push(format!(
            "issuer: got {}, expected {}, which --issuer says (OpenID Connect Discovery 1.0 §4.3); {remedy}",
            shown(found),
            shown(asked)
        ));
    }
    Some(found.to_owned())
}

fn method(
    document: &Map<String, Json>,
    options: &Options,
    problems: &mut Vec<String>,
) -> Option<Method> {
    let has = |key: &str| document.get(key).is_some_and(|value| !value.is_null());
    if !options.introspection && has(USERINFO) {
        if options.client_id.is_some() {
            problems.push(
                "got --client-id, expected it only with introspection: add --introspection, or leave \
                 it out"
                    .to_owned(),
            );
        }
        return Some(Method::UserInfo);
    }
    if !has(INTROSPECTION) && options.introspection_endpoint.is_none() {
        problems.push(match options.introspection {
            true => format!(
                "{INTROSPECTION}: the document has none, expected a URL; give it with \
                 --introspection-endpoint, or leave --introspection out"
            ),
            false => format!(
                "the document has neither {USERINFO} nor {INTROSPECTION}, expected one of them; a \
                 provider without both cannot be asked about tokens, or give --introspection and \
                 --introspection-endpoint"
            ),
        });
        return None;
    }
    let auth_method = auth_method(document, problems);
    let Some(client_id) = options.client_id.clone() else {
        problems.push(format!(
            "got no --client-id, expected the client as which the gateway asks the \
             {INTROSPECTION}; register one at the provider (confidential, without redirect URIs)"
        ));
        return None;
    };
    Some(Method::Introspection { client_id, auth_method: auth_method? })
}

/// How the gateway proves who it is. What a provider does not list is RFC 8414's default.
fn auth_method(document: &Map<String, Json>, problems: &mut Vec<String>) -> Option<&'static str> {
    const POST: &str = "client_secret_post";
    let keys =
        ["introspection_endpoint_auth_methods_supported", "token_endpoint_auth_methods_supported"];
    let key = keys.into_iter().find(|key| document.contains_key(*key));
    let Some(key) = key else { return Some(BASIC) };
    let known = [BASIC, POST].into_iter().find(|method| lists(document, key, method));
    if known.is_none() {
        problems.push(format!(
            "{key}: got neither {BASIC} nor {POST}, expected one of them; allow one for the gateway's \
             client, or write the configuration by hand: `auth_method: none` with a client certificate \
             on the cluster (docs/configuration.md)"
        ));
    }
    known
}

fn endpoint(
    document: &Map<String, Json>,
    key: &str,
    options: &Options,
    problems: &mut Vec<String>,
) -> Option<String> {
    let given = options.introspection_endpoint.as_deref().filter(|_| key == INTROSPECTION);
    let url = match given {
        Some(url) => url,
        None => text(document, key, problems)?,
    };
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // User-info is refused by the filter's reader, which does not show it.
    let local = is_loopback(authority);
    let wrong = match scheme.to_ascii_lowercase().as_str() {
        "https" => None,
        "http" if options.allow_http && local => None,
        "http" if options.allow_http => Some(
            "expected https://, or http:// on loopback; a provider \
                                              elsewhere needs TLS"
                .to_owned(),
        ),
        "http" => Some(format!("expected https://; {ALLOW}")),
        _ => Some("expected a URL with https://; correct the document".to_owned()),
    };
    match wrong {
        Some(wrong) if authority.contains('@') => {
            problems.push(format!("{key}: got another URL, {wrong}"));
        }
        Some(wrong) => problems.push(format!("{key}: got {}, {wrong}", shown(url))),
        // The rest of the URL is judged by the filter's reader.
        None if authority.is_empty() || authority.contains('@') => return Some(url.to_owned()),
        None => match host::wrong_authority(authority, certified(scheme, options)) {
            Some(wrong) => problems.push(format!("{key}: {wrong}")),
            None => return Some(url.to_owned()),
        },
    }
    None
}

/// Two readers may each take another one.
fn repeated(key: &str) -> String {
    format!("{}: got it more than once, expected it once; correct the document", shown(key))
}

fn text<'d>(
    document: &'d Map<String, Json>,
    key: &str,
    problems: &mut Vec<String>,
) -> Option<&'d str> {
    let value = document.get(key).unwrap_or(&Json::Null);
    let text = value.as_str();
    if text.is_none() {
        let got = kind(value);
        problems.push(format!(
            "{key}: got {got}, expected a URL as text; is this a discovery document?"
        ));
    }
    text
}

fn lists(document: &Map<String, Json>, key: &str, wanted: &str) -> bool {
    let values = document.get(key).and_then(Json::as_array);
    values.is_some_and(|values| values.iter().any(|value| value == wanted))
}

fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "nothing",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

/// A text from outside, quoted and short.
fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(200).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    Json::from(short).to_string()
}

//! The kind of input of a corpus file, so that a test can count: a corpus with only refused inputs
//! keeps most properties of its target, and proves nothing.

use oidc_token_connector::claims::json;
use oidc_token_connector::claims::jsonpath::{Budget, JsonPath, Selection};
use oidc_token_connector::policy;
use oidc_token_connector::provider::endpoint;
use oidc_token_connector::request::headers::HeaderView;
use oidc_token_connector::request::{bearer, block};

use crate::{challenge, check, claims, introspection, migrate, token};

/// Whether the core accepts an input; `None` for one that shows neither.
pub type Accepts = fn(&[u8]) -> Option<bool>;

/// Every target whose inputs are of two kinds; `gate_ops` is not one: a trace does both.
/// `challenge` and `claims` use what their own `check` compares with the core.
pub const KINDS: &[(&str, Accepts)] = &[
    ("bearer", is_token),
    ("block", |data| Some(block::read(data).is_ok())),
    ("challenge", challenge::accepts),
    ("check", check::accepts),
    ("claims", claims::accepts),
    ("config", |data| Some(policy::read(data).is_ok())),
    ("endpoint", asked),
    ("introspection", |data| Some(introspection::passes(data))),
    ("json", |data| Some(json::parse(data).is_ok())),
    ("jsonpath", selects),
    ("migrate", migrate::accepts),
    ("token", |data| Some(token::has_claims(data))),
];

/// Whether there is a token.
fn is_token(data: &[u8]) -> Option<bool> {
    let (choice, text) = data.split_first()?;
    let values = text.split(|b| *b == b'\n').map(|value| (&b"authorization"[..], value));
    Some(bearer::parse(&HeaderView::new(values.collect()), 1 << (choice % 14)).is_ok())
}

/// Whether an endpoint is called, in the configurations of the target.
fn asked(data: &[u8]) -> Option<bool> {
    let (choice, text) = data.split_first()?;
    let unknown = if choice & 1 == 0 { "default" } else { "reject" };
    let default = if choice & 2 == 0 { r#","defaultURI":"https://default.example/""# } else { "" };
    let configuration = format!(
        r#"{{"userinfo_endpoint": {{"regionCodeHeader": "X-Region", "regionCodeValue": {{
            "FR": "https://fr.example/", "US": "https://us.example/",
            "De-1": "https://de.example/"}}{default}}}, "unknown_region": "{unknown}"}}"#
    );
    let policy = policy::read(configuration.as_bytes()).expect("a good configuration").policy;
    let lines = text.split(|b| *b == b'\n').filter(|_| text != b"-");
    let pairs = lines.map(|value| (&b"x-region"[..], value));
    let head = HeaderView::new(pairs.chain([(&b"authorization"[..], &b"Bearer t"[..])]).collect());
    let token = bearer::parse(&head, 1).expect("a good token");
    Some(endpoint::choose(&policy.endpoints, &head, &token).is_ok())
}

/// Whether the path is one and finds something; nothing is shown where it finds nothing.
fn selects(data: &[u8]) -> Option<bool> {
    let at = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let Ok(path) = JsonPath::compile(std::str::from_utf8(&data[..at]).ok()?) else {
        return Some(false);
    };
    let document = json::parse(data.get(at + 1..)?).ok()?;
    match path.select(&document, &mut Budget::for_answer()) {
        Selection::One(_) | Selection::Many(_) => Some(true),
        Selection::Nothing | Selection::OverBudget => None,
    }
}

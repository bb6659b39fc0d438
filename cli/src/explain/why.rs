//! Why a request went to its region, and why a header that could have been set was not. It tells
//! what the filter's own code says of the same values, and never shows a claim.

use std::rc::Rc;

use oidc_token_connector::claims::json::Json;
use oidc_token_connector::claims::jsonpath::Budget;
use oidc_token_connector::claims::required::Documents;
use oidc_token_connector::claims::rules::{Document, ValueRule};
use oidc_token_connector::claims::{self, Claim, token};
use oidc_token_connector::policy::{ClaimRule, Endpoint, Endpoints, Lists, Policy};
use oidc_token_connector::provider::endpoint;
use oidc_token_connector::provider::method::Response;
use oidc_token_connector::provider::response::Body;
use oidc_token_connector::request::bearer;
use oidc_token_connector::request::headers::{Field, HeaderView};

use super::args::Args;
use super::request::{Given, now};

/// The region that is called, or none, and the reason.
pub(super) fn region(policy: &Policy, head: &HeaderView<'_>) -> String {
    let Endpoints::Configured(table) = &policy.endpoints else {
        return "none: the configuration has no endpoint".to_owned();
    };
    let chosen = chosen(policy, head);
    let known = chosen.is_some_and(|asked| table.regions.iter().any(|r| Rc::ptr_eq(r, asked)));
    let chosen = chosen.map_or("none", |asked| &*asked.region);
    if table.unknown_issuer.is_some() {
        let token = bearer::parse(head, policy.max_token_bytes).ok();
        let payload = token.and_then(|token| token::payload(&token));
        let claims = payload.as_deref().and_then(token::claims);
        let names_one =
            matches!(claims.as_ref().and_then(|c| c.member("iss")), Some(Json::String(_)));
        let why = match (known, names_one) {
            (true, _) => "the issuer that the token names selects it",
            (false, true) => "the token names an issuer that issuers does not list",
            (false, false) if chosen == "none" && table.default.is_some() => {
                "the token looks like a JWT, and names no issuer that can be read"
            }
            (false, false) => "the token names no issuer",
        };
        return format!("{chosen}: {why}");
    }
    let Some(header) = &table.region_header else {
        return format!("{chosen}: the configuration has no regionCodeHeader");
    };
    let why = match head.field(header) {
        Field::Absent => "the request has no".to_owned(),
        Field::One(b"") => "the request has an empty".to_owned(),
        Field::Several => "the request has more than one".to_owned(),
        Field::One(_) if known => return format!("{chosen}: the request's {header} selects it"),
        Field::One(_) => return format!("{chosen}: the code in {header} is not configured"),
    };
    format!("{chosen}: {why} {header}")
}

/// Why a request for the path of the resource's metadata is answered like any other; none if it is not
/// for that path, or gets the metadata.
pub(super) fn no_metadata(policy: &Policy, args: &Args) -> Option<String> {
    let metadata = policy.metadata.as_ref()?;
    let path = args.path.split('?').next().unwrap_or_default();
    let (_, rest) = metadata.url.split_once("://")?;
    let authority = rest.split('/').next().unwrap_or_default();
    let default = if metadata.url.starts_with("https") { ":443" } else { ":80" };
    let bare = |text: &str| text.strip_suffix(default).unwrap_or(text).to_ascii_lowercase();
    (path == metadata.path() && bare(authority) != bare(&args.authority)).then(|| {
        format!(
            "the path is that of the metadata, and :authority is {}, expected {authority}: give \
             --authority {authority}",
            args.authority
        )
    })
}

/// The endpoint that is called about this request's token.
pub(super) fn chosen<'p>(policy: &'p Policy, head: &HeaderView<'_>) -> Option<&'p Rc<Endpoint>> {
    let token = bearer::parse(head, policy.max_token_bytes).ok()?;
    endpoint::choose(&policy.endpoints, head, &token).ok()
}

/// What the answer says of the user, as the filter reads it; none if that is no JSON.
pub(super) fn document<'b>(
    policy: &Policy,
    endpoint: &Endpoint,
    given: &'b Given,
) -> Option<Json<'b>> {
    let response = Response {
        status: Some(200),
        head: &given.headers.head(),
        body: Body::Read(&given.body),
        date: now().date,
        error_text: &policy.replies.provider_text,
    };
    endpoint.method.classify(&response).ok().flatten()
}

/// Headers and filter state that the request could have got from this answer and did not, each
/// with the reason. `set` says whether it got one of that name.
pub(super) fn left_out(
    policy: &Policy,
    head: &HeaderView<'_>,
    given: &Given,
    set: impl Fn(&str) -> bool,
) -> Vec<(String, &'static str)> {
    let Some(endpoint) = chosen(policy, head) else { return Vec::new() };
    let document = document(policy, endpoint, given);
    let payload = bearer::parse(head, policy.max_token_bytes).ok().and_then(|t| token::payload(&t));
    let claims = payload.as_deref().and_then(token::claims);
    let grants = endpoint.method.grants();
    let documents = Documents { response: document.as_ref(), token: claims.as_ref(), grants };
    // In the filter's order, because all share the budget.
    let mut budget = Budget::for_answer();
    let mut why = |rule: &ClaimRule| {
        let too_much = "all values together would exceed 16 KiB";
        unread(&rule.value, documents, &mut budget).unwrap_or(too_much)
    };
    let headers = endpoint.rules.iter().map(|rule| (rule.name.to_string(), why(rule)));
    let headers: Vec<_> = headers.collect();
    let state = endpoint.state.iter().map(|rule| (format!("wasm.{}", rule.name), why(rule)));
    headers.into_iter().chain(state).filter(|(name, _)| !set(name)).collect()
}

/// Why a rule gives no value from these documents; `None` if it gives one.
pub(super) fn unread(
    value: &ValueRule,
    documents: Documents<'_, '_>,
    budget: &mut Budget,
) -> Option<&'static str> {
    let Some(read) = documents.of(value.of) else {
        return Some(match value.of {
            Document::Response => "the answer is not JSON",
            Document::Token => "the token is no JWT whose claims can be read",
        });
    };
    Some(match (claims::read(read, value, budget), &value.lists) {
        (Claim::Absent, Lists::Joined(_)) => {
            "its path finds nothing to join: null, empty texts, arrays and objects are left out"
        }
        (Claim::Absent, _) => "its path finds nothing, null or an empty text",
        (Claim::Invalid, Lists::Joined(_)) => {
            "its value is not allowed in a header, or a reader that splits the list would not \
             get the same elements"
        }
        (Claim::Invalid, _) => "its value is not allowed in a header or filter state",
        (Claim::OverBudget, _) => "its path exceeds the step budget",
        (Claim::Value(_), _) => return None,
    })
}

//! Which rule of the route refuses a token that the provider has validated, and where it reads. The filter's
//! own code judges the same documents; the text has the value that was expected and the type that was found,
//! and must never show a claim.

use std::collections::BTreeMap;

use oidc_token_connector::claims::jsonpath::Budget;
use oidc_token_connector::claims::required::{Documents, Unmet};
use oidc_token_connector::claims::rules::Document;
use oidc_token_connector::claims::token;
use oidc_token_connector::policy::{self, Policy};
use oidc_token_connector::request::bearer;
use oidc_token_connector::request::headers::HeaderView;
use serde_json::Value;
use serde_json::value::RawValue;

use super::got;
use super::request::Given;
use super::why::{chosen, document, unread};
use crate::check::Instance;

/// The rule, if one is not fulfilled.
pub(super) fn unmet(
    instance: &Instance<'_>,
    policy: &Policy,
    head: &HeaderView<'_>,
    given: &Given,
) -> Option<String> {
    let endpoint = chosen(policy, head)?;
    let response = document(policy, endpoint, given);
    let payload = bearer::parse(head, policy.max_token_bytes).ok().and_then(|t| token::payload(&t));
    let claims = payload.as_deref().and_then(token::claims);
    let grants = endpoint.method.grants();
    let documents = Documents { response: response.as_ref(), token: claims.as_ref(), grants };
    let place = |document: Document| match (document, documents.of(document)) {
        (Document::Response, Some(_)) => "the response",
        (Document::Response, None) => "the response, which is not JSON",
        (Document::Token, Some(_)) => "the token",
        (Document::Token, None) => "the token, which is no JWT whose claims can be read",
    };
    let said = |name: &str| documents.of(grants).and_then(|document| document.member(name));
    let written = |key: &str, quantity: &str| {
        let written = instance.written();
        let values = written.as_ref().and_then(|written| written.get(key)?.as_array());
        let values: Vec<String> = values.into_iter().flatten().map(Value::to_string).collect();
        got::expected(quantity, &values)
    };
    let text = match policy.required.unmet(documents) {
        Some(Unmet::Issuer) => format!(
            "require_issuer: `iss` of {}: got {}, expected {}",
            place(grants),
            got::texts(said("iss"), false),
            written("require_issuer", "one of")
        ),
        Some(Unmet::Audience) => format!(
            "require_audience: `aud` of {}: got {}, expected {}",
            place(grants),
            got::texts(said("aud"), true),
            written("require_audience", "one of")
        ),
        Some(Unmet::Scope) => format!(
            "require_scope: `scope`, else `scp`, of {}: got {}, expected {}",
            place(grants),
            match got::texts(said("scope").or_else(|| said("scp")), true) {
                "another text" | "an array of other texts" => "not all scopes",
                other => other,
            },
            written("require_scope", "all of")
        ),
        Some(Unmet::Claim) => match claim(instance, documents) {
            Some(Claimed { path, values, of }) => {
                let document = documents.of(of);
                let found = document.map(|document| got::claim(&path, document, &values));
                let hint = document.map(|document| got::hint(&path, document)).unwrap_or_default();
                format!(
                    "require_claims: {path} of {}: got {}, expected {}{hint}",
                    place(of),
                    found.unwrap_or_else(|| "nothing".to_owned()),
                    got::expected("one of", &values)
                )
            }
            None => "require_claims: a number is written in another way, or all paths together \
                         exceed the step budget"
                .to_owned(),
        },
        Some(Unmet::Header) | None => {
            // In the filter's order, because all share the budget.
            let mut budget = Budget::for_answer();
            let rules = endpoint.rules.iter().chain(&*endpoint.state);
            let found: Vec<_> =
                rules.map(|rule| (rule, unread(&rule.value, documents, &mut budget))).collect();
            let mut required = found.iter().filter(|(rule, _)| rule.value.required);
            match required.find_map(|(rule, why)| Some((rule, (*why)?))) {
                Some((rule, why)) => format!(
                    "required: no valid value for {} in {}: {why}",
                    rule.name,
                    place(rule.value.of)
                ),
                None if found.iter().any(|(rule, _)| rule.value.required) => {
                    "required: all values together would exceed 16 KiB".to_owned()
                }
                None => return None,
            }
        }
    };
    Some(text)
}

/// A member of `require_claims`, its values as they are written.
struct Claimed {
    path: String,
    values: Vec<String>,
    of: Document,
}

/// One claim of `require_claims` that is not fulfilled, judged by the filter's own code one by one; none
/// where each would be, and all together exceed their budget.
fn claim(instance: &Instance<'_>, documents: Documents<'_, '_>) -> Option<Claimed> {
    let mut claims = claims_of(instance).into_iter().filter(|(path, values)| {
        let path = Value::from(path.as_str());
        let alone = format!(
            r#"{{"userinfo_endpoint": {{"defaultURI": "https://idp.example/"}},
                 "require_claims": {{{path}: {values}}}}}"#
        );
        let loaded = policy::read(alone.as_bytes());
        loaded.is_ok_and(|loaded| loaded.policy.required.unmet(documents).is_some())
    });
    let (path, values) = claims.next()?;
    let members: Members = serde_json::from_str(&values).unwrap_or_default();
    let of = match members.get("of").map(|of| of.get()) {
        Some("\"token\"") => Document::Token,
        Some(_) | None => Document::Response,
    };
    let values = members.get("any").map_or(&*values, |any| any.get());
    let list: Vec<Box<RawValue>> = serde_json::from_str(values).unwrap_or_default();
    let values = match &list[..] {
        [] => vec![values.to_owned()],
        list => list.iter().map(|value| value.get().to_owned()).collect(),
    };
    Some(Claimed { path, values, of })
}

/// An object whose values keep their spelling.
type Members = BTreeMap<String, Box<RawValue>>;

/// The members of `require_claims` as JSON text, in which numbers keep their spelling.
fn claims_of(instance: &Instance<'_>) -> Vec<(String, String)> {
    const KEY: &str = "require_claims";
    let written =
        instance.text().ok().and_then(|text| serde_json::from_slice::<Members>(text).ok());
    if let Some(written) = written {
        let claims = written.get(KEY);
        let claims = claims.and_then(|claims| serde_json::from_str::<Members>(claims.get()).ok());
        let claims = claims.unwrap_or_default().into_iter();
        return claims.map(|(path, values)| (path, values.get().to_owned())).collect();
    }
    // A Struct has no other spelling.
    let written = instance.written();
    let claims = written.as_ref().and_then(|written| written.get(KEY)?.as_object());
    let claims = claims.into_iter().flatten();
    claims.map(|(path, values)| (path.clone(), values.to_string())).collect()
}

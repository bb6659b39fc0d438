//! Which rule of the route refuses a token that the provider has validated, and where it reads. It tells
//! what the filter's own code says of the same documents, and never shows a claim.

use std::collections::BTreeMap;

use oidc_token_connector::claims::jsonpath::Budget;
use oidc_token_connector::claims::required::{Documents, Unmet};
use oidc_token_connector::claims::rules::Document;
use oidc_token_connector::claims::{self, Claim, token};
use oidc_token_connector::policy::{self, Policy};
use oidc_token_connector::request::bearer;
use oidc_token_connector::request::headers::HeaderView;
use serde_json::Value;
use serde_json::value::RawValue;

use super::request::Given;
use super::why::{chosen, document};
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
    let text = match policy.required.unmet(documents) {
        Some(Unmet::Issuer) => {
            format!("require_issuer: `iss` of {} is none of these", place(grants))
        }
        Some(Unmet::Audience) => {
            format!("require_audience: `aud` of {} has none of these", place(grants))
        }
        Some(Unmet::Scope) => {
            format!("require_scope: `scope`, else `scp`, of {} lacks one of these", place(grants))
        }
        Some(Unmet::Claim) => match claim(instance, documents) {
            Some((path, of)) => {
                format!("require_claims: {path} of {} is none of its values", place(of))
            }
            None => "require_claims: a number is written in another way, or all paths together \
                         exceed the step budget"
                .to_owned(),
        },
        Some(Unmet::Header) | None => {
            // In the filter's order, because all share the budget.
            let mut budget = Budget::for_answer();
            let mut has = |rule: &policy::ClaimRule| {
                let document = documents.of(rule.value.of);
                document.is_some_and(|document| {
                    matches!(claims::read(document, &rule.value, &mut budget), Claim::Value(_))
                })
            };
            let rules = endpoint.rules.iter().chain(&*endpoint.state);
            let found: Vec<_> = rules.map(|rule| (rule, has(rule))).collect();
            let mut required = found.iter().filter(|(rule, _)| rule.value.required);
            match required.find(|(_, has)| !has) {
                Some((rule, _)) => format!(
                    "required: no valid value for {} in {}",
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

/// One claim of `require_claims` that is not fulfilled, judged by the filter's own code one by one; none
/// where each would be, and all together exceed their budget.
fn claim(instance: &Instance<'_>, documents: Documents<'_, '_>) -> Option<(String, Document)> {
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
    let values: Value = serde_json::from_str(&values).ok()?;
    let of = match values.get("of").and_then(Value::as_str) {
        Some("token") => Document::Token,
        _ => Document::Response,
    };
    Some((path, of))
}

/// The members of `require_claims` as JSON text, in which numbers keep their spelling.
fn claims_of(instance: &Instance<'_>) -> Vec<(String, String)> {
    type Members = BTreeMap<String, Box<RawValue>>;
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

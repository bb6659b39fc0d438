//! The pieces of a request's way that grow with what they are given: documents, paths, headers.

use std::rc::Rc;

use oidc_token_connector::claims::ClaimFaults;
use oidc_token_connector::claims::json::{self, Json};
use oidc_token_connector::claims::jsonpath::{Budget, JsonPath};
use oidc_token_connector::claims::required::Documents;
use oidc_token_connector::filter::header_edit::{self, MappedClaims, Whose};
use oidc_token_connector::policy::{Endpoint, Endpoints, Policy};
use oidc_token_connector::provider::response::Answer;
use oidc_token_connector::request::strip::StripPlan;
use oidc_token_connector::time::UnixTime;
use oidc_token_connector::verdict;

use crate::documents::{SMALL, large};
use crate::gate::{answer, policy};
use crate::requests::{Request, token};
use crate::{Effect, Operation};

/// Name, path, how many nodes it finds in the large document.
const PATHS: [(&str, &str); 3] = [
    ("singular", "$.tenant.id"),
    ("wildcard", "$.groups[*].id"),
    ("filter", "$.groups[?@.level > 4].name"),
];

pub(crate) fn operations() -> Vec<Operation> {
    let mut all = Vec::new();
    for headers in [1, 3, 10] {
        for (size, body) in [("300-bytes", SMALL.to_owned()), ("8-KiB", large())] {
            let name = format!("claims/{headers}-headers/{size}");
            let body: &'static str = body.leak();
            all.push(Operation::new(name, move || {
                let (policy, answer) = (policy(headers, ""), answer("200", body));
                Box::new(move || Effect::Mapped(judged(&policy, &answer)))
            }));
        }
    }
    for (name, path) in PATHS {
        all.push(Operation::new(format!("jsonpath/{name}"), move || {
            let body: &'static str = large().leak();
            let document = json::parse(body.as_bytes()).unwrap_or_else(|e| panic!("{e:?}"));
            let document: &'static Json<'static> = Box::leak(Box::new(document));
            let path = JsonPath::compile(path).unwrap_or_else(|e| panic!("{e:?}"));
            Box::new(move || Effect::Finds(path.select(document, &mut Budget::for_answer())))
        }));
    }
    for headers in [8, 40] {
        for forged in [false, true] {
            let what = if forged { "three-forged" } else { "nothing-forged" };
            all.push(Operation::new(format!("strip/{headers}-headers/{what}"), move || {
                let request = Request::of(headers);
                let request = if forged { request.forged() } else { request };
                let view = request.bearing(&token(40)).view();
                let policy = policy(10, "");
                let claims = Rc::new(mapped_claims(&policy));
                Box::new(move || {
                    let strip_plan = StripPlan::of(&view, &policy.forward);
                    let whose = Whose::User(endpoint(&policy));
                    let edit = header_edit::edit(&claims, &policy.forward, whose, strip_plan);
                    Effect::Edits(edit)
                })
            }));
        }
    }
    all
}

fn endpoint(policy: &Policy) -> &Endpoint {
    match &policy.endpoints {
        Endpoints::Configured(table) => table.default.as_deref(),
        Endpoints::NotConfigured => None,
    }
    .unwrap_or_else(|| panic!("a default endpoint is configured"))
}

/// The result of an answer without claims: only the client's headers remain to edit.
fn mapped_claims(policy: &Policy) -> MappedClaims {
    let answer = answer("200", r#"{"sub":"248289761001"}"#);
    judged(policy, &answer)
}

/// What the headers of the policy become by this answer.
fn judged(policy: &Policy, answer: &Answer<'_>) -> MappedClaims {
    let (endpoint, text) = (endpoint(policy), &policy.replies.provider_text);
    let judged = verdict::judge(endpoint, text, answer, UnixTime(1_790_000_000));
    let permit = judged.unwrap_or_else(|refusal| panic!("{refusal:?}"));
    let documents =
        Documents { response: permit.claims(), token: None, grants: endpoint.method.grants() };
    let mut faults = ClaimFaults::default();
    let claims = MappedClaims::of(&permit, endpoint, documents, &mut faults);
    assert_eq!(faults, ClaimFaults::default(), "every claim is found");
    claims.unwrap_or_else(|unmet| panic!("{unmet:?}"))
}

//! What an instance requires of a token and of a request, where a setting is missing that usually
//! belongs to it.

use oidc_token_connector::policy::{Credentials, Endpoints, Policy};
use serde_json::Value;

use super::codes;
use super::finding::Findings;
use super::instance::Instance;

/// Looks at one instance's own settings.
pub(crate) fn check(instance: &Instance<'_>, findings: &mut Findings) {
    let Some(policy) = &instance.policy else { return };
    let place = &instance.place;
    if instance.clients().iter().any(|client| client.get("client_secret").is_some()) {
        let found = "introspection_client: client_secret is in the configuration";
        findings.add(codes::SECRET_IN_CLEAR, place, found);
    }
    let has_audience = instance.sets("require_audience");
    if policy.metadata.is_some() && !has_audience {
        let found = "protected_resource without require_audience";
        findings.add(codes::RESOURCE_WITHOUT_AUDIENCE, place, found);
    } else if instance.introspects() && !has_audience {
        findings.add(codes::AUDIENCE_NOT_REQUIRED, place, "introspection without require_audience");
    }
    if instance.introspects() && !instance.sets("require_scope") {
        findings.add(codes::SCOPE_NOT_REQUIRED, place, "introspection without require_scope");
    }
    if !instance.introspects() {
        let keys = ["require_scope", "require_audience", "require_issuer"];
        let set: Vec<&str> = keys.into_iter().filter(|key| instance.sets(key)).collect();
        if !set.is_empty() {
            let found = format!("{} with userinfo_endpoint", set.join(", "));
            findings.add(codes::RULE_NEEDS_JWT, place, found);
        }
    }
    check_servers(instance, policy, findings);
    if is_ambiguous(policy) && policy.forward.region_header.is_none() {
        let found = "issuers, and no region_header says whose subject it is";
        findings.add(codes::ISSUER_NOT_TOLD, place, found);
    }
    if policy.credentials == Credentials::Optional {
        findings.add(codes::ANONYMOUS_PASSES, place, "credentials: optional");
    }
}

/// Whether the backend gets subjects of several issuers.
fn is_ambiguous(policy: &Policy) -> bool {
    let Endpoints::Configured(table) = &policy.endpoints else { return false };
    let mut endpoints = table.regions.iter().chain(&table.default);
    let by_issuer = table.regions.iter().any(|endpoint| endpoint.issuer.is_some());
    let told = |endpoint: &std::rc::Rc<oidc_token_connector::policy::Endpoint>| {
        !endpoint.rules.is_empty() || !endpoint.state.is_empty()
    };
    by_issuer
        && table.regions.len() + usize::from(table.default.is_some()) > 1
        && endpoints.any(told)
}

/// Compares the issuers that the metadata name with those whose tokens are accepted.
fn check_servers(instance: &Instance<'_>, policy: &Policy, findings: &mut Findings) {
    let (Some(metadata), Some(written)) = (&policy.metadata, instance.written()) else { return };
    let required = written.get("require_issuer").and_then(Value::as_array);
    let required: Option<Vec<&str>> =
        required.map(|issuers| issuers.iter().filter_map(Value::as_str).collect());
    let Endpoints::Configured(table) = &policy.endpoints else { return };
    let issuers: Vec<&str> =
        table.regions.iter().filter_map(|endpoint| endpoint.issuer.as_deref()).collect();
    // Tokens of an issuer that is not listed are still asked about at the default endpoint.
    let listed = (!issuers.is_empty() && table.default.is_none()).then_some(issuers);
    for server in &metadata.authorization_servers {
        for (key, accepted) in [("require_issuer", &required), ("issuers", &listed)] {
            let is_refused =
                accepted.as_ref().is_some_and(|accepted| !accepted.contains(&server.as_str()));
            if is_refused {
                let found = format!("authorization_servers has {server}, and {key} does not");
                findings.add(codes::SERVER_REFUSED, &instance.place, found);
            }
        }
    }
}

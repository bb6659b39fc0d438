//! What an instance requires of a token and of a request, where a setting is missing that usually
//! belongs to it.

use oidc_token_connector::claims::rules::Document;
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
    let of_token = of_token(instance);
    if !of_token.is_empty() {
        let found = format!("{}: read from the token", of_token.join(", "));
        findings.add(codes::RULE_NEEDS_JWT, place, found);
    }
    check_servers(instance, policy, findings);
    check_resource(instance, policy, findings);
    check_maps(instance, findings);
    if is_ambiguous(policy) && policy.forward.region_header.is_none() {
        let found = "issuers, and no region_header says whose subject it is";
        findings.add(codes::ISSUER_NOT_TOLD, place, found);
    }
    if policy.credentials == Credentials::Optional {
        let rules = rules(instance);
        let rules = if rules.is_empty() {
            String::new()
        } else {
            format!("; a request without credentials skips {}", rules.join(", "))
        };
        findings.add(codes::ANONYMOUS_PASSES, place, format!("credentials: optional{rules}"));
    }
}

/// The rules that refuse every token that is no JWT.
fn of_token(instance: &Instance<'_>) -> Vec<String> {
    let mut rules: Vec<String> = Vec::new();
    if !instance.introspects() {
        let keys = ["require_scope", "require_audience", "require_issuer"];
        rules.extend(keys.into_iter().filter(|key| instance.sets(key)).map(str::to_owned));
    }
    let written = instance.written();
    let claims = written.as_ref().and_then(|written| written.get("require_claims")?.as_object());
    let of_token = |values: &Value| values.get("of").is_some_and(|of| of == "token");
    if claims.is_some_and(|claims| claims.values().any(of_token)) {
        rules.push("require_claims".to_owned());
    }
    for endpoint in instance.endpoints() {
        for rule in endpoint.rules.iter().chain(&*endpoint.state) {
            let name = format!("required {}", rule.name);
            if rule.value.required && rule.value.of == Document::Token && !rules.contains(&name) {
                rules.push(name);
            }
        }
    }
    rules
}

/// All rules about the user, which a request without credentials does not meet.
fn rules(instance: &Instance<'_>) -> Vec<String> {
    let keys = ["require_scope", "require_audience", "require_issuer", "require_claims"];
    let keys = keys.into_iter().filter(|key| instance.sets(key)).map(str::to_owned);
    let mut rules: Vec<String> = keys.collect();
    for endpoint in instance.endpoints() {
        for rule in endpoint.rules.iter().chain(&*endpoint.state) {
            let name = format!("required {}", rule.name);
            if rule.value.required && !rules.contains(&name) {
                rules.push(name);
            }
        }
    }
    rules
}

/// Compares what the metadata say of the resource with what its tokens must have.
fn check_resource(instance: &Instance<'_>, policy: &Policy, findings: &mut Findings) {
    let (Some(metadata), Some(written)) = (&policy.metadata, instance.written()) else { return };
    let texts = |list: Option<&Value>| -> Option<Vec<String>> {
        let texts = list?.as_array()?.iter().filter_map(Value::as_str);
        Some(texts.map(str::to_owned).collect())
    };
    let audience = texts(written.get("require_audience"));
    if audience.is_some_and(|audience| !audience.contains(&metadata.resource)) {
        let found =
            format!("resource is {}, and require_audience does not have it", metadata.resource);
        findings.add(codes::RESOURCE_NOT_IN_AUDIENCE, &instance.place, found);
    }
    let supported = written.get("protected_resource").and_then(|own| own.get("scopes_supported"));
    let Some(supported) = texts(supported) else { return };
    let required = texts(written.get("require_scope")).unwrap_or_default();
    for scope in required.iter().filter(|scope| !supported.contains(*scope)) {
        let found = format!("require_scope has {scope}, and scopes_supported does not");
        findings.add(codes::SCOPE_NOT_ADVERTISED, &instance.place, found);
    }
}

/// Looks for endpoints whose users get no header, where others do.
fn check_maps(instance: &Instance<'_>, findings: &mut Findings) {
    let Some(written) = instance.written() else { return };
    let maps = written.get("inject_headers").and_then(Value::as_object);
    let known = |name: &str| {
        name == "default" || instance.endpoints().iter().any(|endpoint| *endpoint.region == *name)
    };
    // An object with a path is one header's value, as the filter reads it.
    let is_map = |(name, value): (&String, &Value)| {
        value.is_object() && (known(name) || value.get("path").is_none())
    };
    let Some(maps) = maps.filter(|maps| maps.iter().any(is_map)) else { return };
    if maps.contains_key("default") {
        return;
    }
    for endpoint in instance.endpoints().iter().filter(|e| !maps.contains_key(&*e.region)) {
        let found = format!("inject_headers has no map for {}, and no default", endpoint.region);
        findings.add(codes::REGION_WITHOUT_HEADERS, &instance.place, found);
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

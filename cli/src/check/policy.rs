//! Risky settings of a configuration that loads, and of the plugin around it.

use std::collections::BTreeSet;

use oidc_token_connector::filter::{MOST_BYTES, MOST_HELD};
use oidc_token_connector::policy::{CacheScope, Caching, Policy, Success, Unavailable};

use serde_json::Value;

use super::finding::{Findings, shown};
use super::instance::{Instance, Platform};
use super::world::World;
use super::{capabilities, codes, environment, tokens};
use crate::tree::Node;

/// Looks at one instance's own settings.
pub(crate) fn check(instance: &Instance<'_>, findings: &mut Findings) {
    let (Some(policy), place) = (&instance.policy, &instance.place) else {
        return;
    };
    match policy.method.success() {
        // There `"active": true` validates a token, not the subject.
        Success::Object if instance.introspects() => {}
        Success::ObjectWithSubject | Success::ObjectWithSubjectAt(_) => {}
        Success::Object => {
            findings.add(codes::SUBJECT_NOT_REQUIRED, place, "require_subject is off");
        }
        Success::Any => findings.add_with(
            codes::SUBJECT_NOT_REQUIRED,
            place,
            "accept_any_200 is on: any page that answers 200 validates every token",
            Some("replace accept_any_200 by \"require_subject\": true".to_owned()),
        ),
    }
    for endpoint in instance.endpoints() {
        for site in endpoint.sites.iter().filter(|site| site.scheme == "http") {
            let (authority, path) = (&site.authority, &site.path);
            findings.add(
                codes::ENDPOINT_IN_CLEAR,
                place,
                format!("region {}: http://{authority}{path}", endpoint.region),
            );
        }
    }
    check_maxima(instance, policy, findings);
    check_headers(instance, findings);
    check_ignored(instance, findings);
    tokens::check(instance, findings);
    match policy.replies.unavailable {
        Unavailable::ServiceUnavailable { .. } => {}
        Unavailable::AsOwnError | Unavailable::Unauthorized => findings.add(
            codes::UNAVAILABLE_AS_401,
            place,
            "an unavailable provider is answered like an invalid token",
        ),
    }
}

/// Maxima that are never reached, since a worker refuses requests before.
fn check_maxima(instance: &Instance<'_>, policy: &Policy, findings: &mut Findings) {
    // Many sites by themselves are no mistake.
    if !["max_in_flight", "max_token_bytes"].iter().any(|key| instance.sets(key)) {
        return;
    }
    let endpoints = instance.endpoints();
    let clusters = endpoints.iter().flat_map(|endpoint| &endpoint.sites).map(|site| &site.cluster);
    let sites = clusters.collect::<BTreeSet<_>>().len();
    let (calls, longest) = (policy.call.max_in_flight, policy.max_token_bytes);
    let requests = calls.saturating_mul(sites);
    let bytes = requests.saturating_mul(longest);
    let clusters = if sites == 1 { "cluster" } else { "clusters" };
    let product = format!("max_in_flight {calls} × {sites} {clusters}");
    let found = if bytes > MOST_BYTES {
        let [bytes, most] = [bytes, MOST_BYTES].map(|bytes| bytes >> 20);
        format!(
            "{product} × max_token_bytes {longest} is {bytes} MiB, and a worker keeps {most} MiB"
        )
    } else if requests > MOST_HELD && instance.sets("max_in_flight") {
        format!("{product} is {requests} requests, and a worker holds {MOST_HELD}")
    } else {
        return;
    };
    findings.add(codes::MAXIMA_EXCEED_WORKER, &instance.place, found);
}

/// Fixed headers, which go to every provider alike. Their values are not shown.
fn check_headers(instance: &Instance<'_>, findings: &mut Findings) {
    let headers = instance.policy.iter().flat_map(|policy| &policy.call.headers);
    let own: Vec<&str> = headers
        .map(|(name, _)| name.as_str())
        .filter(|name| !["user-agent", "accept"].contains(name))
        .collect();
    // The sites of one endpoint are one provider's.
    let endpoints = instance.endpoints();
    let hosts = endpoints.iter().filter_map(|endpoint| endpoint.sites.first());
    let hosts: BTreeSet<&str> = hosts.map(|site| site.authority.as_str()).collect();
    if !own.is_empty() && hosts.len() > 1 {
        let found = format!("{} go to {} hosts", own.join(", "), hosts.len());
        findings.add(codes::HEADERS_FOR_SEVERAL, &instance.place, found);
    }
}

/// Values that count as not given, or as false, as in the source system.
fn check_ignored(instance: &Instance<'_>, findings: &mut Findings) {
    let Some(written) = instance.written() else { return };
    let mut check = |key: &str, allowed: &[&str], exact: bool, counts: &str| {
        let known = match written.get(key) {
            None | Some(Value::Null) => true,
            Some(Value::Bool(_)) => !exact,
            Some(Value::String(text)) => {
                let is = |word: &&str| {
                    text == word || !exact && text.eq_ignore_ascii_case(word) || text.is_empty()
                };
                allowed.iter().any(is)
            }
            Some(_) => false,
        };
        if !known {
            let allowed = allowed.join(" or ");
            let found =
                format!("{key}: got another value, expected {allowed}; it counts as {counts}");
            findings.add(codes::VALUE_IGNORED, &instance.place, found);
        }
    };
    let locations = ["ResponseHeaders", "ResponsePayload"];
    check("error_metadata_location", &locations, true, "absent");
    check("enable_error_set", &["true", "false"], false, "false");
}

/// Looks at Envoy's PluginConfig around one instance.
pub(crate) fn check_plugin(instance: &Instance<'_>, world: &World<'_>, findings: &mut Findings) {
    let Some(plugin) = &instance.plugin else {
        return;
    };
    if instance.node.is_true("is_optional") {
        let what = format!("{} is optional", instance.name);
        findings.add(codes::INSTANCE_OPTIONAL, &instance.node, what);
    }
    let policy = plugin.get("failure_policy");
    let word = match policy.as_ref().map(|node| node.value) {
        // Enums may be numbers.
        Some(number) if number.as_u64() == Some(1) => "FAIL_RELOAD",
        Some(number) if number.as_u64() == Some(3) => "FAIL_OPEN",
        word => word.and_then(Value::as_str).unwrap_or_default(),
    };
    let at = policy.as_ref().unwrap_or(plugin);
    for node in [Some(plugin), plugin.get("vm_config").as_ref()].into_iter().flatten() {
        check_spelling(node, findings);
    }
    if word == "FAIL_OPEN" {
        findings.add(codes::FAIL_OPEN, at, "failure_policy: FAIL_OPEN");
    } else if let Some(old) = plugin.get("fail_open").filter(|_| plugin.is_true("fail_open")) {
        findings.add(codes::FAIL_OPEN, &old, "fail_open: true");
    } else if word != "FAIL_RELOAD" {
        findings.add(codes::NO_RELOAD, at, "failure_policy is not FAIL_RELOAD");
    }
    if plugin.is_true("allow_on_headers_stop_iteration") {
        findings.add(codes::ITERATION_ALLOWED, plugin, "allow_on_headers_stop_iteration: true");
    }
    capabilities::check(instance, plugin, findings);
    check_vm_id(instance, plugin, world, findings);
    environment::check_plugin(instance, plugin, world, findings);
}

/// A field in both spellings: Envoy takes one of them.
pub(crate) fn check_spelling(node: &Node<'_>, findings: &mut Findings) {
    for name in node.spelt_twice() {
        findings.add(codes::SPELT_TWICE, node, format!("{name} is written in both spellings"));
    }
}

fn check_vm_id(
    instance: &Instance<'_>,
    plugin: &Node<'_>,
    world: &World<'_>,
    findings: &mut Findings,
) {
    let vm_id = |plugin: &Node<'_>| {
        let id = plugin.at(&["vm_config", "vm_id"]);
        id.and_then(|id| id.value.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let code = |plugin: &Node<'_>| plugin.at(&["vm_config", "code"]).map(|code| code.value.clone());
    let id = vm_id(plugin);
    if id.is_empty() {
        if shares_its_cache(instance) {
            without_vm_id(instance, "cache.shared is on, and vm_config has no vm_id", findings);
        } else {
            findings.add(codes::VM_ID_MISSING, plugin, "vm_config has no vm_id");
        }
        return;
    }
    let others = world.plugins.iter().filter(|other| world.together(plugin, other));
    for other in others.filter(|other| vm_id(other) == id && code(other) != code(plugin)) {
        findings.add(
            codes::VM_ID_SHARED,
            plugin,
            format!("other code has the same vm_id {id:?}, at {}", shown(other)),
        );
    }
}

/// Looks at what an Istio WasmPlugin (`spec`) says.
pub(crate) fn check_wasm_plugin(instance: &Instance<'_>, spec: &Node<'_>, findings: &mut Findings) {
    let strategy = spec.get("failStrategy");
    let at = strategy.as_ref().unwrap_or(spec);
    let remedy = |strategy: &str| Some(format!("set failStrategy: {strategy}"));
    match strategy.as_ref().and_then(|node| node.value.as_str()) {
        Some("FAIL_OPEN") => {
            findings.add_with(
                codes::FAIL_OPEN,
                at,
                "failStrategy: FAIL_OPEN",
                remedy("FAIL_RELOAD, or FAIL_CLOSE where Istio does not know that"),
            );
        }
        Some("FAIL_RELOAD") => {}
        Some(_) | None => {
            findings.add_with(
                codes::NO_RELOAD,
                at,
                "failStrategy is not FAIL_RELOAD",
                remedy("FAIL_RELOAD where Istio knows it"),
            );
        }
    }
    environment::check_wasm_plugin(instance, spec, findings);
    if shares_its_cache(instance) {
        without_vm_id(instance, "cache.shared is on, and a WasmPlugin has no vm_id", findings);
    }
}

/// Looks at what an Envoy Gateway EnvoyExtensionPolicy says of one of its Wasm extensions.
pub(crate) fn check_extension(instance: &Instance<'_>, world: &World<'_>, findings: &mut Findings) {
    let wasm = &instance.node;
    environment::check_extension(instance, world, findings);
    if let Some(open) = wasm.get("failOpen").filter(|_| wasm.is_true("failOpen")) {
        let remedy = Some("remove failOpen".to_owned());
        findings.add_with(codes::FAIL_OPEN, &open, "failOpen: true", remedy);
    }
}

fn without_vm_id(instance: &Instance<'_>, found: &str, findings: &mut Findings) {
    let remedy = match instance.platform {
        Platform::Istio if instance.plugin.is_none() => {
            Some("remove \"shared\" from cache, or use an EnvoyFilter with a vm_id".to_owned())
        }
        Platform::Istio | Platform::Envoy | Platform::Gateway | Platform::Alone => None,
    };
    findings.add_with(codes::SHARED_CACHE_WITHOUT_VM_ID, &instance.place, found, remedy);
}

fn shares_its_cache(instance: &Instance<'_>) -> bool {
    match instance.policy.as_ref().map(|policy| &policy.cache) {
        Some(Caching::On(cache)) => cache.scope == CacheScope::Process,
        Some(Caching::Off) | None => false,
    }
}

//! What a VM may do, where its plugin's configuration restricts that. Envoy leaves out a callback that is
//! not on the list, and the request goes on as if there were none.

use super::codes;
use super::finding::Findings;
use super::instance::Instance;
use crate::tree::Node;

/// What the module exports and imports, as its build compares it.
const EXPORTS: &str = include_str!("../../../src/shell/exports.txt");
const IMPORTS: &str = include_str!("../../../src/shell/imports.txt");

/// Looks at the restriction in Envoy's PluginConfig.
pub(super) fn check(instance: &Instance<'_>, plugin: &Node<'_>, findings: &mut Findings) {
    let Some(allowed) = plugin.at(&["capability_restriction_config", "allowed_capabilities"])
    else {
        return;
    };
    // An empty list restricts nothing.
    if allowed.members().is_empty() {
        return;
    }
    let missing: Vec<&str> = needed().filter(|name| allowed.member(name).is_none()).collect();
    if let [first, others @ ..] = &missing[..] {
        let more = match others.len() {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        let found = format!("allowed_capabilities of {} lacks {first}{more}", instance.name);
        let remedy = format!(
            "remove capability_restriction_config, or add what the module needs: {}",
            missing.join(", ")
        );
        findings.add_with(codes::CAPABILITY_MISSING, &allowed, found, Some(remedy));
    }
}

/// The names of what the module needs: callbacks first, since without them the gate is open.
fn needed() -> impl Iterator<Item = &'static str> {
    // Memory is not restricted.
    let callbacks = EXPORTS.lines().filter(|name| name.starts_with("proxy_on_"));
    let callbacks = callbacks.filter(|name| *name != "proxy_on_memory_allocate");
    let headers = |name: &&str| *name != "proxy_on_request_headers";
    let sorted = callbacks.clone().filter(move |n| !headers(n)).chain(callbacks.filter(headers));
    // Behind the second comment nothing is called.
    let called = IMPORTS.lines().skip_while(|line| line.starts_with('#'));
    let called = called.take_while(|line| !line.starts_with('#'));
    sorted.chain(called.filter_map(|line| Some(line.split_once('.')?.1)))
}

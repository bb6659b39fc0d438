//! Whether Istio's manifests put the filter where requests come through: what narrows a WasmPlugin or
//! an EnvoyFilter, and what leaves it without effect. And whether they still have the values of an
//! example.
//!
//! Only what the manifests themselves say is judged, never what Istio's own configuration may add.

use serde_json::Value;

use super::codes;
use super::finding::{Findings, shown};
use super::instance::{self, Instance, Platform};
use super::scope::{ROOT, meets, namespace, selector, surely_for_gateways};
use super::world::World;
use crate::tree::Node;

/// The filter that ends every list of filters, and its older name.
const ROUTER: &str = "envoy.filters.http.router";
const OLD_ROUTER: &str = "envoy.router";
/// The message of the Wasm filter.
const WASM: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";

/// Looks at every instance that Istio inserts.
pub(crate) fn check(world: &World<'_>, findings: &mut Findings) {
    let of_istio = || world.instances.iter().filter(|i| i.platform == Platform::Istio);
    for instance in of_istio() {
        match world.patches.iter().find(|patch| instance.node.is_inside(patch)) {
            Some(patch) => check_patch(instance, patch, world, findings),
            None => check_plugin(instance, world, findings),
        }
    }
    for patch in world.patches.iter().filter(|patch| is_insert(patch)) {
        check_extension(patch, world, findings);
    }
    let on = |instance: &&Instance<'_>| !instance.disabled && is_inserted(instance, world);
    let instances: Vec<&Instance<'_>> = of_istio().filter(on).collect();
    for (index, instance) in instances.iter().enumerate() {
        let mut before = instances.iter().take(index);
        if let Some(other) = before.find(|other| are_both_on(other, instance, world)) {
            let found =
                format!("the instance at {} is on for the same proxies", shown(&other.node));
            let remedy =
                "apply one of the two: a WasmPlugin, or the EnvoyFilter with its instances";
            let remedy = Some(remedy.to_owned());
            // Which of the two comes first is not known: it matters where only one removes it.
            let (code, found) = match instance.removes_the_token() && other.removes_the_token() {
                true => {
                    (codes::TOKEN_LOST_BEFORE, format!("{found}, and both remove Authorization"))
                }
                false => (codes::ROUTE_WITH_TWO_INSTANCES, found),
            };
            findings.add_with(code, &instance.node, found, remedy);
        }
    }
}

/// Values of the examples that nobody has replaced.
pub(crate) fn check_placeholders(instance: &Instance<'_>, findings: &mut Findings) {
    let plugin = instance.plugin.as_ref().and_then(|plugin| plugin.at(&["vm_config", "code"]));
    let remote = plugin.as_ref().and_then(|code| code.get("remote"));
    let code = instance.node.get("code");
    let image = code.as_ref().and_then(|code| code.get("image").or_else(|| code.get("http")));
    let places = [
        (Some(&instance.node), "url", "sha256"),
        (image.as_ref(), "url", "sha256"),
        (remote.as_ref(), "sha256", "sha256"),
    ];
    let uri = remote.as_ref().and_then(|remote| remote.get("http_uri"));
    let uri = uri.as_ref().and_then(|uri| uri.get("uri"));
    let mut judge = |node: &Node<'_>, what: &str| {
        let Some(text) = node.value.as_str() else { return };
        // The digest may be the end of an address: `…@sha256:000…`.
        let digest = text.rsplit_once("sha256:").map_or(text, |(_, digest)| digest);
        let zeros = digest.len() == 64 && digest.bytes().all(|byte| byte == b'0');
        if zeros || is_of_an_example(text) {
            let found = format!("{what} is {text}, a placeholder");
            findings.add(codes::PLACEHOLDER, node, found);
        }
    };
    for (node, url, digest) in places {
        for field in [url, digest] {
            if let Some(value) = node.and_then(|node| node.get(field)) {
                judge(&value, field);
            }
        }
    }
    if let Some(uri) = uri {
        judge(&uri, "uri");
    }
}

/// Whether an image's address is that of the examples of this repository.
fn is_of_an_example(address: &str) -> bool {
    const REGISTRY: &str = "registry.example";
    let address = address.split_once("://").map_or(address, |(_, rest)| rest);
    address.split(['/', ':']).next() == Some(REGISTRY)
}

fn check_plugin(instance: &Instance<'_>, world: &World<'_>, findings: &mut Findings) {
    let spec = &instance.node;
    if let Some(kind) = spec.get("type").filter(|kind| *kind.value == "NETWORK") {
        findings.add_with(
            codes::NOT_AN_HTTP_FILTER,
            &kind,
            "type: NETWORK",
            Some("remove type, or set type: HTTP".to_owned()),
        );
    }
    let targets = ["targetRef", "targetRefs"].iter().any(|field| spec.says(field));
    if let Some(at) = spec.get("selector").filter(|_| targets) {
        let found = "selector beside targetRefs: Istio refuses the manifest";
        let remedy =
            "keep one of the two: targetRefs for a Gateway of the Gateway API, else selector";
        findings.add_with(codes::INSTANCE_NOT_APPLIED, &at, found, Some(remedy.to_owned()));
    }
    let matches = spec.list("match");
    let for_gateways = world.manifest(spec).and_then(surely_for_gateways);
    // Istio takes a gateway's listeners for a client's.
    let misses = for_gateways.map(|for_gateways| if for_gateways { "SERVER" } else { "CLIENT" });
    let fits = |entry: &Node<'_>| misses.is_none() || entry.text("mode") != misses;
    let narrow = matches.iter().filter(|entry| fits(entry) && entry.list("ports").is_empty());
    if matches.is_empty() || narrow.count() > 0 {
        check_mode(spec, &matches, world, findings);
        return;
    }
    let ports = matches.iter().filter(|entry| fits(entry)).flat_map(|entry| entry.list("ports"));
    let ports = ports.filter_map(|port| port.get("number").map(|number| number.value.to_string()));
    let ports: Vec<String> = ports.collect();
    let at = spec.get("match").unwrap_or_else(|| spec.clone());
    if ports.is_empty() {
        let found = "match: in this mode no request passes through the filter";
        let mode = match for_gateways {
            Some(true) => "CLIENT, or no match",
            Some(false) | None => "SERVER, or no match",
        };
        let remedy = Some(format!("set mode: {mode}"));
        findings.add_with(codes::INSTANCE_NOT_APPLIED, &at, found, remedy);
    } else {
        let found = format!("match: only requests to port {}", ports.join(", "));
        findings.add(codes::INSTANCE_NARROWED, &at, found);
    }
}

/// A plugin of the root namespace without a selector is for gateways and workloads: one mode leaves out
/// what the other kind of proxy gets from clients.
fn check_mode(spec: &Node<'_>, matches: &[Node<'_>], world: &World<'_>, findings: &mut Findings) {
    let Some(manifest) = world.manifest(spec) else { return };
    let everywhere = namespace(manifest).is_none_or(|name| name == ROOT)
        && selector(manifest).is_empty()
        && spec.list("targetRefs").is_empty();
    let open = |mode: &str| match mode {
        "CLIENT" => Some("what comes to workloads passes without the filter"),
        "SERVER" => Some("what comes to gateways passes without the filter"),
        _ => None,
    };
    let mode = matches.first().and_then(|entry| entry.text("mode")).unwrap_or_default();
    let all = matches.iter().all(|entry| entry.text("mode") == Some(mode));
    if let (true, Some(open)) = (everywhere && all, open(mode)) {
        let at = spec.get("match").unwrap_or_else(|| spec.clone());
        let remedy = "remove match, or say by a selector or targetRefs whether the plugin is for \
                      gateways (CLIENT) or for workloads (SERVER)";
        let found = format!("mode {mode} for all proxies: {open}");
        findings.add_with(codes::INSTANCE_NARROWED, &at, found, Some(remedy.to_owned()));
    }
}

/// A patch that has an instance: that inserts it, or that others name.
fn check_patch(
    instance: &Instance<'_>,
    patch: &Node<'_>,
    world: &World<'_>,
    findings: &mut Findings,
) {
    match patch.text("applyTo") {
        Some("HTTP_FILTER") => check_insert(patch, world, findings),
        Some("EXTENSION_CONFIG") => {
            check_context(patch, world, findings);
            let inserts = world.patches.iter().filter(|patch| is_insert(patch));
            let inserts: Vec<&Node<'_>> = inserts.filter(|p| meets(p, instance, world)).collect();
            let own: Vec<_> = inserts.iter().filter(|p| name(p) == Some(&*instance.name)).collect();
            own.iter().for_each(|insert| check_insert(insert, world, findings));
            if own.is_empty() && !inserts.is_empty() {
                let others: Vec<&str> = inserts.iter().filter_map(|patch| name(patch)).collect();
                let found = format!(
                    "no HTTP_FILTER patch inserts {}; they insert {}",
                    instance.name,
                    others.join(", ")
                );
                let remedy =
                    "write the same name in the HTTP_FILTER and the EXTENSION_CONFIG patch";
                let remedy = Some(remedy.to_owned());
                findings.add_with(codes::INSTANCE_NOT_APPLIED, patch, found, remedy);
            }
        }
        applied => {
            // One inside a whole connection manager or listener is where that puts it.
            let value = patch.at(&["patch", "value"]);
            if value.is_some_and(|value| value.place == instance.node.place) {
                let at = patch.get("applyTo").unwrap_or_else(|| patch.clone());
                let applied = applied.unwrap_or_default();
                let found = format!("applyTo {applied}: got {}", instance.name);
                let remedy = format!(
                    "use applyTo: HTTP_FILTER and operation: INSERT_BEFORE with match…subFilter: \
                     {{ name: {ROUTER} }}"
                );
                findings.add_with(codes::NOT_AN_HTTP_FILTER, &at, found, Some(remedy));
            }
        }
    }
}

/// A patch that inserts the filter.
fn check_insert(patch: &Node<'_>, world: &World<'_>, findings: &mut Findings) {
    let Some(change) = patch.get("patch") else { return };
    let sub_filter = ["match", "listener", "filterChain", "filter", "subFilter"];
    let beside = patch.at(&sub_filter).and_then(|filter| filter.text("name"));
    let operation = change.text("operation");
    let wrong = match operation {
        Some("ADD") => Some("puts the filter behind the router, where Envoy refuses it"),
        Some("MERGE") => Some("changes a filter that is there, and inserts none"),
        Some("REMOVE") => Some("removes a filter, and inserts none"),
        Some("REPLACE") => Some("puts the filter in the place of others, or nowhere without them"),
        Some("INSERT_AFTER") if beside.is_none_or(|name| [ROUTER, OLD_ROUTER].contains(&name)) => {
            Some("puts the filter behind the router, where Envoy refuses it")
        }
        _ => None,
    };
    if let (Some(wrong), Some(operation)) = (wrong, operation) {
        let at = change.get("operation").unwrap_or(change);
        let found = format!("operation {operation} {wrong}");
        let remedy =
            format!("use operation: INSERT_BEFORE with match…subFilter: {{ name: {ROUTER} }}");
        findings.add_with(codes::INSTANCE_NOT_APPLIED, &at, found, Some(remedy));
    }
    check_context(patch, world, findings);
    for condition in conditions(patch) {
        let name = last(&condition);
        let parts = parts(patch, &condition, world);
        if !parts.is_empty() {
            let ports = if name == "portNumber" { ports(world) } else { Vec::new() };
            let own = |port: &String| {
                parts.contains(port) || condition.value.as_u64() == port.parse().ok()
            };
            if !ports.is_empty() && ports.iter().all(own) {
                continue;
            }
            if ports.is_empty() {
                let found = format!(
                    "{name}: the filter is inserted in parts, and whether these are all requests is \
                     not known"
                );
                let remedy = "remove the condition, and insert the filter once";
                let remedy = Some(remedy.to_owned());
                findings.add_with(codes::PATCH_NOT_JUDGED, &condition, found, remedy);
                continue;
            }
        }
        let value =
            condition.value.as_str().map_or_else(|| condition.value.to_string(), str::to_owned);
        let found = match name {
            "portNumber" => format!("portNumber: only requests to port {value}"),
            name => format!("{name}: only where it is {value}"),
        };
        findings.add(codes::INSTANCE_NARROWED, &condition, found);
    }
}

/// Everything that a patch asks of listeners, connections and proxies. The filter that it names is only
/// the place in a list.
fn conditions<'a>(patch: &Node<'a>) -> Vec<Node<'a>> {
    const PLACE: [&str; 2] = ["filterChain", "filter_chain"];
    let parts: [&[&str]; 3] =
        [&["match", "listener"], &["match", "listener", "filter_chain"], &["match", "proxy"]];
    let members =
        parts.into_iter().filter_map(|path| patch.at(path)).flat_map(|node| node.members());
    let asks = |(name, node): &(&str, Node<'_>)| {
        // Istio takes what is empty for not said.
        let said = match node.value {
            Value::Null => false,
            Value::Number(number) => number.as_u64() != Some(0),
            Value::String(text) => !text.is_empty(),
            Value::Object(members) => !members.is_empty(),
            Value::Bool(_) | Value::Array(_) => true,
        };
        said && !PLACE.contains(name) && *name != "filter"
    };
    members.filter(asks).map(|(_, node)| node).collect()
}

/// The name of the field.
fn last<'n>(node: &'n Node<'_>) -> &'n str {
    node.place.rsplit('.').next().unwrap_or_default()
}

/// What other patches that insert the same filter ask instead of a condition, and nothing else.
fn parts(patch: &Node<'_>, condition: &Node<'_>, world: &World<'_>) -> Vec<String> {
    let fields = |patch: &Node<'_>| {
        let fields = conditions(patch);
        fields.iter().map(|field| last(field).to_owned()).collect::<Vec<String>>()
    };
    let others = world.patches.iter().filter(|other| {
        other.text("applyTo") == Some("HTTP_FILTER")
            && name(other).is_some()
            && name(other) == name(patch)
            && fields(other) == fields(patch)
    });
    let values = others
        .flat_map(|other| conditions(other))
        .filter(|other| last(other) == last(condition) && other.value != condition.value);
    values.map(|value| value.value.to_string()).collect()
}

/// The ports of all Gateways in the files.
fn ports(world: &World<'_>) -> Vec<String> {
    let servers = world.istio_gateways.iter().filter_map(|gateway| gateway.get("spec"));
    let servers = servers.flat_map(|spec| spec.list("servers"));
    let ports = servers.filter_map(|server| server.at(&["port", "number"]));
    ports.map(|port| port.value.to_string()).collect()
}

/// What a workload calls itself needs no token of a client.
fn check_context(patch: &Node<'_>, world: &World<'_>, findings: &mut Findings) {
    let Some(context) = patch.at(&["match", "context"]) else { return };
    let for_gateways = world.manifest(patch).and_then(surely_for_gateways) == Some(true);
    let wrong = match context.value.as_str() {
        Some("SIDECAR_OUTBOUND") => "only what the workload itself calls",
        Some("SIDECAR_INBOUND") if for_gateways => "no gateway",
        _ => return,
    };
    let found = format!("context {}: {wrong}", context.value.as_str().unwrap_or_default());
    let remedy = "set context: GATEWAY for gateways, SIDECAR_INBOUND for what comes to workloads";
    findings.add_with(codes::INSTANCE_NOT_APPLIED, &context, found, Some(remedy.to_owned()));
}

/// A Wasm filter whose configuration no patch has.
fn check_extension(patch: &Node<'_>, world: &World<'_>, findings: &mut Findings) {
    let Some(own) = name(patch) else { return };
    let known = world.patches.iter().filter(|p| p.text("applyTo") == Some("EXTENSION_CONFIG"));
    let mut known = known.filter_map(name);
    // What another module's patch names may be in a file that is not given.
    let mut instances = world.instances.iter().filter(|i| i.platform == Platform::Istio);
    let ours = instance::is_name(own) || instances.any(|instance| !is_inserted(instance, world));
    if ours && !known.any(|name| name == own) {
        let found = format!("no EXTENSION_CONFIG patch has {own}");
        findings.add(codes::EXTENSION_CONFIG_MISSING, patch, found);
    }
}

/// Whether a patch inserts a Wasm filter whose configuration is elsewhere.
fn is_insert(patch: &Node<'_>) -> bool {
    let discovery = patch.at(&["patch", "value", "config_discovery"]);
    let urls = discovery.map(|discovery| discovery.list("type_urls")).unwrap_or_default();
    let is_wasm = |url: &Node<'_>| url.value.as_str().is_some_and(|url| url.ends_with(WASM));
    patch.text("applyTo") == Some("HTTP_FILTER") && urls.iter().any(is_wasm)
}

fn name<'a>(patch: &Node<'a>) -> Option<&'a str> {
    patch.at(&["patch", "value"])?.text("name")
}

/// Whether an instance that others have to name is named.
fn is_inserted(instance: &Instance<'_>, world: &World<'_>) -> bool {
    let own = world.patches.iter().find(|patch| instance.node.is_inside(patch));
    own.is_none_or(|own| own.text("applyTo") != Some("EXTENSION_CONFIG"))
        || world.patches.iter().any(|p| is_insert(p) && name(p) == Some(&*instance.name))
}

/// Whether two instances are in the same proxies, by what the manifests say.
fn are_both_on(one: &Instance<'_>, other: &Instance<'_>, world: &World<'_>) -> bool {
    let context = |instance: &Instance<'_>| {
        let patch = world.patches.iter().find(|patch| instance.node.is_inside(patch))?;
        let context = patch.at(&["match", "context"])?;
        context.value.as_str().filter(|context| *context != "ANY").map(str::to_owned)
    };
    let patch =
        |instance: &Instance<'_>| world.patches.iter().find(|patch| instance.node.is_inside(patch));
    let in_parts = |(one, other): (&Node<'_>, &Node<'_>)| {
        conditions(one).iter().any(|condition| {
            let mut others = conditions(other).into_iter();
            others.any(|own| last(&own) == last(condition) && own.value != condition.value)
        })
    };
    if patch(one).zip(patch(other)).is_some_and(in_parts) {
        return false;
    }
    let apart = match (context(one), context(other)) {
        (Some(one), Some(other)) => one != other,
        (None, _) | (_, None) => false,
    };
    !apart && meets(&one.node, other, world)
}

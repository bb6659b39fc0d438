//! Changes of EnvoyFilters and EnvoyPatchPolicies that undo what protects requests: the filter, the
//! guard, TLS to the provider, the settings of paths. And those of which this check cannot tell.
//!
//! What the connector's own manifests do, and what other rooms judge, is not named here.

use super::finding::Findings;
use super::instance::{Instance, Platform};
use super::scope::{meets, namespace, same_context, surely_for_gateways};
use super::world::World;
use super::{codes, guard, routes};
use crate::tree::Node;

const MANAGER: &str = "envoy.filters.network.http_connection_manager";
const MANAGER_MESSAGE: &str =
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
/// The settings of paths, and what switches each off.
const PATHS: [(&str, &[&str]); 3] = [
    ("normalize_path", &["false"]),
    ("merge_slashes", &["false"]),
    (
        "path_with_escaped_slashes_action",
        &["KEEP_UNCHANGED", "IMPLEMENTATION_SPECIFIC_DEFAULT", "0", "1"],
    ),
];
/// The fields of a connection manager that lead requests elsewhere, or to other filters.
const WAYS: [&str; 7] = [
    "http_filters",
    "route_config",
    "rds",
    "scoped_routes",
    "upgrade_configs",
    "original_ip_detection_extensions",
    "typed_header_validation_config",
];

/// What a change does to what it names.
enum Effect {
    /// It plainly takes away what protects.
    Undoes(String),
    /// It may.
    Unjudged(String),
}

fn say(effect: Option<Effect>, at: &Node<'_>, findings: &mut Findings) {
    match effect {
        Some(Effect::Undoes(found)) => findings.add(codes::PATCH_UNDOES, at, found),
        Some(Effect::Unjudged(found)) => findings.add(codes::PATCH_NOT_JUDGED, at, found),
        None => {}
    }
}

/// Looks at every change of an EnvoyFilter that meets an instance.
pub(crate) fn check(world: &World<'_>, findings: &mut Findings) {
    for patch in &world.patches {
        // One with an instance is judged where that is.
        if world.instances.iter().any(|instance| instance.node.is_inside(patch)) {
            continue;
        }
        let mut instances = world.instances.iter().filter(|instance| {
            instance.platform == Platform::Istio
                && meets(patch, instance, world)
                && is_near(patch, instance, world)
        });
        let effect = instances.find_map(|instance| effect(patch, instance, world));
        say(effect, patch, findings);
    }
}

/// Whether a patch is for what clients' requests go through, or for the clusters that an instance calls.
fn is_near(patch: &Node<'_>, instance: &Instance<'_>, world: &World<'_>) -> bool {
    let context = patch.at(&["match", "context"]);
    if context.is_none_or(|context| *context.value != "SIDECAR_OUTBOUND") {
        return same_context(patch, instance, world);
    }
    let own = world.patches.iter().find(|patch| instance.node.is_inside(patch));
    let at_gateway = own.and_then(|own| own.at(&["match", "context"]));
    patch.text("applyTo") == Some("CLUSTER")
        && at_gateway.is_none_or(|context| *context.value != "GATEWAY")
        && world.manifest(&instance.node).and_then(surely_for_gateways) != Some(true)
}

fn effect(patch: &Node<'_>, instance: &Instance<'_>, world: &World<'_>) -> Option<Effect> {
    let operation = patch.at(&["patch"])?.text("operation").unwrap_or("MERGE").to_owned();
    let value = patch.at(&["patch", "value"]);
    let applied = patch.text("applyTo").unwrap_or_default();
    let changes = matches!(&*operation, "MERGE" | "REMOVE" | "REPLACE");
    let unjudged = |what: &str| Some(Effect::Unjudged(format!("{operation} of {what}")));
    match applied {
        "HTTP_FILTER" if changes => of_filter(patch, &operation, instance, world),
        "NETWORK_FILTER" => of_network_filter(patch, &operation),
        "HTTP_ROUTE" | "VIRTUAL_HOST" | "ROUTE_CONFIGURATION" => {
            of_routes(&value?, instance, world)
        }
        "CLUSTER" if changes => of_cluster(patch, &operation, instance),
        // A whole one is judged like any other; a gateway's other listeners are not ours.
        "LISTENER" | "FILTER_CHAIN" => unjudged(match applied {
            "LISTENER" => "a listener",
            _ => "a filter chain",
        }),
        "EXTENSION_CONFIG" if changes => {
            unjudged(value.as_ref()?.text("name").unwrap_or("a filter's configuration"))
        }
        "BOOTSTRAP" => {
            let members = value.as_ref()?.members();
            let other = members.iter().find(|(name, field)| !is_usual(name, field))?;
            unjudged(&format!("{} of the bootstrap", other.0))
        }
        _ => None,
    }
}

/// What the connector's own manifests set in a bootstrap, and what is about counters only.
fn is_usual(name: &str, field: &Node<'_>) -> bool {
    const LIMIT: &str = "http.async_response_buffer_limit";
    let only_limit = |layer: &Node<'_>| {
        let values = layer.get("static_layer").map(|values| values.members()).unwrap_or_default();
        values.iter().all(|(name, _)| *name == LIMIT)
    };
    match name {
        "layered_runtime" | "layeredRuntime" => field.list("layers").iter().all(only_limit),
        name => name.starts_with("stats"),
    }
}

/// A filter that is there.
fn of_filter(
    patch: &Node<'_>,
    operation: &str,
    instance: &Instance<'_>,
    world: &World<'_>,
) -> Option<Effect> {
    let path = ["match", "listener", "filterChain", "filter", "subFilter"];
    let value = patch.at(&["patch", "value"]);
    let beside = patch.at(&path);
    let Some(name) = beside.as_ref().and_then(|filter| filter.text("name")) else {
        return Some(match operation {
            "MERGE" => Effect::Unjudged("MERGE into every filter".to_owned()),
            _ => Effect::Undoes(format!("{operation} of every filter, the connector's too")),
        });
    };
    let off = value.is_some_and(|value| value.is_true("disabled"));
    let whose = match (is_called(name, instance, world), is_guard(name, world)) {
        (true, _) => Some("the connector"),
        (false, true) => Some("the guard"),
        (false, false) => None,
    };
    Some(match whose {
        Some(whose) if off || operation != "MERGE" => {
            Effect::Undoes(format!("{operation} of {name}, which is {whose}"))
        }
        _ => Effect::Unjudged(format!("{operation} of {name}")),
    })
}

/// Whether that is an instance's name in Envoy: Istio makes one of a WasmPlugin's.
fn is_called(name: &str, instance: &Instance<'_>, world: &World<'_>) -> bool {
    if instance.plugin.is_some() {
        return name == instance.name;
    }
    let Some((_, plugin)) = name.split_once("/wasmplugin/") else { return false };
    let there = world.manifest(&instance.node).and_then(namespace);
    match (there, plugin.split_once('.')) {
        (Some(there), Some((own, plugin))) => own == there && plugin == instance.name,
        (None, Some((_, plugin))) => plugin == instance.name,
        (_, None) => false,
    }
}

/// Whether an EnvoyFilter inserts a guard of that name.
fn is_guard(name: &str, world: &World<'_>) -> bool {
    let values = world.patches.iter().filter_map(|patch| patch.at(&["patch", "value"]));
    guard_in(values, name)
}

fn guard_in<'a>(mut values: impl Iterator<Item = Node<'a>>, name: &str) -> bool {
    values.any(|value| value.text("name") == Some(name) && guard::is_guard(&value))
}

fn of_network_filter(patch: &Node<'_>, operation: &str) -> Option<Effect> {
    let beside = patch.at(&["match", "listener", "filterChain", "filter"]);
    let beside = beside.as_ref().and_then(|filter| filter.text("name"));
    let ours = beside.is_none_or(|name| name == MANAGER);
    let value = patch.at(&["patch", "value"]);
    match operation {
        "REMOVE" | "REPLACE" if ours => Some(Effect::Undoes(format!(
            "{operation} of the connection manager, and of all filters in it"
        ))),
        "MERGE" if ours => {
            let fields = value?.get("typed_config")?.message(MANAGER_MESSAGE)?;
            if let Some(off) = paths_off(&fields) {
                return Some(Effect::Undoes(off));
            }
            let way = WAYS.iter().find(|way| fields.has(way))?;
            Some(Effect::Unjudged(format!("MERGE of {way}")))
        }
        _ => {
            let own = value.as_ref().and_then(|value| value.text("name"));
            let name = own.or(beside).unwrap_or("a network filter");
            Some(Effect::Unjudged(format!("{operation} of {name}")))
        }
    }
}

/// A setting of paths that is switched off.
fn paths_off(fields: &Node<'_>) -> Option<String> {
    PATHS.iter().find_map(|(field, off)| {
        let value = fields.get(field)?.value.to_string();
        let value = value.trim_matches('"');
        off.contains(&value).then(|| format!("{field}: {value} switches off a protection of paths"))
    })
}

/// Routes that switch off a WasmPlugin, or the guard alone.
fn of_routes(value: &Node<'_>, instance: &Instance<'_>, world: &World<'_>) -> Option<Effect> {
    let hosts = value.list("virtual_hosts");
    let inner: Vec<Node<'_>> =
        hosts.iter().chain([value]).flat_map(|level| level.list("routes")).collect();
    let mut levels = hosts.iter().chain(&inner).chain([value]);
    levels.find_map(|level| {
        if routes::public(level).is_some() {
            return None;
        }
        let configs = level.get("typed_per_filter_config")?.members();
        let off = |name: &str, config: &Node<'_>| {
            !routes::switches_on(config)
                && (instance.plugin.is_none() && is_called(name, instance, world)
                    || is_guard(name, world)
                        && routes::switch(level, &instance.name) != Some(false))
        };
        let (name, _) = configs.iter().find(|(name, config)| off(name, config))?;
        Some(Effect::Undoes(format!("switches off {name} for {}", routes::label(level))))
    })
}

/// A provider's cluster, or all of them.
fn of_cluster(patch: &Node<'_>, operation: &str, instance: &Instance<'_>) -> Option<Effect> {
    let named = patch.at(&["match", "cluster"]);
    let text = |field: &str| named.as_ref().and_then(|named| named.text(field));
    let is_meant = |cluster: &str| {
        text("name").is_none_or(|name| name == cluster)
            && text("service").is_none_or(|host| cluster.ends_with(&format!("|{host}")))
    };
    let endpoints = instance.endpoints();
    let mut clusters = endpoints.iter().flat_map(|endpoint| &endpoint.sites);
    let site = clusters.find(|site| is_meant(&site.cluster))?;
    let found = format!("{operation} of {}, the provider's cluster", site.cluster);
    let socket = patch.at(&["patch", "value", "transport_socket"]);
    let plain = socket.as_ref().is_some_and(is_plain);
    Some(match operation {
        _ if plain => Effect::Undoes(format!("{found}: it loses TLS")),
        "REMOVE" => Effect::Undoes(found),
        _ => Effect::Unjudged(found),
    })
}

/// Whether a transport socket encrypts nothing.
fn is_plain(socket: &Node<'_>) -> bool {
    const RAW: &str = "raw_buffer";
    socket.text("name").is_some_and(|name| name.ends_with(RAW))
        || socket.get("typed_config").is_some_and(|config| {
            config.any().is_some_and(|(message, _)| message.contains(&format!(".{RAW}.")))
        })
}

/// Looks at every operation of an EnvoyPatchPolicy that meets an instance.
pub(super) fn check_policy(
    policy: &Node<'_>,
    instance: &Instance<'_>,
    world: &World<'_>,
    findings: &mut Findings,
) {
    let patches = policy.get("spec").map(|spec| spec.list("jsonPatches")).unwrap_or_default();
    for patch in &patches {
        let Some(operation) = patch.get("operation") else { continue };
        say(of_operation(patch, &operation, instance, world), patch, findings);
    }
}

/// The place that an operation names, of both ways to write it.
pub(super) fn place(operation: &Node<'_>) -> String {
    ["jsonPath", "path"].iter().filter_map(|field| operation.text(field)).collect()
}

fn of_operation(
    patch: &Node<'_>,
    operation: &Node<'_>,
    instance: &Instance<'_>,
    world: &World<'_>,
) -> Option<Effect> {
    let kind = patch.text("type").unwrap_or_default().rsplit('.').next().unwrap_or_default();
    let name = patch.text("name").unwrap_or_default();
    let op = operation.text("op").unwrap_or_default();
    let place = place(operation);
    let takes = matches!(op, "remove" | "replace" | "move");
    let value = operation.get("value");
    let unjudged = || Some(Effect::Unjudged(format!("{op} of {place} in {kind} {name}")));
    let undoes = |what: &str| Some(Effect::Undoes(format!("{op} of {place}: {what}")));
    if kind == "Cluster" {
        let endpoints = instance.endpoints();
        let mut sites = endpoints.iter().flat_map(|endpoint| &endpoint.sites);
        if !sites.any(|site| site.cluster == name) {
            return None;
        }
        let of_tls =
            ["transport_socket", "validation_context", "trusted_ca", "match_typed_subject"]
                .iter()
                .any(|field| place.contains(field));
        let plain = value.as_ref().is_some_and(is_plain);
        return match plain || of_tls && matches!(op, "remove" | "move") {
            true => undoes("the provider's cluster loses TLS, or a part of it"),
            false => unjudged(),
        };
    }
    if op == "test" || is_added(operation).is_some() {
        return None;
    }
    let last = place.trim_end_matches('/').rsplit(['/', '.']).next().unwrap_or_default();
    let said = value.as_ref().map(|value| value.value.to_string());
    let said = said.as_deref().map(|said| said.trim_matches('"'));
    if let Some((field, off)) = PATHS.iter().find(|(field, _)| *field == last) {
        return match op == "remove" || said.is_some_and(|said| off.contains(&said)) {
            true => undoes(&format!("it switches off {field}")),
            false => None,
        };
    }
    let mut guards = world.gateway.patches.iter().filter_map(|other| {
        let value = other.at(&["operation", "value"])?;
        guard::is_guard(&value).then(|| value.text("name")).flatten()
    });
    let off = last == "disabled" && said == Some("true")
        || value.as_ref().is_some_and(|value| value.is_true("disabled"))
        || value.as_ref().is_some_and(|value| !routes::switches_on(value));
    if (takes || off) && place.contains("envoy.filters.http.wasm") {
        return undoes("it takes away the connector, or another module");
    }
    if (takes || off) && guards.any(|guard| place.contains(guard)) {
        return undoes("it takes away the guard");
    }
    if takes && matches!(last, "http_filters" | "filters" | "filter_chains") {
        return undoes("it takes away every filter");
    }
    unjudged()
}

/// Where an operation adds a filter, if that is known: behind an instance (true), or before it.
pub(super) fn is_added(operation: &Node<'_>) -> Option<bool> {
    let path = place(operation);
    if operation.text("op") != Some("add") {
        None
    } else if path.ends_with("/http_filters/0") || path.ends_with("http_filters[0]") {
        Some(false)
    } else if path.contains("http_filters[") && path.contains("envoy.filters.http.router") {
        Some(true)
    } else {
        None
    }
}

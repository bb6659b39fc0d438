//! Kubernetes manifests: Istio's WasmPlugin, EnvoyFilter, ServiceEntry, DestinationRule and
//! VirtualService, and Envoy Gateway's EnvoyExtensionPolicy with the kinds that make the provider's
//! cluster. Other kinds are passed over.

use serde_json::Value;

use super::finding::Findings;
use super::instance::{self, Instance, Platform};
use super::world::World;
use super::{codes, envoy};
use crate::tree::Node;

/// The kinds that are read, by the API group that has them: other groups have kinds of the same names.
const KINDS: [(&str, &[&str]); 5] = [
    ("extensions.istio.io", &["WasmPlugin"]),
    (
        "gateway.envoyproxy.io",
        &[
            "Backend",
            "BackendTrafficPolicy",
            "ClientTrafficPolicy",
            "EnvoyExtensionPolicy",
            "EnvoyPatchPolicy",
            "EnvoyProxy",
            "SecurityPolicy",
        ],
    ),
    (
        "gateway.networking.k8s.io",
        &[
            "BackendTLSPolicy",
            "GRPCRoute",
            "Gateway",
            "HTTPRoute",
            "TCPRoute",
            "TLSRoute",
            "UDPRoute",
        ],
    ),
    (
        "networking.istio.io",
        &["DestinationRule", "EnvoyFilter", "Gateway", "ServiceEntry", "VirtualService"],
    ),
    ("security.istio.io", &["RequestAuthentication"]),
];

/// Kinds that may lead past the filter, or load it, and that are not read.
const UNREAD: [(&str, &str); 3] = [
    ("extensions.istio.io", "TrafficExtension"),
    ("gateway.networking.k8s.io", "ListenerSet"),
    ("gateway.networking.x-k8s.io", "XListenerSet"),
];

/// Says of manifests beside an instance that they were not judged.
pub(crate) fn check_unread(root: &Node<'_>, world: &World<'_>, findings: &mut Findings) {
    let in_cluster = |i: &Instance<'_>| matches!(i.platform, Platform::Istio | Platform::Gateway);
    if !world.instances.iter().any(in_cluster) {
        return;
    }
    if root.text("kind") == Some("List") {
        for item in root.list("items") {
            check_unread(&item, world, findings);
        }
    }
    let group = root.text("apiVersion").and_then(|version| version.split_once('/'));
    let kind = root.text("kind").unwrap_or_default();
    if group.is_some_and(|(group, _)| UNREAD.contains(&(group, kind))) {
        findings.add(codes::NOT_JUDGED, root, format!("a {kind}, which check does not read"));
    }
}

/// Whether a manifest, or one of a list, is of a kind that is read.
pub(crate) fn is_known(manifest: &Node<'_>) -> bool {
    match manifest.text("kind") {
        Some("List") => manifest.list("items").iter().any(is_known),
        kind => kind.is_some_and(|kind| is_read(kind, manifest)),
    }
}

/// Whether a kind is read. A manifest without a group may be of any.
fn is_read(kind: &str, manifest: &Node<'_>) -> bool {
    let version = manifest.text("apiVersion");
    let group = version.map(|version| version.split_once('/').map_or("", |(group, _)| group));
    let mut known = KINDS.iter().filter(|(_, kinds)| kinds.contains(&kind));
    known.any(|(known, _)| group.is_none_or(|group| group == *known))
}

/// Takes what is of interest from a manifest.
pub(crate) fn read<'a>(world: &mut World<'a>, manifest: &Node<'a>) {
    let Some(kind) = manifest.text("kind") else {
        return;
    };
    if kind == "List" {
        for item in manifest.list("items") {
            read(world, &item);
        }
        return;
    }
    if !is_read(kind, manifest) {
        return;
    }
    let Some(spec) = manifest.get("spec") else {
        return;
    };
    let metadata = manifest.get("metadata");
    let text = |field| metadata.as_ref().and_then(|metadata| metadata.text(field));
    if let Some(name) = text("name") {
        let key = (kind, text("namespace").unwrap_or_default(), name);
        let applied = world.applied.entry(key).or_default();
        if applied.contains(&spec.value) {
            return;
        }
        applied.push(spec.value);
    }
    if matches!(kind, "EnvoyFilter" | "WasmPlugin") {
        world.manifests.push(manifest.clone());
    }
    match kind {
        "EnvoyFilter" => {
            world.patches.extend(spec.list("configPatches"));
            envoy::walk(world, &spec, None, Platform::Istio);
        }
        "VirtualService" => world.virtual_services.push(manifest.clone()),
        "RequestAuthentication" => world.authentications.push(manifest.clone()),
        "HTTPRoute" => world.gateway.routes.push(manifest.clone()),
        "Backend" => world.gateway.backends.push(manifest.clone()),
        "BackendTLSPolicy" => world.gateway.tls_policies.push(manifest.clone()),
        "BackendTrafficPolicy" => world.gateway.traffic_policies.push(manifest.clone()),
        "EnvoyPatchPolicy" => {
            world.gateway.patch_policies.push(manifest.clone());
            world.gateway.patches.extend(spec.list("jsonPatches"));
        }
        "ClientTrafficPolicy" => world.gateway.client_policies.push(manifest.clone()),
        "SecurityPolicy" => world.gateway.security_policies.push(manifest.clone()),
        "EnvoyProxy" => world.gateway.proxies.push(manifest.clone()),
        "ServiceEntry" => world.service_entries.push(manifest.clone()),
        "DestinationRule" => world.destination_rules.push(manifest.clone()),
        "WasmPlugin" => world.instances.extend(wasm_plugin(manifest, &spec)),
        "Gateway" if is_of_istio(manifest) => world.istio_gateways.push(manifest.clone()),
        "Gateway" => world.gateway.gateways.push(manifest.clone()),
        "TCPRoute" | "TLSRoute" | "UDPRoute" => world.gateway.streams.push(manifest.clone()),
        "GRPCRoute" => world.gateway.other_routes.push(manifest.clone()),
        "EnvoyExtensionPolicy" => {
            world.gateway.extensions.push(manifest.clone());
            world.instances.extend(spec.list("wasm").iter().filter_map(extension));
        }
        _ => {}
    }
}

/// Whether it is Istio's kind of that name, and not that of the Gateway API.
fn is_of_istio(manifest: &Node<'_>) -> bool {
    manifest.text("apiVersion").is_some_and(|version| version.starts_with("networking.istio.io/"))
}

fn wasm_plugin<'a>(manifest: &Node<'a>, spec: &Node<'a>) -> Option<Instance<'a>> {
    let name = manifest.at(&["metadata", "name"]);
    let name = name.and_then(|name| name.value.as_str()).unwrap_or_default();
    let names = [Some(name), spec.text("url"), spec.text("pluginName")];
    instance(name, &names, spec, spec.get("pluginConfig"), Platform::Istio)
}

fn extension<'a>(wasm: &Node<'a>) -> Option<Instance<'a>> {
    let name = wasm.text("name").unwrap_or_default();
    let url = |kind| wasm.at(&["code", kind, "url"]).and_then(|url| url.value.as_str());
    let names = [Some(name), wasm.text("rootID"), url("http"), url("image")];
    instance(name, &names, wasm, wasm.get("config"), Platform::Gateway)
}

fn instance<'a>(
    name: &str,
    names: &[Option<&str>],
    node: &Node<'a>,
    config: Option<Node<'a>>,
    platform: Platform,
) -> Option<Instance<'a>> {
    let own = config.as_ref().is_some_and(|config| instance::is_own(config.value));
    if !own && !names.iter().flatten().any(|name| instance::is_name(name)) {
        return None;
    }
    // The control plane hands it to Envoy as JSON text.
    let text = match config.as_ref().map(|config| config.value) {
        None => Vec::new(),
        Some(Value::String(text)) => text.clone().into_bytes(),
        Some(value) => value.to_string().into_bytes(),
    };
    Some(Instance::new(name, node, platform, config.as_ref().unwrap_or(node), Ok(text)))
}

//! Whether Istio's VirtualServices lead past the filters of gateways to what these protect: by routes
//! for connections (`tcp`, `tls`), which no filter for requests sees, or by a Gateway of other proxies.
//!
//! Where a filter may be at the workloads themselves, or where it is not certain which proxies a Gateway
//! is for, nothing is said.

use super::attached::{PUBLIC, public};
use super::codes;
use super::finding::{Findings, shown};
use super::instance::{Instance, Platform};
use super::scope::{namespace, selector, surely_for_gateways};
use super::world::World;
use crate::tree::Node;

/// Looks at all VirtualServices.
pub(crate) fn check(world: &World<'_>, findings: &mut Findings) {
    let instances = world.instances.iter();
    let instances: Vec<&Instance<'_>> =
        instances.filter(|i| i.platform == Platform::Istio && !i.disabled).collect();
    let own: Vec<&Node<'_>> =
        instances.iter().filter_map(|instance| world.manifest(&instance.node)).collect();
    if own.is_empty() || own.iter().any(|own| surely_for_gateways(own) != Some(true)) {
        return;
    }
    let mut protected: Vec<(String, Node<'_>)> = Vec::new();
    for service in &world.virtual_services {
        if ways(service, &own, world).iter().any(|way| matches!(way, Way::Filtered)) {
            let routes = service.get("spec").map(|spec| spec.list("http")).unwrap_or_default();
            for route in &routes {
                protected
                    .extend(hosts(route, service).into_iter().map(|host| (host, route.clone())));
            }
        }
    }
    for service in &world.virtual_services {
        let Some(spec) = service.get("spec") else { continue };
        let ways = ways(service, &own, world);
        for (field, by) in [("http", None), ("tcp", Some("tcp")), ("tls", Some("tls"))] {
            let open = ways.iter().find_map(|way| match (way, by) {
                (Way::Past(gateway), _) => {
                    Some(format!("through the Gateway at {}", shown(gateway)))
                }
                (Way::Filtered, Some(by)) => Some(format!("by {by}, for connections as they are")),
                (Way::Filtered, None) | (Way::Unknown, _) => None,
            });
            let Some(open) = open else { continue };
            for route in spec.list(field) {
                let hosts = hosts(&route, service);
                let Some((host, there)) = protected.iter().find(|(host, _)| hosts.contains(host))
                else {
                    continue;
                };
                let past = ways.iter().find_map(|way| match way {
                    Way::Past(gateway) => public(gateway),
                    Way::Filtered | Way::Unknown => None,
                });
                if let Some(why) = public(service).or(past) {
                    let found = format!("the way to {host} {open} is public: {why}");
                    findings.add(codes::ROUTE_PUBLIC, &route, found);
                    continue;
                }
                let found = format!("{host} {open}: the filter protects it at {}", shown(there));
                let remedy = format!(
                    "lead it to another host, or put the filter there as well; or, if it is public, \
                     give the reason in the metadata of the VirtualService: annotations: {{ \
                     {PUBLIC}: WHY }}"
                );
                findings.add_with(codes::ROUTE_UNPROTECTED, &route, found, Some(remedy));
            }
        }
    }
}

/// What requests meet at one of a VirtualService's gateways.
enum Way<'w, 'a> {
    /// The filter.
    Filtered,
    /// Proxies of a Gateway that have no filter.
    Past(&'w Node<'a>),
    /// Proxies of which that is not known, or calls inside the mesh.
    Unknown,
}

fn ways<'w, 'a>(service: &Node<'a>, own: &[&Node<'a>], world: &'w World<'a>) -> Vec<Way<'w, 'a>> {
    let gateways = service.get("spec").map(|spec| spec.list("gateways")).unwrap_or_default();
    let names = gateways.iter().filter_map(|name| name.value.as_str());
    let way = |name: &str| {
        let (there, name) = match name.split_once('/') {
            Some((there, name)) => (Some(there), name),
            None => (namespace(service), name),
        };
        let gateway = world.istio_gateways.iter().find(|gateway| {
            let called = gateway.at(&["metadata", "name"]);
            called.is_some_and(|called| *called.value == name)
                && (there.is_none() || namespace(gateway).is_none() || namespace(gateway) == there)
        });
        // One that is not in the files is taken for that of the filter.
        let Some(gateway) = gateway else { return Way::Filtered };
        let labels = gateway.at(&["spec", "selector"]).map(|all| all.members()).unwrap_or_default();
        let meets = |own: &Node<'_>| {
            let wanted = selector(own);
            let value = |name: &str| labels.iter().find(|(label, _)| *label == name);
            let all = wanted
                .iter()
                .map(|(name, wanted)| value(name).map(|(_, value)| value.value == wanted.value));
            let all: Vec<Option<bool>> = all.collect();
            match all.contains(&Some(false)) {
                true => Some(false),
                false => (!all.is_empty() && !all.contains(&None)).then_some(true),
            }
        };
        let met: Vec<Option<bool>> = own.iter().map(|own| meets(own)).collect();
        match (met.contains(&Some(true)), met.contains(&None)) {
            (true, _) => Way::Filtered,
            (false, true) => Way::Unknown,
            (false, false) => Way::Past(gateway),
        }
    };
    names.filter(|name| *name != "mesh").map(way).collect()
}

/// The hosts to which a route leads, also with a copy of the request, by their whole names.
fn hosts(route: &Node<'_>, service: &Node<'_>) -> Vec<String> {
    let copies = route.list("mirrors").into_iter();
    let parts = route.list("route").into_iter().chain(copies);
    let destinations = parts.filter_map(|part| part.get("destination")).chain(route.get("mirror"));
    let hosts = destinations.filter_map(|destination| destination.text("host"));
    let whole = |host: &str| match (host.contains('.'), namespace(service)) {
        (false, Some(there)) => format!("{host}.{there}.svc.cluster.local"),
        _ => host.to_owned(),
    };
    hosts.map(whole).collect()
}

//! What Istio's other manifests do to requests that an instance lets pass, or has yet to see: the routes
//! of VirtualServices, RequestAuthentications, and the filters and routes of EnvoyFilters.
//!
//! Where the order of two filters is not known from the manifests, nothing is said.

use super::fed::Fed;
use super::finding::Findings;
use super::headers::{self, Mutation};
use super::instance::Instance;
use super::scope::{self, ROOT, is_for_gateways, namespace, surely_for_gateways};
use super::world::World;
use super::{chain, codes};
use crate::tree::Node;

/// Looks at everything around the instances of Istio's manifests.
pub(crate) fn check<'a>(instances: &[&Instance<'a>], world: &World<'a>, findings: &mut Findings) {
    for instance in instances {
        for service in world.virtual_services.iter().filter(|s| chooses(s, instance, world)) {
            check_service(service, instance, findings);
        }
        for manifest in &world.authentications {
            check_authentication(manifest, instance, world, findings);
        }
        check_filters(instance, world, findings);
    }
}

/// Whether a VirtualService is for the mesh's own calls only, and not for gateways.
pub(crate) fn is_for_the_mesh(service: &Node<'_>) -> bool {
    let gateways = service.get("spec").map(|spec| spec.list("gateways")).unwrap_or_default();
    gateways.iter().all(|gateway| *gateway.value == "mesh")
}

/// Whether the routes of a VirtualService are chosen in a proxy in which the instance is: in a gateway,
/// or for what a workload calls itself.
fn chooses(service: &Node<'_>, instance: &Instance<'_>, world: &World<'_>) -> bool {
    let Some(manifest) = world.manifest(&instance.node) else { return false };
    match surely_for_gateways(manifest) {
        Some(true) => !is_for_the_mesh(service),
        Some(false) => false,
        None if is_for_gateways(manifest) => !is_for_the_mesh(service),
        None => namespace(manifest).is_none_or(|name| name == ROOT),
    }
}

fn check_service(service: &Node<'_>, instance: &Instance<'_>, findings: &mut Findings) {
    let routes = service.get("spec").map(|spec| spec.list("http")).unwrap_or_default();
    for route in &routes {
        let matched = route.list("match").into_iter();
        let matched = matched.flat_map(|matched| {
            let fields = ["headers", "withoutHeaders"].map(|field| matched.get(field));
            fields.into_iter().flatten().flat_map(|headers| headers.members())
        });
        for (name, header) in matched {
            check_match(name, &header, instance, findings);
        }
        let parts = route.list("route").into_iter().chain([route.clone()]);
        for changes in parts.filter_map(|part| part.at(&["headers", "request"])) {
            let written = ["set", "add"].map(|field| changes.get(field));
            for (name, value) in written.into_iter().flatten().flat_map(|list| list.members()) {
                let Some(format) = value.value.as_str() else { continue };
                check_written(&[Mutation::Write(name, format.into())], &value, instance, findings);
            }
        }
    }
}

/// A route that depends on a header that the instance removes or sets.
pub(crate) fn check_match(
    name: &str,
    header: &Node<'_>,
    instance: &Instance<'_>,
    findings: &mut Findings,
) {
    if name.eq_ignore_ascii_case("authorization") {
        if instance.removes_the_token() {
            let found =
                format!("the route matches on Authorization, which {} removes", instance.name);
            findings.add(codes::ROUTE_BY_AUTHORIZATION, header, found);
        }
    } else if instance.strips(&name.to_ascii_lowercase()) {
        let found = format!("the route matches on {name}, which the filter sets");
        findings.add(codes::ROUTE_BY_IDENTITY_HEADER, header, found);
    }
}

/// An identity header that a route writes from what the client says: behind all filters.
pub(crate) fn check_written(
    changes: &[Mutation<'_>],
    at: &Node<'_>,
    instance: &Instance<'_>,
    findings: &mut Findings,
) {
    if let Some(written) = headers::forged(changes, instance, &Fed::default()) {
        let found = format!("{written}, behind {}", instance.name);
        findings.add(codes::IDENTITY_OVERWRITTEN, at, found);
    }
}

/// A RequestAuthentication removes the token unless it is told to forward it. Its filter is behind a
/// WasmPlugin of phase AUTHN, and lets requests without a token pass: there it does no harm.
fn check_authentication(
    manifest: &Node<'_>,
    instance: &Instance<'_>,
    world: &World<'_>,
    findings: &mut Findings,
) {
    let Some(own) = world.manifest(&instance.node) else { return };
    let behind = match instance.plugin {
        Some(_) => !own_place(instance, world).is_some_and(|place| place == Place::Front),
        None => instance.node.text("phase") != Some("AUTHN"),
    };
    if !scope::share_proxies(manifest, own) {
        return;
    }
    for rule in manifest.get("spec").map(|spec| spec.list("jwtRules")).unwrap_or_default() {
        if !behind {
            let claims = rule.list("outputClaimToHeaders");
            let claims = claims.iter().filter_map(|claim| claim.text("header"));
            let mut names = claims.chain(rule.text("outputPayloadToHeader"));
            if let Some(name) = names.find(|name| instance.strips(name)) {
                let found =
                    format!("a RequestAuthentication writes {name}, behind {}", instance.name);
                findings.add(codes::IDENTITY_OVERWRITTEN, &rule, found);
            }
            continue;
        }
        let headers = rule.list("fromHeaders");
        let named = |header: &Node<'_>| {
            header.text("name").is_some_and(|name| name.eq_ignore_ascii_case("authorization"))
        };
        let elsewhere = ["fromParams", "fromCookies"].iter().any(|field| rule.says(field));
        let reads = headers.iter().any(named) || (headers.is_empty() && !elsewhere);
        if reads && !rule.is_true("forwardOriginalToken") {
            let found =
                format!("a RequestAuthentication removes the token before {}", instance.name);
            let remedy = "set forwardOriginalToken: true; or put the WasmPlugin into phase AUTHN, \
                          which is before it";
            findings.add_with(codes::TOKEN_LOST_BEFORE, &rule, found, Some(remedy.to_owned()));
        }
    }
}

/// Where a patch puts a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the beginning of the list.
    Front,
    /// Right before the router, after all that is there.
    Router,
}

fn place(patch: &Node<'_>) -> Option<Place> {
    let path = ["match", "listener", "filterChain", "filter", "subFilter"];
    let beside = patch.at(&path);
    let beside = beside.as_ref().and_then(|filter| filter.text("name"));
    match (patch.at(&["patch"])?.text("operation")?, beside) {
        ("INSERT_FIRST", _) | ("INSERT_BEFORE", None) => Some(Place::Front),
        ("INSERT_BEFORE", Some("envoy.filters.http.router" | "envoy.router")) => {
            Some(Place::Router)
        }
        _ => None,
    }
}

/// The patch that puts an instance into the list: its own, or the one that names it.
fn inserting<'w, 'a>(instance: &Instance<'_>, world: &'w World<'a>) -> Option<&'w Node<'a>> {
    let inserts = || world.patches.iter().filter(|p| p.text("applyTo") == Some("HTTP_FILTER"));
    inserts().find(|patch| instance.node.is_inside(patch)).or_else(|| {
        inserts().find(|patch| {
            let value = patch.at(&["patch", "value"]);
            value.is_some_and(|value| {
                value.has("config_discovery") && value.text("name") == Some(&*instance.name)
            })
        })
    })
}

fn own_place(instance: &Instance<'_>, world: &World<'_>) -> Option<Place> {
    inserting(instance, world).and_then(place)
}

/// Other filters that EnvoyFilters insert.
fn check_filters<'a>(instance: &Instance<'a>, world: &World<'a>, findings: &mut Findings) {
    let own = inserting(instance, world);
    if instance.plugin.is_some() && own.is_none() {
        return;
    }
    let is_instance = |patch: &Node<'_>| {
        world.instances.iter().any(|instance| {
            instance.node.is_inside(patch)
                || inserting(instance, world).is_some_and(|own| {
                    own.place == patch.place && std::ptr::eq(own.document, patch.document)
                })
        })
    };
    let patches = world.patches.iter().filter(|patch| {
        patch.text("applyTo") == Some("HTTP_FILTER")
            && scope::meets(patch, instance, world)
            && scope::same_context(patch, instance, world)
            && !is_instance(patch)
    });
    let patches: Vec<&Node<'a>> = patches.collect();
    let value = |patch: &&Node<'a>| patch.at(&["patch", "value"]);
    let values: Vec<Node<'a>> = patches.iter().filter_map(value).collect();
    for patch in &patches {
        let Some(entry) = value(patch) else { continue };
        let behind = match (place(patch), own.map(place)) {
            (Some(Place::Front), None | Some(Some(Place::Router))) => false,
            (Some(Place::Router), None | Some(Some(Place::Front))) => true,
            // The later one is nearer to the place that both name.
            (Some(Place::Router), Some(Some(Place::Router))) => match later(patch, own, world) {
                Some(later) => later,
                None => {
                    unjudged(&entry, patch, instance, findings);
                    continue;
                }
            },
            (Some(Place::Front), Some(Some(Place::Front))) => match later(patch, own, world) {
                Some(later) => !later,
                None => {
                    unjudged(&entry, patch, instance, findings);
                    continue;
                }
            },
            _ if !inserts(patch) => continue,
            _ => {
                unjudged(&entry, patch, instance, findings);
                continue;
            }
        };
        chain::check_beside(&entry, &values, instance, behind, findings);
    }
}

/// Whether a patch puts a filter into the list, or next to it.
fn inserts(patch: &Node<'_>) -> bool {
    let operation = patch.get("patch");
    let operation = operation.as_ref().and_then(|patch| patch.text("operation"));
    operation.is_some_and(|operation| operation.starts_with("INSERT") || operation == "ADD")
}

/// A filter that may be before or behind an instance.
fn unjudged(entry: &Node<'_>, patch: &Node<'_>, instance: &Instance<'_>, findings: &mut Findings) {
    let name = entry.text("name").unwrap_or("a filter");
    let found =
        format!("inserts {name}, and whether before or behind {} is not known", instance.name);
    let remedy =
        "give the two EnvoyFilters different priorities, and insert both before the router";
    findings.add_with(codes::PATCH_NOT_JUDGED, patch, found, Some(remedy.to_owned()));
}

/// Whether a patch is applied after another, by their manifests' priorities and their order in one.
fn later(patch: &Node<'_>, own: Option<&Node<'_>>, world: &World<'_>) -> Option<bool> {
    let own = own?;
    let (there, here) = (world.manifest(patch)?, world.manifest(own)?);
    if std::ptr::eq(there.value, here.value) {
        let at =
            |one: &Node<'_>| world.patches.iter().position(|p| std::ptr::eq(p.value, one.value));
        return Some(at(patch)? > at(own)?);
    }
    let priority = |manifest: &Node<'_>| {
        let said = manifest.at(&["spec", "priority"]);
        said.and_then(|said| said.value.as_i64()).unwrap_or_default()
    };
    let (there, here) = (priority(there), priority(here));
    (there != here).then_some(there > here)
}

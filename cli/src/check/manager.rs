//! The settings of an HTTP connection manager and a bootstrap around the filter.

use std::time::Duration;

use oidc_token_connector::policy::{Policy, Preflight};

use super::finding::Findings;
use super::instance::Instance;
use super::routes::{self, Way};
use super::world::{Manager, World};
use super::{admin, chain, codes, duration, guard, labels, metadata, others, policy, runtime};
use crate::tree::Node;

/// The time of a reply in addition to the calls: 250 ms in docs/operations.md.
const GRACE: Duration = Duration::from_millis(250);

/// Looks at a manager that has the filter, and at its routes, which are handed back as far as they
/// are in these files.
pub(crate) fn check<'a>(
    index: usize,
    world: &World<'a>,
    findings: &mut Findings,
) -> Option<Vec<Way<'a>>> {
    let (manager, instances) = (world.managers.get(index)?, world.instances_in(index));
    if instances.is_empty() {
        return None;
    }
    policy::check_spelling(&manager.node, findings);
    check_cors(manager, &instances, world, findings);
    check_underscores(manager, findings);
    let ways = routes::check(manager, &instances, world, findings);
    check_idle(manager, &instances, ways.as_deref(), findings);
    check_default(&instances, ways.as_deref().unwrap_or_default(), findings);
    check_whole_request(manager, &instances, ways.as_deref(), findings);
    chain::check(manager, &instances, ways.as_deref(), world, findings);
    guard::check(manager, &instances, ways.as_deref(), findings);
    metadata::check(manager, &instances, world, findings);
    others::check_upgrades(manager, world, ways.as_deref(), findings);
    ways
}

/// Looks at what a patch says of a connection manager in which the filter is.
pub(crate) fn check_patch(
    patched: &Manager<'_>,
    instances: &[(usize, &Instance<'_>)],
    findings: &mut Findings,
) {
    let inside = |(_, instance): &(usize, &Instance<'_>)| instance.manager.is_some();
    if instances.is_empty() || instances.iter().any(inside) {
        return;
    }
    if patched.node.has("stream_idle_timeout") {
        check_idle(patched, instances, None, findings);
    }
    check_whole_request(patched, instances, None, findings);
    for (_, instance) in instances {
        chain::check_early(patched, instance, findings);
    }
}

/// Whether one of the instances is on where no route says anything.
fn check_default(instances: &[(usize, &Instance<'_>)], ways: &[Way<'_>], found: &mut Findings) {
    // Envoy Gateway switches these on for each route that it makes of its manifests.
    const GATEWAYS: &str = "envoy.filters.http.wasm/envoyextensionpolicy/";
    let mut own = instances.iter().filter(|(_, i)| !i.name.starts_with(GATEWAYS)).peekable();
    let Some((_, first)) = own.peek().copied() else { return };
    let protected = ways.iter().all(|way| !way.on.is_empty() || way.public.is_some());
    // Where a route is not protected that is said, and is the greater harm.
    if protected && !ways.is_empty() && own.all(|(_, instance)| instance.disabled) {
        let what = "every instance is off unless a route switches it on";
        found.add(codes::NO_DEFAULT_INSTANCE, &first.node, what);
    }
}

fn check_cors(
    manager: &Manager<'_>,
    instances: &[(usize, &Instance<'_>)],
    world: &World<'_>,
    found: &mut Findings,
) {
    const CORS: &str = "envoy.extensions.filters.http.cors.v3.Cors";
    let is_cors = |filter: &Node<'_>| {
        let config = filter.get("typed_config");
        let is_cors = config.is_some_and(|config| config.message(CORS).is_some())
            || filter.text("name") == Some("envoy.filters.http.cors");
        is_cors && !filter.is_true("disabled")
    };
    let Some(cors) = manager.filters.iter().rposition(is_cors) else {
        return;
    };
    // Written wherever filters are configured, or as the older field.
    let has_policy = |config: &Node<'_>| {
        let text = config.value.to_string();
        ["cors.v3.CorsPolicy\"", "\"cors\":", "\"vhds\":"].iter().any(|word| text.contains(word))
    };
    let configs = routes::configurations(manager, world);
    let entry = manager.filters.get(cors);
    if let (Some(entry), Some(configs)) = (entry, configs)
        && !configs.iter().any(has_policy)
    {
        let name = entry.text("name").unwrap_or_default();
        let what = format!("{name} has no CorsPolicy in its routes");
        found.add(codes::CORS_WITHOUT_POLICY, entry, what);
    }
    for (_, instance) in instances {
        let name = instance.name.as_str();
        let at = manager.filters.iter().position(|filter| filter.text("name") == Some(name));
        let passes =
            instance.policy.as_ref().is_some_and(|policy| policy.preflight == Preflight::Pass);
        if at.is_some_and(|at| at < cors) && !passes {
            let what = format!("{name} is before the CORS filter");
            found.add(codes::CORS_AFTER_FILTER, &instance.node, what);
        }
    }
}

fn check_underscores(manager: &Manager<'_>, findings: &mut Findings) {
    let options = manager.node.get("common_http_protocol_options");
    let action = options.and_then(|options| options.text("headers_with_underscores_action"));
    if !matches!(action, Some("REJECT_REQUEST" | "DROP_HEADER")) {
        let found = "headers with underscores in their names are forwarded";
        findings.add(codes::UNDERSCORES_PASS, &manager.node, found);
    }
}

/// The longest that an instance may hold a request by its own rules.
fn patience(policy: &Policy, instance: &Instance<'_>) -> Duration {
    let several = instance.endpoints().iter().any(|endpoint| endpoint.sites.len() > 1);
    let calls = if several { policy.call.deadline } else { policy.call.timeout };
    calls.saturating_add(GRACE)
}

/// The finding if an instance may hold a request as long as Envoy's own timeout, or longer.
fn too_long(instance: &Instance<'_>, limit: Duration, what: &str) -> Option<String> {
    let patience = patience(instance.policy.as_ref()?, instance);
    (patience >= limit).then(|| {
        let (name, limit) = (&instance.name, duration::shown(limit));
        format!("{name} may take {}, {what} is {limit}", duration::shown(patience))
    })
}

fn check_idle(
    manager: &Manager<'_>,
    instances: &[(usize, &Instance<'_>)],
    ways: Option<&[Way<'_>]>,
    findings: &mut Findings,
) {
    let field = "stream_idle_timeout";
    let general = duration::of(&manager.node, field);
    let at_general = manager.node.get(field).unwrap_or_else(|| manager.node.clone());
    let mut judge = |own: Option<(Duration, &Node<'_>)>, on: &[usize]| {
        let (time, at, what) = match own {
            Some((time, at)) => (Some(time), at, "the route's idle_timeout"),
            None => (general, &at_general, field),
        };
        match time {
            None => findings.add(codes::NO_STREAM_IDLE_TIMEOUT, at, format!("no {field}")),
            Some(time) if time.is_zero() => {
                findings.add(codes::NO_STREAM_IDLE_TIMEOUT, at, format!("{what} is 0s: off"));
            }
            Some(time) => {
                for (_, instance) in instances.iter().filter(|(index, _)| on.contains(index)) {
                    if let Some(found) = too_long(instance, time, what) {
                        findings.add(codes::TIMEOUTS_DO_NOT_NEST, at, found);
                    }
                }
            }
        }
    };
    match ways {
        Some(ways) => {
            for way in ways.iter().filter(|way| !way.on.is_empty()) {
                judge(way.idle_timeout.map(|time| (time, &way.node)), &way.on);
            }
        }
        None => judge(None, &instances.iter().map(|(index, _)| *index).collect::<Vec<_>>()),
    }
}

/// Envoy's times for a whole request run while the filter holds it.
fn check_whole_request(
    manager: &Manager<'_>,
    instances: &[(usize, &Instance<'_>)],
    ways: Option<&[Way<'_>]>,
    findings: &mut Findings,
) {
    const STREAM: &str = "max_stream_duration";
    let options = manager.node.get("common_http_protocol_options");
    let places = [(Some(&manager.node), "request_timeout"), (options.as_ref(), STREAM)];
    for (node, field) in places {
        let Some(node) = node else { continue };
        let Some(limit) = duration::of(node, field).filter(|limit| !limit.is_zero()) else {
            continue;
        };
        // A route's own time takes the place of the manager's.
        let counts = |index: usize| {
            let on = |way: &Way<'_>| {
                way.on.contains(&index) && (field != STREAM || way.stream_duration.is_none())
            };
            ways.is_none_or(|ways| ways.iter().any(on))
        };
        for (_, instance) in instances.iter().filter(|(index, _)| counts(*index)) {
            if let Some(found) = too_long(instance, limit, field) {
                let at = node.get(field).unwrap_or_else(|| node.clone());
                findings.add(codes::TIMEOUTS_DO_NOT_NEST, &at, found);
            }
        }
    }
    for way in ways.unwrap_or_default() {
        let Some(limit) = way.stream_duration.filter(|limit| !limit.is_zero()) else { continue };
        for (_, instance) in instances.iter().filter(|(index, _)| way.on.contains(index)) {
            if let Some(found) = too_long(instance, limit, "the route's max_stream_duration") {
                findings.add(codes::TIMEOUTS_DO_NOT_NEST, &way.node, found);
            }
        }
    }
}

/// Checks a bootstrap whose Envoy has the filter.
pub(crate) fn check_bootstrap(bootstrap: &Node<'_>, world: &World<'_>, findings: &mut Findings) {
    let instances = world.instances.iter();
    let instances: Vec<_> = instances
        .filter(|instance| {
            let own = world.bootstrap(&instance.node);
            own.is_some_and(|own| std::ptr::eq(own.document, bootstrap.document))
        })
        .collect();
    if instances.is_empty() {
        return;
    }
    labels::check(bootstrap, findings);
    admin::check(bootstrap, world, findings);
    runtime::check(bootstrap, findings);
    let Some((limit, at)) = answer_limit(bootstrap) else {
        let found = "no http.async_response_buffer_limit in layered_runtime";
        findings.add(codes::ANSWER_LIMIT_MISSING, bootstrap, found);
        return;
    };
    for instance in instances {
        let Some(policy) = &instance.policy else { continue };
        let most = policy.call.max_bytes;
        if u64::try_from(most).is_ok_and(|most| limit <= most) {
            let found = format!("{limit}, and {} reads answers up to {most} bytes", instance.name);
            findings.add(codes::ANSWER_LIMIT_TOO_LOW, &at, found);
        }
    }
}

/// The limit of the last layer that has one, because that layer wins.
fn answer_limit<'a>(bootstrap: &Node<'a>) -> Option<(u64, Node<'a>)> {
    let layers = bootstrap.get("layered_runtime")?.list("layers");
    let mut limits = layers.iter().filter_map(|layer| {
        let layer = layer.get("static_layer")?;
        let flat = layer.member("http.async_response_buffer_limit");
        let node = flat.or_else(|| layer.member("http")?.member("async_response_buffer_limit"))?;
        // Envoy takes both, and shows the text in its own examples.
        let text = node.value.as_str().and_then(|text| text.parse().ok());
        Some((text.or_else(|| node.value.as_u64())?, node))
    });
    limits.next_back()
}

//! Envoy's admin interface: who reaches it reads the configuration with its secrets, and changes settings.

use super::backends::{self, Backends};
use super::finding::Findings;
use super::open;
use super::routes;
use super::world::World;
use super::{codes, guard};
use crate::tree::Node;

/// Pages that show no secret and change nothing.
const HARMLESS: [&str; 3] = ["/stats", "/ready", "/server_info"];
/// Pages of which one is enough.
const HARMFUL: [&str; 6] = [
    "/config_dump",
    "/init_dump",
    "/runtime_modify",
    "/quitquitquit",
    "/drain_listeners",
    "/logging",
];

/// Looks at the admin interface of a bootstrap whose Envoy has the filter.
pub(super) fn check(bootstrap: &Node<'_>, world: &World<'_>, findings: &mut Findings) {
    let Some(address) = bootstrap.at(&["admin", "address"]) else { return };
    if !is_served(bootstrap) {
        return;
    }
    let socket = address.get("socket_address");
    let host = socket.as_ref().and_then(|socket| socket.text("address")).unwrap_or_default();
    if let Some(socket) = socket.filter(|_| !is_loopback(host)) {
        let found = format!("the admin interface is at {host}");
        findings.add(codes::ADMIN_REACHABLE, &socket, found);
    }
    let own = backends::address_of(&address);
    let port = own.rsplit_once(':').map(|(_, port)| port).unwrap_or_default();
    let leads = |cluster: &str, beside: &Node<'_>| {
        let keys = backends::reached(cluster, beside, world);
        keys.iter().any(|key| {
            let at = key.strip_prefix("address ").and_then(|key| key.rsplit_once(':'));
            *key == own || at.is_some_and(|(host, at)| at == port && is_loopback(host))
        })
    };
    for manager in world.managers.iter().filter(|m| world.together(&m.node, bootstrap)) {
        let ways = routes::bare(manager, world).unwrap_or_default();
        let backends = Backends::of(&ways, world);
        for (reach, way) in backends.with(&ways) {
            let mut clusters = reach.keys().filter_map(|key| key.strip_prefix("cluster "));
            let Some(cluster) = clusters.find(|cluster| leads(cluster, &way.node)) else {
                continue;
            };
            if !way.matched.as_ref().is_some_and(|matched| is_harmless(matched, way)) {
                let label = routes::label(&way.node);
                let found = format!("{label} leads to the admin interface, by cluster {cluster}");
                findings.add(codes::ADMIN_ROUTED, &way.node, found);
            }
        }
    }
    for proxy in world.tcp_proxies.iter().filter(|proxy| world.together(proxy, bootstrap)) {
        if let Some(cluster) = proxy.text("cluster").filter(|cluster| leads(cluster, proxy)) {
            let found = format!("a TCP proxy leads to the admin interface, by cluster {cluster}");
            findings.add(codes::ADMIN_ROUTED, proxy, found);
        }
    }
}

/// Whether it serves a page that does harm: it may have a list of those that it serves.
fn is_served(bootstrap: &Node<'_>) -> bool {
    let allowed = bootstrap.get("admin").map(|admin| admin.list("allow_paths")).unwrap_or_default();
    let takes = |page: &str| allowed.iter().any(|matcher| guard::takes(matcher, page));
    allowed.is_empty() || HARMFUL.iter().any(|page| takes(page))
}

/// Whether a route leads to harmless pages only.
fn is_harmless(matched: &Node<'_>, way: &routes::Way<'_>) -> bool {
    let action = way.levels.iter().find_map(|level| level.get("route"));
    let Some(action) = action else { return false };
    let starts = |text: &str| HARMLESS.iter().any(|page| text.starts_with(page));
    match action.text("prefix_rewrite") {
        Some(page) => starts(page),
        None if !open::rewrites(way).0.is_empty() => false,
        None => {
            let own =
                ["path", "prefix", "path_separated_prefix"].iter().find_map(|f| matched.text(f));
            let regex = matched.at(&["safe_regex", "regex"]).and_then(|node| node.value.as_str());
            let regex = regex.map(|regex| regex.trim_start_matches('^'));
            own.is_some_and(starts) || regex.is_some_and(|r| starts(r) && !r.contains('|'))
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

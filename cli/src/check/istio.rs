//! The clusters that Istio creates from ServiceEntries and DestinationRules, with names such as
//! `outbound|443||idp.example`.

use std::cmp::Reverse;

use oidc_token_connector::policy::Site;

use super::carrier::{Carrier, Resolved};
use super::finding::shown;
use super::idle::{self, Kept};
use super::instance::Instance;
use super::pool::{self, Limits, Pool, Shared};
use super::scope;
use super::tls::{San, Tls};
use super::world::World;
use crate::tree::Node;

/// The result of looking up a cluster's name in the mesh, as an instance's proxies see it.
pub(crate) fn resolve<'a>(site: &Site, instance: &Instance<'_>, world: &World<'a>) -> Resolved<'a> {
    let here = world.manifest(&instance.node).and_then(|manifest| scope::namespace(manifest));
    let mut parts = site.cluster.split('|');
    let name = (parts.next(), parts.next(), parts.next(), parts.next(), parts.next());
    let (Some("outbound"), Some(port), Some(subset), Some(host), None) = name else {
        let authority = &site.authority;
        return Resolved::Missing(Some(format!(
            "Istio's clusters are called outbound|PORT|SUBSET|HOST: set in the filter's `clusters` \
             \"{authority}\": \"outbound|443||{authority}\""
        )));
    };
    if world.service_entries.is_empty() || host.ends_with(".svc.cluster.local") {
        return Resolved::NotSeen;
    }
    let entries = world.service_entries.iter().filter(|manifest| {
        let hosts = manifest.get("spec").map(|spec| spec.list("hosts")).unwrap_or_default();
        hosts.iter().filter_map(|node| node.value.as_str()).any(|pattern| covers(pattern, host))
    });
    let mut entries: Vec<&Node<'a>> = entries
        .filter(|manifest| {
            let ports = manifest.get("spec").map(|spec| spec.list("ports")).unwrap_or_default();
            ports.iter().any(|entry| is_port(entry.get("number"), port))
        })
        .collect();
    entries.sort_by_key(|manifest| !scope::is_exported(manifest, here));
    let Some(entry) = entries.first() else {
        return Resolved::Missing(Some(format!(
            "add a ServiceEntry for host {host} with port {port}, or correct `clusters`"
        )));
    };
    if !scope::is_exported(entry, here) {
        return Resolved::Missing(Some(format!(
            "the ServiceEntry at {} is not exported to namespace {}, where the filter is: put it \
             there, or correct exportTo",
            shown(entry),
            here.unwrap_or_default()
        )));
    }
    Resolved::Found(Box::new(carrier(entry, port, subset, host, here, world)))
}

/// Whether a host as a manifest writes it, perhaps with a wildcard, is that host.
fn covers(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => host.ends_with(suffix),
        None => pattern == host,
    }
}

fn is_port(number: Option<Node<'_>>, port: &str) -> bool {
    number.is_some_and(|number| number.value.to_string().trim_matches('"') == port)
}

/// How the proxies of the mesh connect, by the DestinationRule for that host.
fn carrier<'a>(
    entry: &Node<'a>,
    port: &str,
    subset: &str,
    host: &str,
    here: Option<&str>,
    world: &World<'a>,
) -> Carrier<'a> {
    let rules = world.destination_rules.iter().filter(|manifest| {
        let rule = manifest.at(&["spec", "host"]);
        rule.is_some_and(|rule| rule.value.as_str().is_some_and(|rule| covers(rule, host)))
    });
    let mut rules: Vec<&Node<'a>> = rules.collect();
    let rank = |rule: &Node<'_>| {
        let host = rule.at(&["spec", "host"]).and_then(|rule| rule.value.as_str());
        let host = host.unwrap_or_default();
        let particular = if host.starts_with('*') { host.len() } else { usize::MAX };
        (!counts(rule, entry, here), distance(rule, entry, here), Reverse(particular))
    };
    rules.sort_by_key(|rule| rank(rule));
    let unheeded = rules.first().filter(|manifest| !counts(manifest, entry, here));
    let best = rules.first().filter(|_| unheeded.is_none()).map(|rule| rank(rule));
    let equal = rules.iter().filter(|rule| Some(rank(rule)) == best);
    let equal: Vec<Node<'a>> = equal.filter_map(|rule| rule.get("spec")).collect();
    let spec = entry.get("spec").unwrap_or_else(|| (*entry).clone());
    let (rule, entry) = (equal.first(), &spec);
    // Of several rules for one host Istio takes the policy of the oldest, and the files do not tell
    // which that is: the worst counts.
    let (ways, known) = (ways(&equal, subset), |way: &Vec<Node<'a>>| tls(way, port));
    let worst = ways.iter().min_by_key(|way| strength(&known(way)));
    let differs = ways.iter().any(|way| worst.map(known) != Some(known(way)));
    let policies = worst.cloned().unwrap_or_default();
    let settings = said(&policies, port, "tls");
    let tls = tls(&policies, port);
    let remedy = match (unheeded, here) {
        _ if differs => format!(
            "keep one DestinationRule for host {host}: Istio takes the trafficPolicy of the oldest \
             and ignores the others'"
        ),
        (Some(rule), Some(here)) => format!(
            "the DestinationRule at {} does not count for proxies of namespace {here}, where the \
             filter is: put it there",
            shown(rule)
        ),
        _ => format!(
            "set in a DestinationRule for host {host} trafficPolicy.tls: {{ mode: SIMPLE, sni: \
             {host}, caCertificates: system, subjectAltNames: [{host}] }}"
        ),
    };
    let of_port = policies.iter().find_map(|policy| own(policy, port));
    let node = settings.as_ref().or(of_port.as_ref()).or(policies.first()).or(rule);
    let node = node.unwrap_or(entry).clone();
    let pool = pool(rule, &policies, entry, port, host);
    Carrier { node, proxy: false, proxy_addresses: Vec::new(), tls, remedy: Some(remedy), pool }
}

/// How far a rule is from a proxy: Istio takes those of the proxy's own namespace before those of the
/// service's and of the root namespace.
fn distance(rule: &Node<'_>, entry: &Node<'_>, here: Option<&str>) -> u8 {
    match (scope::namespace(rule), here) {
        (Some(own), Some(here)) if own != here => match scope::namespace(entry) == Some(own) {
            true => 1,
            false => 2,
        },
        _ => 0,
    }
}

/// What may be the policies for a subset, the most particular first: Istio merges the rules for a host.
fn ways<'a>(rules: &[Node<'a>], subset: &str) -> Vec<Vec<Node<'a>>> {
    let of_subset = |rule: &Node<'a>| {
        let mut subsets = rule.list("subsets").into_iter();
        let named = subsets.find(|entry| entry.text("name") == Some(subset));
        named.and_then(|entry| entry.get("trafficPolicy"))
    };
    let any = |policies: Vec<Node<'a>>| match policies.is_empty() {
        true => vec![None],
        false => policies.into_iter().map(Some).collect(),
    };
    let whole = any(rules.iter().filter_map(|rule| rule.get("trafficPolicy")).collect());
    let own = any(rules.iter().filter_map(of_subset).collect());
    let with = |own: Option<Node<'a>>| {
        let ways = whole.iter().map(move |whole| [own.clone(), whole.clone()]);
        ways.map(|way| way.into_iter().flatten().collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    own.into_iter().flat_map(with).collect()
}

/// What a policy says of a port only.
fn own<'a>(policy: &Node<'a>, port: &str) -> Option<Node<'a>> {
    let mut by_port = policy.list("portLevelSettings").into_iter();
    by_port.find(|entry| is_port(entry.at(&["port", "number"]), port))
}

/// A field of the first policy that has it. A port's own settings take the place of all others, also
/// where they do not have the field.
fn said<'a>(policies: &[Node<'a>], port: &str, field: &str) -> Option<Node<'a>> {
    for policy in policies {
        if let Some(own) = own(policy, port) {
            return own.get(field);
        }
        if let Some(found) = policy.get(field) {
            return Some(found);
        }
    }
    None
}

fn tls(policies: &[Node<'_>], port: &str) -> Tls {
    said(policies, port, "tls").map_or(Tls::Absent, |settings| of_settings(&settings))
}

fn strength(tls: &Tls) -> u8 {
    match tls {
        Tls::Absent => 0,
        Tls::On { ca: false, .. } => 1,
        Tls::On { ca: true, san: San::Compared } => 3,
        Tls::On { .. } | Tls::Unseen => 2,
    }
}

/// Whether Istio takes a DestinationRule for proxies of a namespace: it looks in that, in the
/// service's and in the root namespace.
fn counts(rule: &Node<'_>, entry: &Node<'_>, here: Option<&str>) -> bool {
    let near = match (scope::namespace(rule), here) {
        (Some(own), Some(here)) => {
            own == here || own == scope::ROOT || scope::namespace(entry).is_none_or(|e| e == own)
        }
        (None, _) | (_, None) => true,
    };
    near && scope::is_exported(rule, here)
}

/// The connection settings. Without a rule, the finding about missing TLS covers idle connections.
fn pool<'a>(
    rule: Option<&Node<'a>>,
    policies: &[Node<'a>],
    entry: &Node<'a>,
    port: &str,
    host: &str,
) -> Pool<'a> {
    let settings = said(policies, port, "connectionPool");
    let http = settings.as_ref().and_then(|settings| settings.get("http"));
    let says = |field: &str, word: &str| {
        http.as_ref().and_then(|http| http.text(field)).is_some_and(|text| text == word)
    };
    let number = |field: &str| http.as_ref().and_then(|http| pool::number(http, field));
    let set = |lacks: &str| {
        format!(
            "set in a DestinationRule for host {host} trafficPolicy.connectionPool.{lacks} (below \
             portLevelSettings, if the port has such)"
        )
    };
    let kept = rule.and_then(|rule| {
        let kept = idle::kept(settings.as_ref().unwrap_or(rule), &["http"], "idleTimeout", rule)?;
        let remedy = set("http.idleTimeout");
        let remedy =
            format!("{remedy} below the provider's keep-alive: 4s where that is not known");
        Some(Kept { remedy: Some(remedy), ..kept })
    });
    let mut ports = entry.list("ports").into_iter();
    let of_port = ports.find(|entry| is_port(entry.get("number"), port));
    let protocol = of_port.as_ref().and_then(|port| port.text("protocol")).unwrap_or_default();
    let http2 = matches!(protocol.to_ascii_uppercase().as_str(), "HTTP2" | "GRPC" | "GRPC-WEB")
        || says("h2UpgradePolicy", "UPGRADE");
    // The filter's calls have no client whose protocol could apply.
    let as_client = http.as_ref().is_some_and(|http| http.is_true("useClientProtocol"));
    let calls = match http2 && !as_client && number("maxRequestsPerConnection") != Some(1) {
        true => number("maxConcurrentStreams").filter(|calls| *calls > 0),
        false => Some(1),
    };
    let shared = (calls != Some(1)).then(|| Shared {
        at: http.as_ref().or(of_port.as_ref()).unwrap_or(entry).clone(),
        remedy: Some(format!(
            "{}, or use HTTP/1.1: protocol HTTP in the ServiceEntry and no h2UpgradePolicy",
            set("http.maxConcurrentStreams: 1")
        )),
    });
    // Istio allows any number where nothing is said, or 0.
    let said = |name: &str| {
        let tcp = || settings.as_ref().and_then(|settings| settings.get("tcp"));
        let said = number(name).or_else(|| pool::number(&tcp()?, name));
        said.filter(|said| *said > 0)
    };
    let names = ["maxConnections", "http1MaxPendingRequests", "http2MaxRequests"];
    let limits = settings.as_ref().map(|settings| {
        Limits {
        at: settings.clone(),
        each: pool::each(names, said, calls),
        remedy: Some(
            "set them to workers × max_in_flight or more, for example 16384, or leave them out, or \
             make max_in_flight smaller"
                .to_owned(),
        ),
    }
    });
    Pool { kept, shared, limits: limits.into_iter().collect(), unseen: None }
}

fn of_settings(settings: &Node<'_>) -> Tls {
    match settings.text("mode") {
        Some("ISTIO_MUTUAL") => Tls::On { ca: true, san: San::Compared },
        Some("SIMPLE" | "MUTUAL") => Tls::On {
            ca: !settings.is_true("insecureSkipVerify")
                && (settings.has("caCertificates") || settings.has("credentialName")),
            san: match settings.says("subjectAltNames") {
                true => San::Compared,
                false => San::Missing,
            },
        },
        _ => Tls::Absent,
    }
}

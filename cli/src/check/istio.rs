//! The clusters that Istio creates from ServiceEntries and DestinationRules, with names such as
//! `outbound|443||idp.example`.

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
    // The most particular host first.
    let exact = |manifest: &Node<'_>| {
        manifest.at(&["spec", "host"]).is_some_and(|rule| *rule.value == host)
    };
    rules.sort_by_key(|manifest| (!counts(manifest, entry, here), !exact(manifest)));
    let unheeded = rules.first().filter(|manifest| !counts(manifest, entry, here));
    let rule = rules.first().filter(|_| unheeded.is_none()).and_then(|rule| rule.get("spec"));
    let (rule, spec) = (rule.as_ref(), entry.get("spec").unwrap_or_else(|| (*entry).clone()));
    let entry = &spec;
    let policies = rule.into_iter().flat_map(|rule| {
        let mut subsets = rule.list("subsets").into_iter();
        let named = subsets.find(|entry| entry.text("name") == Some(subset));
        let of_subset = named.and_then(|entry| entry.get("trafficPolicy"));
        [of_subset, rule.get("trafficPolicy")].into_iter().flatten()
    });
    // The most particular one counts: the subset's before the host's, the port's before all ports'.
    let settings = policies.into_iter().find_map(|policy| {
        let mut by_port = policy.list("portLevelSettings").into_iter();
        let of_port = by_port.find(|entry| is_port(entry.at(&["port", "number"]), port));
        of_port.and_then(|entry| entry.get("tls")).or_else(|| policy.get("tls"))
    });
    let tls = settings.as_ref().map_or(Tls::Absent, of_settings);
    let remedy = match (unheeded, here) {
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
    let node = settings.as_ref().or(rule).unwrap_or(entry).clone();
    let pool = pool(rule, entry, port, subset, host);
    Carrier { node, proxy: false, proxy_addresses: Vec::new(), tls, remedy: Some(remedy), pool }
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
    entry: &Node<'a>,
    port: &str,
    subset: &str,
    host: &str,
) -> Pool<'a> {
    let settings = rule.and_then(|rule| settings(rule, port, subset));
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

/// The `connectionPool` that counts.
fn settings<'a>(rule: &Node<'a>, port: &str, subset: &str) -> Option<Node<'a>> {
    let mut subsets = rule.list("subsets").into_iter();
    let of_subset = subsets.find(|entry| entry.text("name") == Some(subset));
    let policies = [of_subset.as_ref(), Some(rule)].into_iter().flatten();
    policies.filter_map(|node| node.get("trafficPolicy")).find_map(|policy| {
        let mut by_port = policy.list("portLevelSettings").into_iter();
        let of_port = by_port.find(|entry| is_port(entry.at(&["port", "number"]), port));
        // A port's own settings take the place of all others.
        of_port.unwrap_or(policy).get("connectionPool")
    })
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

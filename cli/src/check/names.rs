//! The names in the TLS of a provider's cluster, compared with the hosts that are called through it.

use super::finding::Findings;
use super::world::World;
use super::{codes, tls};
use crate::tree::Node;

/// Looks at the TLS of a cluster through which these hosts are called.
pub(crate) fn check<'a>(
    socket: &Node<'a>,
    cluster: &Node<'a>,
    hosts: &[&str],
    world: &World<'a>,
    findings: &mut Findings,
) {
    // An address has no name to compare.
    let hosts: Vec<&str> = hosts.iter().copied().filter(|host| is_name(host)).collect();
    let (Some(context), false) = (context_of(socket), hosts.is_empty()) else { return };
    let name = cluster.text("name").unwrap_or_default();
    let by_call = context.is_true("auto_host_sni") || tls::takes_from_call(cluster, "auto_sni");
    if !context.says("sni") && !by_call {
        let found = format!("cluster {name} sends no server name");
        findings.add(codes::SNI_MISSING, socket, found);
    }
    let matchers = tls::names(&context, cluster, world);
    let takes = |name: &str| matchers.iter().any(|matcher| tls::takes(matcher, name));
    if let Some(stranger) = hosts.iter().flat_map(|host| strangers(host)).find(|name| takes(name)) {
        let found = format!("cluster {name} accepts names of others too, such as {stranger}");
        findings.add(codes::TLS_WITHOUT_SAN, socket, found);
        return;
    }
    let exact: Vec<&str> = matchers.iter().filter_map(exact_name).collect();
    // Of the other kinds of names, and of parts of names, nothing is known.
    let all_exact = !exact.is_empty() && exact.len() == matchers.len();
    // A certificate with a wildcard may have the domain's own name beside it.
    let sni = context.text("sni").filter(|sni| !by_call && !sni.is_empty());
    let other =
        |sni: &&str| !takes(sni) && !hosts.iter().any(|host| host.eq_ignore_ascii_case(sni));
    if let Some(sni) = sni.filter(other)
        && all_exact
        && !exact.iter().any(|name| name.contains('*'))
    {
        let (wanted, called) = (exact.join(", "), hosts.join(", "));
        let found =
            format!("cluster {name} asks for {sni}, expects {wanted}, and is called for {called}");
        let remedy = "set sni to the provider's host name".to_owned();
        findings.add_with(codes::SAN_DIFFERS, socket, found, Some(remedy));
        return;
    }
    if all_exact && !hosts.iter().any(|host| takes(host)) {
        let (wanted, called) = (exact.join(", "), hosts.join(", "));
        let found = format!("cluster {name} expects {wanted}, and is called for {called}");
        findings.add(codes::SAN_DIFFERS, socket, found);
    }
}

fn is_name(host: &str) -> bool {
    !host.starts_with('[') && host.parse::<std::net::IpAddr>().is_err()
}

/// The host name that a matcher asks for.
fn exact_name<'a>(matcher: &Node<'a>) -> Option<&'a str> {
    let kind = matcher.get("san_type").map(|kind| kind.value.clone());
    let dns = kind.is_none_or(|kind| kind == "DNS" || kind == 2);
    let matcher = matcher.get("matcher").unwrap_or_else(|| matcher.clone());
    matcher.text("exact").filter(|text| dns && !text.contains("://"))
}

/// The TLS of a socket.
pub(super) fn context_of<'a>(socket: &Node<'a>) -> Option<Node<'a>> {
    const TLS: &str = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
    let (message, fields) = socket.get("typed_config")?.any()?;
    if message == TLS { Some(fields) } else { fields.get("upstream_tls_context") }
}

/// Domains below which everybody can have a name, as far as providers are there. A list of all is long and
/// changes.
const RENTED: [&str; 12] = [
    "auth0.com",
    "okta.com",
    "oktapreview.com",
    "onelogin.com",
    "amazoncognito.com",
    "azurewebsites.net",
    "b2clogin.com",
    "ciamlogin.com",
    "github.io",
    "herokuapp.com",
    "run.app",
    "cloudfront.net",
];

/// Names that others can get a certificate for, and that a matcher for the host may take by mistake.
fn strangers(host: &str) -> Vec<String> {
    const SHARED: [&str; 7] = ["co", "com", "org", "net", "ac", "gov", "edu"];
    let labels: Vec<&str> = host.split('.').collect();
    let last = |count: usize| {
        labels.get(labels.len().saturating_sub(count)..).unwrap_or_default().join(".")
    };
    // Below names such as co.uk everybody can have one.
    let second = labels.iter().rev().nth(1).copied().unwrap_or_default();
    let open = if last(1).len() == 2 && SHARED.contains(&second) { 2 } else { 1 };
    let mut strangers = vec![format!("{host}.q7-x.invalid"), format!("q7-x.{}", last(open))];
    if labels.len() > open {
        strangers.push(format!("q7-x{}", last(open.saturating_add(1))));
    }
    // Who rents out names there gives one to everybody who asks for it.
    let rented = RENTED
        .iter()
        .filter(|domain| host.strip_suffix(**domain).is_some_and(|rest| rest.ends_with('.')));
    strangers.extend(rented.map(|domain| format!("q7-x.{domain}")));
    strangers
}

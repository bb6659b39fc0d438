//! Which of a cluster's transport sockets its endpoints use: `transport_socket_matches` choose by the
//! endpoint's metadata.

use crate::tree::Node;

/// The sockets that are used; `None` is none, which sends everything as it is. Where the endpoints are not
/// listed every socket may be used; where they are discovered, whether one has none is not known.
pub(super) fn used<'a>(cluster: &Node<'a>) -> Vec<Option<Node<'a>>> {
    let entries = cluster.list("transport_socket_matches");
    let default = cluster.get("transport_socket");
    if entries.is_empty() {
        return vec![default];
    }
    let socket = |entry: &Node<'a>| entry.get("transport_socket");
    let mut used: Vec<Option<Node<'a>>> = Vec::new();
    let endpoints = endpoints(cluster);
    for (locality, endpoint) in &endpoints {
        let taken = entries.iter().find(|entry| takes(entry, locality, endpoint));
        used.push(taken.map_or_else(|| default.clone(), socket));
    }
    if endpoints.is_empty() {
        // One that asks for nothing leaves nothing to those behind it.
        let last = entries.iter().position(|entry| asked(entry).is_empty());
        let reached = last.map_or(entries.len(), |last| last.saturating_add(1));
        used.extend(entries.iter().take(reached).map(socket));
        if last.is_none() {
            used.push(default);
        }
        if are_discovered(cluster) {
            used.retain(|socket| socket.as_ref().is_some_and(|socket| !is_plain(socket)));
        }
    }
    let mut known: Vec<Option<String>> = Vec::new();
    used.retain(|socket| {
        let place = socket.as_ref().map(|socket| socket.place.clone());
        let is_new = !known.contains(&place);
        known.push(place);
        is_new
    });
    used
}

/// Whether it depends on endpoints that are not in the files whether there is TLS.
pub(super) fn is_unseen(cluster: &Node<'_>) -> bool {
    let entries = cluster.list("transport_socket_matches");
    if entries.is_empty() || !are_discovered(cluster) || !endpoints(cluster).is_empty() {
        return false;
    }
    let all = entries.iter().map(|entry| entry.get("transport_socket"));
    let ends = entries.iter().any(|entry| asked(entry).is_empty());
    let default = (!ends).then(|| cluster.get("transport_socket"));
    all.chain(default).any(|socket| socket.is_none_or(|socket| is_plain(&socket)))
}

/// The remedy where an endpoint has no socket.
pub(super) fn remedy(cluster: &Node<'_>) -> Option<String> {
    cluster.says("transport_socket_matches").then(|| {
        "give the cluster a transport_socket with TLS: endpoints without the metadata that an entry of \
         transport_socket_matches asks for are called without TLS"
            .to_owned()
    })
}

/// Whether the endpoints come by EDS.
fn are_discovered(cluster: &Node<'_>) -> bool {
    // Enums may be numbers.
    cluster.get("type").is_some_and(|kind| *kind.value == "EDS" || *kind.value == 3)
}

fn is_plain(socket: &Node<'_>) -> bool {
    const PLAIN: [&str; 2] = [
        "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer",
        "envoy.extensions.transport_sockets.starttls.v3.UpstreamStartTlsConfig",
    ];
    match socket.get("typed_config") {
        Some(config) => PLAIN.iter().any(|message| config.message(message).is_some()),
        None => socket.text("name") == Some("envoy.transport_sockets.raw_buffer"),
    }
}

/// The endpoints that a cluster lists, each with its locality.
fn endpoints<'a>(cluster: &Node<'a>) -> Vec<(Node<'a>, Node<'a>)> {
    let localities = cluster.get("load_assignment").map(|node| node.list("endpoints"));
    let of_one = |locality: Node<'a>| {
        let endpoints = locality.list("lb_endpoints").into_iter();
        endpoints.map(move |endpoint| (locality.clone(), endpoint))
    };
    localities.unwrap_or_default().into_iter().flat_map(of_one).collect()
}

/// The metadata that an entry asks for.
fn asked<'a>(entry: &Node<'a>) -> Vec<(&'a str, Node<'a>)> {
    entry.get("match").map(|asked| asked.members()).unwrap_or_default()
}

/// Whether an endpoint has what an entry asks for.
fn takes(entry: &Node<'_>, locality: &Node<'_>, endpoint: &Node<'_>) -> bool {
    const METADATA: &str = "envoy.transport_socket_match";
    let has = |node: &Node<'_>, name: &str, value: &Node<'_>| {
        let own = node.at(&["metadata", "filter_metadata"]).and_then(|all| all.member(METADATA));
        own.and_then(|own| own.member(name)).is_some_and(|own| own.value == value.value)
    };
    asked(entry)
        .iter()
        .all(|(name, value)| has(endpoint, name, value) || has(locality, name, value))
}

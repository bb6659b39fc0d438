//! `http_proxy_server` and `http_proxy_port`: the forward proxy to the provider. In Envoy it is a
//! property of the cluster, so the keys only inform.

use crate::config::file::Fields;
use crate::config::key::{Key, Own};
use crate::config::location::Report;
use crate::config::shape::{Keys, text};
use crate::config::uri;
use crate::provider::endpoint::targets::Targets;

/// The keys of this room.
pub(crate) const KEYS: Keys = &[&HTTP_PROXY_SERVER, &HTTP_PROXY_PORT];

static HTTP_PROXY_SERVER: Key<Own> = Key::new(
    "http_proxy_server",
    Own {
        schema: text(r##"{"type": "string", "maxLength": 253, "pattern": "^[0-9A-Za-z._-]+$"}"##),
        told: text("host name"),
    },
    text(
        "the forward proxy to the provider; only with `http_proxy_port`. In Envoy it is a property of \
         the cluster, as `envoy/forward-proxy.yaml` shows: the filter logs which clusters must carry \
         it, and `oidc-connector check` looks whether they do; the keys themselves route nothing",
    ),
);

static HTTP_PROXY_PORT: Key<Own> = Key::new(
    "http_proxy_port",
    Own {
        schema: text(r##"{"type": "integer", "minimum": 1, "maximum": 65535}"##),
        told: text("integer, 1 to 65535"),
    },
    text("its port; only with `http_proxy_server`"),
);

/// `http_proxy_server` and `http_proxy_port`
#[derive(Debug, PartialEq, Eq)]
pub enum Egress {
    /// No forward proxy.
    Direct,
    /// The endpoints' clusters must carry this forward proxy.
    Proxy {
        /// Host of the proxy.
        server: String,
        /// Port of the proxy.
        port: u16,
    },
}

/// Reads the keys.
pub(crate) fn read(top: &Fields<'_>, targets: &Targets, report: &mut Report) -> Egress {
    let (server_node, port_node) = (HTTP_PROXY_SERVER.node(top), HTTP_PROXY_PORT.node(top));
    for (one, other) in
        [(&HTTP_PROXY_SERVER, &HTTP_PROXY_PORT), (&HTTP_PROXY_PORT, &HTTP_PROXY_SERVER)]
    {
        if let (Some(node), None) = (one.node(top), other.node(top)) {
            let (one, other) = (one.name(), other.name());
            let wrong = format!("got {one} without {other}, expected both keys or neither");
            report.problem(&node.place, wrong);
        }
    }
    if server_node.is_some() || port_node.is_some() {
        for target in targets.iter().filter(|target| target.uri.scheme == "http") {
            report.problem(
                &target.place,
                "got http:// together with http_proxy_server, expected https://: Envoy supports a \
                 proxy only with CONNECT",
            );
        }
    }
    let server = server_node.and_then(|node| {
        let text = node.text("a host name as text", report)?;
        match uri::check_host(text) {
            Ok(()) => Some(text.to_owned()),
            Err(wrong) => {
                report.problem(&node.place, format!("invalid host name: {wrong}"));
                None
            }
        }
    });
    let port = port_node.and_then(|node| {
        let allowed = "a whole number from 1 to 65535";
        let port = node.whole_number(allowed, |port| (1..=65_535).contains(port), report)?;
        u16::try_from(port).ok()
    });
    match (server, port) {
        (Some(server), Some(port)) => Egress::Proxy { server, port },
        _ => Egress::Direct,
    }
}

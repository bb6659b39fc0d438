//! Filters that put a request's text elsewhere: into dynamic metadata and filter state, where formats read
//! it.

use super::instance::Instance;
use super::other::Other;
use crate::tree::Node;

/// What carries a client's text where an instance is.
#[derive(Debug, Default)]
pub(super) struct Fed {
    /// Namespaces of dynamic metadata.
    metadata: Vec<String>,
    /// Names in the filter state.
    state: Vec<String>,
}

impl Fed {
    /// What the filters of a list write; the instance is at that position.
    pub(super) fn of(met: &[Vec<Other<'_>>], at: usize, instance: &Instance<'_>) -> Fed {
        let mut fed = Fed::default();
        for (index, other) in
            met.iter().enumerate().flat_map(|(i, o)| o.iter().map(move |o| (i, o)))
        {
            // What the instance sets may be passed on behind it.
            let owned = |name: &str| index > at && instance.strips(name);
            for config in other.configs() {
                match other.kind {
                    "header_to_metadata.v3.Config" => fed.header_to_metadata(&config, owned),
                    "json_to_metadata.v3.JsonToMetadata" => {
                        fed.metadata
                            .extend(namespaces(&config, "envoy.filters.http.json_to_metadata"));
                    }
                    "set_filter_state.v3.Config" => {
                        fed.set_filter_state(&config, |format| {
                            index < at && format.contains('%')
                                || is_the_clients(format, instance, &Fed::default())
                        });
                    }
                    _ => {}
                }
            }
        }
        fed
    }

    fn header_to_metadata(&mut self, config: &Node<'_>, owned: impl Fn(&str) -> bool) {
        for rule in config.list("request_rules") {
            if !rule.text("header").is_some_and(&owned) {
                self.metadata.extend(namespaces(&rule, "envoy.filters.http.header_to_metadata"));
            }
        }
    }

    fn set_filter_state(&mut self, config: &Node<'_>, is_the_clients: impl Fn(&str) -> bool) {
        for value in config.list("on_request_headers") {
            let format = value.get("format_string").map(|format| format.value.to_string());
            if let (Some(key), Some(format)) = (value.text("object_key"), format)
                && is_the_clients(&format)
            {
                self.state.push(key.to_owned());
            }
        }
    }

    /// Whether a namespace of the dynamic metadata is filled.
    pub(super) fn metadata(&self, namespace: &str) -> bool {
        self.metadata.iter().any(|own| own == namespace)
    }

    /// Whether a name in the filter state is filled.
    pub(super) fn state(&self, key: &str) -> bool {
        self.state.iter().any(|own| own == key)
    }
}

/// The namespaces that a rule names anywhere, or else the filter's own.
fn namespaces(node: &Node<'_>, own: &str) -> Vec<String> {
    let mut named = Vec::new();
    let mut left = vec![node.clone()];
    while let Some(node) = left.pop() {
        named.extend(node.text("metadata_namespace").map(str::to_owned));
        left.extend(node.members().into_iter().map(|(_, member)| member));
        left.extend(node.items());
    }
    if named.is_empty() {
        named.push(own.to_owned());
    }
    named
}

/// Operators that have nothing of what the client writes into a request.
const OTHERS: [&str; 30] = [
    "ACCESS_LOG_",
    "BYTES_",
    "CLUSTER_METADATA",
    "COMMON_DURATION",
    "CONNECTION_",
    "CUSTOM_FLAGS",
    "DOWNSTREAM_",
    "DURATION",
    "EMIT_TIME",
    "ENVIRONMENT",
    "FILTER_CHAIN_NAME",
    "GRPC_STATUS",
    "HOST_METADATA",
    "HOSTNAME",
    "LOCAL_REPLY_BODY",
    "PROTOCOL",
    "QUIC_",
    "REQUEST_DURATION",
    "REQUEST_TX_DURATION",
    "RESPONSE_",
    "RESP",
    "ROUNDTRIP_DURATION",
    "ROUTE_NAME",
    "START_TIME",
    "STREAM_ID",
    "TLS_",
    "TRAILER",
    "UNIQUE_ID",
    "UPSTREAM_",
    "VIRTUAL_CLUSTER_NAME",
];

/// Whether a format has something of the request in it that the instance does not strip. An operator
/// that is not known may have it.
pub(super) fn is_the_clients(format: &str, instance: &Instance<'_>, fed: &Fed) -> bool {
    // Operators stand between two percent signs; two of these are one sign.
    format.split('%').skip(1).step_by(2).filter(|operator| !operator.is_empty()).any(|operator| {
        let (name, rest) = operator.split_once('(').unwrap_or((operator, ""));
        let arguments = rest.rsplit_once(')').map_or(rest, |(arguments, _)| arguments);
        let first = arguments.split(':').next().unwrap_or_default();
        match name {
            "REQ" | "REQ_WITHOUT_QUERY" | "REQUEST_HEADER" => {
                let names = arguments.split(')').next().unwrap_or_default();
                names.split('?').any(|name| !name.is_empty() && !instance.strips(name.trim()))
            }
            "DYNAMIC_METADATA" => fed.metadata(first),
            "FILTER_STATE" | "PER_REQUEST_STATE" => fed.state(first),
            "METADATA" => match arguments.strip_prefix("DYNAMIC:") {
                Some(rest) => fed.metadata(rest.split(':').next().unwrap_or_default()),
                None => false,
            },
            // An expression reads a request's headers and path by this name.
            "CEL" => arguments.contains("request.") || arguments.contains("request["),
            _ => !OTHERS.iter().any(|known| name.starts_with(known)),
        }
    })
}

//! TLS that is on and weaker than Envoy's default, and transport sockets of which nothing is known.

use super::finding::Findings;
use super::world::World;
use super::{codes, names, sockets, tls};
use crate::tree::Node;

const SOCKETS: &str = "envoy.extensions.transport_sockets.";
/// The sockets that are looked into, or that only add something to the one inside.
const KNOWN: [&str; 8] = [
    "http_11_proxy.v3.Http11ProxyUpstreamTransport",
    "internal_upstream.v3.InternalUpstreamTransport",
    "proxy_protocol.v3.ProxyProtocolUpstreamTransport",
    "quic.v3.QuicUpstreamTransport",
    "raw_buffer.v3.RawBuffer",
    "starttls.v3.UpstreamStartTlsConfig",
    "tcp_stats.v3.Config",
    "tls.v3.UpstreamTlsContext",
];
/// The same where only the name is written.
const NAMES: [&str; 2] = ["envoy.transport_sockets.raw_buffer", "envoy.transport_sockets.tls"];

/// Notes the sockets of a provider's cluster that are not known.
pub(super) fn check_unknown(cluster: &Node<'_>, findings: &mut Findings) {
    let name = cluster.text("name").unwrap_or_default();
    for socket in sockets::used(cluster).into_iter().flatten() {
        let mut next = Some(socket);
        while let Some(socket) = next {
            let any = socket.get("typed_config").and_then(|config| config.any());
            let known = match &any {
                Some((message, _)) => {
                    message.strip_prefix(SOCKETS).is_some_and(|message| KNOWN.contains(&message))
                }
                None => socket.text("name").is_some_and(|name| NAMES.contains(&name)),
            };
            if !known {
                let kind = any.as_ref().map(|(message, _)| *message).or(socket.text("name"));
                let kind = kind.unwrap_or_default();
                let found = format!("cluster {name} has the transport socket {kind}");
                let remedy = "make sure that it encrypts, verifies the provider's certificate, and \
                              shows nobody what it carries";
                findings.add_with(codes::NOT_JUDGED, &socket, found, Some(remedy.to_owned()));
            }
            next = any.and_then(|(_, fields)| fields.get("transport_socket"));
        }
    }
}

/// Looks at the settings of a TLS socket.
pub(super) fn check<'a>(
    socket: &Node<'a>,
    cluster: &Node<'a>,
    world: &World<'a>,
    findings: &mut Findings,
) {
    const SPIFFE: &str = "envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig";
    let Some(context) = names::context_of(socket) else { return };
    let name = cluster.text("name").unwrap_or_default();
    let weak = |at: &Node<'_>, what: &str, findings: &mut Findings| {
        findings.add(codes::TLS_WEAK, at, format!("cluster {name} {what}"));
    };
    if let Some(at) =
        context.get("allow_renegotiation").filter(|_| context.is_true("allow_renegotiation"))
    {
        weak(&at, "allows renegotiation", findings);
    }
    if let Some(at) = context.at(&["common_tls_context", "key_log"]) {
        weak(&at, "writes the keys of its connections to a file", findings);
    }
    for field in ["tls_minimum_protocol_version", "tls_maximum_protocol_version"] {
        let version = context.at(&["common_tls_context", "tls_params", field]);
        // Enums may be numbers.
        let old = |node: &Node<'_>| {
            ["TLSv1_0", "TLSv1_1"].iter().any(|old| *node.value == **old)
                || [1, 2].iter().any(|old| *node.value == *old)
        };
        if let Some(at) = version.filter(old) {
            weak(&at, &format!("has {field} {}", at.value.to_string().trim_matches('"')), findings);
        }
    }
    let (places, _) = tls::validation(&context, world);
    for place in places {
        if place.is_true("allow_expired_certificate") {
            weak(&place, "accepts expired certificates", findings);
        }
        let custom = place.get("custom_validator_config");
        let any = custom.as_ref().and_then(|custom| custom.get("typed_config")?.any());
        if let Some(custom) = custom
            && any.is_none_or(|(message, _)| message != SPIFFE)
        {
            let validator = custom.text("name").unwrap_or_default();
            let found = format!("cluster {name} has the certificate validator {validator}");
            let remedy = "make sure that it accepts the provider's certificate only";
            findings.add_with(codes::NOT_JUDGED, &custom, found, Some(remedy.to_owned()));
        }
    }
}

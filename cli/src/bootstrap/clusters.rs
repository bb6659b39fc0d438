//! The Envoy clusters that carry the calls: one per authority of the endpoints, with TLS as in
//! `envoy/envoy.yaml`, and behind a forward proxy as in `envoy/forward-proxy.yaml`.
//!
//! Hosts reach this module through the filter's own reader, which lets nothing into them that could
//! end a quoted YAML text.

use std::net::{IpAddr, Ipv6Addr};

use oidc_token_connector::policy::{Egress, Endpoints, Policy};

use super::plain;

/// Placeholder for a proxy's address that the text does not give. It is unreachable (RFC 5737), so
/// that no call passes until an operator sets the right address.
pub(crate) const NOWHERE: &str = "192.0.2.10";

/// One cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cluster {
    pub(crate) name: String,
    /// As written in the URI: the key of `clusters` in the filter's configuration.
    pub(crate) authority: String,
    /// The host of the authority as DNS and certificates have it.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: bool,
}

/// The forward proxy before the clusters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    pub(crate) server: String,
    pub(crate) port: u16,
    /// `None`: neither the text nor the user says it, and Envoy resolves no name here.
    pub(crate) address: Option<IpAddr>,
}

impl Proxy {
    /// The proxy of a policy, at the address that the user gave or that its name is.
    pub(crate) fn of(policy: &Policy, given: Option<IpAddr>) -> Option<Proxy> {
        match &policy.egress {
            Egress::Direct => None,
            Egress::Proxy { server, port } => Some(Proxy {
                address: given.or_else(|| server.parse().ok()),
                server: server.clone(),
                port: *port,
            }),
        }
    }
}

/// The clusters of a policy, in the order of its endpoints.
///
/// # Errors
/// An authority used with both `http://` and `https://`: one cluster supports only one of them.
pub(crate) fn of(policy: &Policy) -> Result<Vec<Cluster>, String> {
    let Endpoints::Configured(table) = &policy.endpoints else { return Ok(Vec::new()) };
    let mut clusters: Vec<Cluster> = Vec::new();
    let endpoints = table.regions.iter().chain(&table.default);
    for site in endpoints.flat_map(|endpoint| &endpoint.sites) {
        let tls = site.scheme == "https";
        match clusters.iter().find(|known| known.authority == site.authority) {
            Some(known) if known.tls != tls => return Err(site.authority.clone()),
            Some(_) => {}
            None => {
                let (host, port) = split(&site.authority, tls);
                let name = free_name(&site.authority, &clusters);
                let authority = site.authority.clone();
                clusters.push(Cluster { name, authority, host, port, tls });
            }
        }
    }
    Ok(clusters)
}

fn split(authority: &str, tls: bool) -> (String, u16) {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()),
        _ => (authority, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    (host, port.unwrap_or(if tls { 443 } else { 80 }))
}

fn free_name(authority: &str, taken: &[Cluster]) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let base: String = "idp_".chars().chain(authority.chars().map(word)).collect();
    let names = std::iter::once(base.clone()).chain((2..).map(|n| format!("{base}_{n}")));
    let mut free = names.filter(|name| taken.iter().all(|cluster| cluster.name != *name));
    free.next().unwrap_or(base)
}

/// The clusters as the elements of a YAML list. `ca` is the file with the authorities that vouch for the
/// providers.
pub(crate) fn yaml(clusters: &[Cluster], proxy: Option<&Proxy>, ca: &str) -> String {
    clusters.iter().map(|cluster| cluster.yaml(proxy, ca)).collect()
}

impl Cluster {
    /// Whether the host is an IP address.
    pub(crate) fn is_address(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok()
    }

    fn yaml(&self, proxy: Option<&Proxy>, ca: &str) -> String {
        let endpoint = match (proxy, self.is_address()) {
            (Some(_), _) => BEHIND_A_PROXY,
            (None, true) => AT_AN_ADDRESS,
            (None, false) => BY_NAME,
        };
        let mut yaml = endpoint.to_owned();
        match (proxy, self.tls) {
            (None, false) => {}
            (None, true) => yaml.push_str(&indented(&self.tls(), "  ")),
            (Some(proxy), _) => {
                yaml.push_str(&proxy.metadata());
                yaml.push_str(HTTP_11_PROXY);
                yaml.push_str(&indented(&self.tls(), "      "));
            }
        }
        let bracketed = match self.host.parse::<Ipv6Addr>() {
            Ok(_) => format!("[{}]", self.host),
            Err(_) => self.host.clone(),
        };
        yaml.replace("<connections>\n", CONNECTIONS)
            .replace("<name>", &self.name)
            .replace("<host>", &self.host)
            .replace("<bracketed host>", &bracketed)
            .replace("<ca>", &plain(ca))
            .replace("<port>", &self.port.to_string())
    }

    /// The TLS transport socket: without CA any certificate would do, without the name anybody's.
    fn tls(&self) -> String {
        // An address is no server name (RFC 6066 §3).
        match self.is_address() {
            true => TLS.replace("    sni: \"<host>\"\n", "").replace("<kind>", "IP_ADDRESS"),
            false => TLS.replace("<kind>", "DNS"),
        }
    }
}

impl Proxy {
    /// The endpoint's data about the cluster.
    fn metadata(&self) -> String {
        let (address, said) = match self.address {
            Some(address) => (address.to_string(), format!("The proxy, {}.", self.server)),
            None => (
                NOWHERE.to_owned(),
                format!("PUT IN the IP address of {}: Envoy resolves no name here.", self.server),
            ),
        };
        PROXY_ADDRESS
            .replace("<said>", &said)
            .replace("<address>", &address)
            .replace("<proxy port>", &self.port.to_string())
    }
}

/// The lines with more in front.
pub(crate) fn indented(lines: &str, indent: &str) -> String {
    lines.lines().map(|line| format!("{indent}{line}\n")).collect()
}

/// A call on a connection that the provider closes as it comes is lost, so Envoy closes first.
/// Envoy's own limits lie above what the filter's `max_in_flight` can need, all workers together.
const CONNECTIONS: &str = r#"  circuit_breakers:
    thresholds:
      # For the whole process; the filter's max_in_flight is per worker.
      - { max_connections: 16384, max_pending_requests: 16384, max_requests: 16384 }
  typed_extension_protocol_options:
    envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
      # Below the provider's keep-alive: many servers close after 5 s, some after 1 s.
      common_http_protocol_options: { idle_timeout: 4s }
      explicit_http_config: { http_protocol_options: {} }
"#;

const BY_NAME: &str = r#"- name: <name>
  type: STRICT_DNS
  dns_lookup_family: V4_PREFERRED
  connect_timeout: 1s
<connections>
  load_assignment:
    cluster_name: <name>
    endpoints:
      - lb_endpoints:
          - endpoint:
              address: { socket_address: { address: "<host>", port_value: <port> } }
"#;

const AT_AN_ADDRESS: &str = r#"- name: <name>
  type: STATIC
  connect_timeout: 1s
<connections>
  load_assignment:
    cluster_name: <name>
    endpoints:
      - lb_endpoints:
          - endpoint:
              address: { socket_address: { address: "<host>", port_value: <port> } }
"#;

/// Only the proxy resolves the provider's name.
const BEHIND_A_PROXY: &str = r#"- name: <name>
  type: STATIC
  connect_timeout: 1s
<connections>
  load_assignment:
    cluster_name: <name>
    endpoints:
      - lb_endpoints:
          - endpoint:
              # The target of CONNECT, with the port below; the address is unreachable.
              hostname: "<bracketed host>"
              address: { socket_address: { address: 192.0.2.1, port_value: <port> } }
"#;

/// Not by the transport socket's `default_proxy_address`, which Envoy knows from 1.38 on only.
const PROXY_ADDRESS: &str = r#"            metadata:
              typed_filter_metadata:
                # <said>
                envoy.http11_proxy_transport_socket.proxy_address:
                  "@type": type.googleapis.com/envoy.config.core.v3.Address
                  socket_address: { address: "<address>", port_value: <proxy port> }
"#;

const HTTP_11_PROXY: &str = r#"  transport_socket:
    name: envoy.transport_sockets.http_11_proxy
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.transport_sockets.http_11_proxy.v3.Http11ProxyUpstreamTransport
"#;

const TLS: &str = r#"transport_socket:
  name: envoy.transport_sockets.tls
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
    sni: "<host>"
    common_tls_context:
      tls_params: { tls_maximum_protocol_version: TLSv1_3 }
      validation_context:
        trusted_ca: { filename: <ca> }
        match_typed_subject_alt_names:
          - { san_type: <kind>, matcher: { exact: "<host>" } }
"#;

#[cfg(test)]
mod tests {
    use oidc_token_connector::policy;

    use super::*;

    fn policy(members: &str) -> Policy {
        policy::read(format!("{{{members}}}").as_bytes()).unwrap().policy
    }

    fn default_at(uri: &str) -> Vec<Cluster> {
        of(&policy(&format!(r#""userinfo_endpoint": {{"defaultURI": "{uri}"}}"#))).unwrap()
    }

    #[test]
    fn authority_is_split_into_host_and_port() {
        for (uri, name, host, port, tls) in [
            ("https://IdP.example/u", "idp_idp_example", "idp.example", 443, true),
            ("http://idp.example./u", "idp_idp_example_", "idp.example", 80, false),
            ("https://a-b.example:9001/u", "idp_a_b_example_9001", "a-b.example", 9001, true),
            ("https://[2001:db8::1]:9001/u", "idp__2001_db8__1__9001", "2001:db8::1", 9001, true),
            ("https://[::1]/u", "idp____1_", "::1", 443, true),
        ] {
            let found = default_at(uri);
            let [found] = &found[..] else { panic!("{found:?}") };
            assert_eq!(
                (found.name.as_str(), found.host.as_str(), found.port, found.tls),
                (name, host, port, tls)
            );
        }
    }

    #[test]
    fn each_authority_has_a_cluster_with_a_unique_name() {
        let endpoints = r#""userinfo_endpoint": {"regionCodeHeader": "x-r", "regionCodeValue": {
            "A": "https://a-b.example/1", "B": "https://a.b.example/2", "C": "https://a-b.example/3"
        }, "defaultURI": "https://a-b.example:443/4"}"#;
        let found: Vec<_> =
            of(&policy(endpoints)).unwrap().into_iter().map(|c| (c.authority, c.name)).collect();
        let expected = [
            ("a-b.example", "idp_a_b_example"),
            ("a.b.example", "idp_a_b_example_2"),
            ("a-b.example:443", "idp_a_b_example_443"),
        ];
        assert_eq!(found, expected.map(|(a, n)| (a.to_owned(), n.to_owned())));
    }

    #[test]
    fn authority_cannot_be_both_plain_and_encrypted() {
        let endpoints = r#""userinfo_endpoint": {"regionCodeHeader": "x-r",
            "regionCodeValue": {"A": "http://a.example/1"}, "defaultURI": "https://a.example/4"}"#;
        assert_eq!(of(&policy(endpoints)), Err("a.example".to_owned()));
    }

    #[test]
    fn ip_address_is_verified_as_ip_san_without_sni() {
        let yaml = yaml(&default_at("https://[2001:db8::1]/u"), None, "/ca.pem");
        assert!(yaml.contains("type: STATIC") && !yaml.contains("sni"), "{yaml}");
        let san = r#"- { san_type: IP_ADDRESS, matcher: { exact: "2001:db8::1" } }"#;
        assert!(yaml.contains(san), "{yaml}");
        assert!(!yaml.contains('<'), "{yaml}");
    }

    #[test]
    fn proxy_address_comes_from_text_or_option() {
        let of = |server: &str, given| {
            let members = format!(r#""http_proxy_server": "{server}", "http_proxy_port": 3128"#);
            Proxy::of(&policy(&members), given).unwrap().address
        };
        let given = "192.0.2.77".parse().unwrap();
        assert_eq!(of("squid.example", None), None);
        assert_eq!(of("squid.example", Some(given)), Some(given));
        assert_eq!(of("192.0.2.9", None), Some("192.0.2.9".parse().unwrap()));
        assert_eq!(Proxy::of(&policy(""), Some(given)), None);
    }
}

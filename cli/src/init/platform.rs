//! What is written for each platform: a bootstrap for Envoy, manifests for Istio and Envoy Gateway. Each
//! has the protections of `envoy/envoy.yaml`; a test compares them.

use std::net::Ipv6Addr;

use super::host;
use super::made::Made;
use super::options::{File, Options, Platform, module};
use crate::bootstrap::clusters::{self, Cluster};
use crate::bootstrap::{Bootstrap, indented, plain, stats_tags};

/// The module's image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Image<'a> {
    /// Without `oci://`.
    pub(super) name: &'a str,
    /// In hexadecimal digits.
    pub(super) sha256: &'a str,
}

impl<'a> Image<'a> {
    /// Reads an image's name with its digest.
    ///
    /// # Errors
    ///
    /// What was found, what is expected, and what to do.
    pub(super) fn of(given: Option<&'a str>) -> Result<Image<'a>, String> {
        let expected = "expected REGISTRY/NAME:TAG@sha256: and 64 hexadecimal digits; docs/deployment.md, \
                        \"The image\", has the commands that push it and print its digest";
        let Some(given) = given else {
            return Err(format!("got no --image, {expected}"));
        };
        let is_example = |name: &str| name.split(['/', ':']).next() == Some("registry.example");
        let text = given.strip_prefix("oci://").unwrap_or(given);
        let is_name =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '/');
        let is_digit = |c: char| c.is_ascii_digit() || matches!(c, 'a'..='f');
        match text.split_once("@sha256:") {
            Some((name, _)) if is_example(name) => Err(format!(
                "--image: got {given:?}, with the placeholder of an example for a registry, {expected}; give \
                 the registry that has your image"
            )),
            Some((_, sha256)) if sha256.bytes().all(|digit| digit == b'0') => Err(format!(
                "--image: got {given:?}, with the placeholder of an example for a digest, {expected}"
            )),
            Some((name, sha256))
                if name.contains('/')
                    && name.chars().all(is_name)
                    && sha256.len() == 64
                    && sha256.chars().all(is_digit) =>
            {
                Ok(Image { name, sha256 })
            }
            _ => Err(format!("--image: got {given:?}, {expected}")),
        }
    }
}

/// The API behind the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Backend<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
}

impl<'a> Backend<'a> {
    /// Reads a host and a port.
    ///
    /// # Errors
    ///
    /// What was found, what is expected, and what to do.
    pub(super) fn of(given: &'a str) -> Result<Backend<'a>, String> {
        let read = |given: &'a str| {
            let (host, port) = given.rsplit_once(':')?;
            let port = port.parse().ok().filter(|port| *port > 0)?;
            let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            let host = match bare {
                Some(bare) => bare.parse::<Ipv6Addr>().ok().map(|_| bare)?,
                // Only DNS has to know it: a dot at the end means that no search path is tried.
                None => Some(host).filter(|host| {
                    host::wrong_name(host.strip_suffix('.').unwrap_or(host)).is_none()
                })?,
            };
            Some(Backend { host, port })
        };
        read(given).ok_or_else(|| {
            format!(
                "--backend: got {given:?}, expected HOST:PORT; for example 127.0.0.1:8080, api.internal:8080 \
                 or [::1]:8080"
            )
        })
    }
}

/// Why a text is no name of an object in Kubernetes.
pub(super) fn wrong_name(option: &str, name: &str) -> Option<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_name = (1..=63).contains(&name.len())
        && name.chars().all(is_part)
        && !name.starts_with('-')
        && !name.ends_with('-');
    (!is_name).then(|| {
        format!(
            "{option}: got {name:?}, expected a-z, 0-9 and - within, at most 63; give the name as \
             `kubectl get` shows it"
        )
    })
}

/// The cluster with the name that the platform gives it.
pub(super) fn cluster(cluster: Cluster, options: &Options) -> Result<Cluster, Vec<String>> {
    let name = match options.platform {
        Platform::Envoy => return Ok(cluster),
        Platform::Istio => format!("outbound|80||{}", cluster.host),
        Platform::EnvoyGateway => format!("httproute/{}/{ROUTE}/rule/0", namespace(options)),
    };
    if cluster.is_address() {
        return Err(vec![format!(
            "got a provider with the IP address {}, expected a host name, by which {} finds its \
             certificate; use the provider's name, or --platform envoy",
            cluster.host, options.platform
        )]);
    }
    Ok(Cluster { name, ..cluster })
}

/// The name of the objects around the provider.
const ROUTE: &str = "oidc-provider";

/// The file of the platform.
pub(super) fn file(made: &Made<'_>) -> Result<File, Vec<String>> {
    let usage = |why| vec![why];
    let options = made.options;
    if options.platform == Platform::Envoy {
        let backend = options.backend.as_deref().map(Backend::of).transpose().map_err(usage)?;
        return Ok(("envoy.yaml".to_owned(), envoy(made, backend)));
    }
    let image = Image::of(options.image.as_deref()).map_err(usage)?;
    let (file, text) = match options.platform {
        Platform::Istio => ("istio.yaml", istio(made, image)),
        Platform::EnvoyGateway | Platform::Envoy => {
            ("envoy-gateway.yaml", envoy_gateway(made, image))
        }
    };
    Ok((file.to_owned(), text))
}

fn envoy(made: &Made<'_>, backend: Option<Backend<'_>>) -> String {
    let clusters = clusters::yaml(std::slice::from_ref(made.cluster), None, made.ca);
    let bootstrap = Bootstrap {
        about: ABOUT,
        filter: &made.filter(),
        variable: made.variable(),
        module: module(made.options),
        backend: backend.map(|backend| (backend.host, backend.port)),
        clusters: &clusters,
    };
    bootstrap.yaml()
}

const ABOUT: &str = "\
# Envoy 1.40 with oidc-token-connector, made by `oidc-connector init` from the provider's discovery
# document. NEXT.md says what to run. PUT IN marks what the document does not have; envoy/envoy.yaml
# explains the purpose of each setting.
";

fn istio(made: &Made<'_>, image: Image<'_>) -> String {
    let variable = made.variable().map(|name| {
        format!("  vmConfig:\n    env:\n      - {{ name: {name}, valueFrom: HOST }}\n")
    });
    // Istio's word for the gateway's own public authorities; a file is one of the gateway's pod.
    let ca = made.options.ca.as_deref().map_or_else(|| "system".to_owned(), plain);
    filled(include_str!("istio.yaml"), made, image)
        .replace("#ENVIRONMENT\n", &variable.unwrap_or_default())
        .replace("<ca>", &ca)
        .replace("<tags>\n", &indented(&stats_tags(), &" ".repeat(14)))
        .replace("#CONFIGURATION\n", &indented(&made.filter(), &" ".repeat(4)))
}

fn envoy_gateway(made: &Made<'_>, image: Image<'_>) -> String {
    let variable = made.variable().map(|name| format!("      env: {{ hostKeys: [{name}] }}\n"));
    let ca = match made.options.ca {
        Some(_) => format!(
            "caCertificateRefs:\n      - {{ group: \"\", kind: ConfigMap, name: {CA_CONFIG_MAP} }}"
        ),
        None => "wellKnownCACertificates: System".to_owned(),
    };
    filled(include_str!("envoy-gateway.yaml"), made, image)
        .replace("#ENVIRONMENT\n", &variable.unwrap_or_default())
        .replace("#CONTAINER\n", &made.variable().map(container).unwrap_or_default())
        .replace("<ca>", &ca)
        .replace("<tags>\n", &indented(&stats_tags(), &" ".repeat(12)))
        .replace("#CONFIGURATION\n", &indented(&made.filter(), &" ".repeat(8)))
}

/// The variable of the proxy's container, which the module reads.
fn container(variable: &str) -> String {
    format!(
        "  provider:
    type: Kubernetes
    kubernetes:
      envoyDeployment:
        container:
          env:
            - name: {variable}
              valueFrom: {{ secretKeyRef: {{ name: {SECRET}, key: {variable} }} }}
"
    )
}

/// The Secret of the gateway's own client; its key is the variable's name.
pub(super) const SECRET: &str = "oidc-token-connector-client";

/// The ConfigMap with the provider's own authorities.
pub(super) const CA_CONFIG_MAP: &str = "oidc-provider-ca";

/// The values that both manifests have. All of them consist of harmless characters.
fn filled(template: &str, made: &Made<'_>, image: Image<'_>) -> String {
    let options = made.options;
    template
        .replace("<namespace>", namespace(options))
        .replace("<gateway>", gateway(options))
        .replace("<image>", image.name)
        .replace("<sha256>", image.sha256)
        .replace("<provider>", ROUTE)
        .replace("<host>", &made.cluster.host)
        .replace("<port>", &made.cluster.port.to_string())
}

pub(super) fn namespace(options: &Options) -> &str {
    options.namespace.as_deref().unwrap_or(match options.platform {
        Platform::Istio => "istio-system",
        Platform::EnvoyGateway | Platform::Envoy => "default",
    })
}

pub(super) fn gateway(options: &Options) -> &str {
    options.gateway.as_deref().unwrap_or(match options.platform {
        Platform::Istio => "ingressgateway",
        Platform::EnvoyGateway | Platform::Envoy => "gateway",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_needs_its_digest() {
        let digest = "a".repeat(64);
        let whole = format!("images.example/oidc:1@sha256:{digest}");
        for given in [whole.clone(), format!("oci://{whole}")] {
            let expected = Image { name: "images.example/oidc:1", sha256: &digest };
            assert_eq!(Image::of(Some(&given)), Ok(expected));
        }
        for (given, found) in [
            (None, "got no --image, expected REGISTRY/NAME:TAG@sha256:"),
            (Some("images.example/oidc:1"), "got \"images.example/oidc:1\", expected"),
            (Some("a b/c@sha256:"), "--image: got"),
            (
                Some(&*format!("registry.example/oidc:1@sha256:{digest}")),
                "the placeholder of an example for a registry, expected",
            ),
            (
                Some(&*format!("images.example/oidc:1@sha256:{}", "0".repeat(64))),
                "the placeholder of an example for a digest, expected",
            ),
            (Some(&*format!("images.example/a\n@sha256:{digest}")), "--image: got"),
            (whole.get(..whole.len() - 1), "--image: got"),
        ] {
            let wrong = Image::of(given).unwrap_err();
            assert!(wrong.contains(found) && wrong.contains("docs/deployment.md"), "{wrong}");
        }
    }

    #[test]
    fn backend_is_a_host_and_a_port() {
        for (given, host, port) in [
            ("127.0.0.1:8080", "127.0.0.1", 8080),
            ("api.example:80", "api.example", 80),
            ("my_api:80", "my_api", 80),
            ("api.internal.:80", "api.internal.", 80),
            ("[::1]:1", "::1", 1),
        ] {
            assert_eq!(Backend::of(given), Ok(Backend { host, port }));
        }
        let long = format!("{}:1", "a".repeat(64));
        for given in [
            "api.example",
            ":80",
            "a:0",
            "a:70000",
            "a b:1",
            "http://a:1",
            "[a]:1",
            "",
            "::1:80",
            "-a:1",
            "a..b:1",
            "192.0.2.256:1",
            &long,
        ] {
            let wrong = Backend::of(given).unwrap_err();
            assert!(wrong.contains("expected HOST:PORT"), "{given}: {wrong}");
        }
    }

    #[test]
    fn names_of_kubernetes_are_lower_case() {
        let wrong = |name: &str| wrong_name("--gateway", name);
        assert_eq!(wrong("gateway-1"), None);
        for name in ["", "Gateway", "-a", "a-", "a b", "a\nb", &"a".repeat(64)] {
            assert!(wrong(name).is_some_and(|why| why.starts_with("--gateway: got")), "{name}");
        }
    }
}

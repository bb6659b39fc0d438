//! What a discovery document does not say: the options of `init`, and what is written where none is given.

use std::fmt;

use clap::ValueEnum;

use crate::bootstrap::MODULE;

/// The variable of the environment that has the secret of introspection.
pub(super) const VARIABLE: &str = "OIDC_CLIENT_SECRET";

/// A file to write: its name, and its text.
pub type File = (String, String);

/// What a discovery document does not say.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Options {
    /// What runs the filter
    #[arg(long, value_enum, default_value_t = Platform::Envoy)]
    pub platform: Platform,
    /// Ask the introspection endpoint, also where the provider has a UserInfo endpoint: for tokens of
    /// machines, and for rules about audience and scope of opaque tokens
    #[arg(long)]
    pub introspection: bool,
    /// The introspection endpoint of a provider whose document does not name it
    #[arg(long, value_name = "URL", requires = "introspection")]
    pub introspection_endpoint: Option<String>,
    /// The gateway's own client at the provider, as which it asks; only with introspection
    #[arg(long, value_name = "ID")]
    pub client_id: Option<String>,
    /// Only tokens for this audience pass; may be repeated. With UserInfo it is read in the token, which
    /// has to be a JWT then
    #[arg(long, value_name = "AUDIENCE")]
    pub audience: Vec<String>,
    /// The API behind the gateway; only for Envoy [default: 127.0.0.1:10001]
    #[arg(long, value_name = "HOST:PORT")]
    pub backend: Option<String>,
    /// The module's path; only for Envoy [default: /etc/envoy/oidc_token_connector.wasm]
    #[arg(long, value_name = "FILE")]
    pub module: Option<String>,
    /// The module's image, REGISTRY/NAME:TAG@sha256:DIGEST; for Istio and Envoy Gateway, required there
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// The namespace; for Istio [default: istio-system] and Envoy Gateway [default: default]
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// The gateway: for Istio the value of its label `istio` [default: ingressgateway], for Envoy Gateway
    /// the Gateway's name [default: gateway]
    #[arg(long, value_name = "NAME")]
    pub gateway: Option<String>,
    /// The authorities that vouch for the provider, a PEM file, instead of the system's
    #[arg(long, value_name = "FILE")]
    pub ca: Option<String>,
    /// Accept http:// on loopback: for trials and tests alone, tokens cross the network in clear
    #[arg(long)]
    pub allow_http: bool,
}

/// What runs the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Platform {
    /// Envoy itself: a complete bootstrap
    #[default]
    Envoy,
    /// Istio's ingress gateway: a WasmPlugin and what belongs to it
    Istio,
    /// Envoy Gateway: an EnvoyExtensionPolicy and what belongs to it
    EnvoyGateway,
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Platform::Envoy => "envoy",
            Platform::Istio => "istio",
            Platform::EnvoyGateway => "envoy-gateway",
        })
    }
}

/// The module's path.
pub(super) fn module(options: &Options) -> &str {
    options.module.as_deref().unwrap_or(MODULE)
}

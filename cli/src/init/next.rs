//! NEXT.md: what to run after `init`, in the order in which it is run, and what remains to be decided.
//! No secret and no token is ever in it.

use std::fmt::Write as _;

use super::discovery::Method;
use super::made::Made;
use super::options::{Platform, VARIABLE, module};
use super::platform::{self, CA_CONFIG_MAP};
use crate::bootstrap::MODULE;

/// The page's name.
pub(super) const NAME: &str = "NEXT.md";

/// The page for what was written into `file`.
pub(super) fn page(made: &Made<'_>, file: &str) -> String {
    let mut page = Page::default();
    page.add("# What to run next\n");
    page.add(&summary(made, file));
    page.add("\nAll commands are for this directory.\n");
    page.step(&format!(
        "Check what was written. It has no errors and no warnings; a change of yours may have some.\n\n   \
         ```sh\n   oidc-connector check {file}\n   ```"
    ));
    if let Method::Introspection { client_id, .. } = &made.discovered.method {
        page.step(&format!(
            "Register the client `{client_id}` at the provider, if it is not there yet: confidential, \
             without redirect URIs, allowed to introspect. {}",
            secret(made.options.platform)
        ));
    }
    match made.options.platform {
        Platform::Envoy => envoy(made, &mut page),
        Platform::Istio => istio(made, file, &mut page),
        Platform::EnvoyGateway => envoy_gateway(made, file, &mut page),
    }
    page.add(&decide(made));
    page.text
}

#[derive(Debug, Default)]
struct Page {
    text: String,
    steps: usize,
}

impl Page {
    fn add(&mut self, more: &str) {
        // Writing to a String cannot fail.
        let _ = self.text.write_str(more);
    }

    fn step(&mut self, what: &str) {
        self.steps = self.steps.saturating_add(1);
        let number = self.steps;
        self.add(&format!("\n{number}. {what}\n"));
    }
}

fn summary(made: &Made<'_>, file: &str) -> String {
    let how = match made.discovered.method {
        Method::UserInfo => "UserInfo",
        Method::Introspection { .. } => "introspection (RFC 7662)",
    };
    format!(
        "\n`{file}` protects every request by the provider `{}`.\n\n| | |\n|---|---|\n\
         | tokens are validated by | {how}, `{}` |\n| cluster | `{}`, `{}:{}`{} |\n\
         | headers for the backend | {} |\n",
        made.discovered.issuer,
        made.discovered.endpoint,
        made.cluster.name,
        made.cluster.host,
        made.cluster.port,
        if made.cluster.tls { ", TLS" } else { ", **without TLS**: for trials alone" },
        made.discovered
            .headers()
            .iter()
            .map(|(name, path)| format!("`{name}` from `{}`", path.as_str().unwrap_or_default()))
            .collect::<Vec<_>>()
            .join(", "),
    )
}

/// Where the secret of introspection goes.
fn secret(platform: Platform) -> String {
    let places = match platform {
        Platform::Envoy => {
            return format!(
                "Put its secret into the environment of Envoy's process:\n\n   \
                 ```sh\n   read -rs {VARIABLE} && export {VARIABLE}\n   ```"
            );
        }
        Platform::Istio => {
            "gateway's pods (`env` of its Deployment, with `valueFrom.secretKeyRef`)"
        }
        Platform::EnvoyGateway => {
            "proxy's pods (`provider.kubernetes.envoyDeployment.container.env` of the EnvoyProxy, with \
             `valueFrom.secretKeyRef`)"
        }
    };
    format!(
        "Put its secret into a Secret of Kubernetes, and as the variable `{VARIABLE}` into the environment \
         of the {places}."
    )
}

/// What every platform is tried with.
const TRY: &str = r#"   ```sh
   curl -i ADDRESS/                                     # 401: no token
   curl -i ADDRESS/ -H 'Authorization: Bearer wrong'    # 401: the provider does not know it
   curl -i ADDRESS/ -H "Authorization: Bearer $TOKEN"   # the backend's answer
   ```

   A 401 or 503 for a good token has its reason in the access log (`details`) and in the counters:
   `docs/operations.md`, *Troubleshooting*."#;

fn envoy(made: &Made<'_>, page: &mut Page) {
    if made.options.backend.is_none() {
        page.step(
            "Put in your API where `envoy.yaml` says PUT IN: `init --backend HOST:PORT` does it. It must be \
             reachable only through Envoy.",
        );
    }
    if module(made.options) == MODULE {
        page.step(&format!(
            "Put the module where Envoy expects it. In a clone of the project:\n\n   ```sh\n   \
             cargo xtask build\n   \
             sudo install -D -m 644 target/wasm32-wasip1/release/oidc_token_connector.wasm {MODULE}\n   ```\n\n   \
             `init --module FILE` chooses another place."
        ));
    }
    page.step(
        "Start Envoy 1.36 or later (`docs/deployment.md`, *Installing Envoy*). Its log names each problem of \
         the filter's configuration.\n\n   \
         ```sh\n   envoy --mode validate -c envoy.yaml && envoy -c envoy.yaml\n   ```",
    );
    page.step(&format!(
        "Try it, with an access token that your application got from the provider:\n\n{}",
        TRY.replace("ADDRESS", "http://127.0.0.1:10000")
    ));
}

fn istio(made: &Made<'_>, file: &str, page: &mut Page) {
    let (namespace, gateway) = (platform::namespace(made.options), platform::gateway(made.options));
    page.step(&format!(
        "Set this on the pod template of the gateway (`istio: {gateway}` in `{namespace}`), and restart it. \
         Without it the limit on an answer's size, and the labels in Prometheus, have no effect:\n\n   \
         ```yaml\n   metadata:\n     annotations:\n       proxy.istio.io/config: |\n         \
         proxyMetadata: {{ BOOTSTRAP_XDS_AGENT: \"true\" }}\n         proxyStatsMatcher:\n           \
         inclusionPrefixes: [wasmcustom]\n           \
         inclusionSuffixes: [oidc_token_connector_guard.denied]\n   ```"
    ));
    if let Some(ca) = &made.options.ca {
        page.step(&format!("Mount the provider's authorities into the gateway's pods, at `{ca}`."));
    }
    page.step(&format!("Apply it:\n\n   ```sh\n   kubectl apply -f {file}\n   ```"));
    try_at(page, "the gateway's address");
}

fn envoy_gateway(made: &Made<'_>, file: &str, page: &mut Page) {
    let (namespace, gateway) = (platform::namespace(made.options), platform::gateway(made.options));
    page.step(
        "Allow backends and patches in Envoy Gateway's own configuration: \
         `extensionApis: { enableBackend: true, enableEnvoyPatchPolicy: true }`.",
    );
    page.step(&format!(
        "Let the Gateway `{gateway}` in `{namespace}` name the EnvoyProxy, and put the names of its listeners \
         into the EnvoyPatchPolicy, one entry for each:\n\n   ```yaml\n   spec:\n     infrastructure:\n       \
         parametersRef: {{ group: gateway.envoyproxy.io, kind: EnvoyProxy, name: oidc-token-connector }}\n   \
         ```"
    ));
    if let Some(ca) = &made.options.ca {
        page.step(&format!(
            "Create the ConfigMap with the provider's authorities:\n\n   ```sh\n   \
             kubectl -n {namespace} create configmap {CA_CONFIG_MAP} --from-file=ca.crt={ca}\n   ```"
        ));
    }
    page.step(&format!(
        "Apply it. The EnvoyPatchPolicy must be `Programmed`; otherwise there is no guard:\n\n   \
         ```sh\n   kubectl apply -f {file}\n   kubectl -n {namespace} get envoypatchpolicy\n   ```"
    ));
    try_at(page, "the Gateway's address");
}

fn try_at(page: &mut Page, address: &str) {
    page.step(&format!(
        "Try it at {address}, with an access token that your application got from the provider:\n\n{}",
        TRY.replace("ADDRESS", "$ADDRESS")
    ));
}

/// What a discovery document cannot decide.
fn decide(made: &Made<'_>) -> String {
    let audience = match (&made.discovered.method, made.options.audience.is_empty()) {
        (_, false) => "",
        (Method::Introspection { .. }, true) => {
            "- `require_audience`: without it every token that the provider validates passes, also one that \
             it issued for another API. `init --audience` sets it.\n"
        }
        (Method::UserInfo, true) => {
            "- `require_audience`: without it every token that the provider validates passes, also one that \
             it issued for another API. With UserInfo it works for tokens that are JWTs; for opaque ones \
             use introspection. `init --audience` sets it.\n"
        }
    };
    let listener = match made.options.platform {
        Platform::Envoy => {
            "- TLS for clients: the listener speaks plain HTTP, on all interfaces. Add a `transport_socket` \
             to its filter chain, or put it behind what ends TLS.\n"
        }
        Platform::Istio | Platform::EnvoyGateway => "",
    };
    format!(
        "\n## What you decide\n\n{audience}\
         - `cache.ttl`, 60s here: how long a revoked token may stay good. Without `cache` each request asks \
         the provider.\n\
         - `inject_headers`: what the backend gets to know. It must trust these headers alone, and be \
         reachable only through the gateway.\n\
         {listener}\
         - Public routes, several regions or issuers, CORS, scopes: `envoy/envoy.yaml` and `docs/recipes.md` \
         of the project.\n"
    )
}

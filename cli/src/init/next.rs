//! NEXT.md: what to run after `init`, in the order in which it is run, and what remains to be decided.
//! No secret and no token is ever in it.

use std::fmt::{Display, Write as _};
use std::path::Path;

use super::discovery::Method;
use super::made::Made;
use super::options::{Platform, VARIABLE, module};
use super::platform::{self, CA_CONFIG_MAP, SECRET};

/// The page's name.
pub(super) const NAME: &str = "NEXT.md";

/// The page for what was written into `file`.
pub(super) fn page(made: &Made<'_>, file: &str) -> String {
    let mut page = Page::default();
    page.add("# What to run next\n");
    page.add(&summary(made, file));
    page.add(
        "\nAll commands are for this directory, unless a step says otherwise. `docs/…` and `envoy/…` are in the clone of \
         the project.\n",
    );
    page.add(&needed(made, file));
    if let Method::Introspection { client_id, .. } = &made.discovered.method {
        page.step(&format!(
            "Register the client {} at the provider, if it is not there yet: confidential, without redirect \
             URIs, allowed to introspect.",
            code(client_id)
        ));
    }
    match made.options.platform {
        Platform::Envoy => envoy(made, file, &mut page),
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
        "\n`{file}` protects every request by the provider `{}`.\n{}\n\
         - Tokens are validated by {how}, `{}`.\n- The cluster is `{}`, `{}`{}.\n\
         - Headers for the backend: {}.\n",
        made.discovered.issuer,
        of_provider(made),
        made.discovered.endpoint,
        made.cluster.name,
        address(&made.cluster.host, made.cluster.port),
        if made.cluster.tls { ", TLS" } else { ", **without TLS**: for trials alone" },
        made.discovered
            .headers()
            .iter()
            .map(|(name, path)| format!("`{name}` from `{}`", path.as_str().unwrap_or_default()))
            .collect::<Vec<_>>()
            .join(", "),
    )
}

/// Host and port, as a URI has them.
fn address(host: &str, port: impl Display) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Providers whose UserInfo endpoint takes other tokens than users expect, by its host.
const PROVIDERS: [(&str, &str); 2] = [
    (
        "graph.microsoft.com",
        "
**Microsoft Entra:** its UserInfo endpoint takes only tokens for Microsoft Graph. A token that was issued for an API of
your own gets 401 there, and Entra has no introspection endpoint. Such tokens are JWTs: validate them by Envoy's
`jwt_authn` instead.
",
    ),
    (
        "openidconnect.googleapis.com",
        "
**Google:** its access tokens are opaque, and it has no introspection endpoint. The token of every Google account passes,
whatever application it was issued to. `require_claims` limits the accounts, where UserInfo says more of them
(`{\"$.hd\": \"your.domain\"}`), but not the application. `require_audience` would refuse every token.
",
    ),
];

/// What has to be known of this provider.
fn of_provider(made: &Made<'_>) -> &'static str {
    let asks = |(host, _): &&(&str, &str)| *host == made.cluster.host;
    let known = PROVIDERS.iter().find(asks).filter(|_| made.discovered.method == Method::UserInfo);
    known.map_or("", |(_, text)| text)
}

/// What a page says of its provider that is better known before anything is started.
pub(super) fn notes(page: &str) -> impl Iterator<Item = &'static str> {
    PROVIDERS.iter().map(|(_, text)| text.trim()).filter(move |text| page.contains(text))
}

/// Commands, as a block within a step.
fn sh(commands: &[&str]) -> String {
    let lines: String = commands.iter().map(|line| format!("   {line}\n")).collect();
    format!("\n\n   ```sh\n{lines}   ```")
}

/// `check`, with the findings accepted that are as they were asked for.
fn check(made: &Made<'_>, file: &str, page: &mut Page) {
    let (allowed, why) = match (made.options.platform, made.cluster.tls) {
        (Platform::Envoy, true) => ("", ""),
        (Platform::Envoy, false) => (
            "--allow endpoint-in-clear ",
            "\n\n   `endpoint-in-clear` is accepted, since `--allow-http` asked for it: tokens cross the network \
             in clear. Never do so with a provider that is not on this machine.",
        ),
        (Platform::Istio | Platform::EnvoyGateway, _) => (
            "--allow surroundings-not-seen ",
            "\n\n   `surroundings-not-seen` is accepted: the gateway's listener exists only in the cluster.",
        ),
    };
    let command = format!("oidc-connector check {allowed}{file}");
    page.step(&format!(
        "Check what was written. It has no errors and no warnings; a change of yours may have some.{}{why}",
        sh(&[&command])
    ));
}

fn envoy(made: &Made<'_>, file: &str, page: &mut Page) {
    if made.variable().is_some() {
        let read = format!("read -rs {VARIABLE} && export {VARIABLE}");
        page.step(&format!(
            "Put its secret into the environment of Envoy's process:{}",
            sh(&[&read])
        ));
    }
    if made.options.backend.is_none() {
        page.step(
            "Put in your API where `envoy.yaml` says PUT IN: `init --backend HOST:PORT` does it. It must be \
             reachable only through Envoy.",
        );
    }
    let module = module(made.options);
    if made.options.module.is_none() || !Path::new(module).is_file() {
        let install = format!("sudo install -D -m 644 {BUILT} {}", shell(module));
        // Where the build leaves it, it is already.
        let commands = ["cargo xtask build", &install];
        let commands = if module.ends_with(BUILT) { &commands[..1] } else { &commands[..] };
        page.step(&format!(
            "Put the module where Envoy expects it. In a clone of the project:{}\n\n   `init --module FILE` \
             chooses another place.",
            sh(commands)
        ));
    }
    check(made, file, page);
    page.step(&format!(
        "Start Envoy 1.36 or later (`docs/deployment.md`, *Installing Envoy*). Its log names each problem of \
         the filter's configuration.{}",
        sh(&["envoy --mode validate -c envoy.yaml && envoy -c envoy.yaml"])
    ));
    tried(made, "http://127.0.0.1:10000", page);
}

/// Where the build leaves the module, in a clone.
const BUILT: &str = "target/wasm32-wasip1/release/oidc_token_connector.wasm";

/// The Secret with what the gateway's own client proves who it is with.
fn secret(made: &Made<'_>, namespace: &str, page: &mut Page) {
    if made.variable().is_none() {
        return;
    }
    let create = format!(
        "printf %s \"${VARIABLE}\" | kubectl create secret generic {SECRET} --namespace {namespace} \
         --from-file={VARIABLE}=/dev/stdin"
    );
    page.step(&format!(
        "Create the Secret that the gateway's pods read. Without it the configuration is refused, and with it \
         every request.{}",
        sh(&[&format!("read -rs {VARIABLE}"), &create])
    ));
}

fn istio(made: &Made<'_>, file: &str, page: &mut Page) {
    let (namespace, gateway) = (platform::namespace(made.options), platform::gateway(made.options));
    secret(made, namespace, page);
    if made.variable().is_some() {
        let set = format!(
            "kubectl set env deployment --namespace {namespace} --selector istio={gateway} \
             --containers istio-proxy --from secret/{SECRET}"
        );
        page.step(&format!(
            "Let the gateway's pods have it. They restart by that. If Helm or an operator makes the Deployment, \
             add the variable to its values instead: the next upgrade would remove it.{}",
            sh(&[&set])
        ));
    }
    if let Some(ca) = &made.options.ca {
        page.step(&format!(
            "Mount the provider's authorities into the gateway's pods, at {}.",
            code(ca)
        ));
    }
    check(made, file, page);
    page.step(&format!("Apply it:{}", sh(&[&format!("kubectl apply --filename {file}")])));
    let deployment = format!(
        "GATEWAY=$(kubectl get deployment --namespace {namespace} --selector istio={gateway} --output name)"
    );
    let patch = format!(
        "kubectl patch \"$GATEWAY\" --namespace {namespace} --type merge --patch '{}'",
        serde_json::json!({"spec": {"template": {"metadata": {"annotations": {
            "proxy.istio.io/config": ANNOTATION
        }}}}})
    );
    let status = format!("kubectl rollout status \"$GATEWAY\" --namespace {namespace}");
    page.step(&format!(
        "Let the gateway's pods read the bootstrap that was applied: the limit on an answer's size, and the \
         labels in Prometheus. They restart by that; before step {} it would have no effect. If the pods have \
         this annotation already, or Helm makes the Deployment, add the values there instead. The first command \
         must find one Deployment.{}",
        page.steps,
        sh(&[&deployment, &patch, &status])
    ));
    let address = format!(
        "ADDRESS=http://$(kubectl get service --namespace {namespace} --selector istio={gateway} \
         --output jsonpath='{{.items[0].status.loadBalancer.ingress[0].ip}}')"
    );
    asked(&address, page);
    tried(made, "$ADDRESS", page);
}

/// What Istio puts into the bootstrap of a pod, beside what it does by itself.
const ANNOTATION: &str = "{proxyMetadata: {BOOTSTRAP_XDS_AGENT: \"true\"}, proxyStatsMatcher: \
                          {inclusionPrefixes: [wasmcustom], inclusionSuffixes: \
                          [oidc_token_connector_guard.denied]}}";

fn envoy_gateway(made: &Made<'_>, file: &str, page: &mut Page) {
    let (namespace, gateway) = (platform::namespace(made.options), platform::gateway(made.options));
    page.step(&format!(
        "Allow backends and patches in Envoy Gateway's own configuration (ConfigMap `envoy-gateway-config`): \
         `extensionApis: {{ enableBackend: true, enableEnvoyPatchPolicy: true }}`. It is read at the \
         start.{}",
        sh(&["kubectl rollout restart deployment envoy-gateway --namespace envoy-gateway-system"])
    ));
    secret(made, "envoy-gateway-system", page);
    if let Some(ca) = &made.options.ca {
        let create = format!(
            "kubectl create configmap {CA_CONFIG_MAP} --namespace {namespace} --from-file=ca.crt={}",
            shell(ca)
        );
        page.step(&format!(
            "Create the ConfigMap with the provider's authorities:{}",
            sh(&[&create])
        ));
    }
    let listeners = format!(
        "kubectl get gateway {gateway} --namespace {namespace} --output jsonpath='{{.spec.listeners[*].name}}'"
    );
    page.step(&format!(
        "Put the names of the Gateway's listeners into the EnvoyPatchPolicy, one entry for each. The file has \
         one, `http`.{}",
        sh(&[&listeners])
    ));
    check(made, file, page);
    page.step(&format!("Apply it:{}", sh(&[&format!("kubectl apply --filename {file}")])));
    let patch = format!(
        "kubectl patch gateway {gateway} --namespace {namespace} --type merge --patch '{}'",
        serde_json::json!({"spec": {"infrastructure": {"parametersRef": {
            "group": "gateway.envoyproxy.io", "kind": "EnvoyProxy", "name": "oidc-token-connector"
        }}}})
    );
    page.step(&format!(
        "Let the Gateway name the EnvoyProxy, which exists now; a Gateway that names one before is not \
         accepted. If it names another already, move what is in this one's `spec` there.{}{}",
        if made.variable().is_some() {
            " Until the new pods run, which have the secret, every request is refused."
        } else {
            ""
        },
        sh(&[&patch])
    ));
    let programmed =
        format!("kubectl get envoypatchpolicy oidc-token-connector-guard --namespace {namespace}");
    page.step(&format!(
        "The EnvoyPatchPolicy must be `Programmed`; otherwise there is no guard:{}",
        sh(&[&programmed])
    ));
    let address = format!(
        "ADDRESS=http://$(kubectl get gateway {gateway} --namespace {namespace} \
         --output jsonpath='{{.status.addresses[0].value}}')"
    );
    asked(&address, page);
    tried(made, "$ADDRESS", page);
}

/// What every platform is tried with.
const TRY: &str = r#"   ```sh
   curl -i ADDRESS/                                     # 401: no token
   curl -i ADDRESS/ -H 'Authorization: Bearer wrong'    # 401: the provider does not know it
   curl -i ADDRESS/ -H "Authorization: Bearer $TOKEN"   # the backend's answer
   ```

   A 401 or 503 for a good token has its reason in the access log (`details`) and in the counters:
   `docs/operations.md`, *Troubleshooting*."#;

/// What has to be there before, and is not in the file.
fn needed(made: &Made<'_>, file: &str) -> String {
    let (namespace, gateway) = (platform::namespace(made.options), platform::gateway(made.options));
    match made.options.platform {
        Platform::Envoy => String::new(),
        Platform::Istio => format!(
            "\nThe ingress gateway with the label `istio: {gateway}` must run in the namespace `{namespace}`, and a \
             Gateway and a VirtualService of yours lead to your API: `{file}` has none of them.\n"
        ),
        Platform::EnvoyGateway => format!(
            "\nThe Gateway `{gateway}` in the namespace `{namespace}` and an HTTPRoute of yours that leads to your \
             API must exist: `{file}` has neither.\n"
        ),
    }
}

/// The gateway's address, for the commands that come next.
fn asked(command: &str, page: &mut Page) {
    page.step(&format!(
        "Ask for the gateway's address. Some load balancers have a `hostname` instead, and a route for a host name \
         wants that name in place of the address.{}",
        sh(&[command])
    ));
}

/// How to try it, and which tokens can pass.
fn tried(made: &Made<'_>, address: &str, page: &mut Page) {
    let token = match made.discovered.method {
        Method::UserInfo => {
            "an access token from a sign-in with the scope `openid`; the UserInfo endpoint refuses others \
             (OpenID Connect Core 1.0 §5.3.1)"
        }
        Method::Introspection { .. } => {
            "an access token that your application got from the provider"
        }
    };
    page.step(&format!("Try it, with {token}:\n\n{}", TRY.replace("ADDRESS", address)));
}

/// A text as a code span of Markdown, whatever is in it.
fn code(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest.saturating_add(1));
    let blank = if longest > 0 { " " } else { "" };
    format!("{fence}{blank}{text}{blank}{fence}")
}

/// A text as one word of a shell's command.
fn shell(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    match text.chars().all(safe) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// What a discovery document cannot decide.
fn decide(made: &Made<'_>) -> String {
    let audience = match (&made.discovered.method, made.options.audience.is_empty()) {
        (Method::Introspection { .. }, false) => "",
        (Method::UserInfo, false) => {
            "- `require_audience` is read in the token itself: tokens that are no JWTs are all refused.\n"
        }
        (Method::Introspection { .. }, true) => {
            "- `require_audience`: without it every token that the provider validates passes, also one that \
             it issued for another API. `init --audience` sets it.\n"
        }
        (Method::UserInfo, true) => {
            "- `require_audience`: without it every token that the provider validates passes, also one that \
             it issued for another API. With UserInfo it works for tokens that are JWTs, and \
             `init --audience` sets it. For opaque ones use introspection, if the provider has it; else limit \
             the users by `require_claims`.\n"
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

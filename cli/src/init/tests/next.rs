//! NEXT.md: an order that works, each command once.

use super::*;

/// The commands of the page, in their order.
fn commands(page: &str) -> Vec<&str> {
    let mut inside = false;
    let lines = page.lines().map(str::trim_start).filter(|line| {
        let fence = line.starts_with("```");
        inside = if fence { *line == "```sh" } else { inside };
        inside && !fence
    });
    lines.collect()
}

/// The first words of the commands: what is run on what.
fn outlined(page: &str) -> Vec<String> {
    let words = |line: &&str| line.split(' ').take(3).collect::<Vec<_>>().join(" ");
    let all = commands(page);
    let tried = |line: &&&str| !line.starts_with("curl");
    all.iter().filter(tried).map(words).collect()
}

#[test]
fn commands_come_in_an_order_that_works_and_once() {
    let with_ca = |options: Options| Options { ca: Some("/pki/my ca.pem".to_owned()), ..options };
    let of = |platform, options| made(OIDC_PROVIDER, &with_ca(on(platform, options))).1;
    let check = "oidc-connector check --allow";
    // The pods that restart have to find the secret, the authorities and the bootstrap.
    let istio = of(Platform::Istio, introspecting());
    assert_eq!(
        outlined(&istio),
        [
            "read -rs OIDC_CLIENT_SECRET",
            "printf %s \"$OIDC_CLIENT_SECRET\"",
            "kubectl set env",
            check,
            "kubectl apply --filename",
            "GATEWAY=$(kubectl get deployment",
            "kubectl patch \"$GATEWAY\"",
            "kubectl rollout status",
            "ADDRESS=http://$(kubectl get service",
        ]
    );
    assert!(istio.find("Mount the provider's").unwrap() < istio.find("kubectl apply").unwrap());
    assert!(
        istio.contains("; before step 6 it would have no effect") && istio.contains("6. Apply it")
    );
    // A Gateway that names an EnvoyProxy which does not exist is not accepted.
    let gateway = of(Platform::EnvoyGateway, introspecting());
    assert_eq!(
        outlined(&gateway),
        [
            "kubectl rollout restart",
            "read -rs OIDC_CLIENT_SECRET",
            "printf %s \"$OIDC_CLIENT_SECRET\"",
            "kubectl create configmap",
            "kubectl get gateway",
            check,
            "kubectl apply --filename",
            "kubectl patch gateway",
            "kubectl get envoypatchpolicy",
            "ADDRESS=http://$(kubectl get gateway",
        ]
    );
    assert!(gateway.contains("--from-file=ca.crt='/pki/my ca.pem'\n"), "{gateway}");
    let envoy = of(Platform::Envoy, introspecting());
    assert_eq!(
        outlined(&envoy),
        [
            "read -rs OIDC_CLIENT_SECRET",
            "cargo xtask build",
            "sudo install -D",
            "oidc-connector check envoy.yaml",
            "envoy --mode validate",
        ]
    );
    for page in [istio, gateway, envoy] {
        let mut all = commands(&page);
        let number = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), number, "{page}");
    }
    let userinfo = of(Platform::EnvoyGateway, Options::default());
    assert!(!userinfo.contains("secret"), "{userinfo}");
}

/// What a patch says is what Kubernetes and Istio read.
#[test]
fn patches_are_json_and_the_annotation_is_yaml() {
    let patch = |platform| {
        let (_, next) = made(OIDC_PROVIDER, &on(platform, Options::default()));
        let line =
            commands(&next).into_iter().find(|line| line.contains("--patch")).unwrap().to_owned();
        let text =
            line.split_once("--patch '").and_then(|(_, patch)| patch.strip_suffix('\'')).unwrap();
        assert!(!text.contains('\''), "{text}");
        serde_json::from_str::<Json>(text).unwrap()
    };
    let annotation = "/spec/template/metadata/annotations/proxy.istio.io~1config";
    let istio = patch(Platform::Istio);
    let expected = json!({
        "proxyMetadata": {"BOOTSTRAP_XDS_AGENT": "true"},
        "proxyStatsMatcher": {
            "inclusionPrefixes": ["wasmcustom"],
            "inclusionSuffixes": ["oidc_token_connector_guard.denied"],
        },
    });
    assert_eq!(yaml(istio.pointer(annotation).unwrap().as_str().unwrap()), expected);
    let reference = patch(Platform::EnvoyGateway)["spec"]["infrastructure"]["parametersRef"].take();
    let manifest = made(OIDC_PROVIDER, &on(Platform::EnvoyGateway, Options::default())).0;
    let proxy =
        yamls(&manifest).into_iter().find(|value| value["kind"] == reference["kind"]).unwrap();
    assert_eq!(proxy["metadata"]["name"], reference["name"]);
}

/// The Secret is the one that the proxy's pods read.
#[test]
fn secret_is_created_as_it_is_read() {
    let (manifest, next) = made(OIDC_PROVIDER, &on(Platform::EnvoyGateway, introspecting()));
    let proxy = yamls(&manifest).into_iter().find(|value| value["kind"] == "EnvoyProxy").unwrap();
    let env = "/spec/provider/kubernetes/envoyDeployment/container/env";
    let expected = json!([{"name": VARIABLE, "valueFrom": {"secretKeyRef": {
        "name": platform::SECRET, "key": VARIABLE
    }}}]);
    assert_eq!(proxy.pointer(env), Some(&expected), "{manifest}");
    let create =
        format!("create secret generic {} --namespace envoy-gateway-system", platform::SECRET);
    assert!(
        next.contains(&create) && next.contains(&format!("--from-file={VARIABLE}=/dev/stdin")),
        "{next}"
    );
    let (_, next) = made(OIDC_PROVIDER, &on(Platform::Istio, introspecting()));
    assert!(next.contains(&format!("--from secret/{}", platform::SECRET)), "{next}");
}

/// UserInfo refuses other tokens: a user has to know it before the first request.
#[test]
fn tokens_that_userinfo_takes_are_named() {
    let (_, next) = made(OIDC_PROVIDER, &Options::default());
    assert!(next.contains("with the scope `openid`") && !next.contains("Entra"), "{next}");
    let (_, next) = made(OIDC_PROVIDER, &introspecting());
    assert!(!next.contains("openid"), "{next}");
    let entra = json!({
        "issuer": "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0",
        "userinfo_endpoint": "https://graph.microsoft.com/oidc/userinfo",
    });
    let (_, next) = made(&entra.to_string(), &Options::default());
    assert!(next.contains("its UserInfo endpoint takes only tokens for Microsoft Graph"), "{next}");
    assert_eq!(crate::init::next::notes(&next).count(), 1);
    let google = json!({
        "issuer": "https://accounts.google.com",
        "userinfo_endpoint": "https://openidconnect.googleapis.com/v1/userinfo",
    });
    let (_, next) = made(&google.to_string(), &Options::default());
    assert!(next.contains("The token of every Google account passes"), "{next}");
    let audience = vec!["https://api.example".to_owned()];
    let (_, next) = made(OIDC_PROVIDER, &Options { audience, ..Options::default() });
    assert!(next.contains("tokens that are no JWTs are all refused"), "{next}");
    assert_eq!(crate::init::next::notes(&next).count(), 0);
}

/// What the commands of the page use, the page sets.
#[test]
fn address_is_asked_for_before_it_is_used() {
    for platform in [Platform::Istio, Platform::EnvoyGateway] {
        let (_, next) = made(OIDC_PROVIDER, &on(platform, Options::default()));
        let (set, used) =
            (next.find("ADDRESS=http://$(kubectl get"), next.find("curl -i $ADDRESS"));
        assert!(set.is_some_and(|set| used.is_some_and(|used| set < used)), "{next}");
        let (needed, first) = (next.find("of yours"), next.find("\n1. "));
        assert!(needed.is_some_and(|needed| first.is_some_and(|first| needed < first)), "{next}");
    }
}

/// `install` ends with an error where both are the same file.
#[test]
fn module_is_not_installed_where_it_was_built() {
    let at = |module: &str| Options { module: Some(module.to_owned()), ..Options::default() };
    let (_, next) =
        made(OIDC_PROVIDER, &at("/x/target/wasm32-wasip1/release/oidc_token_connector.wasm"));
    assert!(next.contains("cargo xtask build") && !next.contains("sudo install"), "{next}");
    let (_, next) = made(OIDC_PROVIDER, &at("/etc/envoy/x.wasm"));
    assert!(next.contains("sudo install"), "{next}");
}

/// Istio's clusters have `|` in their names, which would end a cell of a table.
#[test]
fn values_do_not_break_the_page() {
    for platform in [Platform::Envoy, Platform::Istio, Platform::EnvoyGateway] {
        let client_id = Some("a`b``c|d".to_owned());
        let (_, next) =
            made(OIDC_PROVIDER, &on(platform, Options { client_id, ..introspecting() }));
        assert!(next.contains("Register the client ``` a`b``c|d ``` at"), "{next}");
        assert!(!next.lines().any(|line| line.starts_with('|')), "no table: {next}");
    }
}

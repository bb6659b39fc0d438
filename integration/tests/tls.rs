//! TLS to the provider, as in the reference configuration: the provider is called by its own name,
//! and an invalid certificate means that the provider is unavailable.

use integration::{Certificate, Gateway, Listener, Running, Setup};
use serde_json::{Value, json};

const NO_ANSWER: &str = r#"{"error":"TargetEndpointError","error_description":"No usable response from the UserInfo endpoint."}"#;

/// Region codes of the reference, and the provider of each.
const PROVIDERS: [(&str, &str); 4] = [
    ("", "idp.example"),
    ("FR", "fr.idp.example"),
    ("US", "us.idp.example"),
    ("DE", "de.idp.example"),
];

#[tokio::test]
async fn every_provider_is_called_over_tls_with_its_name() {
    let gw = Gateway::reference().await;
    for (region, host) in PROVIDERS {
        let r = gw.get("/orders").bearer("good").header("x-region", region).send().await;
        assert_eq!(r.status, 200, "{host}: {r:?}");
        let calls = gw.provider.take_calls();
        let [call] = calls.as_slice() else { panic!("{host}: {calls:#?}") };
        assert_eq!(call.server_name.as_deref(), Some(host));
        assert_eq!(call.headers.all("host"), [host]);
        assert_eq!(call.target, "/userinfo");
    }
    let stats = gw.envoy.stats().await;
    assert_eq!(stats["cluster.idp_fr.ssl.versions.TLSv1.3"], 1, "{stats:?}");
}

#[tokio::test]
async fn second_instance_calls_over_tls() {
    let gw = Gateway::reference().await;
    assert_eq!(gw.get("/partners/orders").bearer("good").send().await.status, 200);
    let call = gw.provider.only_call();
    assert_eq!(call.server_name.as_deref(), Some("idp.example"));
    assert_eq!((call.target.as_str(), call.method.as_str()), ("/partners/userinfo", "POST"));
}

/// The fault of the certificate, and Envoy's counter for it.
const BAD: [(&str, Certificate, &str); 3] = [
    ("authority", Certificate::OtherAuthority, "fail_verify_error"),
    ("name", Certificate::OtherName, "fail_verify_san"),
    ("expired", Certificate::Expired, "fail_verify_error"),
];

#[tokio::test]
async fn invalid_certificate_means_provider_unavailable() {
    let setup = Setup::new().component_log_level("connection:debug");
    let running = BAD
        .iter()
        .fold(setup, |setup, (what, ..)| setup.listener(Listener::named(what).tls()))
        .start()
        .await;
    let mut told = 0;
    for (before, (what, certificate, counter)) in BAD.into_iter().enumerate() {
        let gw = running.gateway(what);
        gw.provider.certificate(certificate);
        let r = gw.get(&format!("/{what}")).bearer("good").send().await;
        assert_eq!((r.status, r.text().as_str()), (503, NO_ANSWER), "{what}: {r:?}");
        assert_eq!(r.header("retry-after").as_deref(), Some("5"), "{what}");
        assert_eq!(gw.provider.count(), 0, "{what}: the token was shown to a stranger");
        gw.upstream.assert_untouched();

        // Ours says that, Envoy's why.
        let unavailable = running.envoy.stat("wasmcustom.oidc_outcome.unavailable").await;
        assert_eq!(unavailable, before as u64 + 1, "{what}");
        let line = running.envoy.access_entry(&format!("\"path\":\"/{what}\"")).await;
        let details = "oidc_token_connector{unavailable:unreachable}";
        assert_eq!(line["details"], details, "{what}: {line}");
        // It is repeated where it ended soon, which is a matter of the machine.
        let connections = format!("cluster.idp_default_{what}.upstream_cx_total");
        let made = running.envoy.stat(&connections).await;
        assert!((1..=3).contains(&made), "{what}: {made} connections");
        assert_eq!(ssl(&running, what, counter).await, made, "{what}");
        assert_eq!(ssl(&running, what, "handshake").await, 0, "{what}");
        told += made;
        let lines = reasons(&running).len() as u64;
        assert_eq!(lines, told, "{what}: {}", running.envoy.log().text());

        // The same provider once its certificate holds: nothing else was wrong.
        gw.provider.certificate(Certificate::Good);
        assert_eq!(gw.get("/").bearer("good").send().await.status, 200, "{what}");
        assert_eq!(ssl(&running, what, "handshake").await, 1, "{what}");
    }
    running.envoy.assert_no_vm_restart().await;
}

/// Shows the risk that docs and reference warn of.
#[tokio::test]
async fn without_ca_or_name_envoy_accepts_any_certificate() {
    let validation = |cluster: &mut Value, with: fn(&mut Value)| {
        let common = &mut cluster["transport_socket"]["typed_config"]["common_tls_context"];
        with(&mut common["validation_context"]);
    };
    let running = Setup::new()
        .listener(Listener::named("no_ca").tls().cluster("idp_default", move |cluster| {
            validation(cluster, |context| *context = json!({}));
        }))
        .listener(Listener::named("no_name").tls().cluster("idp_default", move |cluster| {
            validation(cluster, |context| context["match_typed_subject_alt_names"] = json!([]));
        }))
        .start()
        .await;
    for (name, stranger) in
        [("no_ca", Certificate::OtherAuthority), ("no_name", Certificate::OtherName)]
    {
        let gw = running.gateway(name);
        gw.provider.certificate(stranger);
        assert_eq!(gw.get("/").bearer("good").send().await.status, 200, "{name}");
        assert_eq!(gw.provider.only_call().token().as_deref(), Some("good"), "{name}");
    }
}

async fn ssl(running: &Running, listener: &str, counter: &str) -> u64 {
    running.envoy.stat(&format!("cluster.idp_default_{listener}.ssl.{counter}")).await
}

/// Lines of Envoy's log about certificates, at the level that docs/security.md names.
fn reasons(running: &Running) -> Vec<String> {
    let lines = running.envoy.log().lines();
    lines.into_iter().filter(|line| line.contains("CERTIFICATE_VERIFY_FAILED")).collect()
}

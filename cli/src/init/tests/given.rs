//! Values that are given are where they belong.

use super::*;

#[test]
fn given_values_are_where_they_belong() {
    let options = Options {
        backend: Some("api.example:8080".to_owned()),
        module: Some("target/a b.wasm".to_owned()),
        ca: Some("/pki/ca.pem".to_owned()),
        ..Options::default()
    };
    let (text, next) = made(OIDC_PROVIDER, &options);
    let envoy = yaml(&text);
    let clusters = &envoy["static_resources"]["clusters"];
    let backend = &clusters[0];
    assert_eq!(backend["type"], "STRICT_DNS");
    let address = json!({"address": "api.example", "port_value": 8080});
    let place = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address";
    assert_eq!(backend.pointer(place), Some(&address));
    assert_eq!(filter(&text).1["code"]["local"]["filename"], "target/a b.wasm");
    assert!(clusters[1].to_string().contains(r#"{"filename":"/pki/ca.pem"}"#), "{}", clusters[1]);
    assert!(next.contains(".wasm 'target/a b.wasm'\n") && !next.contains("--backend"), "{next}");
    let here = Some(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").to_owned());
    let (_, next) = made(OIDC_PROVIDER, &Options { module: here, ..Options::default() });
    assert!(!next.contains("cargo xtask build"), "{next}");
    let (_, next) = made(OIDC_PROVIDER, &Options::default());
    assert!(next.contains("cargo xtask build") && next.contains("--backend"), "{next}");

    for (platform, ca) in [
        (Platform::Istio, "caCertificates: /pki/ca.pem"),
        (Platform::EnvoyGateway, "kind: ConfigMap"),
    ] {
        let options = Options {
            namespace: Some("edge".to_owned()),
            gateway: Some("front".to_owned()),
            ca: Some("/pki/ca.pem".to_owned()),
            ..on(platform, Options::default())
        };
        let (manifest, next) = made(OIDC_PROVIDER, &options);
        for value in yamls(&manifest) {
            assert_eq!(value["metadata"]["namespace"], "edge");
        }
        assert!(manifest.contains("front") && manifest.contains(ca), "{manifest}");
        assert!(!manifest.contains('<'), "{manifest}");
        assert!(next.contains("gateway front --namespace edge") || next.contains("istio=front"));
        // The provider's port is not the listener's.
        assert!(!manifest.contains("tcp-443"), "{manifest}");
        assert!(next.contains("/pki/ca.pem"), "{next}");
    }
    let document =
        json!({"issuer": "https://192.0.2.1", "userinfo_endpoint": "https://192.0.2.1/me"});
    let why = refused(&document, None, &on(Platform::Istio, Options::default()));
    assert!(why[0].contains("IP address 192.0.2.1, expected a host name"), "{why:?}");
}

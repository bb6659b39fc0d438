//! How tokens are validated follows from the endpoints of a document.

use super::*;

#[test]
fn userinfo_is_chosen_where_there_is_one() {
    let (envoy, next) = made(OIDC_PROVIDER, &Options::default());
    let (config, vm) = filter(&envoy);
    let expected = json!({
        "userinfo_endpoint": {"defaultURI": "https://idp.example/me"},
        "clusters": {"idp.example": "idp_idp_example"},
        "timeout": "2s",
        "cache": {"ttl": "60s", "negative_ttl": "5s", "shared": true},
        "require_subject": true,
        "inject_headers": {"X-User-Id": "$.sub", "X-User-Email": "$.email"},
        "userinfo_unavailable": {"status": 503, "retry_after": "5s"},
        "provider_errors": "map",
        "access_log_state": true,
    });
    assert_eq!(config, expected);
    assert_eq!(vm.get("environment_variables"), None);
    assert!(
        next.contains("- Tokens are validated by UserInfo, `https://idp.example/me`."),
        "{next}"
    );
    assert!(!next.contains(VARIABLE), "{next}");

    let (config, _) = filter(&made(DJANGO, &Options::default()).0);
    assert_eq!(config["userinfo_endpoint"]["defaultURI"], "https://dot.example/o/userinfo/");
    assert_eq!(config["clusters"], json!({"dot.example": "idp_dot_example"}));
}

#[test]
fn introspection_has_its_secret_from_the_environment() {
    let options = Options { audience: vec!["https://api.example".to_owned()], ..introspecting() };
    let (envoy, next) = made(OIDC_PROVIDER, &options);
    let (config, vm) = filter(&envoy);
    assert_eq!(
        config["introspection_endpoint"]["defaultURI"],
        "https://idp.example/token/introspection"
    );
    let client = json!({"client_id": "gateway", "client_secret_env": "OIDC_CLIENT_SECRET"});
    assert_eq!(config["introspection_client"], client);
    assert_eq!(config["require_audience"], json!(["https://api.example"]));
    assert_eq!(config.get("require_subject"), None);
    assert_eq!(vm["environment_variables"], json!({"host_env_keys": ["OIDC_CLIENT_SECRET"]}));
    assert!(next.contains("Register the client `gateway`") && next.contains(VARIABLE), "{next}");
    assert!(!next.contains("require_audience"), "{next}");

    for (platform, place, expected) in [
        (
            Platform::Istio,
            "/spec/vmConfig/env",
            json!([{"name": "OIDC_CLIENT_SECRET", "valueFrom": "HOST"}]),
        ),
        (Platform::EnvoyGateway, "/spec/wasm/0/env", json!({"hostKeys": ["OIDC_CLIENT_SECRET"]})),
    ] {
        let (manifest, _) = made(OIDC_PROVIDER, &on(platform, introspecting()));
        assert_eq!(yamls(&manifest)[0].pointer(place), Some(&expected), "{manifest}");
        let (manifest, _) = made(OIDC_PROVIDER, &on(platform, Options::default()));
        assert_eq!(yamls(&manifest)[0].pointer(place), None, "{manifest}");
    }
}

#[test]
fn client_authenticates_as_the_provider_allows() {
    let auth_method = |methods: Json| {
        let mut document: Json = serde_json::from_str(DJANGO).unwrap();
        document["introspection_endpoint"] = json!("https://dot.example/i");
        document["introspection_endpoint_auth_methods_supported"] = methods;
        let made = files(&document.to_string(), None, &introspecting());
        made.map(|files| filter(&files[0].1).0["introspection_client"]["auth_method"].clone())
    };
    let (basic, post) = ("client_secret_basic", "client_secret_post");
    assert_eq!(auth_method(json!([post, basic])), Ok(Json::Null));
    assert_eq!(auth_method(json!([post])), Ok(json!(post)));
    let why = auth_method(json!(["private_key_jwt"])).unwrap_err();
    assert!(why[0].contains("got neither client_secret_basic nor client_secret_post"), "{why:?}");
}

/// A provider without UserInfo endpoint, and one that names no introspection endpoint.
#[test]
fn method_follows_from_the_endpoints() {
    let mut document: Json = serde_json::from_str(OIDC_PROVIDER).unwrap();
    document.as_object_mut().unwrap().shift_remove("userinfo_endpoint");
    let why = refused(&document, None, &Options::default());
    assert!(why[0].starts_with("got no --client-id, expected the client as which"), "{why:?}");
    let options = Options { introspection: false, ..introspecting() };
    let (config, _) = filter(&made(&document.to_string(), &options).0);
    assert!(config.get("introspection_endpoint").is_some());

    let document: Json = serde_json::from_str(DJANGO).unwrap();
    let why = refused(&document, None, &introspecting());
    assert!(
        why[0].contains("the document has none") && why[0].contains("--introspection-endpoint")
    );
    let url = "https://dot.example/o/introspect/";
    let options = Options { introspection_endpoint: Some(url.to_owned()), ..introspecting() };
    let (config, _) = filter(&made(DJANGO, &options).0);
    assert_eq!(config["introspection_endpoint"]["defaultURI"], url);

    let why = refused(&json!({"issuer": "https://a.example"}), None, &Options::default());
    assert!(why[0].contains("neither userinfo_endpoint nor introspection_endpoint"), "{why:?}");
    let options = Options { introspection: false, ..introspecting() };
    let why = files(OIDC_PROVIDER, None, &options).unwrap_err();
    assert!(why[0].starts_with("got --client-id, expected it only with introspection"), "{why:?}");
}

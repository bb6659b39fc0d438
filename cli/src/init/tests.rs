//! Discovery documents and what becomes of them.

use super::*;

const OIDC_PROVIDER: &str = include_str!("tests/oidc-provider.json");
const DJANGO: &str = include_str!("tests/django-oauth-toolkit.json");

fn yaml(text: &str) -> Json {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn yamls(text: &str) -> Vec<Json> {
    text.split("\n---\n").map(yaml).collect()
}

fn project(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)).unwrap()
}

/// The manifest and the page.
fn made(document: &str, options: &Options) -> (String, String) {
    let made = files(document, None, options).unwrap_or_else(|why| panic!("{why:#?}"));
    let [(_, manifest), (name, next)] = made.try_into().expect("two files");
    assert_eq!(name, "NEXT.md");
    (manifest, next)
}

fn refused(document: &Json, issuer: Option<&str>, options: &Options) -> Vec<String> {
    files(&document.to_string(), issuer, options).unwrap_err()
}

fn introspecting() -> Options {
    Options { introspection: true, client_id: Some("gateway".to_owned()), ..Options::default() }
}

fn on(platform: Platform, options: Options) -> Options {
    let image = format!("images.example/oidc:1@sha256:{}", "a".repeat(64));
    let image = (platform != Platform::Envoy).then_some(image);
    Options { platform, image, ..options }
}

fn manager(bootstrap: &Json) -> &Json {
    &bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
}

/// The filter's configuration in an Envoy configuration, and its VM's.
fn filter(envoy: &str) -> (Json, Json) {
    let bootstrap = yaml(envoy);
    let config = &manager(&bootstrap)["http_filters"][0]["typed_config"]["config"];
    let text = config["configuration"]["value"].as_str().unwrap();
    (serde_json::from_str(text).unwrap(), config["vm_config"].clone())
}

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
        next.contains("| tokens are validated by | UserInfo, `https://idp.example/me` |"),
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

/// Every problem at once, with what was found, what is expected, and what to do.
#[test]
fn unsafe_documents_are_refused() {
    let http = Options { allow_http: true, ..Options::default() };
    let document =
        |issuer: &str, endpoint: &str| json!({"issuer": issuer, "userinfo_endpoint": endpoint});
    let (issuer, endpoint) = ("https://idp.example", "https://idp.example/me");
    let plain = Options::default();
    for (document, asked, options, said) in [
        (
            json!([]),
            None,
            &plain,
            &["the discovery document: got a list, expected a JSON object"][..],
        ),
        (json!({}), None, &plain, &["issuer: got nothing, expected a URL", "has neither"]),
        (
            json!({"issuer": 1, "userinfo_endpoint": []}),
            None,
            &plain,
            &[
                "issuer: got a number, expected a URL as text",
                "userinfo_endpoint: got a list, expected a URL as text",
            ],
        ),
        (
            document("https://other.example", endpoint),
            Some(issuer),
            &plain,
            &[
                "issuer: got \"https://other.example\", expected \"https://idp.example\", which --issuer \
             says (OpenID Connect Discovery 1.0 §4.3); give that issuer if it is your provider",
            ],
        ),
        (
            document("https://idp.example/", endpoint),
            Some(issuer),
            &plain,
            &["the slash at the end"],
        ),
        (
            document("http://idp.example", "http://idp.example/me"),
            None,
            &plain,
            &[
                "issuer: got \"http://idp.example\", expected https://; --allow-http accepts",
                "userinfo_endpoint: got \"http://idp.example/me\", expected https://; --allow-http",
            ],
        ),
        (
            document("http://idp.example", "http://idp.example/me"),
            None,
            &http,
            &[
                "expected https://, or http:// on loopback",
                "expected https://, or http:// on loopback",
            ],
        ),
        (
            document("https://u:s3cret@idp.example", "http://u:s3cret@idp.example"),
            None,
            &plain,
            &[
                "issuer: got a URL with more than that, expected host, port and path alone",
                "userinfo_endpoint: got another URL, expected https://",
            ],
        ),
        (document("https://idp.example?a", endpoint), None, &plain, &["host, port and path alone"]),
        (document("idp.example", endpoint), None, &plain, &["expected a URL with https://"]),
        (
            document(issuer, "https://idp.example/a b"),
            None,
            &plain,
            &["userinfo_endpoint: invalid endpoint URI: got space"],
        ),
        (
            document(issuer, "https://u:s3cret@idp.example/me"),
            None,
            &plain,
            &["userinfo_endpoint: invalid endpoint URI: got"],
        ),
        (
            document(issuer, "https://idp.example"),
            None,
            &plain,
            &["userinfo_endpoint: invalid endpoint URI: got"],
        ),
    ] {
        let why = refused(&document, asked, options);
        assert_eq!(why.len(), said.len(), "{why:#?}");
        for (why, said) in why.iter().zip(said) {
            assert!(why.contains(said) && why.contains("; "), "{why}\nlacks\n{said}");
            assert!(!why.contains("s3cret"), "{why}");
        }
    }
    let why = files("<html>", None, &plain).unwrap_err();
    assert!(why[0].contains("got no JSON") && why[0].contains("not a page around it"), "{why:?}");
}

#[test]
fn plain_http_is_for_loopback_and_on_demand() {
    let options = Options { allow_http: true, ..Options::default() };
    let document = json!({
        "issuer": "http://127.0.0.1:8080",
        "userinfo_endpoint": "http://127.0.0.1:8080/me",
    });
    let (envoy, next) = made(&document.to_string(), &options);
    let cluster = yaml(&envoy)["static_resources"]["clusters"][1].take();
    assert_eq!(cluster.get("transport_socket"), None);
    assert!(next.contains("**without TLS**: for trials alone"), "{next}");
    for host in ["localhost", "[::1]:1", "127.1.2.3"] {
        assert_eq!(discovery::wrong_issuer(&format!("http://{host}/a"), true), None, "{host}");
    }
    for host in ["localhost.example", "[::2]", "128.0.0.1", "127.0.0.1.example"] {
        assert!(discovery::wrong_issuer(&format!("http://{host}/a"), true).is_some(), "{host}");
    }
}

/// Every protection of the reference is in each file.
#[test]
fn envoy_configuration_equals_the_reference() {
    let reference = yaml(&project("envoy/envoy.yaml"));
    let options = Options { ca: Some("/ca.pem".to_owned()), ..Options::default() };
    let envoy = yaml(&made(OIDC_PROVIDER, &options).0);
    for part in ["admin", "layered_runtime", "stats_config"] {
        assert_eq!(envoy[part], reference[part], "{part}");
    }
    let without = |value: &Json, keys: &[&str]| {
        let mut value = value.clone();
        value.as_object_mut().unwrap().retain(|key, _| !keys.contains(&key.as_str()));
        value
    };
    let around = |bootstrap: &Json| without(manager(bootstrap), &["http_filters", "route_config"]);
    assert_eq!(around(&envoy), around(&reference));
    let guard = |bootstrap: &Json| {
        let filters = manager(bootstrap)["http_filters"].as_array().unwrap().clone();
        filters.into_iter().find(|filter| filter["name"] == "oidc-token-connector-guard")
    };
    assert_eq!(guard(&envoy), guard(&reference));
    let provider = |bootstrap: &Json, name: &str| {
        let clusters = bootstrap["static_resources"]["clusters"].as_array().unwrap();
        let found = clusters.iter().find(|cluster| cluster["name"] == name).unwrap();
        let text = found.to_string().replace("/ca.pem", "/etc/ssl/certs/ca-certificates.crt");
        serde_json::from_str::<Json>(&text.replace("idp_idp_example", "idp_default")).unwrap()
    };
    assert_eq!(provider(&envoy, "idp_idp_example"), provider(&reference, "idp_default"));
}

#[test]
fn manifests_have_the_protections_of_the_reference() {
    let reference = yaml(&project("envoy/envoy.yaml"));
    let guard = manager(&reference)["http_filters"].as_array().unwrap().iter();
    let guard = guard.clone().find(|f| f["name"] == "oidc-token-connector-guard").unwrap();
    let tags = reference["stats_config"]["stats_tags"].as_array().unwrap();
    let limit = &reference["layered_runtime"]["layers"][0]["static_layer"];

    let istio = yamls(&made(OIDC_PROVIDER, &on(Platform::Istio, Options::default())).0);
    let of = |kind: &str, name: &str| {
        let named = |value: &&Json| value["kind"] == kind && value["metadata"]["name"] == name;
        istio.iter().find(named).unwrap_or_else(|| panic!("no {kind} {name}"))["spec"].clone()
    };
    let plugin = of("WasmPlugin", "oidc-token-connector");
    assert_eq!(plugin["failStrategy"], "FAIL_RELOAD");
    assert_eq!(plugin["sha256"], "a".repeat(64));
    assert_eq!(plugin["pluginConfig"]["preflight"], "pass");
    assert_eq!(plugin["pluginConfig"]["cache"].get("shared"), None);
    assert_eq!(
        plugin["pluginConfig"]["clusters"],
        json!({"idp.example": "outbound|80||idp.example"})
    );
    let around = of("EnvoyFilter", "oidc-token-connector-surroundings");
    let set = &around["configPatches"][0]["patch"]["value"]["typed_config"];
    for (name, value) in set.as_object().unwrap() {
        match name.as_str() {
            "common_http_protocol_options" => {
                let action = "headers_with_underscores_action";
                assert_eq!(value, &json!({action: manager(&reference)[name][action]}));
            }
            _ => assert_eq!(value, &manager(&reference)[name], "{name}"),
        }
    }
    assert_eq!(set["stream_idle_timeout"], "30s");
    let bootstrap = of("EnvoyFilter", "oidc-token-connector-bootstrap");
    let value = &bootstrap["configPatches"][0]["patch"]["value"];
    assert_eq!(&value["layered_runtime"]["layers"][0]["static_layer"], limit);
    assert_eq!(value["stats_config"]["stats_tags"].as_array().unwrap()[..tags.len()], tags[..]);
    let own = of("EnvoyFilter", "oidc-token-connector-guard")["configPatches"][0]["patch"]["value"]
        .clone();
    let principals = "/typed_config/rules/policies/passed-by-the-connector/principals";
    let mut expected = guard.clone();
    let all = expected.pointer_mut(principals).unwrap().as_array_mut().unwrap();
    let mut preflight = all[0].clone();
    preflight["filter_state"]["string_match"]["prefix"] = json!("preflight;");
    all.push(preflight);
    assert_eq!(own, expected);
    let rule =
        of("DestinationRule", "oidc-provider")["trafficPolicy"]["portLevelSettings"][0].clone();
    let tls = json!({"mode": "SIMPLE", "sni": "idp.example", "subjectAltNames": ["idp.example"],
        "caCertificates": "system"});
    assert_eq!(
        (&rule["tls"], &rule["connectionPool"]["http"]["idleTimeout"]),
        (&tls, &json!("4s"))
    );

    let gateway = yamls(&made(OIDC_PROVIDER, &on(Platform::EnvoyGateway, Options::default())).0);
    let of = |kind: &str| {
        let found = gateway.iter().find(|value| value["kind"] == kind);
        found.unwrap_or_else(|| panic!("no {kind}"))["spec"].clone()
    };
    let wasm = of("EnvoyExtensionPolicy")["wasm"][0].clone();
    assert_eq!(wasm["failOpen"], false);
    let cluster = "httproute/default/oidc-provider/rule/0";
    assert_eq!(wasm["config"]["clusters"], json!({"idp.example": cluster}));
    assert_eq!(of("EnvoyPatchPolicy")["jsonPatches"][0]["operation"]["value"], *guard);
    let validation = json!({"hostname": "idp.example", "wellKnownCACertificates": "System"});
    assert_eq!(of("BackendTLSPolicy")["validation"], validation);
    let patches = of("EnvoyProxy")["bootstrap"]["jsonPatches"].clone();
    assert_eq!(patches[0]["value"], limit["http.async_response_buffer_limit"]);
    assert_eq!(patches[1]["value"], reference["stats_config"]);
}

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
    assert!(!next.contains("cargo xtask build") && !next.contains("--backend"), "{next}");
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
        assert!(next.contains("`front` in `edge`") || next.contains("`istio: front` in `edge`"));
        assert!(next.contains("/pki/ca.pem"), "{next}");
    }
    let document =
        json!({"issuer": "https://192.0.2.1", "userinfo_endpoint": "https://192.0.2.1/me"});
    let why = refused(&document, None, &on(Platform::Istio, Options::default()));
    assert!(why[0].contains("IP address 192.0.2.1, expected a host name"), "{why:?}");
}

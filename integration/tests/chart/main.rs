//! The Helm chart: what is committed is what Helm renders; values that would make an open or a broken
//! gateway are refused with a remedy; and each set of manifests, put together as its control plane does
//! it, runs on the real Envoy.

mod planes;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use integration::{Gateway, Listener, Reply, Request, Response, Setup, chart, merged, root};
use serde_json::{Value, json};

#[test]
fn committed_manifests_are_what_helm_renders() {
    let rendered = chart::manifests().unwrap_or_else(|why| panic!("{why}"));
    let read = |file: &str| std::fs::read_to_string(root().join(file)).unwrap_or_default();
    let mut files: Vec<(String, String)> =
        rendered.into_iter().map(|(case, text)| (case.file, text)).collect();
    assert!(files.len() > 5);
    let schema = chart::values_schema().unwrap();
    files.push((format!("{}/values.schema.json", chart::CHART), schema));
    let stale: Vec<&str> = files
        .iter()
        .filter(|(file, text)| read(file) != *text)
        .map(|(file, _)| file.as_str())
        .collect();
    assert_eq!(stale, Vec::<&str>::new(), "run `cargo xtask chart`");
    let directory = std::fs::read_dir(root().join("deploy/tests/rendered")).unwrap();
    let others = files.iter().filter(|(file, _)| file.starts_with("deploy/tests/rendered/"));
    assert_eq!(directory.count(), others.count(), "a file that nothing renders");
}

/// The values of `ci/istio-values.yaml`, with more.
fn istio(more: Value) -> Value {
    let cases = chart::cases().unwrap();
    let case = cases.iter().find(|case| case.name == "istio").expect("its values");
    merged(case.values(), more)
}

fn connector(more: Value) -> Value {
    istio(json!({"connector": merged(istio(json!({}))["connector"].clone(), more)}))
}

#[test]
fn values_that_cannot_work_are_refused_with_a_remedy() {
    let table = [
        (json!({}), "got no endpoint, expected userinfo_endpoint or introspection_endpoint"),
        (json!({"platform": "linkerd"}), "platform"),
        (istio(json!({"image": {"tag": "latest"}})), "tag"),
        (istio(json!({"image": {"sha256": "0123"}})), "sha256"),
        (istio(json!({"monitorng": {}})), "monitorng"),
        (connector(json!({"timeout": 5})), "timeout"),
        (connector(json!({"time_out": "5s"})), "time_out"),
        (connector(json!({"access_log_state": false})), "access_log_state"),
        (
            connector(json!({"userinfo_endpoint": {"defaultURI": "http://idp.example/u"}})),
            "expected https",
        ),
        (
            connector(json!({"cache": {"shared": true}})),
            "cache.shared: got true, expected false: a WasmPlugin has no vm_id of its own",
        ),
        (istio(json!({"istio": {"publicRoutes": {"a": "b"}}})), "expected istio.mode: envoyFilter"),
        (
            istio(json!({"instances": {"a": {"routes": ["a"], "connector": {}}}})),
            "a WasmPlugin has one configuration for all routes",
        ),
        (
            istio(json!({
                "istio": {"mode": "envoyFilter"},
                "instances": {"a": {"routes": [], "connector": {}}},
            })),
            "routes",
        ),
        (
            json!({"connector": {
                "introspection_endpoint": {"defaultURI": "https://idp.example/introspect"},
                "introspection_client": {"client_id": "g", "client_secret_env": "OIDC_CLIENT_SECRET"},
            }}),
            "secretEnv: got no OIDC_CLIENT_SECRET, expected the Secret of that variable",
        ),
    ];
    let values: Vec<Value> = table.iter().map(|(values, _)| values.clone()).collect();
    let answers = chart::render(&values).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(answers.len(), table.len());
    for ((values, expected), answer) in table.iter().zip(answers) {
        let why = answer.expect_err(&values.to_string());
        assert!(why.contains(expected), "{values}: {why}");
    }
}

/// A whole number stays one: Helm reads values as floating-point numbers.
#[test]
fn numbers_names_and_clusters_arrive_as_written() {
    let values = [
        connector(json!({
            "max_userinfo_bytes": 1_048_576,
            "realm": "yes",
            "clusters": {"idp.example": "outbound|8080||idp.auth.svc.cluster.local"},
        })),
        merged(
            istio(json!({"platform": "envoy-gateway"})),
            json!({"envoyGateway": {"xdsNameSchemeV2": true}}),
        ),
    ];
    let answers = chart::render(&values).unwrap_or_else(|why| panic!("{why}"));
    let [istio, gateway] = &answers[..] else { panic!("{answers:?}") };
    let objects = |answer: &Result<String, String>| -> Vec<Value> {
        serde_saphyr::from_multiple(answer.as_ref().unwrap()).unwrap()
    };
    let istio = objects(istio);
    let plugin = istio.iter().find(|object| object["kind"] == "WasmPlugin").unwrap();
    let config = &plugin["spec"]["pluginConfig"];
    assert_eq!(config["max_userinfo_bytes"], 1_048_576);
    assert_eq!(config["realm"], "yes");
    assert_eq!(
        config["clusters"],
        json!({"idp.example": "outbound|8080||idp.auth.svc.cluster.local"})
    );
    // Who names the cluster has it.
    assert!(istio.iter().all(|object| object["kind"] != "ServiceEntry"));
    let gateway = objects(gateway);
    let guard = gateway.iter().find(|object| object["kind"] == "EnvoyPatchPolicy").unwrap();
    assert_eq!(guard["spec"]["jsonPatches"][0]["name"], "tcp-80");
}

/// The committed manifests of these values, as their control plane puts them together, on Envoy.
async fn start(name: &str, routes: &'static [&'static str]) -> Gateway {
    let cases = chart::cases().unwrap();
    let case = cases.iter().find(|case| case.name == name).expect("its values");
    let text = std::fs::read_to_string(root().join(&case.file)).unwrap();
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let mut manager = integration::reference().unwrap();
    let place = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
    let mut manager = manager.pointer_mut(place).expect("a connection manager").take();
    planes::apply(&objects, routes, &mut manager);
    let configurations = planes::configurations(&manager);
    let mut clusters: Vec<String> = configurations
        .iter()
        .flat_map(|config| config["clusters"].as_object().expect("clusters").values())
        .map(|cluster| cluster.as_str().expect("a name").to_owned())
        .collect();
    clusters.sort();
    clusters.dedup();
    let listener = Listener::reference().connection_manager(move |there| *there = manager.clone());
    let listener = clusters.iter().fold(listener, |listener, name| listener.provider_cluster(name));
    let mut setup = Setup::new().listener(listener);
    for variable in ["OIDC_CLIENT_SECRET", "ONE_SECRET", "TWO_SECRET"] {
        setup = setup.process_environment(variable, "s3cret");
    }
    setup.start().await.gateway("gateway")
}

/// The headers by which the instance of a route says who somebody is, in spellings that a backend may take
/// for the same. What another instance says, goes to other backends.
type Own = &'static [&'static str];
const USER: Own = &["x-user-id", "x-user-email", "X.User.Id", "X.User.Email"];
const REGION: Own = &["x-user-id", "x-user-groups", "x-user-region", "X.User.Region"];
const MACHINE: Own = &["x-client-id", "X.Client.Id"];

/// Sends a request that names itself in every way, and returns what the backend was told.
async fn told(request: Request, own: Own) -> (Response, Vec<(&'static str, String)>) {
    let response = request.forging(own).send().await;
    let told = own.iter().filter_map(|name| Some((*name, response.upstream_header(name)?)));
    let told = if response.status == 200 { told.collect() } else { Vec::new() };
    (response, told)
}

/// This request passes, and the backend is told exactly this.
async fn assert_told(request: Request, own: Own, expected: &[(&str, &str)]) {
    let path = request.target().to_owned();
    let (response, told) = told(request, own).await;
    assert_eq!(response.status, 200, "{path}: {response:?}");
    let told: Vec<(&str, &str)> = told.iter().map(|(name, value)| (*name, &**value)).collect();
    assert_eq!(told, expected, "{path}");
    assert!(response.upstream_header("authorization").is_none(), "{path}: {response:?}");
}

/// Without a token, and with a header that a backend may take for another, nothing passes.
async fn assert_closed(gw: &Gateway, path: &str) {
    let before = gw.upstream.count();
    let (response, _) = told(gw.get(path), USER).await;
    assert_eq!(response.status, 401, "{path}: {response:?}");
    for (request, status) in [
        (gw.get(path).bearer("good").header("x_user_id", "admin"), 400),
        (gw.get(&format!("{path}%2f..")).bearer("good"), 400),
    ] {
        let response = request.send().await;
        assert_eq!(response.status, status, "{path}: {response:?}");
    }
    assert_eq!(gw.upstream.count(), before, "{path}");
}

const SUBJECT: &str = "248289761001";
const CLAES: [(&str, &str); 2] = [("x-user-id", SUBJECT), ("x-user-email", "claes@example.com")];
const ROBOT: [(&str, &str); 1] = [("x-client-id", "robot")];

/// What an introspection endpoint says of a machine.
fn machine() -> Reply {
    Reply::json(200, &json!({"active": true, "client_id": "robot", "aud": "https://api.example"}))
}

#[tokio::test]
async fn istio_with_one_configuration() {
    let gw = start("istio", &[]).await;
    assert_closed(&gw, "/orders").await;
    assert_told(gw.get("/orders").bearer("good"), USER, &CLAES).await;
    // It is before Istio's CORS filter, which answers.
    let preflight = gw
        .request("OPTIONS", "/orders")
        .header("origin", "https://app.example")
        .header("access-control-request-method", "GET");
    let response = preflight.send().await;
    assert_eq!(response.status, 200, "{response:?}");
    let allowed = response.header("access-control-allow-origin");
    assert_eq!(allowed.as_deref(), Some("https://app.example"));
}

#[tokio::test]
async fn istio_with_a_configuration_for_a_route() {
    let gw = start("istio-routes", &["partners"]).await;
    for path in ["/orders", "/partners"] {
        assert_closed(&gw, path).await;
    }
    assert_told(gw.get("/orders").bearer("good"), USER, &CLAES).await;
    let partner = json!({"sub": "acme"});
    gw.provider.answer_path("/partners/userinfo", Reply::json(200, &partner));
    // The same token: an answer for one endpoint is none for another.
    let own: Own = &["x-partner-id", "X.Partner.Id"];
    assert_told(gw.get("/partners").bearer("good"), own, &[("x-partner-id", "acme")]).await;
}

#[tokio::test]
async fn istio_with_regions() {
    let gw = start("istio-regions", &[]).await;
    assert_closed(&gw, "/orders").await;
    let region = |code: &str| gw.get("/orders").bearer("good").header("x-region", code);
    let told = |region: &'static str| [("x-user-id", SUBJECT), ("x-user-region", region)];
    assert_told(gw.get("/orders").bearer("good"), REGION, &told("default")).await;
    assert_told(region("US"), REGION, &told("US")).await;
    gw.provider.answer(Reply::json(200, &json!({"sub": "fr-1", "groups": ["a", "b"]})));
    let french = [("x-user-id", "fr-1"), ("x-user-groups", "a,b"), ("x-user-region", "FR")];
    assert_told(region("FR"), REGION, &french).await;
}

#[tokio::test]
async fn istio_with_introspection() {
    let gw = start("istio-introspection", &[]).await;
    assert_closed(&gw, "/orders").await;
    gw.provider.answer(machine());
    assert_told(gw.get("/orders").bearer("machine"), MACHINE, &ROBOT).await;
    let call = gw.provider.only_call();
    // gateway:s3cret
    assert_eq!(call.headers.get("authorization").as_deref(), Some("Basic Z2F0ZXdheTpzM2NyZXQ="));
}

#[tokio::test]
async fn istio_with_introspection_and_a_public_route() {
    let gw = start("istio-routes-introspection", &["machines", "batch", "health"]).await;
    let own: Own = &["x-user-id", "X.User.Id", "x-anonymous", "X.Anonymous"];
    assert_told(gw.get("/orders"), own, &[("x-anonymous", "true")]).await;
    assert_told(gw.get("/orders").bearer("good"), own, &CLAES[..1]).await;
    for path in ["/machines", "/batch"] {
        assert_closed(&gw, path).await;
        gw.provider.answer_path("/introspect", machine());
        assert_told(gw.get(path).bearer("machine"), MACHINE, &ROBOT).await;
    }
    assert_told(gw.get("/health"), &["x-user-id", "x-client-id", "x-anonymous"], &[]).await;
}

#[tokio::test]
async fn envoy_gateway_with_one_configuration() {
    let gw = start("envoy-gateway", &[]).await;
    // The route that is there for the provider's cluster takes no request.
    for value in ["", "a", "b", "ab", "a b", "abb", "a\u{ff}b", "\u{10ffff}", "a\\bb"] {
        let request = gw.get("/never/p443.idp.example").header("x-never", value);
        let response = request.send().await;
        assert_ne!(response.status, planes::TAKEN, "{value:?}");
        assert_eq!(response.status, 401, "{value:?}: {response:?}");
    }
    assert_closed(&gw, "/orders").await;
    assert_told(gw.get("/orders").bearer("good"), USER, &CLAES).await;
}

#[tokio::test]
async fn envoy_gateway_with_issuers_and_a_policy_of_routes() {
    let gw = start("envoy-gateway-issuers", &["users", "profile"]).await;
    gw.provider.answer_path("/introspect", machine());
    for issuer in ["one", "two"] {
        let token = unsigned(&json!({"iss": format!("https://{issuer}.idp.example")}));
        let told = [("x-client-id", "robot"), ("x-issuer", issuer)];
        assert_told(
            gw.get("/orders").bearer(&token),
            &["x-client-id", "x-issuer", "X.Issuer"],
            &told,
        )
        .await;
    }
    assert_closed(&gw, "/orders").await;
    for path in ["/users", "/profile"] {
        assert_closed(&gw, path).await;
        assert_told(gw.get(path).bearer("good"), &["x-user-id", "X.User.Id"], &CLAES[..1]).await;
    }
}

/// A JWT with this payload, whose signature nobody checks.
fn unsigned(payload: &Value) -> String {
    let header = json!({"alg": "RS256", "typ": "at+jwt"}).to_string();
    let payload = payload.to_string();
    let parts = [header.as_bytes(), payload.as_bytes(), b"signature"];
    parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
}

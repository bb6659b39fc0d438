//! The recipes of `docs/recipes.md`, each loaded out of its file in `envoy/recipes/` and put into the
//! reference as the page says: nothing of a recipe is written down here a second time. Of every recipe:
//! who passes, who does not, and that no client says of itself who it is.

mod browsers;
mod cache;
mod claims;
mod elsewhere;
mod jwt;
mod redirect;
mod routing;
mod scope;
mod tenants;
mod tokens;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use integration::{Gateway, Listener, Received, Reply, Request, Response, Running, Setup, root};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// The file of a recipe, parsed.
fn file(name: &str) -> Value {
    let path = root().join("envoy/recipes").join(name).with_extension("yaml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A listener for each test, with the recipe in it.
const LISTENERS: [(&str, &str); 22] = [
    ("tokens", "machine-and-user-tokens"),
    ("tokens_refused", "machine-and-user-tokens"),
    ("scope", "scope-per-route"),
    ("scope_refused", "scope-per-route"),
    ("jwt", "jwt-and-revocation"),
    ("jwt_forged", "jwt-and-revocation"),
    ("claims_role", "limits-by-claim"),
    ("claims_plan", "limits-by-claim"),
    ("cache", "response-cache"),
    ("cache_users", "response-cache"),
    ("browsers", "browsers"),
    ("browsers_forged", "browsers"),
    ("browsers_api", "browsers"),
    ("elsewhere", "token-elsewhere"),
    ("elsewhere_socket", "token-elsewhere"),
    ("elsewhere_refused", "token-elsewhere"),
    ("redirect", "internal-redirect"),
    ("redirect_refused", "internal-redirect"),
    ("routing", "route-by-token"),
    ("routing_refused", "route-by-token"),
    ("tenants", "tenants"),
    ("tenants_refused", "tenants"),
];

/// The listener for the test that shows why the page advises against something.
const UNSAFE_CACHE: &str = "cache_unsafe";

static RIG: OnceCell<Running> = OnceCell::const_new();

/// One Envoy with all listeners, and the secrets that recipes take from its environment.
async fn rig() -> &'static Running {
    RIG.get_or_init(|| async {
        let mut listeners: Vec<_> =
            LISTENERS.iter().map(|(name, recipe)| (*name, file(recipe))).collect();
        listeners.push((UNSAFE_CACHE, cache::unsafe_recipe()));
        let secrets = file("browsers")["secrets"].clone();
        let mut setup = Setup::new()
            .edit(move |bootstrap| bootstrap["static_resources"]["secrets"] = secrets.clone());
        for variable in ["OIDC_CLIENT_SECRET", "WEB_CLIENT_SECRET", "WEB_COOKIE_SECRET"] {
            setup = setup.process_environment(variable, "s3cret");
        }
        for (name, recipe) in listeners {
            setup = setup.listener(listener(name, &recipe));
        }
        setup.start().await
    })
    .await
}

/// The reference with this recipe in it.
fn listener(name: &str, recipe: &Value) -> Listener {
    let members = recipe.as_object().expect("a recipe is an object").clone();
    Listener::named(name).connection_manager(move |manager| {
        for (key, value) in members.iter().filter(|(key, _)| *key != "secrets") {
            manager[key] = value.clone();
        }
    })
}

/// The listener of a test.
async fn start(name: &str) -> Recipe {
    let known = LISTENERS.iter().find(|(known, _)| *known == name);
    let recipe = known.map_or_else(cache::unsafe_recipe, |(_, recipe)| file(recipe));
    Recipe { gw: rig().await.gateway(name), says: injected(&recipe) }
}

/// What has reached the backend at this path (with its query).
fn arrived(gw: &Recipe, path: &str) -> Vec<Received> {
    gw.upstream.received().into_iter().filter(|request| request.target == path).collect()
}

/// A recipe that runs.
struct Recipe {
    gw: Gateway,
    /// The headers by which its filters say who somebody is.
    says: Vec<String>,
}

impl std::ops::Deref for Recipe {
    type Target = Gateway;

    fn deref(&self) -> &Gateway {
        &self.gw
    }
}

impl Recipe {
    /// Spellings of these headers that a backend may take for the same. Envoy refuses those with
    /// underscores.
    fn spellings(&self) -> Vec<String> {
        let of = |name: &String| [name.clone(), name.to_uppercase(), name.replace('-', ".")];
        self.says.iter().flat_map(of).collect()
    }

    /// This request, which says by all of them who it is.
    fn forged(&self, request: Request) -> Request {
        request.headers(self.spellings().into_iter().map(|name| (name, "forged")))
    }

    /// What the backend is told in this request, in alphabetical order.
    fn told(&self, request: &Received) -> Vec<(String, String)> {
        let names = self.spellings();
        let is_told = |name: &str| names.iter().any(|known| known.eq_ignore_ascii_case(name));
        let lines = request.headers.0.iter().filter(|(name, _)| is_told(name));
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let mut told: Vec<_> =
            lines.map(|(name, value)| (name.to_ascii_lowercase(), text(value))).collect();
        told.sort();
        told
    }
}

/// The headers that the instances of a recipe inject, in lower case.
fn injected(recipe: &Value) -> Vec<String> {
    let mut names = Vec::new();
    let mut add = |name: &str| names.push(name.to_ascii_lowercase());
    for filter in recipe["http_filters"].as_array().expect("filters") {
        let config = &filter["typed_config"]["config"]["configuration"]["value"];
        config["region_header"].as_str().into_iter().for_each(&mut add);
        for (key, value) in config["inject_headers"].as_object().into_iter().flatten() {
            // A header with its path, or a region with its headers.
            match value.as_object() {
                Some(of_region) => of_region.keys().for_each(|name| add(name)),
                None => add(key),
            }
        }
    }
    names.sort();
    names.dedup();
    assert!(!names.is_empty(), "a recipe without an identity");
    names
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

/// Sends a request that names itself in every way, over both protocols; both pass, and the backend
/// sees exactly this identity and no credential.
async fn assert_passes(gw: &Recipe, request: Request, expected: &[(&str, &str)]) {
    let path = request.target().to_owned();
    let before = arrived(gw, &path).len();
    let request = gw.forged(request);
    for response in [request.clone().send().await, request.send_h2().await] {
        assert_eq!(response.status, 200, "{path}: {response:?}");
    }
    let seen = arrived(gw, &path).split_off(before);
    assert_eq!(seen.len(), 2, "{path}");
    for request in seen {
        assert_eq!(gw.told(&request), pairs(expected), "{path}");
        assert!(!request.headers.has("authorization"), "{path}: {request:?}");
    }
}

/// Sends a request that names itself in every way; it gets this status, and nothing of it reaches
/// the backend.
async fn assert_refused(gw: &Recipe, request: Request, status: u16) -> Response {
    let path = request.target().to_owned();
    let before = arrived(gw, &path).len();
    let request = gw.forged(request);
    let responses = [request.clone().send().await, request.send_h2().await];
    for response in &responses {
        assert_eq!(response.status, status, "{path}: {response:?}");
    }
    assert_eq!(arrived(gw, &path).len(), before, "{path}");
    let [response, _] = responses;
    response
}

/// Requests without a token, or with what is none, are refused before anybody is asked.
async fn assert_refuses_strangers(gw: &Recipe, path: &str) {
    let calls = gw.provider.count();
    for value in [None, Some(""), Some("Bearer"), Some("Basic dTpw"), Some("Bearer a, Bearer b")] {
        let request = value.into_iter().fold(gw.get(path), |r, v| r.header("authorization", v));
        assert_refused(gw, request, 401).await;
    }
    assert_eq!(gw.provider.count(), calls);
}

fn challenge(response: &Response) -> String {
    response.header("www-authenticate").unwrap_or_default()
}

fn claims(claims: &Value) -> Reply {
    Reply::json(200, claims)
}

/// A JWT with this payload, whose signature nobody checks.
fn unsigned(payload: &Value) -> String {
    let header = json!({"alg": "RS256", "typ": "at+jwt"}).to_string();
    let payload = payload.to_string();
    let parts = [header.as_bytes(), payload.as_bytes(), b"signature"];
    parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
}

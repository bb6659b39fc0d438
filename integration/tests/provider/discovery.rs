//! From a real provider's discovery document to an API behind Envoy: what `oidc-connector init` writes runs
//! as it is, only addresses, the module's path and the trusted CA are filled in.

use std::net::SocketAddr;

use cli::init::{Options, files};
use integration::{
    DjangoProvider, Envoy, OpenIdProvider, Place, Recipe, Request, Response, Upstream, root,
};
use serde_json::Value;

use crate::django::alice;
use integration::login::Login;

struct Rig {
    envoy: Envoy,
    place: Place,
    upstream: Upstream,
}

impl Rig {
    /// The configuration for this document, with the provider there.
    async fn start(document: &str, options: &Options, cluster: &str, provider: SocketAddr) -> Rig {
        let made = files(document, None, options).unwrap_or_else(|why| panic!("{why:#?}"));
        let (name, text) = &made[0];
        assert_eq!(name, "envoy.yaml");
        let (upstream, place) = (Upstream::start().await, Place::reserve());
        let envoy = Recipe::made(text)
            .listen(&place)
            .cluster("upstream", upstream.address())
            .cluster(cluster, provider)
            .environment("OIDC_CLIENT_SECRET", "secret-of-gateway")
            .start()
            .await;
        Rig { envoy, place, upstream }
    }

    async fn get(&self, token: &str) -> Response {
        let request = Request::new(self.place.address(), "GET", "/orders");
        request.forging(&["x-user-id", "x-client-id", "x-user-email"]).bearer(token).send().await
    }

    /// A good token passes with these headers, and another one does not.
    async fn assert_protects(&self, token: &str, expected: &[(&str, Option<&str>)]) {
        let refused = self.get("wrong").await;
        assert_eq!(refused.status, 401, "{refused:?}");
        self.upstream.assert_untouched();
        let passed = self.get(token).await;
        assert_eq!(passed.status, 200, "{passed:?}");
        for (name, value) in expected {
            assert_eq!(passed.upstream_header(name).as_deref(), *value, "{name}");
        }
        let received = self.upstream.only();
        assert!(!format!("{received:?}").contains(token), "{received:?}");
        self.envoy.assert_no_vm_restart().await;
    }
}

/// The document that `cli` has its tests with says the same as the provider.
fn assert_is_like_the_committed(document: &str, name: &str) {
    let path = root().join("cli/src/init/tests").join(name);
    let committed: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut found: Value = serde_json::from_str(document).unwrap();
    // Their order is chance.
    for value in found.as_object_mut().unwrap().values_mut() {
        if let Some(list) = value.as_array_mut() {
            list.sort_by_key(Value::to_string);
        }
    }
    assert_eq!(found, committed, "{document}");
}

fn introspecting() -> Options {
    Options { introspection: true, client_id: Some("gateway".to_owned()), ..Options::default() }
}

#[tokio::test]
async fn init_protects_an_api_by_the_document_of_oidc_provider() {
    let provider = OpenIdProvider::start().await;
    let document = provider.discovery().await;
    assert_is_like_the_committed(&document, "oidc-provider.json");
    let (cluster, at) = ("idp_idp_example", provider.tls_address());

    let rig = Rig::start(&document, &Options::default(), cluster, at).await;
    let token = Login::of("alice", "openid email").tokens(provider.address()).await.access;
    let user = [("x-user-id", Some("alice")), ("x-user-email", Some("alice@example.com"))];
    rig.assert_protects(&token, &user).await;

    let rig = Rig::start(&document, &introspecting(), cluster, at).await;
    let user = [("x-user-id", Some("alice")), ("x-client-id", Some("web"))];
    rig.assert_protects(&token, &user).await;
}

#[tokio::test]
async fn init_protects_an_api_by_the_document_of_django() {
    let provider = DjangoProvider::start().await;
    let document = provider.discovery().await;
    assert_is_like_the_committed(&document, "django-oauth-toolkit.json");
    let (cluster, at) = ("idp_dot_example", provider.tls_address());
    let token = alice(provider.address(), "web", "openid orders", None).await.0;

    let rig = Rig::start(&document, &Options::default(), cluster, at).await;
    rig.assert_protects(&token, &[("x-user-id", Some("1"))]).await;

    // Its document names no introspection endpoint, and its answers no subject.
    let options = Options {
        introspection_endpoint: Some("https://dot.example/o/introspect/".to_owned()),
        ..introspecting()
    };
    let rig = Rig::start(&document, &options, cluster, at).await;
    rig.assert_protects(&token, &[("x-user-id", None), ("x-client-id", Some("web"))]).await;
}

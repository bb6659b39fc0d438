//! `envoy/minimal.yaml` runs as it is written: only addresses, the module's path and the trusted CA are
//! filled in. It lets through who has a token, and nobody else.

use integration::{Envoy, Place, Provider, Recipe, Request, Upstream};

struct Rig {
    provider: Provider,
    upstream: Upstream,
    envoy: Envoy,
    place: Place,
}

async fn rig() -> Rig {
    let (provider, upstream) = (Provider::start().await, Upstream::start().await);
    let place = Place::reserve();
    let envoy = Recipe::read("envoy/minimal.yaml")
        .listen(&place)
        .cluster("backend", upstream.address())
        .cluster("idp", provider.address())
        .start()
        .await;
    Rig { provider, upstream, envoy, place }
}

impl Rig {
    fn get(&self, path: &str) -> Request {
        Request::new(self.place.address(), "GET", path).header("x-user-id", "forged")
    }

    async fn outcome(&self, path: &str) -> serde_json::Value {
        self.envoy.access_entry(&format!("\"path\":\"{path}\"")).await["outcome"].clone()
    }
}

#[tokio::test]
async fn minimal_configuration_passes_a_good_token_and_refuses_the_rest() {
    let rig = rig().await;

    let none = rig.get("/none").send().await;
    assert_eq!(none.status, 401, "{none:?}");
    assert!(none.header("www-authenticate").is_some_and(|c| c.starts_with("Bearer")), "{none:?}");
    assert_eq!(rig.get("/expired").bearer("expired").send().await.status, 401);
    assert_eq!(rig.get("/a").header("x_user_id", "1").bearer("good").send().await.status, 400);
    assert_eq!(rig.get("/a/..%2Fb").bearer("good").send().await.status, 400);
    rig.upstream.assert_untouched();

    let good = rig.get("/orders?page=2").bearer("good").send().await;
    assert_eq!(good.status, 200, "{good:?}");
    let received = rig.upstream.only();
    assert_eq!(received.headers.all("x-user-id"), ["248289761001"], "{received:?}");
    assert!(!received.headers.has("authorization"), "{received:?}");
    // Over TLS, by its name.
    let [call] = rig.provider.calls_with("good").try_into().expect("one call");
    assert_eq!(call.server_name.as_deref(), Some("idp.example"), "{call:?}");
    assert_eq!(rig.outcome("/orders").await, "pass;asked;default");
    rig.envoy.assert_no_vm_restart().await;
}

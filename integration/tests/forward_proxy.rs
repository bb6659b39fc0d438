//! The provider behind a forward proxy, as `envoy/forward-proxy.yaml` has it, with a real one. The
//! provider is called `localhost` here: the one name that a proxy resolves to loopback everywhere.

use std::time::Duration;

use integration::{
    Certificate, DEADLINE, DEFAULT_INSTANCE, ForwardProxy, Gateway, Listener, Running, Setup,
    forward_proxy_cluster, reference,
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

const NO_ANSWER: &str = r#"{"error":"TargetEndpointError","error_description":"No usable response from the UserInfo endpoint."}"#;

struct Rig {
    running: Running,
    open: ForwardProxy,
    strange: ForwardProxy,
    unreachable: ForwardProxy,
    refusing: ForwardProxy,
    _down: ForwardProxy,
}

static RIG: OnceCell<Rig> = OnceCell::const_new();

/// One Envoy, with a listener and a proxy for each test.
async fn rig() -> &'static Rig {
    RIG.get_or_init(|| async {
        let (open, strange) = (ForwardProxy::open().await, ForwardProxy::open().await);
        let (unreachable, refusing) = (ForwardProxy::open().await, ForwardProxy::refusing().await);
        let down = ForwardProxy::down();
        let running = Setup::new()
            .listener(behind("open", &open))
            .listener(behind("strange", &strange))
            .listener(behind("unreachable", &unreachable))
            .listener(behind("refusing", &refusing))
            .listener(behind("down", &down))
            .start()
            .await;
        Rig { running, open, strange, unreachable, refusing, _down: down }
    })
    .await
}

/// The reference with the cluster of `forward-proxy.yaml` instead of its own, and this proxy.
fn behind(name: &str, proxy: &ForwardProxy) -> Listener {
    let at = proxy.address();
    let mut config: Value = serde_json::from_str(&renamed(&configuration())).unwrap();
    config["http_proxy_server"] = json!("proxy.example");
    config["http_proxy_port"] = json!(at.port());
    let cluster = renamed(&forward_proxy_cluster().unwrap().to_string());
    let mut cluster: Value = serde_json::from_str(&cluster).unwrap();
    let endpoint = &mut cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0];
    let of_endpoint = &mut endpoint["metadata"]["typed_filter_metadata"];
    of_endpoint["envoy.http11_proxy_transport_socket.proxy_address"]["socket_address"] =
        json!({"address": at.ip().to_string(), "port_value": at.port()});
    assert_eq!(cluster["name"], "idp_default");
    // A busy machine takes its time.
    cluster["connect_timeout"] = json!("10s");
    Listener::named(name)
        .tls()
        .config(config)
        .cluster("idp_default", move |of_reference| *of_reference = cluster.clone())
}

/// The reference's configuration of the default instance.
fn configuration() -> String {
    let reference = reference().unwrap();
    let hcm = &reference["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0];
    let filters = hcm["typed_config"]["http_filters"].as_array().unwrap();
    let filter = filters.iter().find(|filter| filter["name"] == DEFAULT_INSTANCE).unwrap();
    filter["typed_config"]["config"]["configuration"]["value"].as_str().unwrap().to_owned()
}

/// `idp.example` becomes `localhost`; `fr.idp.example` and the like stay.
fn renamed(text: &str) -> String {
    text.replace("//idp.example/", "//localhost/").replace("\"idp.example\"", "\"localhost\"")
}

fn connect_to(gw: &Gateway) -> String {
    format!("CONNECT localhost:{} HTTP/1.1", gw.provider.address().port())
}

/// How many connections Envoy has made for a call that ended without an answer: it is repeated where
/// that was soon, which is a matter of the machine.
async fn attempts(gw: &Gateway, name: &str) -> usize {
    let made = gw.envoy.stat(&format!("cluster.idp_default_{name}.upstream_cx_total")).await;
    assert!((1..=3).contains(&made), "{made} connections");
    usize::try_from(made).expect("a few")
}

/// Each of them went to the proxy, and the proxy was told to whom to connect, and no more.
async fn assert_through(proxy: &ForwardProxy, gw: &Gateway, name: &str) {
    let made = attempts(gw, name).await;
    // Its log comes line by line, perhaps after the reply.
    let told = async {
        let mut look = tokio::time::interval(Duration::from_millis(20));
        while proxy.connects().len() < made {
            look.tick().await;
        }
    };
    let _ = tokio::time::timeout(DEADLINE, told).await;
    assert_eq!(proxy.connects(), vec![connect_to(gw); made]);
}

/// The request is refused as expected, and no call bypasses the proxy.
async fn assert_unavailable(name: &str) -> Gateway {
    let gw = rig().await.running.gateway(name);
    let r = gw.get(&format!("/{name}")).bearer("good").send().await;
    assert_eq!((r.status, r.text().as_str()), (503, NO_ANSWER), "{r:?}");
    let line = gw.envoy.access_entry(&format!("\"path\":\"/{name}\"")).await;
    assert_eq!(line["details"], "oidc_token_connector{unavailable:unreachable}", "{line}");
    assert_eq!(gw.provider.count(), 0, "the provider was asked past the proxy");
    gw.upstream.assert_untouched();
    gw
}

#[tokio::test]
async fn provider_is_reached_through_the_proxy_with_end_to_end_tls() {
    let (gw, proxy) = (rig().await.running.gateway("open"), &rig().await.open);
    let r = gw.get("/orders").bearer("good").send().await;
    assert_eq!(r.status, 200, "{r:?}");
    assert_eq!(r.upstream_header("x-user-id").as_deref(), Some("248289761001"));
    assert_eq!(proxy.connects(), [connect_to(&gw)]);
    let call = gw.provider.only_call();
    assert_eq!(call.server_name.as_deref(), Some("localhost"));
    assert_eq!(call.headers.all("host"), ["localhost"]);
    // The filter's log requires exactly what the cluster has.
    let said = format!(
        "cluster idp_default_open must reach localhost through the forward proxy proxy.example:{}",
        proxy.address().port()
    );
    gw.envoy.log().wait_for(&said).await;
}

#[tokio::test]
async fn invalid_certificate_behind_the_proxy_is_refused() {
    let gw = rig().await.running.gateway("strange");
    gw.provider.certificate(Certificate::OtherAuthority);
    assert_unavailable("strange").await;
    assert_through(&rig().await.strange, &gw, "strange").await;
    let refused = gw.envoy.stat("cluster.idp_default_strange.ssl.fail_verify_error").await;
    assert_eq!(refused, attempts(&gw, "strange").await as u64);
}

#[tokio::test]
async fn proxy_without_route_means_provider_unavailable() {
    rig().await.running.gateway("unreachable").provider.down().await;
    let gw = assert_unavailable("unreachable").await;
    assert_through(&rig().await.unreachable, &gw, "unreachable").await;
}

#[tokio::test]
async fn proxy_refusal_means_provider_unavailable() {
    let gw = assert_unavailable("refusing").await;
    let proxy = &rig().await.refusing;
    assert_through(proxy, &gw, "refusing").await;
    proxy.log().wait_for("Refused CONNECT method on port").await;
}

#[tokio::test]
async fn proxy_down_means_provider_unavailable() {
    let gw = assert_unavailable("down").await;
    let failed = gw.envoy.stat("cluster.idp_default_down.upstream_cx_connect_fail").await;
    assert_eq!(failed, attempts(&gw, "down").await as u64);
}

//! The output of `oidc-connector migrate` for the guide's example, on the real Envoy: the same as
//! the hand-written configuration in `journey.rs`, and the forward proxy that the text names.
//!
//! The migrated Envoy configuration is run whole. Filled in are only addresses, the module's path
//! and the trusted CA, as for the reference.

mod guide;

use cli::migrate::{Migrated, Options, migrate};
use integration::{ForwardProxy, Listener, Running, Setup};
use serde_json::Value;

/// The example of the connector's guide, as the tool's own tests have it.
const GUIDE: &str = include_str!("../../cli/src/migrate/tests/guide.txt");

/// The example without its forward proxy.
fn without_proxy() -> String {
    GUIDE.split_inclusive('\n').filter(|line| !line.starts_with("http_proxy_")).collect()
}

fn migrated(text: &str, options: &Options) -> Migrated {
    let migration = migrate(text, options);
    assert!(migration.whole, "{}", migration.report);
    migration.result.unwrap()
}

/// An Envoy that runs the migrated configuration instead of the reference.
async fn started(text: &str, options: &Options) -> Running {
    let envoy = migrated(text, options).envoy;
    let envoy: Value = serde_saphyr::from_str(&envoy).unwrap();
    let fill_in = move |bootstrap: &mut Value| {
        let reference = bootstrap.clone();
        let mut made = envoy.clone();
        made["admin"]["address"] = reference["admin"]["address"].clone();
        let resources = &reference["static_resources"];
        let listener = &mut made["static_resources"]["listeners"][0];
        listener["address"] = resources["listeners"][0]["address"].clone();
        let module = string_at(&resources["listeners"][0], "filename").unwrap();
        set(listener, "filename", &module);
        let of_reference = |name: &str| {
            let clusters = resources["clusters"].as_array().unwrap();
            clusters.iter().find(|cluster| cluster["name"] == name).unwrap()
        };
        for cluster in made["static_resources"]["clusters"].as_array_mut().unwrap() {
            let provider = cluster["name"].as_str().unwrap().starts_with("idp_");
            let like = of_reference(if provider { "idp_default" } else { "upstream" });
            let place = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address";
            *cluster.pointer_mut(place).unwrap() = like.pointer(place).unwrap().clone();
            if let Some(ca) = object_at(like, "trusted_ca") {
                set(cluster, "trusted_ca", &ca);
            }
        }
        *bootstrap = made;
    };
    Setup::new().listener(Listener::reference()).edit(fill_in).start().await
}

/// The first member of that name, at any depth.
fn object_at(value: &Value, name: &str) -> Option<Value> {
    let below = |value: &Value| object_at(value, name);
    match value {
        Value::Object(members) => {
            members.get(name).cloned().or_else(|| members.values().find_map(below))
        }
        Value::Array(elements) => elements.iter().find_map(below),
        _ => None,
    }
}

fn string_at(value: &Value, name: &str) -> Option<Value> {
    object_at(value, name).filter(Value::is_string)
}

/// Sets every member with that name and the same kind.
fn set(value: &mut Value, name: &str, to: &Value) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                if key == name {
                    *member = to.clone();
                } else {
                    set(member, name, to);
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| set(element, name, to)),
        _ => {}
    }
}

#[tokio::test]
async fn migrated_regions_have_endpoints_and_headers() {
    let gw = started(&without_proxy(), &Options::default()).await.gateway("gateway");
    guide::each_region(&gw).await;
    // Over TLS, by its name.
    for call in gw.provider.calls() {
        assert_eq!(call.server_name.as_deref(), Some("uki.acme-travel.com"), "{call:?}");
    }
    let stats = gw.envoy.stats().await;
    let sent = |cluster: &str| stats[&format!("cluster.{cluster}.upstream_rq_total")];
    assert_eq!(sent("idp_uki_acme_travel_com_9001"), 3);
    assert_eq!(sent("idp_uki_acme_travel_com"), 2);
}

#[tokio::test]
async fn migrated_errors_follow_the_text() {
    let gw = started(&without_proxy(), &Options::default()).await.gateway("gateway");
    guide::errors(&gw).await;
    gw.provider.down().await;
    let r = gw.get("/").bearer("good").send().await;
    assert_eq!((r.status, r.text().as_str()), (403, ""), "{r:?}");
    gw.upstream.assert_untouched();
}

/// Members on lines of their own, headers for all regions, and the rest left to the defaults.
#[tokio::test]
async fn minimal_text_removes_authorization_and_has_named_errors() {
    let text = "defaultURI: https://idp.example/userinfo\n\
                inject_headers: {\"X-User-Id\": \"$.sub\"}\n\
                error_metadata_location: ResponsePayload\n\
                error_payload_location: $.errorMessage\n";
    let gw = started(text, &Options::default()).await.gateway("gateway");
    let r = guide::forging(gw.get("/orders?page=2")).bearer("good").send().await;
    assert_eq!(r.status, 200, "{r:?}");
    let received = gw.upstream.only();
    assert!(!received.headers.has("authorization"), "{received:?}");
    assert_eq!(received.headers.all("x-user-id"), ["248289761001"]);
    let r = gw.get("/").send().await;
    assert_eq!((r.status, &r.json()["error"]), (401, &"InvalidAuthorizationHeaderValue".into()));
    let r = gw.get("/").bearer("expired").send().await;
    assert_eq!((r.status, r.text().as_str()), (401, "The access token expired"), "{r:?}");
}

/// `localhost` is the one name that a proxy resolves to loopback everywhere.
fn behind(port: u16) -> String {
    format!(
        "userinfo_endpoint: {{\ndefaultURI: https://localhost/userinfo\n}}\n\
         inject_headers:{{\"X-User-Id\": \"$.sub\"}}\n\
         http_proxy_server : squid.example.com\nhttp_proxy_port : {port}\n"
    )
}

#[tokio::test]
async fn provider_is_called_through_the_configured_proxy() {
    let proxy = ForwardProxy::open().await;
    let options = Options { proxy_address: Some(proxy.address().ip()), ..Options::default() };
    let gw = started(&behind(proxy.address().port()), &options).await.gateway("gateway");
    let r = gw.get("/").bearer("good").send().await;
    assert_eq!(r.status, 200, "{r:?}");
    assert_eq!(r.upstream_header("x-user-id").as_deref(), Some("248289761001"));
    let connect = format!("CONNECT localhost:{} HTTP/1.1", gw.provider.address().port());
    assert_eq!(proxy.connects(), [connect]);
    assert_eq!(gw.provider.only_call().server_name.as_deref(), Some("localhost"));
}

//! Lanes: clusters of the same kind side by side, each with connections and a breaker of its own, at
//! one provider. So what happens on a connection happens often in a short time, and hundreds of
//! requests that follow one another take as long as dozens.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use integration::{Gateway, Listener, Request};
use serde_json::{Value, json};

use crate::base::merged;

/// As many as a configuration may have regions.
pub(crate) const LANES: usize = 10;

/// A listener with lanes, and these keys more in its configuration.
pub(crate) fn listener(name: &str, more: Value) -> Listener {
    let host = |lane| format!("lane{lane}.example");
    let uris: BTreeMap<String, String> = (0..LANES)
        .map(|lane| (lane.to_string(), format!("http://{}/userinfo", host(lane))))
        .collect();
    let clusters: BTreeMap<String, String> =
        (0..LANES).map(|lane| (host(lane), cluster(name, lane))).collect();
    let config = json!({
        "userinfo_endpoint": {
            "regionCodeHeader": "X-Lane",
            "regionCodeValue": uris,
            "defaultURI": uris["0"],
        },
        "clusters": clusters,
        "inject_headers": {"X-User-Id": "$.sub"},
        "timeout": "20s",
        "userinfo_unavailable": {"status": 503, "retry_after": "5s"},
        "access_log_state": true,
    });
    let listener = Listener::named(name).config(merged(config, more));
    (0..LANES).fold(listener, |listener, lane| listener.provider_cluster(&cluster(name, lane)))
}

/// Makes the lanes of a listener lead to another address than its provider's.
pub(crate) fn lead_to(listener: Listener, name: &str, at: SocketAddr) -> Listener {
    (0..LANES).fold(listener, |listener, lane| listener.cluster_at(&cluster(name, lane), at))
}

fn cluster(listener: &str, lane: usize) -> String {
    format!("lane_{listener}_{lane}")
}

/// Makes a listener's lanes speak HTTP/2 to the provider, with these options.
pub(crate) fn speak_http2(bootstrap: &mut Value, listener: &str, options: &Value) {
    let lanes: Vec<String> = (0..LANES).map(|lane| cluster(listener, lane)).collect();
    let clusters = bootstrap["static_resources"]["clusters"].as_array_mut().expect("clusters");
    let of_lanes = |cluster: &&mut Value| lanes.iter().any(|lane| cluster["name"] == **lane);
    for cluster in clusters.iter_mut().filter(of_lanes) {
        let kind = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
        cluster["typed_extension_protocol_options"][kind] = json!({
            "@type": format!("type.googleapis.com/{kind}"),
            "explicit_http_config": {"http2_protocol_options": options},
        });
    }
}

/// A request on a lane.
pub(crate) fn request(gateway: &Gateway, path: &str, lane: usize, token: &str) -> Request {
    gateway.get(path).bearer(token).header("x-lane", lane.to_string())
}

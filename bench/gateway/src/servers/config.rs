//! Envoy configuration in pieces: listeners, filters, clusters. Every listener chooses its own
//! port on loopback. What is measured must be configured alike except for the one filter.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

/// A whole configuration.
pub(crate) fn bootstrap(listeners: &[Value], clusters: &[Value]) -> Value {
    json!({
        "admin": {"address": loopback(0)},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    })
}

/// A listener for HTTP/1.1 and HTTP/2 in the clear, with these routes and these filters before the
/// router.
pub(crate) fn listener(
    name: &str,
    routes: &[Value],
    filters: impl IntoIterator<Item = Value>,
) -> Value {
    const MANAGER: &str = "type.googleapis.com/envoy.extensions.filters.network\
                           .http_connection_manager.v3.HttpConnectionManager";
    const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
    let router = json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": ROUTER},
    });
    let filters: Vec<Value> = filters.into_iter().chain([router]).collect();
    let manager = json!({
        "@type": MANAGER,
        "stat_prefix": name,
        "route_config": {
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}],
            "max_direct_response_body_size_bytes": 1 << 20,
        },
        "http_filters": filters,
    });
    json!({
        "name": name,
        "address": loopback(0),
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": manager,
        }]}],
    })
}

/// All requests to one cluster.
pub(crate) fn to_cluster(name: &str) -> Value {
    json!({"match": {"prefix": "/"}, "route": {"cluster": name}})
}

/// A route that answers from memory.
pub(crate) fn answer(matching: &Value, status: u16, kind: &str, body: &str) -> Value {
    json!({
        "match": matching,
        "direct_response": {"status": status, "body": {"inline_string": body}},
        "response_headers_to_add": [{
            "header": {"key": "content-type", "value": kind},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }],
    })
}

/// A Wasm filter in the VM of that name.
pub(crate) fn wasm(name: &str, vm: &str, module: &Path, configuration: &str) -> Value {
    json!({
        "name": name,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": name,
                "failure_policy": "FAIL_CLOSED",
                "configuration": {
                    "@type": "type.googleapis.com/google.protobuf.StringValue",
                    "value": configuration,
                },
                "vm_config": {
                    "vm_id": vm,
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": module}},
                },
            },
        },
    })
}

/// Envoy's own filter for external authorization, asking the UserInfo endpoint: a 200 lets pass.
pub(crate) fn ext_authz(provider: &str, cluster: &str) -> Value {
    json!({
        "name": "envoy.filters.http.ext_authz",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
            "http_service": {"server_uri": {
                "uri": format!("http://{provider}/userinfo"),
                "cluster": cluster,
                "timeout": "5s",
            }},
        },
    })
}

/// Envoy's own filter for JWTs, with its cache of verified ones. It asks nobody, so it accepts what has
/// been revoked.
pub(crate) fn jwt_authn(keys: &str) -> Value {
    json!({
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"idp": {
                "issuer": "https://idp.example",
                "local_jwks": {"inline_string": keys},
                "jwt_cache_config": {"jwt_cache_size": 100},
                "claim_to_headers": [{"header_name": "x-user", "claim_name": "sub"}],
            }},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}}],
        },
    })
}

/// A script that does the same for one provider: no cache, no shared calls, a claim found by a
/// pattern.
pub(crate) fn lua(cluster: &str) -> Value {
    const SCRIPT: &str = r#"
function envoy_on_request(handle)
  local authorization = handle:headers():get("authorization")
  if authorization == nil then
    handle:respond({[":status"] = "401"}, "")
    return
  end
  local headers, body = handle:httpCall("CLUSTER", {
    [":method"] = "GET", [":path"] = "/userinfo", [":authority"] = "provider",
    ["authorization"] = authorization, ["accept"] = "application/json",
  }, "", 5000)
  local user = body and string.match(body, '"sub"%s*:%s*"([^"]*)"')
  if headers[":status"] ~= "200" or user == nil then
    handle:respond({[":status"] = "401"}, "")
    return
  end
  handle:headers():replace("x-user", user)
  handle:headers():remove("authorization")
end
"#;
    json!({
        "name": "envoy.filters.http.lua",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
            "default_source_code": {"inline_string": SCRIPT.replace("CLUSTER", cluster)},
        },
    })
}

/// Envoy's fault filter: every request waits so long before it is answered.
pub(crate) fn delay(milliseconds: u32) -> Value {
    let time = format!("{}.{:03}s", milliseconds / 1000, milliseconds % 1000);
    json!({
        "name": "envoy.filters.http.fault",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
            "delay": {
                "fixed_delay": time,
                "percentage": {"numerator": 100, "denominator": "HUNDRED"},
            },
        },
    })
}

/// A cluster of these endpoints on loopback, over HTTP/1.1, that gives each as many requests.
pub(crate) fn cluster(name: &str, at: &[SocketAddr]) -> Value {
    let endpoints: Vec<Value> =
        at.iter().map(|at| json!({"endpoint": {"address": loopback(at.port())}})).collect();
    json!({
        "name": name,
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": endpoints}],
        },
    })
}

fn loopback(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}

//! The two Envoys: the measured one, and the one that is provider and upstream. Both answer on
//! ports that they chose themselves.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use integration::{Envoy, Options, module, target_dir};
use serde_json::{Value, json};

use crate::cpu::{self, Placement};

/// The Envoy that answers as provider and as upstream.
pub(crate) struct Backend(Envoy);

/// How many requests each has seen since it started.
pub(crate) struct Seen {
    pub(crate) provider: u64,
    pub(crate) upstream: u64,
}

impl Backend {
    pub(crate) async fn start(placement: &Placement) -> Result<Self, String> {
        let envoy = start(&backend_config()).await?;
        placement.pin_other(envoy.id())?;
        Ok(Self(envoy))
    }

    pub(crate) async fn seen(&self) -> Seen {
        let stats = self.0.stats().await;
        let count = |server: &str| {
            stats.get(&format!("http.{server}.downstream_rq_total")).copied().unwrap_or(0)
        };
        Seen { provider: count("provider"), upstream: count("upstream") }
    }
}

impl Seen {
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            provider: self.provider.saturating_sub(before.provider),
            upstream: self.upstream.saturating_sub(before.upstream),
        }
    }
}

/// The Envoy whose processor time is measured.
pub(crate) struct Measured(Envoy);

impl Measured {
    pub(crate) async fn start(placement: &Placement, backend: &Backend) -> Result<Self, String> {
        let config = measured_config(
            backend.0.listener("provider"),
            backend.0.listener("upstream"),
            &do_nothing()?,
            &module()?,
        );
        let envoy = start(&config).await?;
        placement.pin_measured(envoy.id())?;
        Ok(Self(envoy))
    }

    pub(crate) fn url(&self, listener: &str) -> String {
        format!("http://{}/", self.0.listener(listener))
    }

    pub(crate) fn cpu_time(&self) -> Result<Duration, String> {
        cpu::time_used(self.0.id())
    }

    /// What it complained about; at level info it lists every extension it has.
    pub(crate) fn complaints(&self) -> String {
        let lines = self.0.log().lines();
        let complaints = lines.into_iter().filter(|line| !line.contains("[info]"));
        complaints.collect::<Vec<_>>().join("\n")
    }
}

async fn start(config: &Value) -> Result<Envoy, String> {
    let options = Options { concurrency: 1, ..Options::default() };
    Envoy::start(config, &options).await.map_err(|failure| failure.to_string())
}

fn do_nothing() -> Result<std::path::PathBuf, String> {
    let path = target_dir().join("wasm32-wasip1/release/do_nothing.wasm");
    if path.is_file() {
        return Ok(path);
    }
    Err(format!("the module {} is not there: run `cargo xtask bench`", path.display()))
}

/// Both servers answer from memory, the provider with a UserInfo document.
fn backend_config() -> Value {
    let server = |name: &str, kind: &str, body: &str| {
        let good = json!({
            "match": {"prefix": "/"},
            "direct_response": {"status": 200, "body": {"inline_string": body}},
            "response_headers_to_add": [{
                "header": {"key": "content-type", "value": kind},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }],
        });
        let bad = json!({
            "match": {"prefix": "/", "headers": [
                {"name": "authorization", "string_match": {"prefix": "Bearer bad"}},
            ]},
            "direct_response": {"status": 401},
        });
        listener(name, &[bad, good], None)
    };
    let userinfo = r#"{"sub":"248289761001","email":"jane@example.com","name":"Jane Doe"}"#;
    let listeners = [
        server("provider", "application/json", userinfo),
        server("upstream", "text/plain", "hello"),
    ];
    json!({"admin": {"address": loopback(0)}, "static_resources": {"listeners": listeners}})
}

fn measured_config(
    provider: SocketAddr,
    upstream: SocketAddr,
    do_nothing: &Path,
    ours: &Path,
) -> Value {
    let route = [json!({"match": {"prefix": "/"}, "route": {"cluster": "upstream"}})];
    let mut configuration = json!({
        "userinfo_endpoint": {"defaultURI": format!("http://{provider}/userinfo")},
        "clusters": {provider.to_string(): "provider"},
        "inject_headers": {"x-user": "$.sub"},
    });
    let asking = wasm("ours", ours, &configuration.to_string());
    configuration["cache"] = json!({"ttl": "1h", "negative_ttl": "5m"});
    let cached = wasm("ours", ours, &configuration.to_string());
    let listeners = [
        listener("none", &route, None),
        listener("do_nothing", &route, Some(wasm("do_nothing", do_nothing, ""))),
        listener("ours", &route, Some(asking)),
        listener("cached", &route, Some(cached)),
        listener("ext_authz", &route, Some(ext_authz(provider))),
        listener("lua", &route, Some(lua())),
    ];
    let clusters = [cluster("provider", provider), cluster("upstream", upstream)];
    json!({
        "admin": {"address": loopback(0)},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    })
}

/// A listener with these routes and at most one filter before the router.
fn listener(name: &str, routes: &[Value], filter: Option<Value>) -> Value {
    const MANAGER: &str = "type.googleapis.com/envoy.extensions.filters.network\
                           .http_connection_manager.v3.HttpConnectionManager";
    const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
    let router = json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": ROUTER},
    });
    let filters: Vec<Value> = filter.into_iter().chain([router]).collect();
    let manager = json!({
        "@type": MANAGER,
        "stat_prefix": name,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
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

fn wasm(name: &str, module: &Path, configuration: &str) -> Value {
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
                    "vm_id": name,
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": module}},
                },
            },
        },
    })
}

/// Envoy's own filter for external authorization, asking the UserInfo endpoint: a 200 lets pass.
fn ext_authz(provider: SocketAddr) -> Value {
    json!({
        "name": "envoy.filters.http.ext_authz",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
            "http_service": {"server_uri": {
                "uri": format!("http://{provider}/userinfo"),
                "cluster": "provider",
                "timeout": "5s",
            }},
        },
    })
}

/// The job as a script does it that somebody writes for one provider: no cache, no shared calls,
/// a claim found by a pattern.
fn lua() -> Value {
    const SCRIPT: &str = r#"
function envoy_on_request(handle)
  local authorization = handle:headers():get("authorization")
  if authorization == nil then
    handle:respond({[":status"] = "401"}, "")
    return
  end
  local headers, body = handle:httpCall("provider", {
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
            "default_source_code": {"inline_string": SCRIPT},
        },
    })
}

fn cluster(name: &str, at: SocketAddr) -> Value {
    let endpoint = json!({"endpoint": {"address": loopback(at.port())}});
    json!({
        "name": name,
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
    })
}

fn loopback(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}

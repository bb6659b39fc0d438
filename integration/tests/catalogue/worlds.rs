//! The configurations that rows run under. Each is a listener of the one Envoy, twice: with
//! `allow_on_headers_stop_iteration` unset and true.

use std::time::Duration;

use integration::Listener;
use serde_json::{Value, json};

use crate::row::CANARY_CLAIM;

/// A configuration with what it makes of an ordinary request.
pub struct World {
    pub name: &'static str,
    /// Its differences from [`plain`], and from the listener.
    build: fn(Listener, Value) -> Listener,
    /// Whether `Authorization` is forwarded.
    pub forwards_authorization: bool,
    /// Whether trailers reach the upstream.
    pub trailers: bool,
    /// The longest time one call to the provider takes.
    pub timeout: Duration,
}

impl World {
    const fn new(name: &'static str, build: fn(Listener, Value) -> Listener) -> World {
        World {
            name,
            build,
            forwards_authorization: false,
            trailers: false,
            timeout: Duration::from_secs(1),
        }
    }

    /// Its listener, with statistics under its own name.
    pub fn listener(&self, flag: bool) -> Listener {
        let name = listener_name(self.name, flag);
        let listener = Listener::named(&name).allow_underscores().enable_trailers();
        let mut listener = listener.connection_manager(move |hcm| {
            hcm["stat_prefix"] = json!(name);
            // How long Envoy keeps a connection that it has refused: each such row waits for its end.
            hcm["delayed_close_timeout"] = json!("0.02s");
            // A tunnel has no path, so its entry is found by its authority.
            hcm["access_log"][0]["typed_config"]["log_format"]["json_format"]["authority"] =
                json!("%REQ(:AUTHORITY)%");
        });
        if flag {
            listener = listener.allow_on_headers_stop_iteration(true);
        }
        (self.build)(listener, plain())
    }
}

/// Name of a world's listener.
pub fn listener_name(world: &str, flag: bool) -> String {
    format!("{world}_{}", if flag { "stop" } else { "unset" })
}

/// The world of the crowd: without an access log, which would hold every request in memory.
pub const CROWD: &str = "crowd";

/// How long the breaker of the crowd's provider stays open.
pub const OPEN_FOR: Duration = Duration::from_millis(200);

/// The world in which a VM is stopped, see `trap.rs`.
pub const IDLE: &str = "idle";

/// The worlds with a cache, per worker or shared.
pub const REMEMBERS: &str = "remembers";
pub const SHARES: &str = "shares";

/// The world that introspects, and the one that requires something of the token's payload.
pub const INTROSPECTS: &str = "introspects";
pub const REQUIRES: &str = "requires";

/// The world of this name.
pub fn world(name: &str) -> &'static World {
    WORLDS.iter().find(|w| w.name == name).unwrap_or_else(|| panic!("no world {name}"))
}

/// The headers at the upstream for an ordinary valid token.
pub fn identity(world: &str) -> Vec<(String, Vec<u8>)> {
    let lines: &[(&str, &str)] = match world {
        "reference" => &[("x-user-id", CANARY_CLAIM), ("x-user-region", "default")],
        _ => &[
            ("x-user-id", CANARY_CLAIM),
            ("x-user-name", "Ada"),
            ("x-groups", "a,b"),
            ("x-user-region", "default"),
        ],
    };
    lines.iter().map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec())).collect()
}

/// Every world.
pub static WORLDS: &[World] = &[
    World::new("plain", |listener, config| listener.config(config)),
    // Unchanged, including its refusal of underscores, except its cache, because all runs have one
    // token, and its breaker: see `plain`.
    World::new("reference", |listener, _| {
        listener.connection_manager(|hcm| {
            hcm["common_http_protocol_options"]["headers_with_underscores_action"] =
                json!("REJECT_REQUEST");
            for filter in hcm["http_filters"].as_array_mut().expect("filters") {
                let configuration = filter.pointer_mut("/typed_config/config/configuration/value");
                if let Some(Value::String(text)) = configuration {
                    let mut config: Value = serde_json::from_str(text).expect("JSON");
                    config.as_object_mut().and_then(|config| config.remove("cache"));
                    config["breaker"] = json!({"failures": 0});
                    *text = config.to_string();
                }
            }
        })
    }),
    World {
        forwards_authorization: true,
        ..World::new("forward", |listener, config| listener.config(forward(config)))
    },
    World::new("subject", |listener, mut config| {
        config["require_subject"] = json!(true);
        listener.config(config)
    }),
    World::new(REMEMBERS, |listener, mut config| {
        config["cache"] = json!({});
        listener.config(config)
    }),
    World::new(SHARES, |listener, mut config| {
        config["cache"] = json!({"shared": true});
        listener.config(config)
    }),
    World::new("busy", |listener, mut config| {
        config["userinfo_unavailable"] = json!({"status": 503, "retry_after": "5s"});
        listener.config(config)
    }),
    World::new(INTROSPECTS, |listener, mut config| {
        let endpoint = config.as_object_mut().and_then(|c| c.remove("userinfo_endpoint"));
        config["introspection_endpoint"] = endpoint.expect("an endpoint");
        let client = json!({"client_id": "gateway", "auth_method": "none"});
        config["introspection_client"] = json!({"eu": client, "us": client, "default": client});
        listener.config(config)
    }),
    World::new(REQUIRES, |listener, mut config| {
        config["require_scope"] = json!(["orders"]);
        config["require_audience"] = json!(["api"]);
        listener.config(config)
    }),
    World::new("reject", |listener, mut config| {
        config["unknown_region"] = json!("reject");
        listener.config(config)
    }),
    World::new("no_default", |listener, mut config| {
        config["userinfo_endpoint"]["defaultURI"] = json!("");
        listener.config(config)
    }),
    World::new("unconfigured", |listener, mut config| {
        config["userinfo_endpoint"] = json!("");
        config["inject_headers"] = json!({"X-User-Id": "$.sub"});
        listener.config(config)
    }),
    World::new("missing", |listener, mut config| {
        config["clusters"]["us.idp.example"] = json!("nowhere");
        listener.config(config)
    }),
    World::new("preflight", |listener, mut config| {
        config["preflight"] = json!("pass");
        listener.config(config).without_filter("envoy.filters.http.cors")
    }),
    World {
        trailers: true,
        ..World::new("trailers", |listener, config| listener.config(config).http2_upstream())
    },
    // WebSocket, CONNECT in both forms, HTTP/1.0.
    World::new("tunnel", |listener, config| {
        listener
            .config(config)
            .connection_manager(|hcm| {
                hcm["upgrade_configs"] =
                    json!([{"upgrade_type": "websocket"}, {"upgrade_type": "CONNECT"}]);
                hcm["http2_protocol_options"]["allow_connect"] = json!(true);
                hcm["http_protocol_options"]["accept_http_10"] = json!(true);
            })
            .route_first(json!({
                "name": "connect",
                "match": {"connect_matcher": {}},
                "route": {"cluster": "upstream", "upgrade_configs": [
                    {"upgrade_type": "CONNECT"}, {"upgrade_type": "websocket"},
                ]},
            }))
    }),
    // Routes that look at the identity.
    World::new("routes", |listener, config| {
        listener
            .config(config)
            .route_first(json!({
                "name": "teapot",
                "match": {"prefix": "/", "headers": [exactly("x-user-id", "teapot")]},
                "direct_response": {"status": 418},
            }))
            .route_first(json!({
                "name": "vip",
                "match": {"prefix": "/", "headers": [exactly("x-user-id", "vip")]},
                "route": {"cluster": "upstream"},
                "request_headers_to_add": [{"header": {"key": "x-route", "value": "vip"}}],
            }))
    }),
    // Hands the provider's whole error on.
    World::new("told", |listener, mut config| {
        config["error_metadata_location"] = json!("ResponsePayload");
        listener.config(config)
    }),
    // A verdict that is cached for a moment serves some requests; others make a new call. With a
    // breaker that opens soon.
    World::new(CROWD, |listener, mut config| {
        // A request that is answered at once is answered in time, even on a busy machine.
        config["timeout"] = json!("2s");
        config["breaker"] = json!({"open_for": format!("{}ms", OPEN_FOR.as_millis())});
        config["cache"] = json!({"ttl": "50ms", "negative_ttl": "50ms", "shared": true});
        listener.config(config).connection_manager(|hcm| hcm["access_log"] = json!([]))
    }),
    // Only the stream idle timeout ends what waits in it.
    World {
        timeout: Duration::from_secs(30),
        ..World::new(IDLE, |listener, mut config| {
            config["timeout"] = json!("30s");
            listener.config(config).stream_idle_timeout("3s")
        })
    },
    World::new("again", |listener, config| {
        let retry = json!({"retry_on": "5xx", "num_retries": 1});
        listener.config(config).route_first(to_upstream("retry_policy", retry))
    }),
    World::new("mirror", |listener, config| {
        let mirror = json!([{"cluster": "partners"}]);
        listener.config(config).route_first(to_upstream("request_mirror_policies", mirror))
    }),
    World {
        forwards_authorization: true,
        ..World::new("redirect", |listener, config| {
            let redirect = json!({"max_internal_redirects": 1});
            let route = to_upstream("internal_redirect_policy", redirect);
            listener.config(forward(config)).route_first(route)
        })
    },
    World::new("large", |listener, mut config| {
        config["max_userinfo_bytes"] = json!(120_000);
        listener.config(config)
    }),
    World::new("lists", |listener, mut config| {
        config["inject_headers"]["default"] =
            json!({"X-User-Id": "$.sub", "X-List": "$.list[*]", "X-All": "$", "X-Deep": "$..id"});
        listener.config(config)
    }),
    World::new("nowhere", |listener, mut config| {
        config["clusters"]["idp.example"] = json!("no_such_cluster");
        listener.config(config)
    }),
];

fn forward(mut config: Value) -> Value {
    config["block_authorization_header"] = json!(false);
    config
}

fn exactly(header: &str, value: &str) -> Value {
    json!({"name": header, "string_match": {"exact": value}})
}

/// A route to the upstream with one policy more.
fn to_upstream(policy: &str, is: Value) -> Value {
    json!({
        "name": policy,
        "match": {"prefix": "/"},
        "route": {"cluster": "upstream", policy: is},
    })
}

/// The configuration of most rows: two regions and a default, each with headers of its own. Many
/// rows have a provider that does not answer: none may shut it for the rows after it.
fn plain() -> Value {
    json!({
        "userinfo_endpoint": {
            "regionCodeHeader": "X-Region",
            "regionCodeValue": {
                "eu": "http://eu.idp.example/eu/userinfo",
                "us": "http://us.idp.example/us/userinfo",
            },
            "defaultURI": "http://idp.example/default/userinfo?schema=openid",
        },
        "clusters": {
            "idp.example": "idp_default",
            "eu.idp.example": "idp_fr",
            "us.idp.example": "idp_us",
        },
        "timeout": "1s",
        "breaker": {"failures": 0},
        "inject_headers": {
            "eu": {"X-User-Id": "$.sub", "X-Eu-Unit": "$.unit"},
            "us": {"X-User-Id": "$.sub", "X-Us-Account": "$.account"},
            "default": {
                "X-User-Id": "$.sub",
                "X-User-Name": "$.name",
                "X-User-Email": "$.email",
                "X-Groups": {"path": "$.groups", "join": ","},
            },
        },
        "region_header": "X-User-Region",
        "access_log_state": true,
    })
}

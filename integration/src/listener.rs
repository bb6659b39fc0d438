//! The changes that a test may make to the reference listener: the filter's configuration and the
//! settings around it. Each change is one named edit of the parsed reference.

use std::net::SocketAddr;

use serde_json::{Value, json};

/// Name of the instance that is enabled in the reference listener.
pub const DEFAULT_INSTANCE: &str = "oidc-token-connector";
/// Name of the instance that the reference's route `/partners` switches on.
pub const PARTNERS_INSTANCE: &str = "oidc-token-connector-partners";

/// Name of Envoy's own filter behind the instances, which lets pass only what they say that they let
/// pass.
pub const GUARD: &str = "oidc-token-connector-guard";

const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";

/// A filter configuration and the form in which Envoy gets it.
#[derive(Clone, Debug)]
pub enum Config {
    /// Text in a `google.protobuf.StringValue`, handed to the filter byte for byte.
    Text(String),
    /// A `google.protobuf.Struct`, as a configuration written in YAML becomes.
    Struct(Value),
}

impl From<Value> for Config {
    fn from(json: Value) -> Config {
        Config::Text(json.to_string())
    }
}

impl From<&str> for Config {
    fn from(text: &str) -> Config {
        Config::Text(text.to_owned())
    }
}

/// The listener and clusters that the edits work on.
pub(crate) struct Parts {
    pub(crate) listener: Value,
    pub(crate) clusters: Vec<Value>,
}

type Edit = Box<dyn Fn(&mut Parts) + Send + Sync>;

/// The reference listener with changes.
#[derive(Default)]
pub struct Listener {
    pub(crate) name: Option<String>,
    pub(crate) port: u16,
    pub(crate) plain_provider: bool,
    edits: Vec<Edit>,
    pub(crate) provider_at: Option<SocketAddr>,
    pub(crate) extra_clusters: Vec<(Option<SocketAddr>, String)>,
    reconfigured: bool,
    guarded: bool,
}

impl Listener {
    /// The unchanged reference listener.
    #[must_use]
    pub fn reference() -> Listener {
        Listener::default()
    }

    /// A copy of the reference listener with a name of its own, for an Envoy with several. Its
    /// clusters get names of their own too (`idp_fr` becomes `idp_fr_<name>`), in the filter
    /// configurations as well. Its provider is reached in plain, unlike the reference's: thousands
    /// of calls that a test makes are not about TLS. See [`Listener::tls`].
    #[must_use]
    pub fn named(name: &str) -> Listener {
        Listener { name: Some(name.to_owned()), plain_provider: true, ..Listener::default() }
    }

    /// Reaches the provider over TLS, with all that the reference says about it.
    #[must_use]
    pub fn tls(mut self) -> Listener {
        self.plain_provider = false;
        self
    }

    /// Leads to a provider at this address instead of the scripted one.
    #[must_use]
    pub fn provider_at(mut self, address: SocketAddr) -> Listener {
        self.provider_at = Some(address);
        self
    }

    /// Listens on this port of 127.0.0.1 instead of a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Listener {
        self.port = port;
        self
    }

    /// Gives the default instance this configuration: JSON (sent as text), text as it is, or a
    /// Struct. The guard behind it goes, see [`Listener::guarded`].
    #[must_use]
    pub fn config(self, config: impl Into<Config>) -> Listener {
        self.config_of(DEFAULT_INSTANCE, config)
    }

    /// Gives a named instance this configuration.
    #[must_use]
    pub fn config_of(mut self, instance: &'static str, config: impl Into<Config>) -> Listener {
        self.reconfigured = true;
        let configuration = match config.into() {
            Config::Text(text) => {
                json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": text})
            }
            Config::Struct(value) => {
                json!({"@type": "type.googleapis.com/google.protobuf.Struct", "value": value})
            }
        };
        self.plugin(instance, "configuration", configuration)
    }

    /// Keeps the reference's guard behind instances with another configuration, which then need
    /// `access_log_state`. Without this it goes with the reference's configuration: what the filter
    /// lets pass that it must not, a test has to see at the upstream, and not the guard's refusal.
    #[must_use]
    pub fn guarded(mut self) -> Listener {
        self.guarded = true;
        self
    }

    /// Sets `allow_on_headers_stop_iteration` on all instances.
    #[must_use]
    pub fn allow_on_headers_stop_iteration(self, allow: bool) -> Listener {
        self.plugins("allow_on_headers_stop_iteration", Value::from(allow))
    }

    /// Sets the `failure_policy` of all instances.
    #[must_use]
    pub fn failure_policy(self, policy: &str) -> Listener {
        self.plugins("failure_policy", Value::from(policy))
    }

    /// Speaks HTTP/2 to the backends.
    #[must_use]
    pub fn http2_upstream(self) -> Listener {
        self.edit_parts(|parts| {
            for cluster in &mut parts.clusters {
                if cluster["name"].as_str().is_some_and(|name| !name.starts_with("idp_")) {
                    let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
                    cluster["typed_extension_protocol_options"][options] = json!({
                        "@type": format!("type.googleapis.com/{options}"),
                        "explicit_http_config": {"http2_protocol_options": {}},
                    });
                }
            }
        })
    }

    /// Lets HTTP/1.1 clients send trailers.
    #[must_use]
    pub fn enable_trailers(self) -> Listener {
        self.connection_manager(|hcm| hcm["http_protocol_options"]["enable_trailers"] = json!(true))
    }

    /// Lets header names with underscores through to the filter.
    #[must_use]
    pub fn allow_underscores(self) -> Listener {
        self.connection_manager(|hcm| {
            hcm["common_http_protocol_options"]["headers_with_underscores_action"] = json!("ALLOW");
        })
    }

    /// Allows WebSocket upgrades.
    #[must_use]
    pub fn websocket(self) -> Listener {
        self.connection_manager(|hcm| {
            hcm["upgrade_configs"] = json!([{"upgrade_type": "websocket"}]);
        })
    }

    /// Sets how long a stream may be idle, for example `1s`.
    #[must_use]
    pub fn stream_idle_timeout(self, duration: &str) -> Listener {
        let duration = Value::from(duration);
        self.connection_manager(move |hcm| hcm["stream_idle_timeout"] = duration.clone())
    }

    /// Sets how many bytes of a request Envoy holds.
    #[must_use]
    pub fn buffer_limit(self, bytes: u32) -> Listener {
        self.edit(move |l| l["per_connection_buffer_limit_bytes"] = Value::from(bytes))
    }

    /// Puts a filter right before the router.
    #[must_use]
    pub fn filter_last(self, filter: Value) -> Listener {
        self.edit(move |l| {
            let filters = filters(l);
            filters.insert(filters.len() - 1, filter.clone());
        })
    }

    /// Takes a filter out of the chain by its name, with what the routes say about it.
    #[must_use]
    pub fn without_filter(self, name: &'static str) -> Listener {
        self.edit(move |l| take_out(l, name))
    }

    /// Puts a route before all others.
    #[must_use]
    pub fn route_first(self, route: Value) -> Listener {
        self.edit(move |l| routes(l).insert(0, route.clone()))
    }

    /// Adds one more instance, and a route for paths under `prefix` that swaps the default instance
    /// for it.
    #[must_use]
    pub fn instance(
        self,
        name: &'static str,
        prefix: &'static str,
        config: impl Into<Config>,
    ) -> Listener {
        self.edit(move |l| {
            let filters = filters(l);
            let mut filter = named(filters, PARTNERS_INSTANCE).clone();
            filter["name"] = json!(name);
            filter["typed_config"]["config"]["name"] = json!(name);
            let before = filters.iter().position(|f| f["name"] == GUARD);
            filters.insert(before.unwrap_or(filters.len() - 1), filter);
            let switch = "type.googleapis.com/envoy.config.route.v3.FilterConfig";
            routes(l).insert(
                0,
                json!({
                    "name": name,
                    "match": {"path_separated_prefix": prefix},
                    "route": {"cluster": "upstream"},
                    "typed_per_filter_config": {
                        DEFAULT_INSTANCE: {"@type": switch, "disabled": true},
                        name: {"@type": switch, "config": {}},
                    },
                }),
            );
        })
        .config_of(name, config)
    }

    /// Adds a cluster with exactly this name (not renamed, so once per Envoy) that leads to this
    /// listener's provider: for configurations whose authority is the cluster's name.
    #[must_use]
    pub fn provider_cluster(mut self, name: &str) -> Listener {
        self.extra_clusters.push((None, name.to_owned()));
        self
    }

    /// Adds (or replaces) a cluster under exactly this name that leads to `at`.
    #[must_use]
    pub fn cluster_at(mut self, name: &str, at: SocketAddr) -> Listener {
        self.extra_clusters.push((Some(at), name.to_owned()));
        self
    }

    /// Changes a cluster of the reference, by its name there. Addresses are filled in afterwards.
    #[must_use]
    pub fn cluster(
        self,
        name: &'static str,
        edit: impl Fn(&mut Value) + Send + Sync + 'static,
    ) -> Listener {
        self.edit_parts(move |parts| edit(named(&mut parts.clusters, name)))
    }

    /// Changes the HTTP connection manager in any other way.
    #[must_use]
    pub fn connection_manager(self, edit: impl Fn(&mut Value) + Send + Sync + 'static) -> Listener {
        self.edit(move |l| edit(hcm(l)))
    }

    /// Changes the listener in any other way.
    #[must_use]
    pub fn edit(self, edit: impl Fn(&mut Value) + Send + Sync + 'static) -> Listener {
        self.edit_parts(move |parts| edit(&mut parts.listener))
    }

    /// Makes all changes.
    pub(crate) fn change(&self, parts: &mut Parts) {
        for edit in &self.edits {
            edit(parts);
        }
        if self.reconfigured && !self.guarded {
            take_out(&mut parts.listener, GUARD);
        }
    }

    fn edit_parts(mut self, edit: impl Fn(&mut Parts) + Send + Sync + 'static) -> Listener {
        self.edits.push(Box::new(edit));
        self
    }

    fn plugin(self, instance: &'static str, key: &'static str, value: Value) -> Listener {
        self.edit(move |l| {
            filter(l, instance)["typed_config"]["config"][key] = value.clone();
        })
    }

    fn plugins(self, key: &'static str, value: Value) -> Listener {
        self.edit(move |l| {
            for filter in filters(l).iter_mut().filter(|f| f["typed_config"]["@type"] == WASM) {
                filter["typed_config"]["config"][key] = value.clone();
            }
        })
    }
}

/// The HTTP connection manager of a listener's first chain; filters for connections stand before it.
pub(crate) fn hcm(listener: &mut Value) -> &mut Value {
    let filters = listener["filter_chains"][0]["filters"].as_array_mut();
    let manager = filters.and_then(|filters| filters.last_mut()).expect("a chain has filters");
    &mut manager["typed_config"]
}

/// The filter of this name in a listener.
///
/// # Panics
///
/// If there is none.
pub fn filter<'a>(listener: &'a mut Value, name: &str) -> &'a mut Value {
    named(filters(listener), name)
}

fn filters(listener: &mut Value) -> &mut Vec<Value> {
    hcm(listener)["http_filters"].as_array_mut().expect("the reference has a filter chain")
}

fn take_out(listener: &mut Value, filter: &str) {
    filters(listener).retain(|f| f["name"] != filter);
    for route in routes(listener) {
        if let Some(said) = route["typed_per_filter_config"].as_object_mut() {
            said.shift_remove(filter);
        }
    }
}

fn routes(listener: &mut Value) -> &mut Vec<Value> {
    let host = &mut hcm(listener)["route_config"]["virtual_hosts"][0];
    host["routes"].as_array_mut().expect("the reference has routes")
}

fn named<'a>(items: &'a mut [Value], name: &str) -> &'a mut Value {
    items
        .iter_mut()
        .find(|item| item["name"] == name)
        .unwrap_or_else(|| panic!("the listener has nothing named {name}"))
}

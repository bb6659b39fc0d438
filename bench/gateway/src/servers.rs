//! The Envoys: measured ones, and the one that is provider and upstream from memory. They are
//! configured from parameters: [`Chain`]s in front, [`Server`]s behind. All listen on loopback
//! only, and none may be pinned to where another's figures would suffer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use integration::{Envoy, Options, module, target_dir};
use serde_json::{Map, Value, json};

use crate::config;
use crate::cpu::{self, Placement};
use crate::memory;

/// The name of the server behind every chain; each [`Server`] is a provider beside it.
pub(crate) const UPSTREAM: &str = "upstream";

/// The provider that chains ask unless they say otherwise.
pub(crate) const PROVIDER: &str = "provider";

/// What our filter injects, in this order. The claims are in every UserInfo document.
pub(crate) const INJECTED: [(&str, &str); 10] = [
    ("x-user", "$.sub"),
    ("x-email", "$.email"),
    ("x-name", "$.name"),
    ("x-given-name", "$.given_name"),
    ("x-family-name", "$.family_name"),
    ("x-login", "$.preferred_username"),
    ("x-locale", "$.locale"),
    ("x-tenant", "$.tenant"),
    ("x-plan", "$.plan"),
    ("x-role", "$.roles[0]"),
];

/// A provider: every token is good that does not begin with `bad`.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// Of its listener, its counters and the clusters that lead to it.
    pub(crate) name: &'static str,
    /// Bytes of the UserInfo document, about 260 at least.
    pub(crate) document: usize,
    /// Milliseconds until it answers.
    pub(crate) delay: u32,
}

impl Default for Server {
    fn default() -> Self {
        Self { name: PROVIDER, document: 300, delay: 0 }
    }
}

/// A listener of a measured Envoy, with one filter.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    /// Of the listener, and of a Wasm filter's VM.
    pub(crate) name: String,
    /// The filter before the router.
    pub(crate) filter: Filter,
    /// The [`Server`] that is asked.
    pub(crate) provider: &'static str,
}

impl Chain {
    /// A chain that asks the usual provider.
    pub(crate) fn new(name: impl Into<String>, filter: Filter) -> Self {
        Self { name: name.into(), filter, provider: PROVIDER }
    }
}

/// What stands before the router.
#[derive(Clone, Debug)]
pub(crate) enum Filter {
    /// Nothing: plain proxying.
    None,
    /// The do-nothing Wasm filter by the stock SDK.
    DoNothing,
    /// The filter of this project.
    Ours(Ours),
    /// The same, and behind it the guard of the reference.
    Guarded(Ours),
    /// A module that needs no configuration.
    Module(PathBuf),
    /// Envoy's own, on the UserInfo endpoint.
    ExtAuthz,
    /// A script, on the UserInfo endpoint.
    Lua,
}

/// How our filter is configured.
#[derive(Clone, Debug)]
pub(crate) struct Ours {
    /// The value of `cache`; without it every request asks.
    pub(crate) cache: Option<Value>,
    /// How many of [`INJECTED`] are injected.
    pub(crate) injected: usize,
    /// Keys to add, or to put in place of those that stand there.
    pub(crate) keys: Map<String, Value>,
    /// The chain whose VM it shares; one of its own if there is none. Valgrind has addresses for a
    /// dozen VMs.
    pub(crate) beside: Option<&'static str>,
}

impl Ours {
    /// Remembers nothing, injects one header.
    pub(crate) fn asking() -> Self {
        Self { cache: None, injected: 1, keys: Map::new(), beside: None }
    }

    /// Remembers for longer than any run lasts, injects one header.
    pub(crate) fn remembering() -> Self {
        Self { cache: Some(json!({"ttl": "1h", "negative_ttl": "5m"})), ..Self::asking() }
    }

    /// Remembers for longer than any run lasts, and more users than any section has.
    pub(crate) fn remembering_all() -> Self {
        let cache = json!({"ttl": "1h", "max_entries": 20_000, "max_bytes": 64 << 20});
        Self { cache: Some(cache), ..Self::asking() }
    }

    /// Leaves the outcome of each request as filter state.
    pub(crate) fn telling(mut self) -> Self {
        self.keys.insert("access_log_state".to_owned(), Value::Bool(true));
        self
    }

    fn configuration(&self, provider: SocketAddr, cluster: &str) -> String {
        let injected = INJECTED.iter().take(self.injected);
        let injected: Map<String, Value> =
            injected.map(|(name, path)| ((*name).to_owned(), Value::from(*path))).collect();
        let mut keys = json!({
            "userinfo_endpoint": {"defaultURI": format!("http://{provider}/userinfo")},
            "clusters": {provider.to_string(): cluster},
            "inject_headers": injected,
        });
        if let Some(cache) = &self.cache {
            keys["cache"] = cache.clone();
        }
        for (key, value) in &self.keys {
            keys[key] = value.clone();
        }
        keys.to_string()
    }
}

/// A target that the upstream only finds if so many of [`INJECTED`] have arrived.
pub(crate) fn path(injected: usize) -> String {
    format!("/orders/{injected:02}")
}

/// The Envoy that answers as provider and as upstream.
pub(crate) struct Backend(Envoy);

/// How many requests each server has seen since it started.
#[derive(Debug, Default)]
pub(crate) struct Seen(BTreeMap<String, u64>);

impl Backend {
    pub(crate) async fn start(placement: &Placement, servers: &[Server]) -> Result<Self, String> {
        let mut listeners = vec![upstream()];
        listeners.extend(servers.iter().map(provider));
        let envoy = start(&config::bootstrap(&listeners, &[]), 1).await?;
        placement.pin_other(envoy.id())?;
        Ok(Self(envoy))
    }

    /// Where a server listens.
    pub(crate) fn at(&self, server: &str) -> SocketAddr {
        self.0.listener(server)
    }

    pub(crate) async fn seen(&self) -> Seen {
        let stats = self.0.stats().await;
        let counters = stats.into_iter().filter_map(|(name, count)| {
            let name = name.strip_prefix("http.")?.strip_suffix(".downstream_rq_total")?;
            Some((name.to_owned(), count))
        });
        Seen(counters.collect())
    }
}

impl Seen {
    /// How many of them a server saw after `before`.
    pub(crate) fn since(&self, before: &Self, server: &str) -> u64 {
        let of = |seen: &Self| seen.0.get(server).copied().unwrap_or(0);
        of(self).saturating_sub(of(before))
    }
}

/// An Envoy whose processor time is measured.
pub(crate) struct Measured {
    envoy: Envoy,
    /// Which provider each chain asks.
    providers: BTreeMap<String, &'static str>,
}

impl Measured {
    /// Starts one with a listener for each chain.
    pub(crate) async fn start(
        placement: &Placement,
        backend: &Backend,
        chains: &[Chain],
        workers: u32,
    ) -> Result<Self, String> {
        let options = Options { concurrency: workers, ..Options::default() };
        Self::start_as(placement, backend, chains, &options).await
    }

    /// Starts one with a listener for each chain, and these options.
    pub(crate) async fn start_as(
        placement: &Placement,
        backend: &Backend,
        chains: &[Chain],
        options: &Options,
    ) -> Result<Self, String> {
        let config = config_of(chains, backend)?;
        let envoy = Envoy::start(&config, options).await.map_err(|failure| failure.to_string())?;
        placement.pin_measured(envoy.id())?;
        let providers = chains.iter().map(|chain| (chain.name.clone(), chain.provider)).collect();
        Ok(Self { envoy, providers })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.envoy.id()
    }

    /// Where a chain listens.
    pub(crate) fn at(&self, chain: &str) -> SocketAddr {
        self.envoy.listener(chain)
    }

    /// Which provider a chain asks.
    pub(crate) fn provider(&self, chain: &str) -> &'static str {
        self.providers.get(chain).copied().unwrap_or(PROVIDER)
    }

    pub(crate) fn cpu_time(&self) -> Result<Duration, String> {
        cpu::time_used(self.envoy.id())
    }

    /// Memory that it holds, in bytes.
    pub(crate) fn memory(&self) -> Result<u64, String> {
        memory::resident(self.envoy.id())
    }

    /// One of its counters or gauges.
    pub(crate) async fn stat(&self, name: &str) -> u64 {
        self.envoy.stat(name).await
    }

    /// What it complained about; at level info it lists every extension it has.
    pub(crate) fn complaints(&self) -> String {
        let lines = self.envoy.log().lines();
        let complaints = lines.into_iter().filter(|line| !line.contains("[info]"));
        complaints.collect::<Vec<_>>().join("\n")
    }
}

/// A measured Envoy and what is behind it.
pub(crate) struct Stand {
    pub(crate) backend: Backend,
    pub(crate) measured: Measured,
}

impl Stand {
    pub(crate) async fn start(
        placement: &Placement,
        servers: &[Server],
        chains: &[Chain],
        workers: u32,
    ) -> Result<Self, String> {
        let backend = Backend::start(placement, servers).await?;
        let measured = Measured::start(placement, &backend, chains, workers).await?;
        Ok(Self { backend, measured })
    }
}

/// A listener for each chain, and a cluster for each server that they need.
pub(crate) fn config_of(chains: &[Chain], backend: &Backend) -> Result<Value, String> {
    let listeners: Result<Vec<Value>, String> =
        chains.iter().map(|chain| front(chain, backend)).collect();
    let mut servers = vec![UPSTREAM];
    servers.extend(chains.iter().map(|chain| chain.provider));
    servers.sort_unstable();
    servers.dedup();
    let cluster = |server: &str| config::cluster(server, &[backend.at(server)]);
    let clusters: Vec<Value> = servers.into_iter().map(cluster).collect();
    Ok(config::bootstrap(&listeners?, &clusters))
}

/// Starts an Envoy of any configuration, and pins nothing.
pub(crate) async fn start(config: &Value, workers: u32) -> Result<Envoy, String> {
    let options = Options { concurrency: workers, ..Options::default() };
    Envoy::start(config, &options).await.map_err(|failure| failure.to_string())
}

fn front(chain: &Chain, backend: &Backend) -> Result<Value, String> {
    let (name, asked, at) = (chain.name.as_str(), chain.provider, backend.at(chain.provider));
    let ours = |ours: &Ours| -> Result<Value, String> {
        let vm = ours.beside.unwrap_or(name);
        Ok(config::wasm(name, vm, &module()?, &ours.configuration(at, asked)))
    };
    let filters = match &chain.filter {
        Filter::None => Vec::new(),
        Filter::DoNothing => vec![config::wasm(name, name, &do_nothing()?, "")],
        Filter::Module(module) => vec![config::wasm(name, name, module, "")],
        Filter::Ours(configured) => vec![ours(configured)?],
        Filter::Guarded(configured) => vec![ours(configured)?, config::guard()?],
        Filter::ExtAuthz => vec![config::ext_authz(at, asked)],
        Filter::Lua => vec![config::lua(asked)],
    };
    Ok(config::listener(name, &[config::to_cluster(UPSTREAM)], filters))
}

pub(crate) fn do_nothing() -> Result<PathBuf, String> {
    let path = target_dir().join("wasm32-wasip1/release/do_nothing.wasm");
    if path.is_file() {
        return Ok(path);
    }
    Err(format!("the module {} is not there: run `cargo xtask bench`", path.display()))
}

fn provider(server: &Server) -> Value {
    let begins_bad = json!([
        {"name": "authorization", "string_match": {"prefix": "Bearer bad"}},
    ]);
    let bad = json!({"prefix": "/", "headers": begins_bad});
    let document = document(server.document);
    let answers = [
        config::answer(&bad, 401, "text/plain", "no"),
        config::answer(&json!({"prefix": "/"}), 200, "application/json", &document),
    ];
    let delay = (server.delay > 0).then(|| config::delay(server.delay));
    config::listener(server.name, &answers, delay)
}

/// A UserInfo document of that many bytes, or as short as it can be.
fn document(bytes: usize) -> String {
    let mut document = json!({
        "sub": "248289761001", "email": "jane@example.com", "name": "Jane Doe",
        "given_name": "Jane", "family_name": "Doe", "preferred_username": "jdoe",
        "locale": "en-GB", "tenant": "t-4711", "plan": "gold",
        "roles": ["buyer", "approver"], "updated_at": 1_700_000_000, "groups": "",
    });
    let missing = bytes.saturating_sub(document.to_string().len());
    document["groups"] = "member-of ".chars().cycle().take(missing).collect::<String>().into();
    document.to_string()
}

/// Says 200 where the headers that the path promises have arrived, 500 where one is missing.
fn upstream() -> Value {
    let mut answers = Vec::new();
    for injected in 0..=INJECTED.len() {
        let headers = INJECTED.iter().take(injected);
        let headers: Vec<Value> =
            headers.map(|(name, _)| json!({"name": name, "present_match": true})).collect();
        let promised = json!({"path": path(injected), "headers": headers});
        answers.push(config::answer(&promised, 200, "text/plain", "hello"));
    }
    answers.push(config::answer(&json!({"prefix": "/"}), 500, "text/plain", "no"));
    config::listener(UPSTREAM, &answers, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_has_its_size_and_every_claim_that_is_injected() {
        for bytes in [300, 8192] {
            let text = document(bytes);
            assert_eq!(text.len(), bytes, "{text}");
            let document: Value = serde_json::from_str(&text).unwrap();
            for (_, path) in INJECTED {
                let pointer = path.replace("$.", "/").replace("[0]", "/0");
                assert!(document.pointer(&pointer).is_some_and(Value::is_string), "{path}");
            }
        }
    }

    #[test]
    fn our_filter_is_configured_from_parameters() {
        let provider = SocketAddr::from(([127, 0, 0, 1], 7));
        let read = |ours: &Ours| -> Value {
            serde_json::from_str(&ours.configuration(provider, "p")).unwrap()
        };
        let asking = read(&Ours::asking());
        assert_eq!(asking["clusters"], json!({"127.0.0.1:7": "p"}));
        assert_eq!(asking["inject_headers"], json!({"x-user": "$.sub"}));
        assert_eq!(asking.get("cache"), None);
        let mut ours = Ours { injected: 3, ..Ours::remembering() };
        ours.keys.insert("timeout".to_owned(), "1s".into());
        let ours = read(&ours);
        assert_eq!(ours["cache"]["ttl"], "1h");
        assert_eq!(ours["inject_headers"].as_object().unwrap().len(), 3);
        assert_eq!(ours["timeout"], "1s");
    }

    #[test]
    fn what_was_seen_since() {
        let seen = |count| Seen([(UPSTREAM.to_owned(), count)].into());
        assert_eq!(seen(7).since(&seen(3), UPSTREAM), 4);
        assert_eq!(seen(7).since(&Seen::default(), UPSTREAM), 7);
        assert_eq!(seen(7).since(&seen(3), PROVIDER), 0);
    }
}

//! The Envoys: measured ones, and the one that is provider and upstream from memory. They are
//! configured from parameters: [`Chain`]s in front, [`Server`]s behind. What is measured must be
//! configured alike except for the filters. All listen on loopback only.

mod config;
pub(crate) mod floor;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
pub(crate) use config::{answer, bootstrap, cluster, listener, to_cluster, wasm};
use integration::{Envoy, Options, module, target_dir};
use serde_json::{Map, Value, json};

use crate::input::{INJECTED, document};
use crate::machine::Placement;

/// The name of the server behind every chain; each [`Server`] is a provider beside it.
pub(crate) const UPSTREAM: &str = "upstream";

/// The default provider of chains.
pub(crate) const PROVIDER: &str = "provider";

/// The placeholders in a chain's filters for the address of its provider, and for its cluster.
pub(crate) const ADDRESS: &str = "@address@";
const CLUSTER: &str = "@cluster@";

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

/// A listener of a measured Envoy.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    /// Of the listener, and of a Wasm filter's VM.
    pub(crate) name: String,
    /// The filters before the router.
    filters: Vec<Value>,
    /// The [`Server`] that it calls.
    provider: &'static str,
}

impl Chain {
    /// A chain that calls the default provider.
    pub(crate) fn new(name: impl Into<String>, filters: impl IntoIterator<Item = Value>) -> Self {
        let filters = filters.into_iter().collect();
        Self { name: name.into(), filters, provider: PROVIDER }
    }

    /// The do-nothing Wasm filter by the stock SDK.
    pub(crate) fn do_nothing(name: &str) -> Result<Self> {
        Ok(Self::new(name, [wasm(name, name, &do_nothing()?, "")]))
    }

    /// The filter of this project: injects this many of [`INJECTED`], with these keys in addition
    /// or instead of others.
    pub(crate) fn ours(name: impl Into<String>, injected: usize, keys: Value) -> Result<Self> {
        let name = name.into();
        let filter = ours(&name, &name, injected, keys)?;
        Ok(Self::new(name, [filter]))
    }

    /// Envoy's own filter for external authorization, on the UserInfo endpoint.
    pub(crate) fn ext_authz(name: &str) -> Self {
        Self::new(name, [config::ext_authz(ADDRESS, CLUSTER)])
    }

    /// A script, on the UserInfo endpoint.
    pub(crate) fn lua(name: &str) -> Self {
        Self::new(name, [config::lua(CLUSTER)])
    }

    /// Envoy's own filter for JWTs, with this key set.
    pub(crate) fn jwt_authn(name: &str, keys: &str) -> Self {
        Self::new(name, [config::jwt_authn(keys)])
    }

    /// The same with another provider.
    pub(crate) fn asking(self, provider: &'static str) -> Self {
        Self { provider, ..self }
    }

    fn listener(&self, backend: &Backend) -> Result<Value> {
        let text = listener(&self.name, &[to_cluster(UPSTREAM)], self.filters.clone()).to_string();
        let at = backend.at(self.provider).to_string();
        Ok(serde_json::from_str(&text.replace(ADDRESS, &at).replace(CLUSTER, self.provider))?)
    }
}

/// Our filter in the VM of that name, see [`Chain::ours`].
pub(crate) fn ours(name: &str, vm: &str, injected: usize, keys: Value) -> Result<Value> {
    let injected: Map<String, Value> = INJECTED[..injected]
        .iter()
        .map(|(name, path)| ((*name).to_owned(), Value::from(*path)))
        .collect();
    let mut configuration = json!({
        "userinfo_endpoint": {"defaultURI": format!("http://{ADDRESS}/userinfo")},
        "clusters": {ADDRESS: CLUSTER},
        "inject_headers": injected,
    });
    for (key, value) in keys.as_object().into_iter().flatten() {
        configuration[key] = value.clone();
    }
    let module = module().map_err(|error| anyhow!(error))?;
    Ok(wasm(name, vm, &module, &configuration.to_string()))
}

/// Keys of a cache whose ttl is longer than any run.
pub(crate) fn remembering() -> Value {
    json!({"cache": {"ttl": "1h", "negative_ttl": "5m"}})
}

/// Keys of a cache whose ttl is longer than any run, with room for more users than any section has.
pub(crate) fn remembering_all() -> Value {
    json!({"cache": {"ttl": "1h", "max_entries": 20_000, "max_bytes": 64 << 20}})
}

/// The guard behind our filter, as the reference has it.
pub(crate) fn guard() -> Result<Value> {
    let reference = integration::reference().map_err(|error| anyhow!(error))?;
    let chain = &reference["static_resources"]["listeners"][0]["filter_chains"][0];
    let filters = chain["filters"][0]["typed_config"]["http_filters"].as_array();
    let guard = filters.into_iter().flatten().find(|filter| filter["name"] == integration::GUARD);
    guard.cloned().context("the reference has no guard")
}

/// The module of the do-nothing filter.
pub(crate) fn do_nothing() -> Result<PathBuf> {
    let path = target_dir().join("wasm32-wasip1/release/do_nothing.wasm");
    if !path.is_file() {
        bail!("the module {} is missing: run `cargo xtask bench`", path.display());
    }
    Ok(path)
}

/// A target that the upstream serves only if this many of [`INJECTED`] have arrived.
pub(crate) fn path(injected: usize) -> String {
    format!("/orders/{injected:02}")
}

/// The Envoy that answers as provider and as upstream.
pub(crate) struct Backend(Envoy);

/// How many requests each server has seen since it started.
pub(crate) struct Seen(BTreeMap<String, u64>);

impl Backend {
    pub(crate) async fn start(placement: &Placement, servers: &[Server]) -> Result<Self> {
        let mut listeners = vec![upstream()];
        listeners.extend(servers.iter().map(provider));
        let envoy = start(&bootstrap(&listeners, &[]), &Options::default()).await?;
        placement.pin_other(envoy.id())?;
        Ok(Self(envoy))
    }

    pub(crate) fn at(&self, server: &str) -> SocketAddr {
        self.0.listener(server)
    }

    pub(crate) async fn seen(&self) -> Seen {
        Seen(self.0.stats().await)
    }
}

impl Seen {
    /// How many of them a server saw after `before`.
    pub(crate) fn since(&self, before: &Self, server: &str) -> u64 {
        let name = format!("http.{server}.downstream_rq_total");
        let of = |seen: &Self| seen.0.get(&name).copied().unwrap_or(0);
        of(self).saturating_sub(of(before))
    }
}

/// A measured Envoy and what is behind it.
pub(crate) struct Rig {
    pub(crate) backend: Backend,
    pub(crate) measured: Envoy,
    chains: Vec<Chain>,
}

impl Rig {
    /// Starts both with a listener for each chain, and this many workers.
    pub(crate) async fn start(
        placement: &Placement,
        servers: &[Server],
        chains: Vec<Chain>,
        concurrency: u32,
    ) -> Result<Self> {
        let options = Options { concurrency, ..Options::default() };
        Self::start_as(placement, servers, chains, &options).await
    }

    /// The same with all options.
    pub(crate) async fn start_as(
        placement: &Placement,
        servers: &[Server],
        chains: Vec<Chain>,
        options: &Options,
    ) -> Result<Self> {
        let backend = Backend::start(placement, servers).await?;
        let measured = start(&config_of(&chains, &backend)?, options).await?;
        placement.pin_measured(measured.id())?;
        Ok(Self { backend, measured, chains })
    }

    /// The provider that a chain calls.
    pub(crate) fn provider(&self, chain: &str) -> &'static str {
        self.chains.iter().find(|c| c.name == chain).map_or(PROVIDER, |chain| chain.provider)
    }
}

/// A listener for each chain, and a cluster for each server that they need.
pub(crate) fn config_of(chains: &[Chain], backend: &Backend) -> Result<Value> {
    let listeners: Result<Vec<Value>> = chains.iter().map(|c| c.listener(backend)).collect();
    let mut servers = vec![UPSTREAM];
    servers.extend(chains.iter().map(|chain| chain.provider));
    servers.sort_unstable();
    servers.dedup();
    let cluster = |server: &str| cluster(server, &[backend.at(server)]);
    let clusters: Vec<Value> = servers.into_iter().map(cluster).collect();
    Ok(bootstrap(&listeners?, &clusters))
}

/// Starts an Envoy of any configuration, and pins nothing.
pub(crate) async fn start(config: &Value, options: &Options) -> Result<Envoy> {
    Envoy::start(config, options).await.map_err(|failure| anyhow!("{failure}"))
}

fn provider(server: &Server) -> Value {
    let bad = json!([{"name": "authorization", "string_match": {"prefix": "Bearer bad"}}]);
    let bad = json!({"prefix": "/", "headers": bad});
    let document = document(server.document);
    let answers = [
        answer(&bad, 401, "text/plain", "no"),
        answer(&json!({"prefix": "/"}), 200, "application/json", &document),
    ];
    let delay = (server.delay > 0).then(|| config::delay(server.delay));
    listener(server.name, &answers, delay)
}

/// Says 200 where the headers that the path promises have arrived, 500 where one is missing.
fn upstream() -> Value {
    let mut answers = Vec::new();
    for injected in 0..=INJECTED.len() {
        let headers = INJECTED.iter().take(injected);
        let headers: Vec<Value> =
            headers.map(|(name, _)| json!({"name": name, "present_match": true})).collect();
        let promised = json!({"path": path(injected), "headers": headers});
        answers.push(answer(&promised, 200, "text/plain", "hello"));
    }
    answers.push(answer(&json!({"prefix": "/"}), 500, "text/plain", "no"));
    listener(UPSTREAM, &answers, None)
}

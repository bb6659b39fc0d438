//! The test set-up: an Envoy with one or several listeners, each with its own provider and
//! upstream.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use crate::bootstrap::{Place, assemble, set_environment};
use crate::client::Request;
use crate::connection::Connection;
use crate::envoy::{Envoy, Options, StartFailure};
use crate::h2::H2;
use crate::listener::{Config, Listener};
use crate::provider::Provider;
use crate::upstream::Upstream;

/// An Envoy to be started, with any number of listeners. All their filter instances share one VM
/// per worker.
///
/// ```no_run
/// # use integration::{Listener, Running, Setup};
/// # use serde_json::json;
/// static RIG: tokio::sync::OnceCell<Running> = tokio::sync::OnceCell::const_new();
///
/// async fn rig() -> &'static Running {
///     RIG.get_or_init(|| async {
///         Setup::new()
///             .listener(Listener::named("get").config(json!({})))
///             .listener(Listener::named("post").config(json!({"userinfo_method": "POST"})))
///             .start()
///             .await
///     })
///     .await
/// }
///
/// # async fn test() {
/// let gw = rig().await.gateway("post");
/// # }
/// ```
#[derive(Default)]
pub struct Setup {
    listeners: Vec<Listener>,
    module: Option<PathBuf>,
    options: Options,
    edits: Vec<Edit>,
}

impl Setup {
    /// An Envoy without listeners yet.
    #[must_use]
    pub fn new() -> Setup {
        Setup::default()
    }

    /// Adds a listener. With several, each must be [`Listener::named`].
    #[must_use]
    pub fn listener(mut self, listener: Listener) -> Setup {
        self.listeners.push(listener);
        self
    }

    /// Loads this module instead of the one under test.
    #[must_use]
    pub fn module(mut self, path: &Path) -> Setup {
        self.module = Some(path.to_owned());
        self
    }

    /// Number of Envoy's worker threads, 1 unless said.
    #[must_use]
    pub fn concurrency(mut self, workers: u32) -> Setup {
        self.options.concurrency = workers;
        self
    }

    /// Envoy's `--component-log-level`, for example `wasm:trace`.
    #[must_use]
    pub fn component_log_level(mut self, level: &str) -> Setup {
        self.options.component_log_level = Some(level.to_owned());
        self
    }

    /// Most bytes of addresses that Envoy may have; each of its VMs reserves 8 to 10 GiB.
    #[must_use]
    pub fn address_space(mut self, bytes: u64) -> Setup {
        self.options.address_space = Some(bytes);
        self
    }

    /// Gives the Envoy process an environment variable.
    #[must_use]
    pub fn process_environment(mut self, name: &str, value: &str) -> Setup {
        self.options.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Gives the module's VM an environment variable.
    #[must_use]
    pub fn environment(self, name: &str, value: &str) -> Setup {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.edit(move |bootstrap| set_environment(bootstrap, &name, &value))
    }

    /// Changes the finished bootstrap in any other way.
    #[must_use]
    pub fn edit(mut self, edit: impl Fn(&mut Value) + Send + Sync + 'static) -> Setup {
        self.edits.push(Box::new(edit));
        self
    }

    /// Starts providers, upstreams and Envoy.
    ///
    /// # Panics
    ///
    /// If Envoy does not start, with its log.
    pub async fn start(self) -> Running {
        self.try_start().await.unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// Like [`Setup::start`], with a failure as a value.
    ///
    /// # Errors
    ///
    /// Envoy's exit code and log; or what is missing for a start, and the remedy.
    pub async fn try_start(self) -> Result<Running, StartFailure> {
        let broken = |log: String| StartFailure { code: None, log };
        let module = self.module.map_or_else(crate::module, Ok).map_err(broken)?;
        let (mut places, mut around) = (Vec::new(), Vec::new());
        for listener in self.listeners {
            let (provider, upstream) = (Provider::start().await, Upstream::start().await);
            let name = listener.name.clone().unwrap_or_else(|| "gateway".to_owned());
            let (at_provider, at_upstream) = (provider.address(), upstream.address());
            places.push(Place { listener, provider: at_provider, upstream: at_upstream });
            around.push((name, provider, upstream));
        }
        let mut bootstrap = assemble(&module, &places).map_err(broken)?;
        for edit in &self.edits {
            edit(&mut bootstrap);
        }
        let envoy = Arc::new(Envoy::start(&bootstrap, &self.options).await?);
        let gateways = around
            .into_iter()
            .map(|(name, provider, upstream)| {
                let address = envoy.listener(&name);
                let envoy = envoy.clone();
                (name, Gateway { provider, upstream, envoy, address })
            })
            .collect();
        Ok(Running { envoy, gateways })
    }
}

type Edit = Box<dyn Fn(&mut Value) + Send + Sync>;

/// A started Envoy with its listeners.
#[derive(Debug)]
pub struct Running {
    /// The process.
    pub envoy: Arc<Envoy>,
    gateways: BTreeMap<String, Gateway>,
}

impl Running {
    /// The listener with this name and what belongs to it.
    ///
    /// # Panics
    ///
    /// If there is no such listener.
    #[must_use]
    pub fn gateway(&self, name: &str) -> Gateway {
        let found = self.gateways.get(name).cloned();
        found.unwrap_or_else(|| panic!("no listener {name} among {:?}", self.gateways.keys()))
    }
}

/// One listener of a running Envoy, with its provider and its upstream. Clones are handles to the
/// same one; Envoy ends with the last. If the test fails, dropping it prints Envoy's log.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// The provider behind all `idp_…` clusters of this listener.
    pub provider: Provider,
    /// The backend behind all other clusters of this listener.
    pub upstream: Upstream,
    /// The process.
    pub envoy: Arc<Envoy>,
    address: SocketAddr,
}

impl Gateway {
    /// The unchanged reference configuration.
    pub async fn reference() -> Gateway {
        Gateway::start(Listener::reference()).await
    }

    /// The reference with another configuration of the default instance.
    pub async fn with(config: impl Into<Config>) -> Gateway {
        Gateway::start(Listener::reference().config(config)).await
    }

    /// An Envoy with this listener alone.
    ///
    /// # Panics
    ///
    /// If Envoy does not start, with its log.
    pub async fn start(listener: Listener) -> Gateway {
        Gateway::try_start(listener).await.unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// Like [`Gateway::start`], with a failure as a value.
    ///
    /// # Errors
    ///
    /// As [`Setup::try_start`].
    pub async fn try_start(listener: Listener) -> Result<Gateway, StartFailure> {
        let name = listener.name.clone().unwrap_or_else(|| "gateway".to_owned());
        let running = Setup::new().listener(listener).try_start().await?;
        Ok(running.gateway(&name))
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A request with any method.
    #[must_use]
    pub fn request(&self, method: &str, target: &str) -> Request {
        Request::new(self.address, method, target)
    }

    /// A GET request.
    #[must_use]
    pub fn get(&self, target: &str) -> Request {
        self.request("GET", target)
    }

    /// A POST request.
    #[must_use]
    pub fn post(&self, target: &str, body: impl AsRef<[u8]>) -> Request {
        self.request("POST", target).body(body)
    }

    /// A raw HTTP/1.1 connection.
    ///
    /// # Errors
    ///
    /// If Envoy does not accept it.
    pub async fn connect(&self) -> io::Result<Connection> {
        Connection::open(self.address).await
    }

    /// An HTTP/2 connection.
    ///
    /// # Errors
    ///
    /// If Envoy does not accept it.
    pub async fn h2(&self) -> io::Result<H2> {
        H2::open(self.address).await
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.envoy.report();
        }
    }
}

//! Runs the built module in the real Envoy, between a scripted provider and an echo upstream.
//!
//! A test in five lines:
//!
//! ```no_run
//! # use integration::Gateway;
//! #[tokio::test]
//! async fn valid_token_passes() {
//!     let gw = Gateway::reference().await;
//!     let r = gw.get("/orders").bearer("good").send().await;
//!     assert_eq!(r.status, 200, "{r:?}");
//!     assert_eq!(r.upstream_header("x-user-id").as_deref(), Some("248289761001"));
//!     assert_eq!(gw.provider.count(), 1);
//! }
//! ```
//!
//! - [`Gateway::reference`] runs `envoy/envoy.yaml` unchanged, TLS to the provider included; only
//!   addresses, ports, the module's path and the trusted CA are filled in. [`Gateway::with`] gives
//!   the default instance another configuration, [`Gateway::start`] takes a [`Listener`] with any
//!   of its settings.
//! - Many configurations cost little as listeners of one Envoy, see [`Setup`]; each then has its own
//!   provider and upstream, and a `static OnceCell<Running>` shares them among the tests of a file.
//!   They use plain HTTP to their providers, unless [`Listener::tls`] is set.
//! - [`Gateway::provider`] gives the test's answers: `gw.provider.answer(Reply::json(200,
//!   &json!({"sub": "1"})))`, or misbehaves: [`Reply::reset`], [`Reply::stall_after`],
//!   [`Reply::raw`], [`Provider::down`]. A [`Gate`] holds an answer until the test opens it, so no
//!   test needs a sleep. It uses HTTP/2 if its cluster does: [`Reply::goaway_at`],
//!   [`Reply::refused_stream`].
//! - [`Gateway::upstream`] records the requests: [`Upstream::only`], [`Upstream::assert_untouched`].
//! - [`ForwardProxy`] is the real `tinyproxy`; [`OpenIdProvider`] is npm's real `oidc-provider`,
//!   [`DjangoProvider`] PyPI's real `django-oauth-toolkit`; [`McpServer`] and [`McpClient`] are
//!   real ones of MCP; and [`Nginx`] is a real nginx before a scripted provider.
//! - Clients: [`Gateway::get`] and similar methods for ordinary requests, [`Gateway::connect`] for
//!   exact bytes on HTTP/1.1, [`Gateway::h2`] for HTTP/2, [`frames`] for exact bytes there.
//! - [`Envoy`] gives statistics, log and access log, each with a wait for the expected entry.
//!
//! A failing test prints Envoy's log by itself. Envoy dies with the test process, however that
//! ends. Servers and Envoy are not bound to the runtime of one test. The rig sends traffic to
//! loopback only.

mod authority;
mod bootstrap;
pub mod chart;
mod client;
mod connection;
mod directory;
mod envoy;
mod forward_proxy;
pub mod frames;
mod gateway;
mod h2;
mod identity;
mod install;
mod listener;
mod logbook;
pub mod login;
mod mcp;
mod nginx;
mod openid_provider;
mod process;
mod prometheus;
mod provider;
mod recipe;
mod reply;
mod response;
mod tally;
mod tls;
pub mod tokens;
mod upstream;
mod watched;
mod wire;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;

pub use bootstrap::{forward_proxy_cluster, reference};
pub use client::Request;
pub use connection::Connection;
pub use envoy::{Envoy, Options, StartFailure};
pub use forward_proxy::ForwardProxy;
pub use gateway::{Gateway, Running, Setup};
pub use h2::{H2, Stream};
pub use identity::{Identity, Pems};
pub use install::{
    envoy_binary, envoy_since, envoy_version, install_into, nginx_binary, prometheus_binary,
    tinyproxy_binary, version,
};
pub use listener::{Config, DEFAULT_INSTANCE, GUARD, Listener, PARTNERS_INSTANCE, filter};
pub use logbook::LogBook;
pub use mcp::{McpClient, McpServer};
pub use nginx::Nginx;
pub use openid_provider::{DjangoProvider, OpenIdProvider};
pub use process::{Place, kib};
pub use prometheus::Prometheus;
pub use provider::{Call, Provider};
pub use recipe::Recipe;
pub use reply::{Gate, Reply};
pub use response::Response;
pub use tls::{Certificate, trusted_ca};
pub use upstream::{Received, Upstream, sha256};
pub use watched::{Discovered, Watched};
pub use wire::Headers;

/// How long any wait of the rig may last before it fails the test. Far above what is ever needed:
/// it bounds a hang, it does not measure.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Lets so much time pass: where the passing of time itself is what a test is about, never to wait
/// for something.
pub async fn pass(time: Duration) {
    if !time.is_zero() {
        let mut clock = tokio::time::interval(time);
        clock.tick().await;
        clock.tick().await;
    }
}

/// A configuration with these keys more, or in place of its own.
///
/// # Panics
///
/// If one of them is no object.
#[must_use]
pub fn merged(mut config: Value, more: Value) -> Value {
    let (Value::Object(config_keys), Value::Object(more)) = (&mut config, more) else {
        panic!("a configuration is an object");
    };
    config_keys.extend(more);
    config
}

/// The project's root directory.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("integration/ lies in the project")
}

/// Cargo's target directory: `$CARGO_TARGET_DIR`, else `target/` of the project.
#[must_use]
pub fn target_dir() -> PathBuf {
    let set = std::env::var_os("CARGO_TARGET_DIR").filter(|dir| !dir.is_empty());
    root().join(set.map_or_else(|| PathBuf::from("target"), PathBuf::from))
}

/// The module under test: `$OIDC_CONNECTOR_WASM`, else where `cargo xtask build` leaves it.
///
/// # Errors
///
/// A text for the user if it is missing.
pub fn module() -> Result<PathBuf, String> {
    let path = match std::env::var_os("OIDC_CONNECTOR_WASM").filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => target_dir().join("wasm32-wasip1/release/oidc_token_connector.wasm"),
    };
    if path.is_file() {
        return Ok(path);
    }
    Err(format!("the module {} is missing: run `cargo xtask build`", path.display()))
}

/// Provider, upstream and connection drivers run here: each test has a runtime of its own, and what
/// several tests share must not end with the first of them.
fn runtime() -> &'static tokio::runtime::Handle {
    static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("rig")
            .enable_all()
            .build()
            .expect("a tokio runtime")
    });
    RUNTIME.handle()
}

/// What an installation leaves, made outside of the tests' threads.
async fn available<T: Send + 'static>(
    install: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> T {
    let installed = tokio::task::spawn_blocking(install).await.expect("installing does not panic");
    installed.unwrap_or_else(|why| panic!("{why}"))
}

//! A provider with several sites on the real Envoy, each site counting its calls: repeats, the next
//! site, the client's answer, waiting tokens, outdated verdicts.

#[allow(dead_code, reason = "each file of tests uses its part")]
#[path = "../base/mod.rs"]
mod base;
mod breaker;
mod correlation;
mod sites;
mod stale;
mod waits;

use std::sync::atomic::{AtomicUsize, Ordering};

use base::{merged, one};
use integration::{Call, Gateway, Listener, Provider, Reply, Request, Response, Running, Setup};
use serde_json::{Value, json};

const NO_ANSWER: &str = r#"{"error":"TargetEndpointError","error_description":"No usable response from the UserInfo endpoint."}"#;

/// An Envoy whose default endpoint has several sites: `a.example`, `b.example` and so on, each with
/// its own cluster and provider.
struct World {
    running: Running,
    gw: Gateway,
    sites: Vec<Provider>,
}

impl World {
    /// As many sites as this, one worker, and these keys more.
    async fn of(sites: usize, more: Value) -> World {
        World::made(sites, more, |listener| listener).await
    }

    /// Like [`World::of`], with the listener changed.
    async fn made(sites: usize, more: Value, change: impl Fn(Listener) -> Listener) -> World {
        let names: Vec<String> = ["a", "b", "c", "d"].map(str::to_owned)[..sites].to_vec();
        let uris: Vec<_> = names.iter().map(|n| format!("http://{n}.example/userinfo")).collect();
        let clusters: serde_json::Map<_, _> =
            names.iter().map(|n| (format!("{n}.example"), json!(format!("site_{n}")))).collect();
        let config = one(json!({
            "userinfo_endpoint": {"defaultURI": uris},
            "clusters": clusters,
            "timeout": "500ms",
            "userinfo_unavailable": {"status": 503, "retry_after": "2s"},
            "access_log_state": true,
        }));
        let mut listener = Listener::named("gw").config(merged(config, more));
        let mut sites = Vec::new();
        for name in &names {
            let provider = Provider::start().await;
            provider.answer(Reply::json(200, &json!({"sub": name})));
            listener = listener.cluster_at(&format!("site_{name}"), provider.address());
            sites.push(provider);
        }
        let running = Setup::new().concurrency(1).listener(change(listener)).start().await;
        let gw = running.gateway("gw");
        World { running, gw, sites }
    }

    /// A request with a path of its own, so that its line in the access log can be told.
    fn request(&self, token: &str) -> Request {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        self.gw.get(&format!("/failover/{n}/")).bearer(token)
    }

    /// The answer to a request, and its line in the access log.
    async fn ask(&self, token: &str) -> (Response, Value) {
        let request = self.request(token);
        let path = request.target().to_owned();
        let response = request.send().await;
        (response, self.running.envoy.access_entry(&format!("\"path\":\"{path}\"")).await)
    }

    /// A request that passes; returns the site that validated it.
    async fn passes(&self, token: &str) -> String {
        let (response, line) = self.ask(token).await;
        assert_eq!(response.status, 200, "{token}: {response:?} {line}");
        response.upstream_header("x-user-id").unwrap_or_default()
    }

    /// A request that is refused without an answer, for this reason.
    async fn unavailable(&self, token: &str, reason: &str) -> (Response, Value) {
        let (response, line) = self.ask(token).await;
        assert_eq!((response.status, response.text().as_str()), (503, NO_ANSWER), "{line}");
        let details = format!("oidc_token_connector{{unavailable:{reason}}}");
        assert_eq!(line["details"], details, "{token}");
        (response, line)
    }

    /// How many calls each site has had, the filter's own included.
    fn calls(&self) -> Vec<usize> {
        self.sites.iter().map(Provider::count).collect()
    }

    async fn counter(&self, name: &str) -> u64 {
        self.running.envoy.stat(&format!("wasmcustom.oidc_{name}")).await
    }

    /// Counters become visible in intervals of Envoy's own.
    async fn counted(&self, name: &str, number: u64) {
        self.running.envoy.wait_stat(&format!("wasmcustom.oidc_{name}"), |n| n == number).await;
    }

    /// How many connections Envoy has tried to make to a site.
    async fn connections(&self, site: &str) -> u64 {
        self.running.envoy.stat(&format!("cluster.site_{site}.upstream_cx_total")).await
    }

    async fn nothing_is_left(&self) {
        self.counted("requests_waiting", 0).await;
        self.counted("calls_in_flight", 0).await;
        self.running.envoy.assert_no_vm_restart().await;
    }
}

/// The filter's own questions among the calls of a site: they carry no token.
fn probes(site: &Provider) -> Vec<Call> {
    site.calls().into_iter().filter(|call| call.headers.all("authorization").is_empty()).collect()
}

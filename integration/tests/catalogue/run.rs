//! Runs rows on one real Envoy, in every variant that applies, and judges each run; then judges
//! Envoy as a whole. Every failure is collected with its row and variant, none stops the others.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use integration::{DEADLINE, Gateway, Running, Setup};
use serde_json::Value;

use crate::check;
use crate::row::{CANARY_CLAIM, CANARY_TOKEN, Expected, Row, Skip};
use crate::stage::{Desk, Protocol, Stage, host_of};
use crate::worlds::{self, WORLDS, World};

/// The module and the worlds under test.
#[derive(Default)]
pub struct Subject {
    /// The module; the one under test unless said.
    pub module: Option<PathBuf>,
    /// Environment variables of its VM.
    pub environment: Vec<(String, String)>,
    /// Worlds that are needed beside those of the rows.
    pub worlds: Vec<&'static str>,
    /// How many workers Envoy has beside the first.
    pub more_workers: u32,
}

/// Something that is not as a row, or the whole, demands.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The row's number, `-` for Envoy as a whole.
    pub row: String,
    /// The protocol and the state of the flag.
    pub variant: String,
    /// The problems.
    pub complaint: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {} over {}: {}", self.row, self.variant, self.complaint)
    }
}

/// Runs these rows against `subject` on an Envoy of their own and returns all that is wrong.
pub async fn catalogue(subject: &Subject, rows: Vec<Row>) -> Vec<Failure> {
    let catalogue = Catalogue::start(subject, rows).await;
    let mut failures = catalogue.run().await.failures;
    failures.extend(catalogue.judge_envoy().await);
    failures
}

/// A started Envoy with its worlds, and the rows.
pub struct Catalogue {
    pub envoy: Running,
    rows: Vec<Row>,
    /// Names of statistics after the start.
    names: BTreeSet<String>,
    created: u64,
}

/// The result of all rows.
pub struct Report {
    pub failures: Vec<Failure>,
    pub runs: usize,
}

/// One run to find in the access log, and the outcomes that it must have there.
struct Run {
    row: usize,
    variant: Variant,
    path: String,
}

impl Run {
    fn entries<'e>(&self, all: &'e BTreeMap<String, Vec<Value>>) -> &'e [Value] {
        let found = all.get(&self.path).or_else(|| all.get(&host_of(&self.path)));
        found.map_or(&[], Vec::as_slice)
    }
}

/// The requests at the upstream of one listener at the end of each of its runs.
struct Upstream {
    listener: String,
    gateway: Gateway,
    bytes: u64,
    /// As many as its rows say.
    requests: usize,
}

impl Upstream {
    /// The requests outside of the runs.
    fn late(&self) -> Vec<String> {
        let upstream = &self.gateway.upstream;
        let (listener, mut complaints) = (&self.listener, Vec::new());
        if upstream.bytes() != self.bytes {
            let (all, seen) = (upstream.bytes(), self.bytes);
            complaints.push(format!("{listener}: {all} bytes came upstream, {seen} in the runs"));
        }
        if upstream.count() != self.requests {
            let (all, said) = (upstream.count(), self.requests);
            complaints
                .push(format!("{listener}: {all} requests came upstream, the rows say {said}"));
        }
        complaints
    }
}

/// How a row is run.
#[derive(Clone, Copy, PartialEq)]
struct Variant {
    protocol: Protocol,
    flag: bool,
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Http1 => "h1",
            Protocol::Http2 => "h2",
        };
        write!(f, "{protocol}-{}", if self.flag { "stop" } else { "unset" })
    }
}

impl Catalogue {
    /// Starts Envoy with every world that these rows name.
    pub async fn start(subject: &Subject, rows: Vec<Row>) -> Catalogue {
        let mut setup = Setup::new().component_log_level("wasm:trace");
        setup = setup.concurrency(1 + subject.more_workers);
        let more = subject.worlds.iter().map(|name| worlds::world(name));
        for world in worlds_of(&rows).chain(more) {
            setup = setup.listener(world.listener(false)).listener(world.listener(true));
        }
        if let Some(module) = &subject.module {
            setup = setup.module(module);
        }
        for (name, value) in &subject.environment {
            setup = setup.environment(name, value);
        }
        let envoy = setup.start().await;
        let names = envoy.envoy.stat_names().await;
        let created = envoy.envoy.stat(CREATED).await;
        assert!(created > 0, "Envoy has no statistic {CREATED}, so no new VM could be noticed");
        Catalogue { envoy, rows, names, created }
    }

    /// Runs every row in every variant; listeners side by side, the runs of one in turn.
    pub async fn run(&self) -> Report {
        let mut tasks = Vec::new();
        for world in worlds_of(&self.rows) {
            for flag in [false, true] {
                tasks.push(self.listener(world, flag));
            }
        }
        let (mut failures, mut runs, mut upstreams) = (Vec::new(), Vec::new(), Vec::new());
        let tasks: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
        for task in tasks {
            match task.await {
                Ok((failed, done, upstream)) => {
                    failures.extend(failed);
                    runs.extend(done);
                    upstreams.push(upstream);
                }
                Err(e) => failures.push(whole(format!("a listener's runs ended early: {e}"))),
            }
        }
        failures.extend(self.judge_access_log(&runs).await);
        // After the access log, which has its entries when the requests are over.
        failures.extend(upstreams.iter().flat_map(Upstream::late).map(whole));
        failures.extend(self.judge_counters(&runs).await);
        Report { failures, runs: runs.len() }
    }

    /// The runs of one listener.
    fn listener(
        &self,
        world: &'static World,
        flag: bool,
    ) -> impl Future<Output = (Vec<Failure>, Vec<Run>, Upstream)> + Send + 'static {
        let listener = worlds::listener_name(world.name, flag);
        let gateway = self.envoy.gateway(&listener);
        let rows = self.rows.iter().enumerate().filter(|(_, row)| row.world == world.name);
        let rows: Vec<_> = rows.map(|(at, row)| (at, row.clone())).collect();
        async move {
            let (mut failures, mut runs) = (Vec::new(), Vec::new());
            let (mut bytes, mut requests) = (0, 0);
            let desk = Desk::of(&gateway);
            for (at, row) in rows {
                for protocol in [Protocol::Http1, Protocol::Http2] {
                    let variant = Variant { protocol, flag };
                    if !variant.applies_to(&row) {
                        continue;
                    }
                    let path = format!("{}/row/{}/{variant}", row.under, row.number);
                    let stage = Stage {
                        gateway: gateway.clone(),
                        listener: listener.clone(),
                        protocol,
                        path: path.clone(),
                        desk: desk.clone(),
                    };
                    let (complaints, came) = check::run(&stage, &row, world).await;
                    bytes += came;
                    requests += if row.passes() { row.arrivals } else { 0 };
                    for complaint in complaints {
                        failures.push(failure(&row, variant, complaint));
                    }
                    runs.push(Run { row: at, variant, path });
                }
            }
            (failures, runs, Upstream { listener, gateway, bytes, requests })
        }
    }

    /// Every run has one entry in the access log, which says what the row says.
    async fn judge_access_log(&self, runs: &[Run]) -> Vec<Failure> {
        let mut entries: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        // Envoy writes its access log in intervals, and there is no event for the last of them.
        let mut look = tokio::time::interval(Duration::from_millis(50));
        let all_there = async {
            loop {
                look.tick().await;
                entries = by_path(&self.envoy.envoy.access_log().lines());
                let missing = |run: &&Run| {
                    let row = &self.rows[run.row];
                    let optional = row.elsewhere || matches!(row.expected, Expected::Envoy(_));
                    !optional && run.entries(&entries).is_empty()
                };
                if !runs.iter().any(|run| missing(&run)) {
                    return;
                }
            }
        };
        // Missing entries are reported below.
        let _ = tokio::time::timeout(DEADLINE / 4, all_there).await;
        let mut failures = Vec::new();
        for run in runs {
            let row = &self.rows[run.row];
            let world = worlds::world(row.world);
            for complaint in check::access_log(row, world, run.entries(&entries)) {
                failures.push(failure(row, run.variant, complaint));
            }
        }
        failures
    }

    /// The filter's counters say exactly what the rows say.
    async fn judge_counters(&self, runs: &[Run]) -> Vec<Failure> {
        let mut expected: BTreeMap<String, u64> = BTreeMap::new();
        for run in runs {
            for outcome in self.rows[run.row].outcomes_expected() {
                *expected.entry(format!("wasmcustom.oidc_outcome.{outcome}")).or_default() += 1;
            }
        }
        let stats = self.envoy.envoy.stats().await;
        let counted = stats.iter().filter(|(n, v)| n.contains("oidc_outcome.") && **v > 0);
        let counted: BTreeMap<String, u64> = counted.map(|(n, v)| (n.clone(), *v)).collect();
        if counted == expected {
            return Vec::new();
        }
        vec![whole(format!("the rows say {expected:?}, the counters {counted:?}"))]
    }

    /// The state of Envoy after all rows: no VM has died, no request is open, and nothing secret is
    /// logged.
    pub async fn judge_envoy(&self) -> Vec<Failure> {
        let mut complaints = self.judge_streams().await;
        let envoy = &self.envoy.envoy;
        let stats = envoy.stats().await;
        let stat = |name: &str| stats.get(name).copied().unwrap_or(0);

        if stat(CREATED) != self.created {
            complaints.push(format!("VMs created: {} then, now {}", self.created, stat(CREATED)));
        }
        for (name, value) in stats.iter().filter(|(n, v)| n.contains(".vm_reload") && **v > 0) {
            complaints.push(format!("{name} is {value}"));
        }
        let outcomes = stats.iter().filter(|(n, _)| n.contains("wasmcustom.oidc_outcome."));
        let sum: u64 = outcomes.map(|(_, v)| v).sum();
        let requests = stat("wasmcustom.oidc_requests");
        if sum != requests {
            complaints.push(format!("oidc_requests is {requests}, the outcomes sum to {sum}"));
        }
        if stat("wasmcustom.oidc_outcome.internal") > 0 {
            complaints.push("requests were answered with an internal error".to_owned());
        }

        // Envoy creates its own names at their first use; the filter's names must exist from the
        // start.
        let names = self.envoy.envoy.stat_names().await;
        let new = names.difference(&self.names).filter(|name| name.starts_with("wasm"));
        let new: Vec<_> = new.collect();
        if !new.is_empty() {
            complaints.push(format!("statistics appeared: {new:?}"));
        }

        let log = envoy.log().lines();
        for line in &log {
            if line.contains("panic") || line.contains("Function: ") && line.contains(" failed:") {
                complaints.push(format!("Envoy's log: {line}"));
            }
        }
        let mut texts = vec![("Envoy's log", log.join("\n"))];
        texts.push(("the access log", envoy.access_log().text()));
        for page in ["/stats", "/stats/prometheus"] {
            match envoy.admin_get(page).await {
                Ok(answer) => texts.push((page, answer.text())),
                Err(e) => complaints.push(format!("{page}: {e}")),
            }
        }
        for (place, text) in &texts {
            for canary in [CANARY_TOKEN, CANARY_CLAIM] {
                if let Some(line) = text.lines().find(|line| line.contains(canary)) {
                    complaints.push(format!("{place} tells {canary}: {line}"));
                }
            }
        }
        complaints.into_iter().map(whole).collect()
    }

    /// No request is open, neither from a client nor to a provider or an upstream.
    pub async fn judge_streams(&self) -> Vec<String> {
        let mut open = Vec::new();
        let mut look = tokio::time::interval(Duration::from_millis(50));
        let closed = async {
            loop {
                look.tick().await;
                let stats = self.envoy.envoy.stats().await;
                let active = |name: &String| {
                    (name.starts_with("http.")
                        && name.ends_with(".downstream_rq_active")
                        && !name.starts_with("http.admin"))
                        || (name.starts_with("cluster.") && name.ends_with(".upstream_rq_active"))
                };
                open = stats.into_iter().filter(|(n, v)| *v > 0 && active(n)).collect();
                if open.is_empty() {
                    return;
                }
            }
        };
        match tokio::time::timeout(DEADLINE / 4, closed).await {
            Ok(()) => Vec::new(),
            Err(_) => vec![format!("still open: {open:?}")],
        }
    }
}

const CREATED: &str = "wasm.envoy.wasm.runtime.v8.created";

impl Variant {
    fn applies_to(self, row: &Row) -> bool {
        let skips = |skip| row.left_out.iter().any(|(s, _)| *s == skip);
        let protocol = match self.protocol {
            Protocol::Http1 => {
                skips(Skip::Http1) || row.sent.http1.is_none() && row.sent.http2.is_some()
            }
            Protocol::Http2 => {
                skips(Skip::Http2) || row.sent.http2.is_none() && row.sent.http1.is_some()
            }
        };
        !protocol && !skips(if self.flag { Skip::FlagTrue } else { Skip::FlagUnset })
    }
}

fn worlds_of(rows: &[Row]) -> impl Iterator<Item = &'static World> {
    let named: BTreeSet<&str> = rows.iter().map(|row| worlds::world(row.world).name).collect();
    WORLDS.iter().filter(move |world| named.contains(world.name))
}

fn failure(row: &Row, variant: Variant, complaint: String) -> Failure {
    let complaint = format!("{}: {complaint}", row.what);
    Failure { row: row.number.clone(), variant: variant.to_string(), complaint }
}

/// A failure of Envoy as a whole.
pub fn whole(complaint: String) -> Failure {
    Failure { row: "-".into(), variant: "all".into(), complaint }
}

/// Envoy makes these when a status first comes, one for each status there is.
pub fn is_by_status(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let code = last.rsplit_once("_rq_").map_or("", |(_, code)| code);
    code.len() == 3
        && code.starts_with(|c: char| c.is_ascii_digit())
        && (code.ends_with("xx") || code.bytes().all(|b| b.is_ascii_digit()))
}

/// Entries by path; those without a path, of tunnels, by authority.
fn by_path(lines: &[String]) -> BTreeMap<String, Vec<Value>> {
    let mut entries: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for entry in lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let named = entry["path"].as_str().filter(|path| path.starts_with('/'));
        let named = named.or_else(|| entry["authority"].as_str()?.split(':').next());
        if let Some(name) = named {
            entries.entry(name.to_owned()).or_default().push(entry);
        }
    }
    entries
}

//! One running Envoy process: its start with all that can go wrong, its statistics, logs and end.
//! It leaves nothing behind: neither process nor file, except the files of a failed test.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread::ThreadId;
use std::time::Duration;
use std::{fmt, fs};

use serde_json::Value;

use crate::client::Request;
use crate::directory::Directory;
use crate::logbook::LogBook;
use crate::response::Response;
use crate::{DEADLINE, envoy_binary, process, target_dir};

/// How many log lines a failed test prints; the whole log stays in a file.
const SHOWN: usize = 250;

/// Command-line options of Envoy.
#[derive(Clone, Debug)]
pub struct Options {
    /// `--concurrency`: number of worker threads.
    pub concurrency: u32,
    /// `--component-log-level`, for example `wasm:trace`.
    pub component_log_level: Option<String>,
    /// A program that runs Envoy, and its arguments; it must keep its process id.
    pub under: Vec<String>,
    /// Most bytes of addresses that it may have (`RLIMIT_AS`).
    pub address_space: Option<u64>,
    /// Variables that its environment has in addition.
    pub variables: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            concurrency: 1,
            component_log_level: None,
            under: Vec::new(),
            address_space: None,
            variables: Vec::new(),
        }
    }
}

/// Why Envoy did not start.
#[derive(Debug)]
pub struct StartFailure {
    /// Envoy's exit code; none if it was not even started, or ended by a signal.
    pub code: Option<i32>,
    /// Its log, or what is missing and the remedy.
    pub log: String,
}

impl fmt::Display for StartFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "Envoy ended with exit code {code}:\n{}", self.log),
            None => write!(f, "Envoy did not start: {}", self.log),
        }
    }
}

/// A running Envoy. Dropping it ends the process.
pub struct Envoy {
    child: Mutex<Child>,
    id: u32,
    directory: Directory,
    admin: SocketAddr,
    listeners: BTreeMap<String, SocketAddr>,
    log: LogBook,
    access_log: LogBook,
    reported: Mutex<HashSet<ThreadId>>,
}

impl Envoy {
    /// Starts Envoy with this bootstrap configuration and waits until it serves.
    ///
    /// # Errors
    ///
    /// If it does not come to serve, with its exit code and log.
    pub async fn start(bootstrap: &Value, options: &Options) -> Result<Envoy, StartFailure> {
        let broken = |log: String| StartFailure { code: None, log };
        let binary = tokio::task::spawn_blocking(envoy_binary)
            .await
            .map_err(|e| broken(e.to_string()))?
            .map_err(broken)?;
        let directory =
            Directory::new().map_err(|e| broken(format!("{}: {e}", target_dir().display())))?;
        let file = directory.path().join("envoy.json");
        fs::write(&file, bootstrap.to_string())
            .map_err(|e| broken(format!("{}: {e}", file.display())))?;

        let mut command = match options.under.split_first() {
            None => Command::new(&binary),
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(&binary);
                command
            }
        };
        command
            .arg("--config-path")
            .arg(&file)
            .arg("--admin-address-path")
            .arg(directory.path().join("admin"))
            .args(["--disable-hot-restart", "--use-dynamic-base-id"])
            .args(["--concurrency", &options.concurrency.to_string()])
            .args(["--file-flush-interval-msec", "20"])
            .envs(options.variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // Without this Envoy lists every extension that it knows, 150 lines at each start.
        let mut levels = "main:warning".to_owned();
        if let Some(level) = &options.component_log_level {
            levels.push(',');
            levels.push_str(level);
        }
        command.args(["--component-log-level", &levels]);
        if let Some(bytes) = options.address_space {
            process::limit_addresses(&mut command, bytes);
        }
        let mut child =
            process::start(command).map_err(|e| broken(format!("{}: {e}", binary.display())))?;
        let log = LogBook::of(child.stderr.take().expect("stderr is piped"));
        let access_log = LogBook::of(child.stdout.take().expect("stdout is piped"));
        let mut envoy = Envoy {
            id: child.id(),
            child: Mutex::new(child),
            directory,
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
            listeners: BTreeMap::new(),
            log,
            access_log,
            reported: Mutex::default(),
        };
        envoy.await_serving().await?;
        Ok(envoy)
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Limits its address space to this many bytes beyond its present use.
    ///
    /// # Panics
    ///
    /// If the system does not let it be limited.
    pub fn limit_more_addresses(&self, more: u64) {
        process::limit_more_addresses(self.id, more).expect("our own process can be limited");
    }

    /// Where its admin interface listens.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Where a listener listens, by its name.
    ///
    /// # Panics
    ///
    /// If there is no such listener.
    #[must_use]
    pub fn listener(&self, name: &str) -> SocketAddr {
        let found = self.listeners.get(name).copied();
        found.unwrap_or_else(|| panic!("no listener {name} among {:?}", self.listeners))
    }

    /// Envoy's own log, with the lines of the filter.
    #[must_use]
    pub fn log(&self) -> &LogBook {
        &self.log
    }

    /// The access log, one JSON object per line.
    #[must_use]
    pub fn access_log(&self) -> &LogBook {
        &self.access_log
    }

    /// The first access log entry (past or future) that contains `part`, for example a path.
    ///
    /// # Panics
    ///
    /// If none comes within 20 seconds.
    pub async fn access_entry(&self, part: &str) -> Value {
        let line = self.access_log.wait_for(part).await;
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("not JSON ({e}): {line}"))
    }

    /// Sends a GET to the admin interface.
    ///
    /// # Errors
    ///
    /// If it does not answer.
    pub async fn admin_get(&self, target: &str) -> std::io::Result<Response> {
        Request::new(self.admin, "GET", target).try_send().await
    }

    /// All counters and gauges by name.
    ///
    /// # Panics
    ///
    /// If the admin interface does not answer.
    pub async fn stats(&self) -> BTreeMap<String, u64> {
        let answer = self.admin_get("/stats").await.expect("the admin interface answers");
        answer
            .text()
            .lines()
            .filter_map(|line| {
                let (name, value) = line.split_once(": ")?;
                Some((name.to_owned(), value.parse().ok()?))
            })
            .collect()
    }

    /// The names of all statistics.
    ///
    /// # Panics
    ///
    /// If the admin interface does not answer.
    pub async fn stat_names(&self) -> BTreeSet<String> {
        let answer = self.admin_get("/stats").await.expect("the admin interface answers");
        answer.text().lines().filter_map(|l| Some(l.split_once(": ")?.0.to_owned())).collect()
    }

    /// One counter or gauge; 0 where it does not exist (yet).
    pub async fn stat(&self, name: &str) -> u64 {
        self.stats().await.get(name).copied().unwrap_or(0)
    }

    /// A histogram: bounds, and how many values so far are at most as large; none where it does not
    /// exist (yet). Envoy adds to it every five seconds.
    ///
    /// # Panics
    ///
    /// If the admin interface does not answer.
    pub async fn histogram(&self, name: &str) -> Vec<(f64, u64)> {
        let target = format!("/stats?filter=^{name}$&histogram_buckets=cumulative");
        let answer = self.admin_get(&target).await.expect("the admin interface answers").text();
        let line = answer.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        let bucket = |text: &str| {
            // "B250(3,120)": in the last interval, and ever.
            let (bound, counts) = text.strip_prefix('B')?.strip_suffix(')')?.split_once('(')?;
            let (_, ever) = counts.split_once(',')?;
            Some((bound.parse().ok()?, ever.parse().ok()?))
        };
        line.unwrap_or_default().split(' ').filter_map(bucket).collect()
    }

    /// Waits until a counter or gauge satisfies `wanted`, and returns it.
    ///
    /// # Panics
    ///
    /// If it does not change for 20 seconds before.
    pub async fn wait_stat(&self, name: &str, wanted: impl Fn(u64) -> bool) -> u64 {
        let began = tokio::time::Instant::now();
        let (mut last, mut changed) = (self.stat(name).await, began);
        // Envoy has no event for a statistic, so this polls; the interval only limits the load.
        let mut ask = tokio::time::interval(Duration::from_millis(20));
        while !wanted(last) {
            // A busy machine is slow, but goes on: only a value that stays is a failure.
            assert!(changed.elapsed() < DEADLINE, "{name} stays at {last}");
            assert!(began.elapsed() < 10 * DEADLINE, "{name} goes up and down, now {last}");
            ask.tick().await;
            let now = self.stat(name).await;
            if now != last {
                (last, changed) = (now, tokio::time::Instant::now());
            }
        }
        last
    }

    /// Asserts that no VM has failed: none was reloaded, and none answers for a dead one.
    ///
    /// # Panics
    ///
    /// If one has.
    pub async fn assert_no_vm_restart(&self) {
        let stats = self.stats().await;
        let failed: Vec<_> =
            stats.iter().filter(|(n, v)| n.contains(".vm_reload") && **v > 0).collect();
        assert!(failed.is_empty(), "VMs failed: {failed:?}");
        let log = self.log.lines();
        let trap = |line: &&String| line.contains("Function: ") && line.contains(" failed:");
        let panics: Vec<_> = log.iter().filter(trap).collect();
        assert!(panics.is_empty(), "VMs failed: {panics:#?}");
    }

    /// Prints the log, once per failing test.
    pub(crate) fn report(&self) {
        let mut reported = self.reported.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !reported.insert(std::thread::current().id()) {
            return;
        }
        let (log, access) = (self.log.lines(), self.access_log.lines());
        let file = self.directory.path().join("envoy.log");
        let _ = fs::write(&file, log.join("\n"));
        let from = log.len().saturating_sub(SHOWN);
        eprintln!("--- Envoy's log, last {} lines, all in {}", log.len() - from, file.display());
        log[from..].iter().for_each(|line| eprintln!("{line}"));
        eprintln!("--- access log");
        access[access.len().saturating_sub(SHOWN)..].iter().for_each(|line| eprintln!("{line}"));
        eprintln!("--- end of Envoy's logs");
    }

    async fn await_serving(&mut self) -> Result<(), StartFailure> {
        // The admin interface answers only after the workers have started, so this line is enough.
        let serving = self.log.find(|line| line.contains("starting workers"));
        match tokio::time::timeout(DEADLINE * 3, serving).await {
            Ok(Some(_)) => {}
            Ok(None) => {
                self.access_log.ended().await;
                let status = self.child.get_mut().map(Child::wait);
                let code = status.ok().and_then(Result::ok).and_then(|status| status.code());
                return Err(StartFailure { code, log: self.log.text() });
            }
            Err(_) => return Err(self.unusable("it does not come to serve")),
        }
        let admin = fs::read_to_string(self.directory.path().join("admin"));
        self.admin = match admin.map(|text| text.trim().parse()) {
            Ok(Ok(address)) => address,
            other => return Err(self.unusable(&format!("no admin address: {other:?}"))),
        };
        let listeners = self.admin_get("/listeners?format=json").await;
        let listeners =
            listeners.map_err(|e| self.unusable(&format!("the admin interface: {e}")))?.json();
        for listener in listeners["listener_statuses"].as_array().into_iter().flatten() {
            let socket = &listener["local_address"]["socket_address"];
            let (name, host) = (listener["name"].as_str(), socket["address"].as_str());
            let port = socket["port_value"].as_u64().and_then(|port| u16::try_from(port).ok());
            if let (Some(name), Some(Ok(host)), Some(port)) = (name, host.map(str::parse), port) {
                self.listeners.insert(name.to_owned(), SocketAddr::new(host, port));
            }
        }
        Ok(())
    }

    fn unusable(&self, why: &str) -> StartFailure {
        StartFailure { code: None, log: format!("{why}\n{}", self.log.text()) }
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.report();
        }
        let child = self.child.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl fmt::Debug for Envoy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Envoy(process {}, admin {}, {:?})", self.id, self.admin, self.listeners)
    }
}

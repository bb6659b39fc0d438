//! The real Prometheus, with the alert rules of `deploy/`, scraping one Envoy.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::directory::Directory;
use crate::logbook::LogBook;
use crate::process::{self, Place};
use crate::{prometheus_binary, root};

/// A running server. Dropping it ends the process and removes its files.
#[derive(Debug)]
pub struct Prometheus {
    place: Place,
    _running: process::Running,
    _directory: Directory,
}

impl Prometheus {
    /// Starts one that scrapes the admin interface of an Envoy every second, under this job's name.
    ///
    /// # Errors
    ///
    /// A text for the user if Prometheus is missing or does not start.
    pub async fn scraping(job: &str, admin: SocketAddr) -> Result<Prometheus, String> {
        let binary = tokio::task::spawn_blocking(prometheus_binary).await;
        let binary = binary.map_err(|e| e.to_string())??;
        let directory = Directory::new().map_err(|e| e.to_string())?;
        let file = directory.path().join("prometheus.yml");
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
             rule_files: [{}]\n\
             scrape_configs:\n  - job_name: {job}\n    metrics_path: /stats/prometheus\n    \
             static_configs: [{{ targets: [\"{admin}\"] }}]\n",
            root().join("deploy/prometheus/rules.yml").display()
        );
        fs::write(&file, config).map_err(|e| format!("{}: {e}", file.display()))?;
        let place = Place::reserve();
        let mut command = Command::new(binary);
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={}", place.address))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = process::start(command).map_err(|e| e.to_string())?;
        let log = LogBook::of(child.stderr.take().expect("stderr is piped"));
        let running = process::Running(child);
        match log.find(|line| line.contains("Server is ready to receive web requests")).await {
            Some(_) => Ok(Prometheus { place, _running: running, _directory: directory }),
            None => Err(format!("Prometheus does not start:\n{}", log.text())),
        }
    }

    /// Where it answers queries.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.place.address
    }
}

//! A forward proxy between Envoy and the provider: the real `tinyproxy` on loopback.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::logbook::LogBook;
use crate::process::{self, Place};
use crate::tinyproxy_binary;

/// A running proxy, or the place of one that does not run. Dropping it ends the process.
#[derive(Debug)]
pub struct ForwardProxy {
    place: Place,
    running: Option<(process::Running, LogBook)>,
}

impl ForwardProxy {
    /// A place where no proxy listens.
    ///
    /// # Panics
    ///
    /// If there is no free port.
    #[must_use]
    pub fn down() -> ForwardProxy {
        ForwardProxy { place: Place::reserve(), running: None }
    }

    /// Starts one that lets CONNECT through to any port.
    ///
    /// # Panics
    ///
    /// If `tinyproxy` is not there, with the remedy, or does not start.
    pub async fn open() -> ForwardProxy {
        ForwardProxy::start("").await
    }

    /// Starts one that lets CONNECT through to port 443 alone, where no test has a provider.
    ///
    /// # Panics
    ///
    /// As [`ForwardProxy::open`].
    pub async fn refusing() -> ForwardProxy {
        ForwardProxy::start("ConnectPort 443\n").await
    }

    async fn start(more: &str) -> ForwardProxy {
        let binary = tinyproxy_binary().unwrap_or_else(|why| panic!("{why}"));
        let mut proxy = ForwardProxy::down();
        let config = format!(
            "Port {}\nListen 127.0.0.1\nAllow 127.0.0.1\nLogLevel Info\n{more}",
            proxy.address().port()
        );
        let mut command = Command::new(binary);
        command.args(["-d", "-c", "/dev/stdin"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = process::start(command).expect("tinyproxy can be started");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        stdin.write_all(config.as_bytes()).expect("tinyproxy reads its configuration");
        drop(stdin);
        let log = LogBook::of(child.stdout.take().expect("stdout is piped"));
        proxy.running = Some((process::Running(child), log.clone()));
        log.wait_for("Accepting connections").await;
        proxy
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.place.address
    }

    /// The proxy's own log.
    ///
    /// # Panics
    ///
    /// If it is down.
    #[must_use]
    pub fn log(&self) -> &LogBook {
        &self.running.as_ref().expect("the proxy is down").1
    }

    /// The CONNECT requests in its log, in order.
    #[must_use]
    pub fn connects(&self) -> Vec<String> {
        let lines = self.log().lines();
        let connects = lines.iter().filter_map(|line| {
            let (_, request) = line.split_once("): ").filter(|_| line.contains("Request "))?;
            request.starts_with("CONNECT ").then(|| request.to_owned())
        });
        connects.collect()
    }
}

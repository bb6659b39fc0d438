//! A real MCP server and real MCP clients: npm's `@modelcontextprotocol/sdk` and PyPI's `mcp`, as the
//! programs of `integration/mcp/` use them. Node.js with npm, and Python, must be there: without them
//! a test that wants these fails.

use std::net::SocketAddr;
use std::process::Stdio;

use serde_json::Value;

use crate::install::{npm, python};
use crate::logbook::LogBook;
use crate::process::{self, Place};
use crate::{DEADLINE, available};

/// A server with tools. Dropping it ends the process.
#[derive(Debug)]
pub struct McpServer {
    place: Place,
    _running: process::Running,
}

impl McpServer {
    /// Installs the packages of servers and clients where they are missing.
    ///
    /// # Errors
    ///
    /// A text for the user: what is missing and the remedy.
    pub fn install() -> Result<(), String> {
        npm::MCP.install().map(drop)?;
        python::MCP.install().map(drop)
    }

    /// Installs the packages where they are missing, and starts a server.
    ///
    /// # Panics
    ///
    /// If they cannot be installed or it does not start, with the remedy or what it said.
    pub async fn start() -> McpServer {
        let installed = available(|| npm::MCP.install()).await;
        let place = Place::reserve();
        let mut command = installed.command("server.mjs");
        command.env("PORT", place.address().port().to_string());
        McpServer { _running: process::listening(command).await, place }
    }

    /// Where it listens, for plain HTTP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.place.address()
    }
}

/// A client. Both kinds use what their SDK does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum McpClient {
    /// npm's `@modelcontextprotocol/sdk`.
    TypeScript,
    /// PyPI's `mcp`.
    Python,
}

impl McpClient {
    /// Runs one: it connects to the server at `url`, with everything that this takes, lists the
    /// tools, calls each of them, and ends. Returns what it reports, an object for each step.
    ///
    /// # Panics
    ///
    /// If the packages cannot be installed, with the remedy; or if it does not end.
    pub async fn run(self, url: &str, settings: &[(&str, &str)]) -> Vec<Value> {
        let mut command = match self {
            McpClient::TypeScript => available(|| npm::MCP.install()).await.command("client.mjs"),
            McpClient::Python => available(|| python::MCP.install()).await.command("client.py"),
        };
        command.arg(url).envs(settings.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = process::start(command).expect("the client can be started");
        let said = LogBook::of(child.stdout.take().expect("stdout is piped"));
        let errors = LogBook::of(child.stderr.take().expect("stderr is piped"));
        let _running = process::Running(child);
        let ended = tokio::time::timeout(3 * DEADLINE, said.ended()).await;
        assert!(ended.is_ok(), "the client does not end:\n{}\n{}", said.text(), errors.text());
        let step = |line: String| {
            serde_json::from_str(&line)
                .unwrap_or_else(|e| panic!("{e} in the client's {line}\n{}", errors.text()))
        };
        let steps: Vec<Value> = said.lines().into_iter().map(step).collect();
        assert!(!steps.is_empty(), "the client said nothing:\n{}", errors.text());
        steps
    }
}

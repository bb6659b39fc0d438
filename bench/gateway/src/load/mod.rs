//! The load: `wrk` for HTTP/1.1, `h2load` for HTTP/2 and for a constant rate. They are not
//! measured, and must never run where the measured Envoy does.

pub(crate) mod h2load;
mod script;
pub(crate) mod wrk;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use integration::target_dir;

use crate::tokens;

/// What the requests present.
#[derive(Clone, Debug)]
pub(crate) enum Tokens {
    /// Nothing.
    None,
    /// All of them this.
    One(String),
    /// Each one of its own, like this one but for its last 17 bytes. Only with `wrk`.
    Fresh(String),
    /// That many tokens in turn, from this number on. Only with `wrk`.
    Each {
        count: usize,
        from: usize,
        /// What they are like, but for their last 17 bytes.
        like: String,
    },
    /// One of that many users' tokens each, as often as Zipf's law says. Only with `wrk`.
    Crowd(usize),
}

/// What is sent where.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) at: SocketAddr,
    pub(crate) path: String,
    pub(crate) tokens: Tokens,
    /// Header fields of a request, `Host` and `Authorization` among them.
    pub(crate) fields: usize,
    pub(crate) connections: u32,
    /// Milliseconds that a connection waits before each request. Only with `wrk`, and with tokens
    /// that differ.
    pub(crate) pause: u32,
    /// In whole seconds.
    pub(crate) time: Duration,
}

impl Order {
    fn url(&self) -> String {
        format!("http://{}{}", self.at, self.path)
    }

    /// `name: value` of every field that is the same in all requests. `Host` is the tool's affair.
    fn header_lines(&self) -> Vec<String> {
        let fields = tokens::fields(self.fields.saturating_sub(2));
        let mut lines: Vec<String> = fields.iter().map(|(n, v)| format!("{n}: {v}")).collect();
        if let Tokens::One(token) = &self.tokens {
            lines.push(format!("authorization: Bearer {token}"));
        }
        lines
    }
}

/// What came of one run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Load {
    /// Requests that were answered.
    pub(crate) requests: u64,
    /// Answers with a status other than 2xx and 3xx.
    pub(crate) refused: u64,
    /// Answered requests per second.
    pub(crate) per_second: f64,
    /// Microseconds that half of the answers took at most.
    pub(crate) p50: f64,
    /// Microseconds that 99 % of the answers took at most.
    pub(crate) p99: f64,
    /// The line about connections or requests that failed, if there is one.
    pub(crate) errors: Option<String>,
}

impl Load {
    /// Fails unless every request was let through, or every one refused.
    pub(crate) fn verify(&self, passed: bool) -> Result<(), String> {
        let expected = if passed { 0 } else { self.requests };
        match &self.errors {
            Some(errors) => Err(errors.clone()),
            None if self.requests == 0 => Err("no request was answered".to_owned()),
            None if self.refused != expected => Err(format!(
                "{} of {} requests were refused, expected {expected}",
                self.refused, self.requests
            )),
            None => Ok(()),
        }
    }
}

/// Fails with the remedy where one of the tools is missing.
pub(crate) fn available() -> Result<(), String> {
    for (tool, package) in [(wrk::WRK, "wrk"), (h2load::H2LOAD, "nghttp2-client")] {
        if Command::new(tool).arg("--version").output().is_err() {
            return Err(format!(
                "`{tool}` is not on PATH; Debian and Ubuntu: apt-get install {package}"
            ));
        }
    }
    Ok(())
}

/// A place for files of the benchmark, below Cargo's target directory.
pub(crate) fn scratch() -> Result<PathBuf, String> {
    let dir = target_dir().join("bench");
    fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    Ok(dir)
}

/// Runs a load to its end and returns its report.
fn report_of(tool: &str, mut command: Command) -> Result<String, String> {
    let done = command.output().map_err(|error| format!("cannot start `{tool}`: {error}"))?;
    let report = String::from_utf8_lossy(&done.stdout).into_owned();
    if done.status.success() {
        return Ok(report);
    }
    Err(format!("`{tool}` failed: {report}{}", String::from_utf8_lossy(&done.stderr)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_what_it_says() {
        let load = |requests, refused| Load {
            requests,
            refused,
            per_second: 1.0,
            p50: 1.0,
            p99: 1.0,
            errors: None,
        };
        assert_eq!(load(10, 0).verify(true), Ok(()));
        assert_eq!(load(10, 10).verify(false), Ok(()));
        assert!(load(10, 1).verify(true).is_err());
        assert!(load(10, 9).verify(false).is_err());
        assert!(load(0, 0).verify(true).is_err());
        assert!(load(0, 0).verify(false).is_err());
        let broken = Load { errors: Some("Socket errors: read 7".into()), ..load(10, 0) };
        assert_eq!(broken.verify(true), Err("Socket errors: read 7".into()));
    }

    #[test]
    fn header_fields_are_counted_with_host_and_authorization() {
        let order = |tokens| Order {
            at: SocketAddr::from(([127, 0, 0, 1], 1)),
            path: "/a".to_owned(),
            tokens,
            fields: 8,
            connections: 1,
            pause: 0,
            time: Duration::from_secs(1),
        };
        let one = order(Tokens::One("t".to_owned()));
        assert_eq!(one.url(), "http://127.0.0.1:1/a");
        assert_eq!(one.header_lines().len(), 7);
        assert_eq!(one.header_lines().last().unwrap(), "authorization: Bearer t");
        assert_eq!(order(Tokens::None).header_lines().len(), 6);
        assert_eq!(order(Tokens::Crowd(2)).header_lines().len(), 6);
    }
}

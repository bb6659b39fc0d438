//! The load: `wrk`, and what its report says.

use std::fs;
use std::process::Command;
use std::time::Duration;

use integration::target_dir;

use crate::cpu::Placement;

const WRK: &str = "wrk";

/// What the requests present.
#[derive(Clone, Copy)]
pub(crate) enum Tokens {
    /// Nothing.
    None,
    /// All of them this.
    One(&'static str),
    /// Each one of its own, of 40 bytes.
    OfEach,
}

/// A request with the next token. What it costs is the load's, which is not measured.
const OF_EACH: &str = r#"
local n = 0
request = function()
  n = n + 1
  local token = string.format("2YotnFZFEjr1zCsicMWpAA.%d%07d", os.time(), n)
  return wrk.format(nil, nil, { ["Authorization"] = "Bearer " .. token })
end
"#;

/// What came of one run.
#[derive(Debug, PartialEq)]
pub(crate) struct Load {
    /// Requests that were answered.
    pub(crate) requests: u64,
    /// Answers with a status other than 2xx and 3xx.
    pub(crate) refused: u64,
    /// Answered requests per second.
    pub(crate) per_second: f64,
    /// The line about connections that failed, if there is one.
    errors: Option<String>,
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

/// Fails with the remedy where `wrk` is missing.
pub(crate) fn available() -> Result<(), String> {
    match Command::new(WRK).arg("--version").output() {
        Ok(_) => Ok(()),
        Err(_) => Err("`wrk` is not on PATH; Debian and Ubuntu: apt-get install wrk".to_owned()),
    }
}

/// Sends as many requests as the connections carry, one after the other on each.
pub(crate) fn run(
    placement: &Placement,
    url: &str,
    tokens: Tokens,
    connections: u32,
    time: Duration,
) -> Result<Load, String> {
    let mut wrk = placement.other(WRK);
    wrk.arg("--threads=1").arg(format!("--connections={connections}"));
    wrk.arg(format!("--duration={}s", time.as_secs()));
    match tokens {
        Tokens::None => {}
        Tokens::One(token) => {
            wrk.arg(format!("--header=Authorization: Bearer {token}"));
        }
        Tokens::OfEach => {
            let script = target_dir().join("bench-tokens.lua");
            fs::write(&script, OF_EACH).map_err(|e| format!("{}: {e}", script.display()))?;
            wrk.arg("--script").arg(script);
        }
    }
    let done = wrk.arg(url).output().map_err(|error| format!("cannot start `{WRK}`: {error}"))?;
    let report = String::from_utf8_lossy(&done.stdout);
    if !done.status.success() {
        return Err(format!("`{WRK}` failed: {report}{}", String::from_utf8_lossy(&done.stderr)));
    }
    read(&report).ok_or_else(|| format!("`{WRK}` reported what is not understood:\n{report}"))
}

fn read(report: &str) -> Option<Load> {
    let lines = || report.lines().map(str::trim);
    let after = |name: &str| lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let requests = lines().find_map(|line| line.split_once(" requests in ")).map(|(n, _)| n)?;
    Some(Load {
        requests: requests.parse().ok()?,
        refused: after("Non-2xx or 3xx responses:").map_or(Some(0), |n| n.parse().ok())?,
        per_second: after("Requests/sec:")?.parse().ok()?,
        errors: lines().find(|line| line.starts_with("Socket errors:")).map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "\
Running 1s test @ http://127.0.0.1:10000/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.22ms  307.32us   9.67ms   93.86%
    Req/Sec    26.36k     1.25k   28.11k    80.00%
  26255 requests in 1.00s, 3.16MB read
  Socket errors: connect 0, read 7, write 0, timeout 0
  Non-2xx or 3xx responses: 26255
Requests/sec:  26230.11
Transfer/sec:      3.15MB
";

    #[test]
    fn the_report_of_wrk() {
        let errors = "Socket errors: connect 0, read 7, write 0, timeout 0".to_owned();
        let load =
            Load { requests: 26255, refused: 26255, per_second: 26230.11, errors: Some(errors) };
        assert_eq!(read(REPORT), Some(load));

        let good: String = REPORT
            .lines()
            .filter(|l| !l.contains("Socket") && !l.contains("Non-2xx"))
            .fold(String::new(), |text, line| text + line + "\n");
        let load = Load { requests: 26255, refused: 0, per_second: 26230.11, errors: None };
        assert_eq!(read(&good), Some(load));
        assert_eq!(read("unable to connect to 127.0.0.1:1 Connection refused\n"), None);
    }

    #[test]
    fn a_row_is_what_it_says() {
        let load = |requests, refused| Load { requests, refused, per_second: 1.0, errors: None };
        assert_eq!(load(10, 0).verify(true), Ok(()));
        assert_eq!(load(10, 10).verify(false), Ok(()));
        assert!(load(10, 1).verify(true).is_err());
        assert!(load(10, 9).verify(false).is_err());
        assert!(load(0, 0).verify(true).is_err());
        assert!(load(0, 0).verify(false).is_err());
        let broken = Load { errors: Some("Socket errors: read 7".into()), ..load(10, 0) };
        assert_eq!(broken.verify(true), Err("Socket errors: read 7".into()));
    }
}

//! The load: `wrk` for HTTP/1.1, `h2load` for HTTP/2 and for a constant rate. They are not
//! measured, and must never run where the measured Envoy does.

pub(crate) mod fixed;
mod script;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use integration::target_dir;

use crate::input;
use crate::machine::Placement;
use crate::numbers::percentile;

/// The credentials of the requests.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tokens {
    /// Nothing.
    None,
    /// All of them this.
    One(String),
    /// Each a different token, like this one except its last 17 bytes. Only with `wrk`.
    Fresh(String),
    /// That many tokens in turn, from this number on. Only with `wrk`.
    Each {
        count: usize,
        from: usize,
        /// The common text, except the last 17 bytes.
        like: String,
    },
    /// One of that many users' tokens each, as often as Zipf's law says. Only with `wrk`.
    Crowd(usize),
}

/// How requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// HTTP/1.1, on each connection the next request after the last answer.
    Http1,
    /// The same on HTTP/2.
    Http2,
    /// HTTP/1.1, this many requests a second.
    Rate(f64),
}

/// The requests of a load, and their target.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) at: SocketAddr,
    pub(crate) path: String,
    pub(crate) tokens: Tokens,
    /// Header fields of a request, `Host` and `Authorization` among them.
    pub(crate) fields: usize,
    pub(crate) pace: Pace,
    /// None are waited for; see [`connections`] for a rate.
    pub(crate) connections: u32,
    /// Milliseconds that a connection waits before each request. Only with `wrk`, and with tokens
    /// that differ.
    pub(crate) pause: u32,
    /// In whole seconds.
    pub(crate) time: Duration,
}

/// The result of one run.
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
    pub(crate) fn verify(&self, passed: bool) -> Result<()> {
        let (requests, refused) = (self.requests, self.refused);
        let expected = if passed { 0 } else { requests };
        match &self.errors {
            Some(errors) => bail!("{errors}"),
            None if requests == 0 => bail!("no request was answered"),
            None if refused != expected => {
                bail!("got {refused} of {requests} requests refused, expected {expected}")
            }
            None => Ok(()),
        }
    }
}

/// A place for files of the benchmark, below Cargo's target directory.
pub(crate) fn scratch() -> Result<PathBuf> {
    let dir = target_dir().join("bench");
    fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    Ok(dir)
}

/// How many connections a constant rate takes: `h2load`'s timer is not finer than 80 requests a second
/// of one connection; with more it would send several at once.
pub(crate) fn connections(rate: f64) -> u32 {
    (rate / 80.0).ceil().max(1.0) as u32
}

/// Sends what is ordered, to its end.
pub(crate) fn run(placement: &Placement, order: &Order) -> Result<Load> {
    let url = format!("http://{}{}", order.at, order.path);
    let mut fields: Vec<String> = input::fields(order.fields.saturating_sub(2))
        .iter()
        .map(|(name, value)| format!("--header={name}: {value}"))
        .collect();
    if let Tokens::One(token) = &order.tokens {
        fields.push(format!("--header=authorization: Bearer {token}"));
    }
    let connections = f64::from(order.connections);
    let seconds = order.time.as_secs();
    let rate = match order.pace {
        Pace::Http1 => {
            let mut wrk = placement.other("wrk");
            wrk.args(["--latency", "--threads=1", &format!("--connections={connections}")]);
            wrk.arg(format!("--duration={seconds}s")).args(fields);
            if let Some(text) = script::of(&order.tokens, order.pause) {
                let script = scratch()?.join("tokens.lua");
                fs::write(&script, text)?;
                wrk.arg("--script").arg(script);
            }
            return read(wrk.arg(url), wrk_report);
        }
        Pace::Http2 => vec![format!("--duration={seconds}s")],
        // Connections start evenly spread over the time between two requests of one.
        Pace::Rate(rate) => {
            let each = rate / connections;
            vec![
                "--h1".to_owned(),
                format!("--rps={each:.3}"),
                format!("--requests={}", (each * seconds as f64).ceil() * connections),
                format!("--rate={}", (rate / 1000.0).ceil()),
                "--rate-period=1ms".to_owned(),
            ]
        }
    };
    let log = scratch()?.join("h2load.tsv");
    // It would append to the log of the run before.
    fs::write(&log, "")?;
    let mut h2load = placement.other("h2load");
    h2load.args(["--threads=1", "--max-concurrent-streams=1", &format!("--clients={connections}")]);
    h2load.args(rate).arg("--log-file").arg(&log).args(fields).arg(url);
    let read_log = |report: &str| h2load_report(report, &fs::read_to_string(&log).ok()?);
    read(&mut h2load, read_log)
}

fn read(command: &mut Command, report: impl Fn(&str) -> Option<Load>) -> Result<Load> {
    let done = command.output().context("cannot start the load")?;
    let text = String::from_utf8_lossy(&done.stdout);
    match report(&text) {
        Some(load) if done.status.success() => Ok(load),
        _ => bail!("{command:?} failed:\n{text}{}", String::from_utf8_lossy(&done.stderr)),
    }
}

fn after<'r>(report: &'r str, name: &str) -> Option<&'r str> {
    report.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim)
}

fn wrk_report(report: &str) -> Option<Load> {
    let requests = report.lines().find_map(|line| line.split_once(" requests in "))?.0;
    let microseconds = |text: &str| {
        let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic())?);
        let units = [("us", 1.0), ("ms", 1e3), ("s", 1e6), ("m", 60e6)];
        let (_, factor) = units.into_iter().find(|(name, _)| *name == unit)?;
        Some(number.parse::<f64>().ok()? * factor)
    };
    let refused = after(report, "Non-2xx or 3xx responses:");
    Some(Load {
        requests: requests.trim().parse().ok()?,
        refused: refused.map_or(Some(0), |n| n.parse().ok())?,
        per_second: after(report, "Requests/sec:")?.parse().ok()?,
        p50: microseconds(after(report, "50%")?)?,
        p99: microseconds(after(report, "99%")?)?,
        errors: after(report, "Socket errors:").map(str::to_owned),
    })
}

/// A line of the log is when a request began, its status (-1 where it failed), how long it took.
fn h2load_report(report: &str, log: &str) -> Option<Load> {
    let time = |line: &str| {
        let mut columns = line.split('\t').skip(1);
        columns.next()?.parse::<u16>().ok()?;
        columns.next()?.parse().ok()
    };
    let mut times: Vec<f64> = log.lines().filter_map(time).collect();
    times.sort_by(f64::total_cmp);
    // The number before a label in a list such as `7 total, 6 done`.
    let count = |list: &str, word: &str| -> Option<u64> {
        let item = list.split(", ").find_map(|item| item.strip_suffix(word))?;
        item.trim().parse().ok()
    };
    let requests = after(report, "requests:")?;
    let status = after(report, "status codes:")?;
    let (_, per_second) = after(report, "finished in")?.split_once(", ")?;
    let done = count(requests, "done")?;
    let lost = count(requests, "errored")? + count(requests, "timeout")?;
    Some(Load {
        requests: done,
        // A status counts when it comes, a request when its answer is complete.
        refused: done.min(count(status, "4xx")? + count(status, "5xx")?),
        per_second: per_second.split_once(" req/s")?.0.parse().ok()?,
        p50: percentile(&times, 50.0),
        p99: percentile(&times, 99.0),
        errors: (lost > 0).then(|| requests.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_of_wrk() {
        const REPORT: &str = "\
Running 1s test @ http://127.0.0.1:10000/
    Latency     1.22ms  307.32us   9.67ms   93.86%
  Latency Distribution
     50%  838.00us
     90%    1.90ms
     99%    3.02ms
  26255 requests in 1.00s, 3.16MB read
  Socket errors: connect 0, read 7, write 0, timeout 0
  Non-2xx or 3xx responses: 26255
Requests/sec:  26230.11
";
        let errors = Some("connect 0, read 7, write 0, timeout 0".to_owned());
        let (requests, per_second, p50, p99) = (26255, 26230.11, 838.0, 3020.0);
        let load = Load { requests, refused: 26255, per_second, p50, p99, errors };
        assert_eq!(wrk_report(REPORT), Some(load.clone()));
        let good = REPORT.replace("Socket", "").replace("Non-2xx", "").replace("3.02ms", "1.00h");
        assert_eq!(wrk_report(&good), None, "hours");
        let good = good.replace("1.00h", "1.50s");
        let load = Load { refused: 0, errors: None, p99: 1_500_000.0, ..load };
        assert_eq!(wrk_report(&good), Some(load));
    }

    #[test]
    fn the_report_of_h2load() {
        const REPORT: &str = "\
finished in 1.02s, 424.00 req/s, 48.96KB/s
requests: 424 total, 444 started, 424 done, 424 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 444 2xx, 0 3xx, 0 4xx, 0 5xx
";
        let log = "1795\t200\t900\n1795\t200\t100\n1795\t-1\t9999\n1795\t200\t200\n";
        let (requests, per_second, p50, p99) = (424, 424.0, 200.0, 900.0);
        let load = Load { requests, refused: 0, per_second, p50, p99, errors: None };
        assert_eq!(h2load_report(REPORT, log), Some(load.clone()));
        let refused = REPORT.replace("444 2xx", "0 2xx").replace("0 4xx", "444 4xx");
        assert_eq!(h2load_report(&refused, log), Some(Load { refused: 424, ..load.clone() }));
        let lost = h2load_report(&REPORT.replace("0 errored", "3 errored"), log).unwrap();
        assert!(lost.errors.as_ref().unwrap().contains("3 errored"));
        assert!(load.verify(true).is_ok() && load.verify(false).is_err());
        assert!(Load { refused: 424, ..load }.verify(false).is_ok() && lost.verify(true).is_err());
    }
}

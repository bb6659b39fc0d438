//! `h2load`: as many requests on HTTP/2 as the connections carry, and HTTP/1.1 at a constant rate.
//! It sends one token, so what asks for each of many tokens is not for it.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Load, Order, report_of, scratch};
use crate::cpu::Placement;
use crate::numbers::percentile;

pub(super) const H2LOAD: &str = "h2load";

/// Requests per second of one connection of a constant rate. Its timer is not finer than that: a
/// connection with more would send several at once.
const PER_CONNECTION: f64 = 80.0;

/// HTTP/2, one stream at a time on each connection, for as long as the order says.
pub(crate) fn run(placement: &Placement, order: &Order) -> Result<Load, String> {
    let options = [
        format!("--clients={}", order.connections),
        "--max-concurrent-streams=1".to_owned(),
        format!("--duration={}s", order.time.as_secs()),
    ];
    ordered(placement, order, &options)
}

/// How many connections a constant rate takes.
pub(crate) fn connections(rate: f64) -> u32 {
    (rate / PER_CONNECTION).ceil().max(1.0) as u32
}

/// HTTP/1.1 at a constant rate, on as many connections as [`connections`] says, which start evenly
/// spread over the time between two requests of one.
pub(crate) fn steady(placement: &Placement, order: &Order, rate: f64) -> Result<Load, String> {
    let connections = connections(rate);
    let each = rate / f64::from(connections);
    let requests = (each * order.time.as_secs_f64()).ceil() * f64::from(connections);
    let started = (f64::from(connections) * each / 1000.0).ceil();
    let options = [
        "--h1".to_owned(),
        "--max-concurrent-streams=1".to_owned(),
        format!("--clients={connections}"),
        format!("--rps={each:.3}"),
        format!("--requests={requests}"),
        format!("--rate={started}"),
        "--rate-period=1ms".to_owned(),
    ];
    ordered(placement, order, &options)
}

/// Its version, as it names it.
pub(crate) fn version() -> String {
    let said = Command::new(H2LOAD).arg("--version").output();
    let said = said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned());
    said.unwrap_or_default().split_whitespace().nth(1).unwrap_or("unknown").to_owned()
}

fn ordered(placement: &Placement, order: &Order, options: &[String]) -> Result<Load, String> {
    let log = scratch()?.join("h2load.tsv");
    // It would append to the log of the run before.
    if let Err(error) = fs::remove_file(&log)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(format!("{}: {error}", log.display()));
    }
    let mut h2load = placement.other(H2LOAD);
    h2load.arg("--threads=1").args(options).arg("--log-file").arg(&log);
    for line in order.header_lines() {
        h2load.arg(format!("--header={line}"));
    }
    h2load.arg(order.url());
    let report = report_of(H2LOAD, h2load)?;
    let times = times(&log)?;
    read(&report, &times).ok_or_else(|| format!("`{H2LOAD}` reported unreadably:\n{report}"))
}

/// The microseconds of all answers, in ascending order.
fn times(log: &Path) -> Result<Vec<f64>, String> {
    let text = fs::read_to_string(log).map_err(|e| format!("{}: {e}", log.display()))?;
    let mut times: Vec<f64> = text.lines().filter_map(time).collect();
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// When it began, its status (-1 where it failed), how long it took.
fn time(line: &str) -> Option<f64> {
    let mut columns = line.split('\t').skip(1);
    columns.next()?.parse::<u16>().ok()?;
    columns.next()?.parse().ok()
}

fn read(report: &str, sorted_times: &[f64]) -> Option<Load> {
    let lines = || report.lines().map(str::trim);
    let after = |name: &str| lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let requests = after("requests:")?;
    let status = after("status codes:")?;
    let (_, per_second) = after("finished in")?.split_once(", ")?;
    let (per_second, _) = per_second.split_once(" req/s")?;
    let done: u64 = count(requests, "done")?;
    let lost: u64 = count(requests, "errored")? + count(requests, "timeout")?;
    let refused = count(status, "4xx")? + count(status, "5xx")?;
    Some(Load {
        requests: done,
        // A status counts when it comes, a request when its answer is complete.
        refused: refused.min(done),
        per_second: per_second.parse().ok()?,
        p50: percentile(sorted_times, 50.0),
        p99: percentile(sorted_times, 99.0),
        errors: (lost > 0).then(|| requests.to_owned()),
    })
}

/// The number before a word of a list such as `7 total, 6 done`.
fn count(list: &str, word: &str) -> Option<u64> {
    let item = list.split(", ").find_map(|item| item.strip_suffix(word))?;
    item.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "\
starting benchmark...
progress: 100% of clients started

finished in 1.02s, 424.00 req/s, 48.96KB/s
requests: 424 total, 444 started, 424 done, 424 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 444 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 48.96KB (50132) total, 34.69KB (35520) headers (space savings 0.00%), 848B (848) data
                     min         max         mean         sd        +/- sd
time for request:     5.07ms     63.88ms     45.78ms      7.69ms    87.26%
";

    #[test]
    fn the_report() {
        let times = [100.0, 200.0, 900.0];
        let load = Load {
            requests: 424,
            refused: 0,
            per_second: 424.0,
            p50: 200.0,
            p99: 900.0,
            errors: None,
        };
        assert_eq!(read(REPORT, &times), Some(load.clone()));
        let refused = REPORT.replace("444 2xx", "0 2xx").replace("0 4xx", "444 4xx");
        assert_eq!(read(&refused, &times), Some(Load { refused: 424, ..load.clone() }));
        let lost = read(&REPORT.replace("0 errored", "3 errored"), &times).unwrap();
        assert!(lost.errors.unwrap().contains("3 errored"));
        assert_eq!(read("could not connect\n", &times), None);
    }

    #[test]
    fn lines_of_the_log() {
        assert_eq!(time("1795668005372455\t200\t3561"), Some(3561.0));
        assert_eq!(time("1795668005372455\t-1\t3561"), None);
        assert_eq!(time(""), None);
    }

    #[test]
    fn a_rate_is_spread_over_enough_connections() {
        assert_eq!(connections(16_000.0), 200);
        assert_eq!(connections(16_001.0), 201);
        assert_eq!(connections(1.0), 1);
    }
}

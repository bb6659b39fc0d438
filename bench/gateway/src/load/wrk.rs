//! `wrk`: as many requests on HTTP/1.1 as the connections carry, one after the other on each.

use std::fs;
use std::process::Command;

use super::{Load, Order, Tokens, report_of, scratch, script};
use crate::cpu::Placement;

pub(super) const WRK: &str = "wrk";

/// Runs it for as long as the order says.
pub(crate) fn run(placement: &Placement, order: &Order) -> Result<Load, String> {
    let mut wrk = placement.other(WRK);
    wrk.args(["--latency", "--threads=1"]).arg(format!("--connections={}", order.connections));
    wrk.arg(format!("--duration={}s", order.time.as_secs()));
    for line in order.header_lines() {
        wrk.arg(format!("--header={line}"));
    }
    let text = match &order.tokens {
        Tokens::None | Tokens::One(_) => None,
        Tokens::Fresh(like) => Some(script::fresh(like)),
        Tokens::Each { count, from, like } => Some(script::each(*count, *from, like)),
        Tokens::Crowd(users) => Some(script::crowd(*users)),
    };
    if let Some(mut text) = text {
        if order.pause > 0 {
            text.push_str(&script::pause(order.pause));
        }
        let script = scratch()?.join("tokens.lua");
        fs::write(&script, text).map_err(|e| format!("{}: {e}", script.display()))?;
        wrk.arg("--script").arg(script);
    }
    wrk.arg(order.url());
    let report = report_of(WRK, wrk)?;
    read(&report).ok_or_else(|| format!("`{WRK}` reported what is not understood:\n{report}"))
}

/// Its version, as it names it.
pub(crate) fn version() -> String {
    // It prints its version with its usage, and fails.
    let said = Command::new(WRK).arg("--version").output();
    let said = said.map(|said| [said.stdout, said.stderr].concat()).unwrap_or_default();
    let said = String::from_utf8_lossy(&said).into_owned();
    said.split_whitespace().nth(1).unwrap_or("unknown").to_owned()
}

fn read(report: &str) -> Option<Load> {
    let lines = || report.lines().map(str::trim);
    let after = |name: &str| lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let requests = lines().find_map(|line| line.split_once(" requests in ")).map(|(n, _)| n)?;
    Some(Load {
        requests: requests.parse().ok()?,
        refused: after("Non-2xx or 3xx responses:").map_or(Some(0), |n| n.parse().ok())?,
        per_second: after("Requests/sec:")?.parse().ok()?,
        p50: microseconds(after("50%")?)?,
        p99: microseconds(after("99%")?)?,
        errors: lines().find(|line| line.starts_with("Socket errors:")).map(str::to_owned),
    })
}

fn microseconds(text: &str) -> Option<f64> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit);
    let factor = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 60e6,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
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
  Latency Distribution
     50%  838.00us
     75%    1.41ms
     90%    1.90ms
     99%    3.02ms
  26255 requests in 1.00s, 3.16MB read
  Socket errors: connect 0, read 7, write 0, timeout 0
  Non-2xx or 3xx responses: 26255
Requests/sec:  26230.11
Transfer/sec:      3.15MB
";

    #[test]
    fn the_report() {
        let load = Load {
            requests: 26255,
            refused: 26255,
            per_second: 26230.11,
            p50: 838.0,
            p99: 3020.0,
            errors: Some("Socket errors: connect 0, read 7, write 0, timeout 0".to_owned()),
        };
        assert_eq!(read(REPORT), Some(load.clone()));

        let good: String = REPORT
            .lines()
            .filter(|l| !l.contains("Socket") && !l.contains("Non-2xx"))
            .fold(String::new(), |text, line| text + line + "\n");
        assert_eq!(read(&good), Some(Load { refused: 0, errors: None, ..load }));
        assert_eq!(read("unable to connect to 127.0.0.1:1 Connection refused\n"), None);
    }

    #[test]
    fn times() {
        assert_eq!(microseconds("838.00us"), Some(838.0));
        assert_eq!(microseconds("20.50ms"), Some(20_500.0));
        assert_eq!(microseconds("1.50s"), Some(1_500_000.0));
        assert_eq!(microseconds("1.00m"), Some(60_000_000.0));
        assert_eq!(microseconds("1.00h"), None);
        assert_eq!(microseconds("1.00"), None);
        assert_eq!(microseconds("ms"), None);
    }
}

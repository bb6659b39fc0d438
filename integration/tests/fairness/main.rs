//! Fairness on the real Envoy: faults that one caller causes affect only that caller. Hostile
//! callers run together with good users, and the counts are printed. Times on a busy machine decide
//! nothing here: rows are judged by counts and events.
//!
//! `OIDC_FAIR=cap,slow` runs only the rows whose names contain one of these.

mod attacks;
#[allow(dead_code, reason = "each file of tests uses its part")]
#[path = "../base/mod.rs"]
mod base;
mod closing;
mod lanes;
mod log;
mod revoked;
mod row;
mod shared;
mod stale;
mod update;

use std::io::Write;
use std::sync::Arc;

use integration::{Running, Setup};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;

/// Good users a second.
const RATES: [u32; 2] = [10, 1];
/// Rows that are played side by side: more would measure the machine.
const AT_ONCE: usize = 6;
/// Those of these tests that keep the machine busy take turns.
static TURN: Mutex<()> = Mutex::const_new(());

/// Each attack with ten good users a second, and with one: only the attacker is refused, and no
/// request causes more than three calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_caller_is_refused() {
    let _turn = TURN.lock().await;
    let mut setup = Setup::new().concurrency(1);
    for row in attacks::rows().iter().filter(|row| is_chosen(row.name)) {
        for rate in RATES {
            setup = setup.listener(row.listener(rate));
        }
    }
    let running = setup.start().await;
    let (mut playing, turns) = (JoinSet::new(), Arc::new(Semaphore::new(AT_ONCE)));
    for rate in RATES {
        for row in attacks::rows().into_iter().filter(|row| is_chosen(row.name)) {
            let gateway = running.gateway(&row.listener_name(rate));
            let turns = turns.clone();
            playing.spawn(async move {
                let _turn = turns.acquire().await.expect("never closed");
                (rate, row.play(&gateway, rate).await)
            });
        }
    }
    let mut played = playing.join_all().await;
    played.sort_by_key(|(rate, played)| (std::cmp::Reverse(*rate), played.name()));
    let mut wrong = Vec::new();
    for (_, played) in played {
        let report = played.report(&running.envoy).await;
        say(&report.to_string());
        wrong.extend(report.wrong());
    }
    running.envoy.assert_no_vm_restart().await;
    judged(running, &wrong);
}

/// Fails if there is a problem, without Envoy's log: an Envoy prints thousands of lines if a test
/// fails, which hide the problem.
fn judged(running: Running, wrong: &[String]) {
    drop(running);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Prints it even if the test passes: the runner captures the output of `println`.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "fairness: {line}");
}

/// Whether this row is to run: all do, unless some are named.
fn is_chosen(name: &str) -> bool {
    let chosen = std::env::var("OIDC_FAIR").unwrap_or_default();
    chosen.is_empty() || chosen.split(',').any(|part| name.contains(part))
}

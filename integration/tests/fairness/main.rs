//! Whose fault is it: one caller's bad luck stays that caller's, on the real Envoy. Hostile callers
//! stand beside good users, and the counts are printed. What a busy machine does to the time that
//! anything takes decides nothing here: rows go by counts and by what has happened.
//!
//! `OIDC_FAIR=cap,slow` runs only the rows whose names hold one of these.

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

/// Each attack beside ten good users a second, and beside one: nobody but the attacker is refused,
/// and no request is asked about more than three times.
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

/// Fails if anything is wrong, without Envoy's log: an Envoy that sees a test fail prints thousands
/// of lines, after which nobody finds what is wrong.
fn judged(running: Running, wrong: &[String]) {
    drop(running);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Says it also where the test passes: the runner keeps what `println` prints to itself.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "fairness: {line}");
}

/// Whether this row is to run: all do, unless some are named.
fn is_chosen(name: &str) -> bool {
    let chosen = std::env::var("OIDC_FAIR").unwrap_or_default();
    chosen.is_empty() || chosen.split(',').any(|part| name.contains(part))
}

//! The clients: some stay on their connections and check each answer, others leave before their
//! answer.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use integration::{DEADLINE, Envoy, Gateway};
use tokio::sync::{OwnedRwLockWriteGuard, RwLock};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::WORKERS;

/// Clients that stay. The kernel spreads their connections over the workers.
const STAY: usize = 8;
/// Tokens that are good, and tokens that are not.
const TOKENS: [&str; 12] = [
    "good0", "good1", "good2", "good3", "good4", "good5", "good6", "good7", "good8", "good9",
    "bad0", "bad1",
];
/// The phase in which one in ten of the staying clients is hostile.
pub(crate) const HOSTILE: &str = "hostile";
/// The effect of hostile tokens on a site: the site checks their prefix.
const ATTACKS: [&str; 5] =
    ["hostile-reset", "hostile-slow", "hostile-limited", "hostile-crash", "hostile-garbage"];
/// Most calls that can be under way: each worker has one for each token.
pub(crate) const AT_ONCE: u64 = TOKENS.len() as u64 * WORKERS as u64;

/// The number of different tokens per worker, used repeatedly.
pub(crate) const DIFFERENT: u64 = TOKENS.len() as u64;

/// Passed, refused, unavailable.
pub(crate) type Seen = [u64; 3];

/// The current task; none before the first phase.
type Now = Arc<RwLock<Option<&'static str>>>;

pub(crate) struct Crowd {
    now: Now,
    over: Arc<AtomicBool>,
    stay: JoinSet<Seen>,
    leave: JoinSet<()>,
}

impl Crowd {
    pub(crate) fn start(gw: &Gateway) -> Crowd {
        let (now, over) = (Now::default(), Arc::new(AtomicBool::new(false)));
        let (mut stay, mut leave) = (JoinSet::new(), JoinSet::new());
        for n in 0..STAY {
            stay.spawn(stays(gw.clone(), n, Arc::clone(&now), Arc::clone(&over)));
        }
        leave.spawn(leaves(gw.clone(), Arc::clone(&now), Arc::clone(&over)));
        Crowd { now, over, stay, leave }
    }

    /// No staying client sends a request until the phase begins, and none waits any more.
    pub(crate) async fn pause(&self) -> OwnedRwLockWriteGuard<Option<&'static str>> {
        Arc::clone(&self.now).write_owned().await
    }

    pub(crate) fn begin(
        &self,
        phase: &'static str,
        mut pause: OwnedRwLockWriteGuard<Option<&'static str>>,
    ) {
        *pause = Some(phase);
    }

    /// The first access log line of this phase with a request that passed after a call to the
    /// provider.
    pub(crate) async fn first_asked_pass(&self, envoy: &Envoy, phase: &str) -> String {
        let path = format!("\"path\":\"/{phase}/");
        let is_it = |line: &str| line.contains(&path) && line.contains("pass;asked");
        let found = tokio::time::timeout(DEADLINE, envoy.access_log().find(is_it)).await;
        found.ok().flatten().expect("somebody passes")
    }

    /// The answers that the staying clients saw.
    pub(crate) async fn stop(self) -> Seen {
        self.over.store(true, Ordering::SeqCst);
        self.leave.join_all().await;
        let add = |all: Seen, seen: Seen| [0, 1, 2].map(|n| all[n] + seen[n]);
        self.stay.join_all().await.into_iter().fold(Seen::default(), add)
    }
}

fn every(period: Duration) -> tokio::time::Interval {
    let mut every = tokio::time::interval(period);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    every
}

async fn stays(gw: Gateway, first: usize, now: Now, over: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen::default();
    let mut connection = gw.connect().await.expect("a connection");
    let mut clock = every(Duration::from_millis(25));
    for n in first.. {
        clock.tick().await;
        let phase = now.read().await;
        if over.load(Ordering::SeqCst) {
            break;
        }
        let Some(phase) = *phase else {
            continue;
        };
        let token = match phase {
            HOSTILE if n % 10 == 0 => format!("{}-{first}-{n}", ATTACKS[n / 10 % ATTACKS.len()]),
            _ => TOKENS[n % TOKENS.len()].to_owned(),
        };
        let request = gw.get(&format!("/{phase}/stays/{token}/")).bearer(&token);
        let response = connection.exchange(&request.to_bytes(), false).await.expect("a response");
        let what = match response.status {
            200 => 0,
            401 | 429 | 500 => 1,
            503 => 2,
            _ => panic!("{response:?}"),
        };
        assert!(what != 0 || token.starts_with("good"), "{token}: {response:?}");
        seen[what] += 1;
    }
    seen
}

/// Comes every 20 ms and has little patience: 0 to 29 ms.
async fn leaves(gw: Gateway, now: Now, over: Arc<AtomicBool>) {
    let mut clock = every(Duration::from_millis(20));
    let mut leaving = JoinSet::new();
    for n in 0_u64.. {
        clock.tick().await;
        if over.load(Ordering::SeqCst) {
            break;
        }
        let Some(phase) = *now.read().await else {
            continue;
        };
        let token = TOKENS[n as usize * 5 % TOKENS.len()];
        let request = gw.get(&format!("/{phase}/leaves/{token}/")).bearer(token);
        let patience = Duration::from_millis(n * 7 % 30);
        leaving.spawn(async move {
            match tokio::time::timeout(patience, request.try_send()).await {
                Err(_) | Ok(Ok(_)) => {}
                Ok(Err(e)) => assert_eq!(e.kind(), ErrorKind::ConnectionReset, "{e}"),
            }
        });
        while leaving.try_join_next().is_some() {}
    }
    leaving.join_all().await;
}

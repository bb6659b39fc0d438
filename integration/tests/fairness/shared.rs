//! A shared connection: over HTTP/2 a caller that makes the provider close it ends all calls on it.
//! There is one hostile call for twenty good ones, at the scripted provider and at the real nginx
//! with its default limits, which closes a connection for a header field of 8 KiB.

use std::net::SocketAddr;
use std::time::Duration;

use integration::{Call, Gateway, Listener, Nginx, Provider, Reply, Setup};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::lanes;
use crate::log::Lost;
use crate::row::per_request;
use crate::{TURN, is_chosen, judged, log, say};

/// Good calls a second on a lane; with each second comes a hostile one.
const GOOD: u32 = 20;
const SECONDS: u32 = 10;
/// How long the provider takes for an answer.
const TAKES: Duration = Duration::from_millis(30);
/// The longest token that the old default allowed.
const LONGEST: usize = 8192;

struct Kind {
    name: &'static str,
    /// The options of HTTP/2, where that is spoken.
    http2: Option<fn() -> Value>,
    /// The effect of the hostile token at the scripted provider; none for nginx, which needs no
    /// script.
    hostile: Option<fn() -> Reply>,
    lanes: usize,
    /// Good calls that may be refused of a hundred.
    allowed: usize,
}

fn one_stream() -> Value {
    json!({"max_concurrent_streams": 1})
}

const KINDS: &[Kind] = &[
    Kind {
        name: "h2_goaway_kills",
        http2: Some(|| json!({})),
        hostile: Some(Reply::goaway_at),
        lanes: 2,
        allowed: 1,
    },
    Kind {
        name: "h2_reset_kills",
        http2: Some(|| json!({})),
        hostile: Some(Reply::reset),
        lanes: 2,
        allowed: 1,
    },
    Kind { name: "nginx_h2", http2: Some(|| json!({})), hostile: None, lanes: 3, allowed: 1 },
    Kind {
        name: "nginx_h2_one_stream",
        http2: Some(one_stream),
        hostile: None,
        lanes: 1,
        allowed: 0,
    },
    Kind { name: "nginx_h1", http2: None, hostile: None, lanes: 1, allowed: 0 },
];

impl Kind {
    fn listener(&self, nginx: &Nginx) -> Listener {
        let listener = lanes::listener(self.name, json!({"max_token_bytes": LONGEST}));
        let at: Option<SocketAddr> = match (self.hostile, self.http2) {
            (Some(_), _) => None,
            (None, Some(_)) => Some(nginx.http2()),
            (None, None) => Some(nginx.http1()),
        };
        at.into_iter().fold(listener, |listener, at| lanes::lead_to(listener, self.name, at))
    }

    fn token(&self) -> String {
        if self.hostile.is_some() { "hostile".to_owned() } else { "~".repeat(LONGEST) }
    }
}

/// Makes a provider validate good tokens, after a delay, and handle any other token so.
fn teach(provider: &Provider, hostile: fn() -> Reply) {
    provider.answer_with(move |call: &Call| {
        let is_good = call.token().is_some_and(|token| token.contains(".good."));
        let good = Reply::json(200, &json!({"sub": "good"})).after(TAKES);
        Some(if is_good { good } else { hostile() })
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shared_connection_closed_by_one_caller_loses_no_request() {
    let _turn = TURN.lock().await;
    let behind_nginx = Provider::start().await;
    teach(&behind_nginx, Provider::expired);
    let nginx = Nginx::before(&behind_nginx).await;
    let chosen = || KINDS.iter().filter(|kind| is_chosen(kind.name));
    let mut setup = Setup::new().concurrency(1);
    for kind in chosen() {
        setup = setup.listener(kind.listener(&nginx));
        if let Some(options) = kind.http2 {
            setup = setup.edit(move |all| lanes::speak_http2(all, kind.name, &options()));
        }
    }
    let running = setup.start().await;
    let mut playing = JoinSet::new();
    for kind in chosen() {
        let gateway = running.gateway(kind.name);
        if let Some(hostile) = kind.hostile {
            teach(&gateway.provider, hostile);
        }
        playing.spawn(async move { (kind, attack(kind, &gateway).await) });
    }
    let mut played = playing.join_all().await;
    played.sort_by_key(|(kind, _)| kind.name);
    let mut wrong = Vec::new();
    for (kind, good) in played {
        let calls = match kind.hostile {
            Some(_) => running.gateway(kind.name).provider.calls(),
            None => behind_nginx.calls(),
        };
        let paths: Vec<&str> = good.iter().map(String::as_str).collect();
        let entries = log::entries(&running.envoy, &paths).await;
        let (lost, most, sent) = (Lost::of(&entries, &calls), per_request(&calls), good.len());
        say(&format!(
            "{}: of {sent} good requests {lost}; they took {} ms in the median, {} at most; calls \
             per request at most {most}",
            kind.name,
            log::Took::of(&entries).median,
            log::Took::of(&entries).largest,
        ));
        if lost.judged * 100 > sent * kind.allowed || lost.late * 10 > sent || most > 3 {
            wrong.push(format!("{}: of {sent} {lost}, {most} calls", kind.name));
        }
    }
    let ended = nginx.log().lines().iter().filter(|line| line.contains("too large")).count();
    say(&format!("nginx found {ended} requests too large"));
    if chosen().any(|kind| kind.hostile.is_none()) && ended == 0 {
        wrong.push("nginx took the hostile calls".to_owned());
    }
    running.envoy.assert_no_vm_restart().await;
    judged(running, &wrong);
}

/// On each lane twenty good requests a second, and once in each second a hostile one. The good ones'
/// paths.
async fn attack(kind: &'static Kind, gateway: &Gateway) -> Vec<String> {
    let (name, token) = (kind.name, kind.token());
    let mut beat = tokio::time::interval(Duration::from_secs(1) / GOOD);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut sent, mut good) = (JoinSet::new(), Vec::new());
    for n in 0..SECONDS * GOOD {
        beat.tick().await;
        for lane in 0..kind.lanes {
            // Each lane has its hostile call at another time.
            if n % GOOD == 3 * lane as u32 {
                let path = format!("/{name}/hostile/{lane}/{n}/");
                sent.spawn(lanes::request(gateway, &path, lane, &token).send());
            }
            let path = format!("/{name}/good/{lane}/{n}/");
            sent.spawn(lanes::request(gateway, &path, lane, &log::token(&path)).send());
            good.push(path);
        }
    }
    sent.join_all().await;
    good
}

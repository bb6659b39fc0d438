//! Providers that end connections, as all do: when they have answered, when nothing has come for a
//! while, or just as the next call arrives. No good request is lost to any, and the time that this
//! adds is printed.

use std::sync::Arc;
use std::time::Duration;

use integration::{Call, Gateway, Reply, Setup, pass};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::lanes::{self, LANES};
use crate::log::{Lost, Took};
use crate::row::per_request;
use crate::{TURN, is_chosen, judged, log, say};

/// Requests to each.
const REQUESTS: usize = 500;
/// How long a provider keeps an idle connection.
const IDLE: Duration = Duration::from_secs(1);
/// Kinds that are played at once, beside those that mostly wait: more would measure the machine.
const AT_ONCE: usize = 2;

#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    http2: bool,
    says: fn(&Call) -> Reply,
    /// Clients on a lane, and what passes before each request: one, and nothing, if it is not said.
    paced: Option<(usize, Duration)>,
}

fn good() -> Reply {
    Reply::json(200, &json!({"sub": "good"}))
}

/// Every second call on a connection gets this instead of an answer. So a call that follows another
/// does, and when it is made again, on this connection or a new one, it does not.
fn each_second(call: &Call, instead: fn() -> Reply) -> Reply {
    if call.nth % 2 == 1 { instead() } else { good() }
}

const KINDS: &[Kind] = &[
    kind("keeps", false, |_| good()),
    kind("closes_after_answer", false, |_| good().then_close()),
    // About when the next call comes.
    kind("closes_a_moment_later", false, |call| {
        good().then_close_after(Duration::from_millis(call.connection as u64 % 3))
    }),
    Kind { paced: Some((5, IDLE)), ..kind("closes_idle", false, |_| good()) },
    kind("fin_as_next_comes", false, |call| each_second(call, Reply::close)),
    kind("rst_as_next_comes", false, |call| each_second(call, Reply::reset)),
    kind("408_as_next_comes", false, |call| each_second(call, || Reply::status(408).then_close())),
    kind("h2_keeps", true, |_| good()),
    kind("h2_goaway_after_answer", true, |_| good().then_goaway()),
    kind("h2_goaway_below", true, |call| each_second(call, Reply::goaway_below)),
    kind("h2_goaway_at", true, |call| each_second(call, Reply::goaway_at)),
    kind("h2_refused_stream", true, |call| each_second(call, Reply::refused_stream)),
];

const fn kind(name: &'static str, http2: bool, says: fn(&Call) -> Reply) -> Kind {
    Kind { name, http2, says, paced: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_provider_loses_no_request() {
    let _turn = TURN.lock().await;
    let chosen = || KINDS.iter().filter(|kind| is_chosen(kind.name));
    let mut setup = Setup::new().concurrency(1);
    for kind in chosen() {
        setup = setup.listener(lanes::listener(kind.name, json!({})));
        if kind.http2 {
            setup = setup.edit(|bootstrap| lanes::speak_http2(bootstrap, kind.name, &json!({})));
        }
    }
    let running = setup.start().await;
    let (mut playing, turns) = (JoinSet::new(), Arc::new(Semaphore::new(AT_ONCE)));
    for kind in chosen() {
        let (gateway, turns) = (running.gateway(kind.name), turns.clone());
        playing.spawn(async move {
            let _turn = match kind.paced {
                None => Some(turns.acquire().await.expect("never closed")),
                Some(_) => None,
            };
            (kind, play(kind, &gateway).await)
        });
    }
    let mut played = playing.join_all().await;
    played.sort_by_key(|(kind, _)| (kind.http2, kind.name != "keeps" && kind.name != "h2_keeps"));
    let (mut wrong, mut kept) = (Vec::new(), Took::default());
    for (kind, statuses) in played {
        let calls = running.gateway(kind.name).provider.calls();
        let paths: Vec<&str> = statuses.iter().map(|(path, _)| path.as_str()).collect();
        let entries = log::entries(&running.envoy, &paths).await;
        let (took, lost) = (Took::of(&entries), Lost::of(&entries, &calls));
        let (sent, most) = (statuses.len(), per_request(&calls));
        say(&format!(
            "{}: {sent} requests, {lost}; {} calls, per request at most {most}; took {} ms in the \
             median, {} at most; added {} and {}",
            kind.name,
            calls.len(),
            took.median,
            took.largest,
            took.median.saturating_sub(kept.median),
            took.largest.saturating_sub(kept.largest),
        ));
        if kind.name.ends_with("keeps") {
            kept = took;
        }
        if lost.judged > 0 || lost.late * 10 > sent || sent != REQUESTS || most > 3 {
            wrong.push(format!("{}: of {sent} {lost}, {most} calls at most", kind.name));
        }
    }
    running.envoy.assert_no_vm_restart().await;
    judged(running, &wrong);
}

/// Paths and statuses of all requests.
async fn play(kind: &'static Kind, gateway: &Gateway) -> Vec<(String, u16)> {
    gateway.provider.answer_with(|call| Some((kind.says)(call)));
    if kind.paced.is_some() {
        gateway.provider.closes_idle(IDLE);
    }
    let (at_once, between) = kind.paced.unwrap_or((1, Duration::ZERO));
    let number = REQUESTS / LANES / at_once;
    let mut clients = JoinSet::new();
    for lane in 0..LANES {
        for client in 0..at_once {
            clients.spawn(ask(kind, gateway.clone(), lane, client, (number, between)));
        }
    }
    clients.join_all().await.into_iter().flatten().collect()
}

/// One client's requests, one after the other on a connection that is kept; their paths and
/// statuses.
async fn ask(
    kind: &'static Kind,
    gateway: Gateway,
    lane: usize,
    client: usize,
    (number, between): (usize, Duration),
) -> Vec<(String, u16)> {
    let mut connection = gateway.connect().await.expect("a connection");
    let mut statuses = Vec::new();
    for n in 0..number {
        pass(between).await;
        let path = format!("/{}/{lane}/{client}/{n}/", kind.name);
        let request = lanes::request(&gateway, &path, lane, &log::token(&path));
        let response = connection.exchange(&request.to_bytes(), false).await;
        statuses.push((path, response.expect("a response").status));
    }
    statuses
}

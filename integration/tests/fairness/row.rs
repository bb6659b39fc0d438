//! A row: a hostile caller together with good users at one instance, and the result of each.

use std::collections::BTreeMap;
use std::fmt;

use integration::{Call, DEADLINE, Envoy, Gateway, Listener, Provider, Reply};
use serde_json::{Value, json};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Duration, MissedTickBehavior};

use crate::base::{merged, one};
use crate::log;

/// Beats a second: a hostile request comes with each.
const BEATS: u32 = 30;
/// How long a row lasts.
const SECONDS: u32 = 3;
/// Good users, where they are known before.
const USERS: u32 = 10;
/// Most calls about one request at one site.
const MOST: usize = 3;

/// In which order requests come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// A hostile request every this many beats, with good ones in between.
    Beats(u32),
    /// This many hostile requests, one after the other, then the good ones of a second.
    Turns(u32),
}

pub(crate) struct Row {
    pub(crate) name: &'static str,
    config: Value,
    change: fn(Listener) -> Listener,
    hostile: fn(u32) -> String,
    hostile_at: &'static str,
    /// The provider's answer to a hostile token, and the caller's reply.
    says: fn(&Call) -> Reply,
    gets: u16,
    order: Order,
    good: fn(u32) -> String,
    good_at: &'static [&'static str],
    /// How long the provider takes for any call.
    takes: Duration,
    /// Good users were validated before.
    known: bool,
    /// Most calls that each hostile token is worth.
    worth: Option<usize>,
}

/// A row in which hostile tokens get this answer of the provider's, and this status.
pub(crate) fn row(name: &'static str, says: fn(&Call) -> Reply, gets: u16) -> Row {
    Row {
        name,
        config: json!({}),
        change: |listener| listener,
        hostile: |n| format!("hostile-{n}"),
        hostile_at: "",
        says,
        gets,
        order: Order::Beats(1),
        good: |n| format!("good-{n}"),
        good_at: &[""],
        takes: Duration::ZERO,
        known: false,
        worth: None,
    }
}

/// The configuration of a row, with these additional keys. No call ends because the machine is
/// busy.
pub(crate) fn config(more: Value) -> Value {
    let config = one(json!({
        "timeout": "20s",
        "userinfo_unavailable": {"status": 503, "retry_after": "5s"},
        "access_log_state": true,
    }));
    merged(config, more)
}

impl Row {
    pub(crate) fn config(self, config: Value) -> Row {
        Row { config, ..self }
    }

    pub(crate) fn change(self, change: fn(Listener) -> Listener) -> Row {
        Row { change, ..self }
    }

    /// The hostile caller's tokens, by number.
    pub(crate) fn tokens(self, hostile: fn(u32) -> String) -> Row {
        Row { hostile, ..self }
    }

    /// Under which paths they come.
    pub(crate) fn under(self, hostile_at: &'static str, good_at: &'static [&'static str]) -> Row {
        Row { hostile_at, good_at, ..self }
    }

    pub(crate) fn every(self, beats: u32) -> Row {
        Row { order: Order::Beats(beats), ..self }
    }

    pub(crate) fn in_turns(self, hostile: u32) -> Row {
        Row { order: Order::Turns(hostile), ..self }
    }

    pub(crate) fn takes(self, takes: Duration) -> Row {
        Row { takes, ..self }
    }

    pub(crate) fn known(self) -> Row {
        Row { known: true, good: |n| format!("good-{}", n % USERS), ..self }
    }

    pub(crate) fn worth(self, calls: usize) -> Row {
        Row { worth: Some(calls), ..self }
    }

    pub(crate) fn listener_name(&self, rate: u32) -> String {
        format!("{}_{rate}", self.name)
    }

    pub(crate) fn listener(&self, rate: u32) -> Listener {
        let listener = Listener::named(&self.listener_name(rate));
        (self.change)(listener.config(config(self.config.clone())))
    }

    fn teach(&self, provider: &Provider) {
        let (says, takes) = (self.says, self.takes);
        provider.answer_with(move |call| {
            Some(match call.token() {
                Some(token) if token.starts_with("good") => {
                    Reply::json(200, &json!({"sub": token})).after(takes)
                }
                Some(_) => says(call).after(takes),
                // The filter's own question.
                None => Provider::expired().after(takes),
            })
        });
    }

    pub(crate) async fn play(self, gateway: &Gateway, rate: u32) -> Played {
        self.teach(&gateway.provider);
        if self.known {
            for n in 0..USERS {
                become_known(gateway, &(self.good)(n)).await;
            }
        }
        let request = |under: &str, who: &str, n: u32, token: String| {
            let path = format!("{under}/{}_{rate}/{who}/{n}/", self.name);
            let request = gateway.get(&path).bearer(&token);
            async move {
                let status = request.try_send().await.map_or(0, |response| response.status);
                (path, status)
            }
        };
        let hostile = |n| request(self.hostile_at, "hostile", n, (self.hostile)(n));
        let good = |n: u32| {
            let under = self.good_at[n as usize % self.good_at.len()];
            request(under, "good", n, (self.good)(n))
        };
        let (mut hostiles, mut goods) = (JoinSet::new(), Goods::new(self.known));
        let mut statuses = BTreeMap::new();
        match self.order {
            Order::Beats(every) => {
                let mut beat = tokio::time::interval(Duration::from_secs(1) / BEATS);
                beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
                let good_every = BEATS / rate;
                for n in 0..SECONDS * BEATS {
                    beat.tick().await;
                    if n % every == 0 {
                        hostiles.spawn(hostile(n / every));
                    }
                    if n % good_every == good_every / 2 {
                        goods.add(good(n / good_every)).await;
                    }
                }
            }
            Order::Turns(number) => {
                for n in 0..number {
                    *statuses.entry(hostile(n).await.1).or_default() += 1;
                }
                for n in 0..rate {
                    goods.add(good(n)).await;
                }
            }
        }
        for (_, status) in hostiles.join_all().await {
            *statuses.entry(status).or_default() += 1;
        }
        let good = goods.all().await;
        Played { calls: gateway.provider.take_calls(), hostile: statuses, good, rate, row: self }
    }
}

/// Sends requests until the verdict is cached: on a busy machine an answer that took too long is
/// not.
async fn become_known(gateway: &Gateway, token: &str) {
    let asking = async {
        loop {
            let calls = gateway.provider.count();
            let response = gateway.get("/before/").bearer(token).send().await;
            assert_eq!(response.status, 200, "{token}: {response:?}");
            if gateway.provider.count() == calls {
                return;
            }
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, asking).await.is_ok();
    assert!(in_time, "{token} does not become known");
}

/// Requests of good users. Known users come one after the other: the reservation for them is a
/// number of concurrent calls.
struct Goods {
    in_turn: bool,
    sent: Vec<JoinHandle<(String, u16)>>,
}

impl Goods {
    fn new(in_turn: bool) -> Goods {
        Goods { in_turn, sent: Vec::new() }
    }

    async fn add(&mut self, request: impl Future<Output = (String, u16)> + Send + 'static) {
        let mut sent = tokio::spawn(request);
        if self.in_turn {
            let over = (&mut sent).await.expect("a request");
            sent = tokio::spawn(async move { over });
        }
        self.sent.push(sent);
    }

    async fn all(self) -> Vec<(String, u16)> {
        let mut all = Vec::new();
        for sent in self.sent {
            all.push(sent.await.expect("a request"));
        }
        all
    }
}

/// The requests that were sent, and their results.
pub(crate) struct Played {
    row: Row,
    rate: u32,
    /// How many got each status; 0 is no answer at all.
    hostile: BTreeMap<u16, u32>,
    good: Vec<(String, u16)>,
    calls: Vec<Call>,
}

pub(crate) struct Report {
    name: String,
    hostile: BTreeMap<u16, u32>,
    gets: u16,
    good: usize,
    /// The number of refusals by reason.
    refused: BTreeMap<String, u32>,
    calls: usize,
    /// The filter's own questions among them.
    without_token: usize,
    per_request: usize,
    /// The most calls with one hostile token, and the expected number.
    hostile_token: (usize, Option<usize>),
}

impl Played {
    pub(crate) fn name(&self) -> String {
        format!("{}, {} good/s", self.row.name, self.rate)
    }

    pub(crate) async fn report(self, envoy: &Envoy) -> Report {
        let name = self.name();
        let Played { row, hostile, good, calls, .. } = self;
        let mut refused = BTreeMap::new();
        let not: Vec<&str> = good.iter().filter(|g| g.1 != 200).map(|g| g.0.as_str()).collect();
        for entry in log::entries(envoy, &not).await.values() {
            *refused.entry(log::reason(entry)).or_default() += 1;
        }
        let of_hostile = calls.iter().filter_map(Call::token).filter(|t| !t.starts_with("good"));
        Report {
            name,
            hostile,
            gets: row.gets,
            good: good.len(),
            refused,
            calls: calls.len(),
            without_token: calls.iter().filter(|call| call.token().is_none()).count(),
            per_request: per_request(&calls),
            hostile_token: (most(of_hostile), row.worth),
        }
    }
}

/// The most calls about one request. Envoy gives each request an id, which its calls carry.
pub(crate) fn per_request(calls: &[Call]) -> usize {
    most(calls.iter().filter_map(|call| call.headers.get("x-request-id")))
}

fn most(of: impl Iterator<Item = String>) -> usize {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    of.for_each(|one| *times.entry(one).or_default() += 1);
    times.into_values().max().unwrap_or_default()
}

impl Report {
    /// Everything that is not as it should be.
    pub(crate) fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let refused: u32 = self.refused.values().sum();
        if refused > 0 {
            wrong.push(format!("{refused} of {} good requests refused", self.good));
        }
        if self.hostile.keys().any(|status| *status != self.gets) {
            let gets = self.gets;
            wrong.push(format!("the hostile caller should get {gets}: {:?}", self.hostile));
        }
        if self.per_request > MOST {
            wrong.push(format!("{} calls about one request", self.per_request));
        }
        if let (calls, Some(worth)) = self.hostile_token
            && calls > worth
        {
            wrong.push(format!("{calls} calls with a hostile token, {worth} would do"));
        }
        wrong.iter().map(|what| format!("{}: {what}", self.name)).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { name, hostile, good, refused, calls, without_token, per_request, .. } = self;
        let all: u32 = hostile.values().sum();
        let not: u32 = refused.values().sum();
        write!(
            f,
            "{name}: hostile {all} {hostile:?}, good {good}: passed {}, refused {not} {refused:?}; \
             calls to the provider {calls}, {without_token} of them the filter's own, per request \
             at most {per_request}, per hostile token {}",
            good - not as usize,
            self.hostile_token.0,
        )
    }
}

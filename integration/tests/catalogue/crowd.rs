//! Many streams at once, few of them with one token, while providers answer out of order and fail
//! and clients leave: no stream ever sees what belongs to another, also where they share a call.
//!
//! The result of a request is a function of its number alone, so provider and client need no
//! communication and no state, and a million requests take no more memory than a thousand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use integration::{Call, DEADLINE, Gateway, H2, Provider, Reply, Request, Response, kib};
use serde_json::json;

use crate::row::{CANARY_CLAIM, CANARY_TOKEN};
use crate::run::{Catalogue, is_by_status};
use crate::worlds;

/// Requests under way at once on one listener.
const AT_ONCE: usize = 48;
/// How long nothing may take at all, before it counts as lost: it bounds a hang.
pub const HANGS: Duration = DEADLINE;
/// In milliseconds, by Envoy's own clock: the timeout of the crowd's world, and far less than once
/// more. One of the bounds that its histograms have.
const LATEST: f64 = 5000.0;
/// By how much the rig and Envoy may grow: noise, but no leak of even 100 bytes per request at 10⁶.
const GROWTH: u64 = 64 << 20;

/// The result of one request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// The provider validates the token.
    Good,
    /// The provider answers with this status.
    Status(u16),
    /// The provider gives no usable answer, in one of several ways.
    Broken(u64),
}

/// How many requests in a row have one token. They come at nearly the same time, through both
/// listeners, so that some share a call.
const OF_ONE_TOKEN: u64 = 6;

/// A token by its number: all that provider and client must agree on.
#[derive(Clone, Copy)]
struct Lot {
    number: u64,
    random: u64,
}

/// A request by its number.
#[derive(Clone, Copy)]
struct Guest {
    number: u64,
    random: u64,
    lot: Lot,
}

impl Lot {
    fn new(seed: u64, number: u64) -> Lot {
        Lot { number, random: scatter(seed ^ number.rotate_left(32)) }
    }

    /// Reads a token back; its random part is the provider's proof that it is whole.
    fn of_token(token: &str) -> Option<Lot> {
        let (number, random) =
            token.strip_prefix(CANARY_TOKEN)?.strip_prefix('.')?.split_once('.')?;
        let random = u64::from_str_radix(random, 16).ok()?;
        Some(Lot { number: number.parse().ok()?, random })
    }

    fn token(self) -> String {
        format!("{CANARY_TOKEN}.{}.{:x}", self.number, self.random)
    }

    fn claim(self) -> String {
        format!("{CANARY_CLAIM}-{}-{:x}", self.number, scatter(self.random))
    }

    fn region(self) -> &'static str {
        ["default", "eu", "us"][self.die(1, 3) as usize]
    }

    fn fate(self) -> Fate {
        match self.die(2, 100) {
            0..70 => Fate::Good,
            70..80 => Fate::Status(401),
            80..86 => Fate::Status(403),
            86..90 => Fate::Status(500),
            90..99 => Fate::Broken(self.die(3, 4)),
            // A timeout takes a second: seldom.
            _ => Fate::Broken(if self.die(4, 4) == 0 { 9 } else { 0 }),
        }
    }

    fn answer(self) -> Reply {
        let body = json!({"sub": self.claim(), "name": self.claim(), "unit": self.claim()});
        let whole = Reply::json(200, &body);
        match self.fate() {
            // In two pieces, the second after a while: answers overtake each other.
            Fate::Good => {
                let half = body.to_string().len() / 2 + 1;
                whole.drip(half, Duration::from_millis(self.die(7, 10) + 1))
            }
            Fate::Status(status) => Reply::json(status, &json!({"sub": self.claim()})),
            Fate::Broken(0) => Reply::close(),
            Fate::Broken(1) => whole.cut_after(9),
            Fate::Broken(2) => Reply::text(200, self.claim()),
            Fate::Broken(3) => Reply::status(204),
            Fate::Broken(_) => Reply::silence(),
        }
    }

    fn die(self, which: u64, sides: u64) -> u64 {
        die(self.random, which, sides)
    }
}

impl Guest {
    fn new(seed: u64, number: u64) -> Guest {
        let lot = Lot::new(seed, number / OF_ONE_TOKEN);
        Guest { number, random: scatter(!seed ^ number.rotate_left(32)), lot }
    }

    /// After how many milliseconds the client leaves, if it does.
    fn leaves(self) -> Option<u64> {
        (die(self.random, 5, 20) == 0).then(|| die(self.random, 6, 12))
    }

    fn request(self, gateway: &Gateway) -> Request {
        let request = gateway.get(&format!("/crowd/{}", self.number)).bearer(&self.lot.token());
        let request = request.header("x-client", self.number.to_string());
        let request = request.header("x-user-id", "admin").header("x-user-name", "admin");
        match self.lot.region() {
            "default" => request,
            region => request.header("x-region", region),
        }
    }

    /// Everything that is wrong with the answer.
    fn judge(self, response: &Response) -> Option<String> {
        let expected = match self.lot.fate() {
            Fate::Good => 200,
            Fate::Status(status) => status,
            Fate::Broken(_) => 401,
        };
        let wrong = |what: String| Some(format!("request {}: {what}: {response:?}", self.number));
        if response.status != expected {
            return wrong(format!("expected {:?}", self.lot.fate()));
        }
        if expected != 200 {
            let told = format!("{:?}{}", response.headers, response.text());
            let foreign = [CANARY_TOKEN, CANARY_CLAIM].iter().any(|canary| told.contains(canary));
            return if foreign { wrong("tells of a claim or token".to_owned()) } else { None };
        }
        if response.json()["path"] != format!("/crowd/{}", self.number) {
            return wrong("another's path".to_owned());
        }
        let headers = response.upstream_headers();
        let name = (self.lot.region() == "default").then(|| self.lot.claim());
        let expected = [
            ("x-user-id", Some(self.lot.claim())),
            ("x-user-name", name),
            ("x-eu-unit", (self.lot.region() == "eu").then(|| self.lot.claim())),
            ("x-user-region", Some(self.lot.region().to_owned())),
            ("x-client", Some(self.number.to_string())),
            ("authorization", None),
        ];
        for (name, value) in expected {
            let value: Vec<String> = value.into_iter().collect();
            if headers.all(name) != value {
                return wrong(format!("{name} is not {value:?}"));
            }
        }
        None
    }
}

fn die(random: u64, which: u64, sides: u64) -> u64 {
    scatter(random.wrapping_add(which)) % sides
}

/// SplitMix64: as good as random, and the same everywhere.
fn scatter(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Sends `requests` through the crowd's listeners; all that is wrong.
pub async fn leaks(catalogue: &Catalogue, requests: u64, seed: u64) -> Vec<String> {
    let envoy = catalogue.envoy.envoy.clone();
    let gateways = [false, true]
        .map(|flag| catalogue.envoy.gateway(&worlds::listener_name(worlds::CROWD, flag)));
    for gateway in &gateways {
        gateway.upstream.forget();
        gateway.provider.forget().answer_with(|call: &Call| {
            Some(
                call.token()
                    .and_then(|t| Lot::of_token(&t))
                    .map_or_else(Provider::expired, Lot::answer),
            )
        });
    }
    let mut problems = quiet(catalogue).await;
    let before = outcomes(catalogue).await;
    let joined = envoy.stat("wasmcustom.oidc_calls.joined").await;

    // The first part brings buffers and pools to their size.
    let next = Arc::new(AtomicU64::new(0));
    let first = requests / 4;
    let mut tally = Tally::default();
    tally.add(round(&gateways, &next, first, seed).await);
    let (names, rig, held) =
        (envoy.stat_names().await, memory(std::process::id()), memory(envoy.id()));
    tally.add(round(&gateways, &next, requests, seed).await);

    let new = envoy.stat_names().await;
    let new: Vec<_> = new.difference(&names).filter(|name| !is_by_status(name)).collect();
    if !new.is_empty() {
        problems.push(format!("statistics appeared: {new:?}"));
    }
    for (who, before, id) in [("the rig", rig, std::process::id()), ("Envoy", held, envoy.id())] {
        let grown = memory(id).saturating_sub(before);
        if grown > GROWTH {
            problems.push(format!("{who} has grown by {grown} bytes"));
        }
    }
    problems.extend(settled(catalogue).await);
    let joined = envoy.stat("wasmcustom.oidc_calls.joined").await - joined;
    println!("crowd: {joined} of {requests} requests shared another's call");
    if joined < requests / 20 {
        problems.push(format!("only {joined} requests shared another's call"));
    }
    let after = outcomes(catalogue).await;
    problems.extend(tally.compare(&before, &after));
    problems.extend(tally.problems);
    problems
}

/// The replies that the clients saw.
#[derive(Default)]
pub struct Tally {
    /// By outcome.
    pub answered: BTreeMap<&'static str, u64>,
    /// Requests whose clients left; the filter may have counted them with any outcome.
    left: u64,
    pub problems: Vec<String>,
}

impl Tally {
    pub fn add(&mut self, other: Tally) {
        for (word, n) in other.answered {
            *self.answered.entry(word).or_default() += n;
        }
        self.left += other.left;
        self.problems.extend(other.problems);
        self.problems.truncate(20);
    }

    pub fn count(&mut self, word: &'static str) {
        *self.answered.entry(word).or_default() += 1;
    }

    /// Every answer was counted with its outcome; a client that left, at most once.
    pub fn compare(&self, before: &Outcomes, after: &Outcomes) -> Vec<String> {
        let grown = |word: &str| {
            let of = |outcomes: &Outcomes| outcomes.get(word).copied().unwrap_or(0);
            of(after) - of(before)
        };
        let mut problems = Vec::new();
        let words =
            ["pass", "invalid_token", "forbidden", "provider_error", "unavailable", "unusable"];
        for word in words {
            let seen = self.answered.get(word).copied().unwrap_or(0);
            if !(seen..=seen + self.left).contains(&grown(word)) {
                let (left, counted) = (self.left, grown(word));
                problems.push(format!("{word}: {seen} seen, {left} left, {counted} counted"));
            }
        }
        let seen: u64 = self.answered.values().sum();
        let counted: u64 = after.values().sum::<u64>() - before.values().sum::<u64>();
        if !(seen..=seen + self.left).contains(&counted) {
            problems.push(format!("{seen} answered, {} left, {counted} counted", self.left));
        }
        problems
    }
}

/// Runs requests until number `end`, half of them over HTTP/1.1, half over HTTP/2.
async fn round(gateways: &[Gateway; 2], next: &Arc<AtomicU64>, end: u64, seed: u64) -> Tally {
    let mut tasks = Vec::new();
    for gateway in gateways {
        for client in 0..AT_ONCE {
            let (gateway, next) = (gateway.clone(), next.clone());
            let guests = move || {
                let number = next.fetch_add(1, Ordering::Relaxed);
                (number < end).then(|| Guest::new(seed, number))
            };
            tasks.push(if client % 2 == 0 {
                tokio::spawn(http1(gateway, guests))
            } else {
                tokio::spawn(http2(gateway, guests))
            });
        }
    }
    let mut tally = Tally::default();
    for task in tasks {
        match task.await {
            Ok(one) => tally.add(one),
            Err(e) => tally.problems.push(format!("a client ended early: {e}")),
        }
    }
    next.store(end, Ordering::Relaxed);
    tally
}

async fn http1(gateway: Gateway, guests: impl Fn() -> Option<Guest>) -> Tally {
    let mut tally = Tally::default();
    let mut kept = None;
    while let Some(guest) = guests() {
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => match gateway.connect().await {
                Ok(connection) => connection.deadline(HANGS),
                Err(e) => {
                    tally.problems.push(format!("no connection: {e}"));
                    continue;
                }
            },
        };
        let bytes = guest.request(&gateway).to_bytes();
        let exchange = connection.exchange(&bytes, false);
        let exchanged = match guest.leaves() {
            None => Some(exchange.await),
            Some(after) => tokio::time::timeout(Duration::from_millis(after), exchange).await.ok(),
        };
        match exchanged {
            Some(Ok(response)) => {
                answered(&mut tally, guest, &response);
                kept = (!response.headers.has("connection")).then_some(connection);
            }
            Some(Err(e)) => tally.problems.push(format!("request {}: {e}", guest.number)),
            None => {
                tally.left += 1;
                let _ = connection.reset();
            }
        }
    }
    tally
}

async fn http2(gateway: Gateway, guests: impl Fn() -> Option<Guest>) -> Tally {
    let mut tally = Tally::default();
    let mut kept: Option<H2> = None;
    while let Some(guest) = guests() {
        let connection = match kept.take() {
            Some(connection) => connection,
            None => match gateway.h2().await {
                Ok(connection) => connection,
                Err(e) => {
                    tally.problems.push(format!("no connection: {e}"));
                    continue;
                }
            },
        };
        // Several streams on one connection, so that they could be mistaken for each other.
        let mut streams = Vec::new();
        for guest in [Some(guest), guests(), guests()].into_iter().flatten() {
            match connection.stream(&guest.request(&gateway), true).await {
                Ok(stream) => streams.push((guest, stream)),
                Err(e) => tally.problems.push(format!("request {}: {e}", guest.number)),
            }
        }
        let mut whole = true;
        for (guest, stream) in streams {
            match guest.leaves() {
                // Now and then the whole connection goes, with the streams that still wait.
                Some(11) => {
                    tally.left += 1;
                    whole = false;
                    drop(stream);
                }
                Some(_) => {
                    tally.left += 1;
                    stream.reset();
                }
                None => match stream.response_within(HANGS).await {
                    Ok(response) => answered(&mut tally, guest, &response),
                    Err(e) => tally.problems.push(format!("request {}: {e}", guest.number)),
                },
            }
        }
        if whole {
            kept = Some(connection);
        } else {
            connection.vanish();
        }
    }
    tally
}

fn answered(tally: &mut Tally, guest: Guest, response: &Response) {
    tally.count(match guest.lot.fate() {
        Fate::Good => "pass",
        Fate::Status(401) => "invalid_token",
        Fate::Status(403) => "forbidden",
        Fate::Status(_) => "provider_error",
        // A text where an object belongs is an answer, though of no use.
        Fate::Broken(2) => "unusable",
        Fate::Broken(_) => "unavailable",
    });
    tally.problems.extend(guest.judge(response));
}

/// Requests of the crowd's listeners that were answered late, by Envoy's own clock: a client that is
/// busy measures itself.
pub async fn late(catalogue: &Catalogue) -> Vec<String> {
    let envoy = &catalogue.envoy.envoy;
    let mut problems = Vec::new();
    for flag in [false, true] {
        let listener = worlds::listener_name(worlds::CROWD, flag);
        // Except those whose clients left.
        let total = envoy.stat(&format!("http.{listener}.downstream_rq_completed")).await;
        // A client that leaves while its response is on the way has a response and no time.
        let mut left = 0;
        for reset in ["downstream_rq_rx_reset", "downstream_cx_destroy_remote_active_rq"] {
            left += envoy.stat(&format!("http.{listener}.{reset}")).await;
        }
        let total = total.saturating_sub(left);
        let (mut all, mut in_time) = (0, 0);
        // Envoy adds to a histogram in intervals of its own.
        let mut look = tokio::time::interval(Duration::from_millis(200));
        let all_there = async {
            while all < total {
                look.tick().await;
                let took = envoy.histogram(&format!("http.{listener}.downstream_rq_time")).await;
                all = took.last().map_or(0, |(_, number)| *number);
                in_time = took.iter().find(|(bound, _)| *bound == LATEST).map_or(0, |(_, n)| *n);
            }
        };
        if tokio::time::timeout(DEADLINE, all_there).await.is_err() {
            problems.push(format!("{listener}: {total} requests, of {all} Envoy tells the time"));
        }
        if in_time < all {
            let late = all - in_time;
            problems.push(format!("{listener}: {late} of {all} took more than {LATEST} ms"));
        }
    }
    problems
}

/// Counts by outcome.
pub type Outcomes = BTreeMap<String, u64>;

/// The filter's outcome counters by outcome.
pub async fn outcomes(catalogue: &Catalogue) -> Outcomes {
    let stats = catalogue.envoy.envoy.stats().await.into_iter();
    let word = |name: String| Some(name.strip_prefix("wasmcustom.oidc_outcome.")?.to_owned());
    stats.filter_map(|(name, value)| Some((word(name)?, value))).collect()
}

/// No request is open, and the counters add up.
pub async fn settled(catalogue: &Catalogue) -> Vec<String> {
    let mut problems = catalogue.judge_streams().await;
    let sum: u64 = outcomes(catalogue).await.values().sum();
    let requests = catalogue.envoy.envoy.stat("wasmcustom.oidc_requests").await;
    if sum != requests {
        problems.push(format!("oidc_requests is {requests}, the outcomes sum to {sum}"));
    }
    problems
}

/// At trace level Envoy writes forty lines for one request, more than memory should hold.
async fn quiet(catalogue: &Catalogue) -> Vec<String> {
    let admin = catalogue.envoy.envoy.admin();
    let request = Request::new(admin, "POST", "/logging?wasm=info").body("");
    match request.try_send().await {
        Ok(response) if response.status == 200 => Vec::new(),
        other => vec![format!("the log level cannot be set: {other:?}")],
    }
}

/// Resident bytes of a process.
pub fn memory(process: u32) -> u64 {
    kib(process, "VmRSS") * 1024
}

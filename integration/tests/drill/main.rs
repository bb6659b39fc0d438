//! The outage drill: load continues while a provider's two sites fail in every way, one after the
//! other, and recover. The clients, the access log and the counters must agree.
//!
//! Ten minutes compressed to 20 seconds; `OIDC_DRILL=60` sets the seconds, 60 being the full drill.

#[allow(dead_code, reason = "each file of tests uses its part")]
#[path = "../base/mod.rs"]
mod base;
mod crowd;
mod tell;

use std::time::{Duration, Instant, SystemTime};

use base::one;
use crowd::Crowd;
use integration::{Listener, Provider, Reply, Running, Setup, pass};
use serde_json::json;
use tell::{Numbers, Phase};

/// `--concurrency`; each has a breaker of its own.
const WORKERS: u32 = 2;
/// `breaker.failures`, as it is by default.
const FAILURES: u32 = 5;
const TIMEOUT: Duration = Duration::from_millis(500);
const DEADLINE: Duration = Duration::from_millis(1000);
/// `Retry-After` of a 429: until then no call is made for that token.
const WAIT: Duration = Duration::from_secs(5);
/// How long after an answer no outdated verdict serves: the site answers.
const ANSWERS: Duration = Duration::from_secs(1);
/// Most calls about one request at one site.
const MOST: usize = 3;

/// One run.
struct Drill {
    running: Running,
    sites: [Provider; 2],
    crowd: Crowd,
    /// How long each phase takes.
    phase: Duration,
    open_for: Duration,
    /// Whether outdated verdicts serve.
    stale: bool,
}

fn seconds() -> u64 {
    let set = std::env::var("OIDC_DRILL").ok();
    set.map_or(20, |text| text.parse().expect("OIDC_DRILL is a number of seconds"))
}

fn good(site: &str) -> impl Fn(&integration::Call) -> Option<Reply> + use<> {
    let site = site.to_owned();
    move |call| {
        let token = call.token().unwrap_or_else(|| "bad: the filter's own question".to_owned());
        let mut words = token.split('-');
        Some(match (words.next(), words.next()) {
            (Some("hostile"), Some(attack)) => attacked(attack),
            _ if token.starts_with("bad") => Provider::expired(),
            _ => Reply::json(200, &json!({"sub": site})),
        })
    }
}

/// The effect of a hostile token on a site.
fn attacked(attack: &str) -> Reply {
    match attack {
        "reset" => Reply::reset(),
        "slow" => Reply::silence(),
        "limited" => limited("3600"),
        "crash" => Reply::text(500, "out of order"),
        "garbage" => Reply::raw("garbage\r\n\r\n"),
        _ => panic!("no such attack: {attack}"),
    }
}

fn limited(retry_after: &str) -> Reply {
    Reply::status(429).header("retry-after", retry_after)
}

impl Drill {
    async fn start(stale: bool) -> Drill {
        let whole = Duration::from_secs(seconds());
        let open_for = (whole / 12).max(Duration::from_secs(1));
        let sites = [Provider::start().await, Provider::start().await];
        let config = one(json!({
            "userinfo_endpoint": {
                "defaultURI": ["http://one.example/userinfo", "http://two.example/userinfo"],
            },
            "clusters": {"one.example": "site_one", "two.example": "site_two"},
            "timeout": format!("{}ms", TIMEOUT.as_millis()),
            "deadline": format!("{}ms", DEADLINE.as_millis()),
            "breaker": {"failures": FAILURES, "open_for": format!("{}ms", open_for.as_millis())},
            "cache": {"ttl": "500ms", "negative_ttl": "500ms",
                      "stale_if_error": if stale { "1h" } else { "0s" }},
            "userinfo_unavailable": {"status": 503, "retry_after": "1s"},
            "access_log_state": true,
        }));
        let listener = Listener::named("gw")
            .connection_manager(|manager| {
                let log = &mut manager["access_log"][0]["typed_config"]["log_format"];
                let log = &mut log["json_format"];
                log[tell::HELD] = json!("%COMMON_DURATION(DS_RX_BEG:US_TX_BEG:ms)%");
                log[tell::CAME] = json!("%START_TIME(%s%3f)%");
            })
            .config(config)
            .cluster_at("site_one", sites[0].address())
            .cluster_at("site_two", sites[1].address());
        let running = Setup::new().concurrency(WORKERS).listener(listener).start().await;
        let crowd = Crowd::start(&running.gateway("gw"));
        Drill { running, sites, crowd, phase: whole / 6, open_for, stale }
    }

    /// Begins a phase when no staying client waits, so that each request belongs to one phase.
    async fn phase(
        &mut self,
        name: &'static str,
        change: impl AsyncFnOnce(&[Provider; 2]),
    ) -> Mark {
        let pause = self.crowd.pause().await;
        let (calls, failed) = (self.calls(), self.failed().await);
        let mark = Mark { calls, failed, at: Instant::now(), moment: SystemTime::now() };
        change(&self.sites).await;
        self.crowd.begin(name, pause);
        mark
    }

    fn calls(&self) -> [u64; 2] {
        self.sites.each_ref().map(|site| site.count() as u64)
    }

    /// Connections that could not be made.
    async fn failed(&self) -> [u64; 2] {
        let stats = self.running.envoy.stats().await;
        ["one", "two"].map(|site| {
            let name = format!("cluster.site_{site}.upstream_cx_connect_fail");
            stats.get(&name).copied().unwrap_or_default()
        })
    }

    /// The calls of the sites since then, and their maximum if each worker makes `first` calls and
    /// then `each` in each `interval`, in addition to the calls that were under way.
    async fn asked(&self, since: &Mark, first: u64, each: u64, interval: Duration) -> Asked {
        let (calls, failed) = (self.calls(), self.failed().await);
        let tries = since.at.elapsed().div_duration_f64(interval).ceil() as u64 + 1;
        let by_site = [0, 1].map(|n| calls[n] - since.calls[n] + failed[n] - since.failed[n]);
        let bound = u64::from(WORKERS) * (first + each * tries) + crowd::AT_ONCE;
        Asked { by_site, bound }
    }
}

/// The number of calls at the start of a phase.
struct Mark {
    calls: [u64; 2],
    failed: [u64; 2],
    at: Instant,
    moment: SystemTime,
}

/// The number of calls in a phase.
struct Asked {
    by_site: [u64; 2],
    bound: u64,
}

impl Asked {
    fn check(&self, phase: &str) {
        let Asked { by_site: [one, two], bound } = self;
        println!("{phase}: {one} and {two} calls, of each at most {bound}");
        assert!(one <= bound && two <= bound, "{phase}");
    }
}

async fn drill(stale: bool) {
    let mut drill = Drill::start(stale).await;
    let (phase, open_for) = (drill.phase, drill.open_for);
    let first = u64::from(FAILURES);
    println!("cache on, stale {}, {:?} a phase, open_for {open_for:?}", on(stale), phase);
    drill
        .phase("steady", async |[one, two]| {
            one.answer_with(good("one"));
            two.answer_with(good("two"));
        })
        .await;
    pass(phase).await;

    // The sites behave as before; one in ten of the staying clients does not.
    drill.phase(crowd::HOSTILE, async |_| {}).await;
    pass(phase).await;

    let down = drill.phase("primary-down", async |[one, _]| {
        one.answer_with(|_| Some(Reply::silence()));
    });
    let down = down.await;
    pass(phase).await;
    let mut asked = drill.asked(&down, first, 1, open_for).await;
    // The second serves, so nothing bounds its calls but the cache.
    asked.by_site[1] = 0;
    asked.check("primary-down");

    let down = drill.phase("going-down", async |[_, two]| {
        two.answer_with(|_| Some(Reply::silence()));
    });
    let down = down.await;
    // The second has answered a moment ago, so its breaker is not open yet.
    pass(ANSWERS + DEADLINE).await;
    drill.phase("both-down", async |_| {}).await;
    // First they say nothing, then they are not even there.
    pass(phase / 2).await;
    for site in &drill.sites {
        site.down().await;
    }
    pass(phase / 2).await;
    // The filter's own first questions come sooner than `open_for`: at once, and after 250, 500 and
    // 1000 ms.
    drill.asked(&down, first + 4, 1, open_for).await.check("both-down");

    let back = drill.phase("back", async |sites| {
        for site in sites {
            site.answer_with(|_| Some(limited(&WAIT.as_secs().to_string())));
            site.up().expect("a port of its own");
        }
    });
    back.await;
    // The filter itself finds out that they answer. Until then outdated verdicts serve.
    let envoy = drill.running.envoy.clone();
    envoy.wait_stat("wasmcustom.oidc_breaker_open", |open| open == 0).await;
    let busy = drill.phase("limited", async |_| {}).await;
    pass(phase).await;
    // Each token waits by itself.
    drill.asked(&busy, 0, crowd::DIFFERENT, WAIT).await.check("limited");

    drill
        .phase("flapping", async |[one, two]| {
            one.answer_with(good("one"));
            two.answer_with(good("two"));
        })
        .await;
    let mut each_second = tokio::time::interval(Duration::from_secs(1));
    // They are down at the end.
    for n in 0..=phase.as_secs() / 2 * 2 {
        each_second.tick().await;
        for site in &drill.sites {
            if n % 2 == 0 {
                site.down().await;
            } else {
                site.up().expect("a port of its own");
            }
        }
    }
    each_second.tick().await;

    let before = drill.calls();
    let back = drill.phase("recovered", async |sites| {
        for site in sites {
            site.up().expect("a port of its own");
        }
    });
    let back = back.await;
    let first = drill.crowd.first_asked_pass(&drill.running.envoy, "recovered").await;
    println!("first new pass after recovery: {first}");
    assert_ne!(drill.calls(), before);
    // Each worker finds out for itself, within the time of the breaker, and each token's wait ends.
    pass((open_for + ANSWERS).max(WAIT)).await;
    drill.phase("well", async |_| {}).await;
    pass(phase).await;
    drill.report(&back).await;
}

/// The second site takes over, and no request passes while there is none.
#[tokio::test]
async fn outage_refuses_requests_and_ends() {
    drill(false).await;
}

/// Known users pass all the time.
#[tokio::test]
async fn outage_is_bridged() {
    drill(true).await;
}

fn on(it: bool) -> &'static str {
    if it { "on" } else { "off" }
}

impl Drill {
    /// Compares the three records, and checks them.
    async fn report(self, back: &Mark) {
        let Drill { running, crowd, stale, open_for, sites, .. } = self;
        let seen = crowd.stop().await;
        let envoy = &running.envoy;
        let total = envoy.stat("http.gw.downstream_rq_total").await;
        envoy.wait_stat("wasmcustom.oidc_requests_waiting", |n| n == 0).await;
        envoy.wait_stat("wasmcustom.oidc_requests", |n| n == total).await;
        let lines = envoy.access_log().wait_lines(usize::try_from(total).expect("few")).await;
        let phases = Numbers::by_phase(&lines);
        phases.iter().for_each(|(name, numbers)| println!("{name}: {numbers}"));
        let logged = phases.values().fold(Numbers::default(), Numbers::plus);
        println!("in all: {logged}");

        let stats = envoy.stats().await;
        let outcome = |name: &str| {
            stats.get(&format!("wasmcustom.oidc_outcome.{name}")).copied().unwrap_or_default()
        };
        let refused = outcome("invalid_token") + outcome("provider_error");
        let counted = [outcome("pass"), refused, outcome("unavailable"), outcome("client_gone")];
        assert_eq!(counted.iter().sum::<u64>(), total, "the sum is the requests: {counted:?}");
        assert_eq!(logged.outcomes(), counted, "the access log is the counters");
        // The staying clients saw what the access log has; none of them was lost.
        assert_eq!(seen, Numbers::of_those_who_stayed(&lines));
        assert_eq!(stats["wasmcustom.oidc_cache.stale"], logged.stale);

        // No request waits for a second deadline.
        let slowest = u128::from(logged.slowest);
        assert!(slowest < 2 * DEADLINE.as_millis(), "the filter held one for {slowest} ms");
        let closed = tell::last_shut_out(&lines, "recovered", back.moment);
        println!("shut out last {closed:?} after recovery");
        assert!(closed <= open_for + Duration::from_secs(1), "shut out {closed:?} after recovery");
        let most = sites.each_ref().map(|site| tell::per_request(&site.calls()));
        println!("calls per request: at most {most:?} at the two sites");
        assert!(most.iter().all(|most| *most <= MOST), "{most:?} calls about one request");
        let all = |name: &str, who: Phase| tell::check(name, &phases, who);
        all("steady", Phase::Served);
        all(crowd::HOSTILE, Phase::Served);
        all("primary-down", Phase::Served);
        all("both-down", if stale { Phase::ServedStale } else { Phase::Refused });
        // A site that answers is no outage, whatever the answer.
        all("limited", Phase::Refused);
        all("well", Phase::Served);
        envoy.wait_stat("wasmcustom.oidc_calls_in_flight", |n| n == 0).await;
        envoy.assert_no_vm_restart().await;
    }
}

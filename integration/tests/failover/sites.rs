//! Which site is called if another gives no verdict, and what the client gets.

use integration::{Gate, Listener, Provider, Reply, Setup};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::base::{merged, one};
use crate::{NO_ANSWER, World};

/// These tests make one failing call after another on purpose.
fn no_breaker() -> Value {
    json!({"breaker": {"failures": 0}})
}

/// A call that ended at once without an answer is repeated once before the next site is called.
#[tokio::test]
async fn next_site_is_called_without_a_verdict() {
    let world = World::of(2, no_breaker()).await;
    let [first, second] = world.sites.as_slice() else {
        panic!("two sites");
    };
    let good = || Reply::json(200, &json!({"sub": "a"}));
    let answers = [
        ("reset", Reply::reset(), 2),
        ("close", Reply::close(), 2),
        ("rubbish", Reply::raw("rubbish\r\n\r\n"), 1),
        ("timeout", Reply::silence(), 1),
        ("stall-after-headers", good().stall_after(0), 1),
        ("cut-in-body", good().cut_after(3), 2),
        ("408", Reply::status(408), 2),
        ("421", Reply::status(421), 1),
        ("425", Reply::status(425), 1),
        ("429", Reply::status(429), 1),
        ("500", Reply::json(500, &json!({"error": "server_error"})), 1),
        ("502", Reply::status(502), 1),
        ("503", Reply::status(503), 1),
        ("504", Reply::status(504), 1),
        ("599", Reply::status(599), 1),
    ];
    let (number, mut of_first) = (answers.len(), 0);
    for (n, (token, answer, calls)) in answers.into_iter().enumerate() {
        first.answer_token(token, answer);
        assert_eq!(world.passes(token).await, "b", "{token}");
        of_first += calls;
        assert_eq!(world.calls(), [of_first, n + 1], "{token}");
        let (at_first, at_second) = (first.calls_with(token), second.calls_with(token));
        assert_eq!((at_first.len(), at_second.len()), (calls, 1), "{token}");
        for call in at_first {
            assert_eq!(call.headers.get("host").as_deref(), Some("a.example"));
        }
        assert_eq!(at_second[0].headers.get("host").as_deref(), Some("b.example"));
    }
    // A connection that is refused.
    first.down().await;
    assert_eq!(world.passes("refused").await, "b");
    assert_eq!(world.calls(), [of_first, number + 1]);
    world.counted("calls.failed_over", number as u64 + 1).await;
    world.counted("calls.repeated", (of_first - number) as u64 + 1).await;
    // Each request begins with the first again.
    first.up().expect("a port of its own");
    assert_eq!(world.passes("back").await, "a");
    assert_eq!(world.calls(), [of_first + 1, number + 1]);
    world.nothing_is_left().await;
}

/// Also answers that are no verdict, where another site would answer the same: an error in the
/// gateway's call is no site's fault, and an unusable answer is an answer.
#[tokio::test]
async fn verdict_or_gateway_error_calls_no_other_site() {
    let world = World::of(2, no_breaker()).await;
    let page = Reply::text(200, "<html></html>").header("content-type", "text/html");
    let moved = Reply::status(302).header("location", "http://b.example/userinfo");
    let challenge = r#"Bearer error="invalid_token""#;
    for (n, (token, answer, status)) in [
        ("401", Provider::expired(), 401),
        ("400-token", Reply::status(400).header("www-authenticate", challenge), 400),
        ("400", Reply::status(400), 400),
        ("403", Reply::status(403), 403),
        ("404", Reply::status(404), 404),
        ("405", Reply::status(405), 405),
        ("410", Reply::status(410), 410),
        ("302", moved, 503),
        ("204", Reply::status(204), 503),
        ("200-page", page, 502),
        ("200-gzip", Reply::json(200, &json!({"sub": "a"})).gzip(), 502),
    ]
    .into_iter()
    .enumerate()
    {
        world.sites[0].answer_token(token, answer);
        let (response, line) = world.ask(token).await;
        assert_eq!(response.status, status, "{token}: {response:?} {line}");
        let retry_after = if status == 503 { Some("2") } else { None };
        assert_eq!(response.header("retry-after").as_deref(), retry_after, "{token}");
        assert_eq!(world.calls(), [n + 1, 0], "{token}");
    }
    assert_eq!(world.counter("calls.failed_over").await, 0);
    assert_eq!(world.counter("calls.repeated").await, 0);
    world.gw.upstream.assert_untouched();
}

/// Two regions with lists of their own, of four sites in all.
#[tokio::test]
async fn each_region_has_its_own_sites() {
    let names = ["fr_one", "fr_two", "us_one", "us_two"];
    let uri = |name: &str| format!("http://{name}.example/userinfo");
    let clusters: serde_json::Map<_, _> =
        names.iter().map(|name| (format!("{name}.example"), json!(name))).collect();
    let mut listener = Listener::named("gw").config(one(json!({
        "userinfo_endpoint": {
            "regionCodeHeader": "X-Region",
            "regionCodeValue": {"FR": [uri("fr_one"), uri("fr_two")]},
            "defaultURI": [uri("us_one"), uri("us_two")],
        },
        "clusters": clusters,
        "inject_headers": {"FR": {"X-User-Id": "$.sub"}, "default": {"X-User-Id": "$.sub"}},
    })));
    let mut sites = Vec::new();
    for name in names {
        let site = Provider::start().await;
        site.answer(Reply::json(200, &json!({"sub": name})));
        listener = listener.cluster_at(name, site.address());
        sites.push(site);
    }
    let running = Setup::new().listener(listener).start().await;
    let gw = running.gateway("gw");
    let check = async |region: &str, site: &str, calls: [usize; 4]| {
        let response = gw.get("/").bearer("t").header("x-region", region).send().await;
        assert_eq!(response.upstream_header("x-user-id").as_deref(), Some(site), "{response:?}");
        assert_eq!(sites.iter().map(Provider::count).collect::<Vec<_>>(), calls);
    };
    check("FR", "fr_one", [1, 0, 0, 0]).await;
    check("", "us_one", [1, 0, 1, 0]).await;
    sites[0].down().await;
    check("FR", "fr_two", [1, 1, 1, 0]).await;
    check("", "us_one", [1, 1, 2, 0]).await;
    sites[2].answer(Reply::status(500));
    check("", "us_two", [1, 1, 3, 1]).await;
    check("FR", "fr_two", [1, 2, 3, 1]).await;
}

#[tokio::test]
async fn without_verdict_client_gets_the_last_provider_answer() {
    let world = World::of(2, no_breaker()).await;
    let [first, second] = world.sites.as_slice() else {
        panic!("two sites");
    };
    let limited = || Reply::status(429).header("retry-after", "7");
    let busy = || Reply::status(503).header("retry-after", "9");
    for (what, of_first, of_second, status, retry_after, calls) in [
        ("limited-reset", limited(), Reply::reset(), 429, Some("7"), [1, 3]),
        ("limited-failed", limited(), Reply::status(500), 500, None, [1, 1]),
        ("silent-failed", Reply::silence(), Reply::status(500), 500, None, [1, 1]),
        ("reset-failed", Reply::reset(), Reply::status(500), 500, None, [2, 1]),
        ("failed-limited", Reply::status(500), limited(), 429, Some("7"), [1, 1]),
        ("failed-busy", Reply::status(500), busy(), 503, Some("9"), [1, 1]),
    ] {
        first.answer(of_first);
        second.answer(of_second);
        let (response, line) = world.ask(what).await;
        assert_eq!(response.status, status, "{what}: {response:?} {line}");
        assert_eq!(response.header("retry-after").as_deref(), retry_after, "{what}");
        assert_ne!(response.text(), NO_ANSWER, "{what}");
        let of_token = world.sites.iter().map(|site| site.calls_with(what).len());
        assert_eq!(of_token.collect::<Vec<_>>(), calls, "{what}");
    }
    let world = World::of(2, no_breaker()).await;
    world.sites[0].answer(Reply::reset());
    world.sites[1].answer(Reply::close());
    let (response, _) = world.unavailable("t", "unreachable").await;
    assert_eq!(response.header("retry-after").as_deref(), Some("2"));
    // One repeat before another site is called, two if there is no other.
    assert_eq!(world.calls(), [2, 3]);
}

/// 500 ms for the first, the remaining 300 ms for the second, none for the third. Envoy's own
/// measure of the request, so that a slow client changes nothing.
#[tokio::test]
async fn all_calls_of_a_request_share_one_deadline() {
    let more = merged(json!({"deadline": "800ms"}), no_breaker());
    let world = World::of(3, more).await;
    for site in &world.sites {
        site.answer(Reply::silence());
    }
    let (_, line) = world.unavailable("t", "timed_out").await;
    let taken = line["milliseconds"].as_u64().expect("a number");
    // Three whole calls would take 1500 ms.
    assert!((750..1400).contains(&taken), "{taken} ms");
    assert_eq!(world.calls()[..2], [1, 1]);
    // Envoy may end the second call some milliseconds early, and the third has just these.
    for call in world.sites[2].calls() {
        let left = call.headers.get("x-envoy-expected-rq-timeout-ms").expect("a timeout");
        assert!(left.parse::<u64>().expect("a number") <= 20, "{left} ms for the third");
    }
    let given = |site: &Provider| site.only_call().headers.get("x-envoy-expected-rq-timeout-ms");
    assert_eq!(given(&world.sites[0]).as_deref(), Some("500"));
    let rest: u64 = given(&world.sites[1]).expect("a timeout").parse().expect("a number");
    // The rest of 800 ms. Envoy's timers use its event loop's time, so the first call may end some
    // milliseconds before its 500.
    assert!((1..=350).contains(&rest), "{rest} ms for the second");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn joined_requests_get_the_next_sites_answer() {
    const CROWD: usize = 100;
    for (of_first, most, of_second, status) in [
        (Reply::reset(), 2, Reply::json(200, &json!({"sub": "b"})), 200),
        (Reply::status(503), 1, Provider::expired(), 401),
        (Reply::status(500), 1, Reply::json(200, &json!({"sub": "b"})), 200),
    ] {
        let world = World::of(2, json!({"timeout": "10s"})).await;
        let gates = [Gate::closed(), Gate::closed()];
        world.sites[0].answer(of_first.held_by(&gates[0]));
        world.sites[1].answer(of_second.held_by(&gates[1]));
        let mut requests = JoinSet::new();
        let mut crowd = |number| {
            for _ in 0..number {
                requests.spawn(world.request("token").send());
            }
        };
        crowd(CROWD);
        world.counted("requests_waiting", CROWD as u64).await;
        assert_eq!(world.calls(), [1, 0]);
        gates[0].open();
        world.sites[1].wait_calls(1).await;
        // Also requests that come during the call to the second site.
        crowd(CROWD);
        world.counted("requests_waiting", 2 * CROWD as u64).await;
        gates[1].open();
        for response in requests.join_all().await {
            assert_eq!(response.status, status, "{response:?}");
        }
        // The first site's is repeated where the crowd was there before it had been waited for.
        let [of_first, of_second] = world.calls()[..] else {
            panic!("two sites");
        };
        assert!((1..=most).contains(&of_first) && of_second == 1, "{of_first} and {of_second}");
        world.counted("calls.repeated", of_first as u64 - 1).await;
        assert_eq!(world.counter("calls.joined").await, 2 * CROWD as u64 - 1);
        assert_eq!(world.counter("calls.failed_over").await, 1);
        world.nothing_is_left().await;
    }
}

/// Envoy does not even begin such a call, neither as the first nor in the callback of another.
#[tokio::test]
async fn missing_cluster_is_skipped() {
    let clusters = |names: [&str; 4]| {
        let hosts = ["a.example", "b.example", "c.example", "d.example"];
        json!({"clusters": serde_json::Map::from_iter(
            hosts.map(str::to_owned).into_iter().zip(names.map(Value::from)))})
    };
    let world = World::of(4, clusters(["nowhere", "site_b", "nowhere_too", "site_d"])).await;
    assert_eq!(world.passes("t").await, "b");
    assert_eq!(world.calls(), [0, 1, 0, 0]);
    world.sites[1].answer(Reply::reset());
    assert_eq!(world.passes("t").await, "d");
    // A call that Envoy does not make is not repeated.
    assert_eq!(world.calls(), [0, 3, 0, 1]);
    world.counted("calls.failed_over", 4).await;
    world.counted("calls.repeated", 1).await;
    world.nothing_is_left().await;
    // It is a mistake in the configuration and shuts nothing.
    let world = World::of(4, clusters(["nowhere"; 4])).await;
    for _ in 0..10 {
        world.unavailable("t", "not_sent").await;
    }
    for counter in ["breaker.opened", "breaker.probed", "calls.repeated"] {
        assert_eq!(world.counter(counter).await, 0, "{counter}");
    }
    world.nothing_is_left().await;
}

/// Three calls of the first site, three of the second, and no more.
#[tokio::test]
async fn beyond_max_in_flight_next_site_is_called_then_none() {
    const MOST: usize = 3;
    let world = World::of(2, json!({"max_in_flight": MOST, "timeout": "10s"})).await;
    let gate = Gate::closed();
    for (site, name) in world.sites.iter().zip(["a", "b"]) {
        site.answer(Reply::json(200, &json!({"sub": name})).held_by(&gate));
    }
    let mut held = JoinSet::new();
    for n in 0..2 * MOST {
        held.spawn(world.request(&format!("token{n}")).send());
        world.counted("calls_in_flight", n as u64 + 1).await;
    }
    world.sites[1].wait_calls(MOST).await;
    assert_eq!(world.calls(), [MOST, MOST]);
    for n in 0..5 {
        world.unavailable(&format!("more{n}"), "too_many_waiting").await;
    }
    world.counted("calls.refused_by_cap", 5).await;
    // A request for a call under way may wait.
    held.spawn(world.request("token0").send());
    world.counted("requests_waiting", 2 * MOST as u64 + 1).await;
    gate.open();
    for response in held.join_all().await {
        assert_eq!(response.status, 200, "{response:?}");
    }
    assert_eq!(world.calls(), [MOST, MOST]);
    assert_eq!(world.passes("later").await, "a");
    world.nothing_is_left().await;
}

//! The verdict cache on the real Envoy; the provider counts its calls.

#[allow(dead_code, reason = "each file of tests uses its part")]
mod base;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base::one;
use integration::{Gate, Gateway, Listener, Provider, Reply, Running, Setup};
use serde_json::{Value, json};

async fn start(workers: u32, config: Value) -> Running {
    let listener = Listener::named("gw").config(one(config));
    Setup::new().concurrency(workers).listener(listener).start().await
}

async fn one_worker(cache: Value) -> Gateway {
    start(1, json!({"cache": cache, "access_log_state": true})).await.gateway("gw")
}

async fn counter(gw: &Gateway, name: &str) -> u64 {
    gw.envoy.stat(&format!("wasmcustom.oidc_{name}")).await
}

/// Counters become visible in intervals of Envoy's own.
async fn counted(gw: &Gateway, name: &str, number: u64) {
    gw.envoy.wait_stat(&format!("wasmcustom.oidc_{name}"), |n| n == number).await;
}

/// The catalogue's rows 38 and 63.
#[tokio::test]
async fn hit_makes_no_call_and_still_strips_and_sets() {
    let gw = one_worker(json!({})).await;
    gw.provider.answer(Reply::json(200, &json!({"sub": "alice"})));
    for n in 0..3 {
        let request = gw.get(&format!("/orders/{n}")).bearer("good");
        let request = request.header("x-user-id", "admin").header("x.user.id", "admin");
        let response = request.send().await;
        let names = ["x-user-id", "x.user.id", "authorization"];
        let expected = base::pairs(&[("x-user-id", "alice")]);
        assert_eq!(base::upstream_saw(&response, &names), expected);
    }
    assert_eq!(gw.provider.count(), 1);
    for (name, number) in
        [("cache.miss", 1), ("cache.hit", 2), ("cache.stored", 1), ("cache_entries", 1)]
    {
        counted(&gw, name, number).await;
    }
    assert!(counter(&gw, "cache_bytes").await > 0);
    for (path, source) in [("/orders/0", "asked"), ("/orders/2", "hit")] {
        let entry = gw.envoy.access_entry(path).await;
        assert_eq!(entry["outcome"], format!("pass;{source};default"));
    }
}

/// Answers about the token, with any status.
#[tokio::test]
async fn refusal_is_cached_with_its_reply() {
    let gw = start(1, json!({"cache": {}, "require_subject": true})).await.gateway("gw");
    let challenged = |status, error: &str| {
        Reply::status(status).header("www-authenticate", format!("Bearer error=\"{error}\""))
    };
    let named = Reply::json(400, &json!({"error": "invalid_token"}));
    let replies = [
        ("401", Reply::status(401), 401),
        ("expired", Provider::expired(), 401),
        ("400", challenged(400, "invalid_token"), 400),
        ("400-body", named, 400),
        ("403", challenged(403, "invalid_token"), 403),
        ("403-scope", challenged(403, "insufficient_scope"), 403),
        ("403-login", challenged(403, "insufficient_user_authentication"), 403),
        ("no-subject", Reply::json(200, &json!({"name": "alice"})), 401),
    ];
    let number = replies.len();
    for (n, (token, reply, status)) in replies.into_iter().enumerate() {
        gw.provider.answer_token(token, reply);
        let mut replies = Vec::new();
        for _ in 0..3 {
            let response = gw.get("/orders").bearer(token).send().await;
            let challenge = response.header("www-authenticate");
            replies.push((response.status, challenge, response.text()));
        }
        assert_eq!(replies[0].0, status, "{token}");
        assert!(replies[0].1.is_some(), "{token}: {replies:?}");
        assert_eq!((&replies[0], &replies[0]), (&replies[1], &replies[2]), "{token}");
        assert_eq!(gw.provider.count(), n + 1, "{token}");
    }
    counted(&gw, "cache.negative_hit", 2 * number as u64).await;
    gw.upstream.assert_untouched();
}

/// The catalogue's row 143. A 403 that does not say that it is about the token may be a firewall's.
#[tokio::test]
async fn answer_that_is_no_verdict_is_not_cached() {
    let gw = one_worker(json!({})).await;
    // Each with its calls: what ends without an answer is repeated twice.
    let replies = [
        ("500", Reply::json(500, &json!({})), 1),
        ("502", Reply::json(502, &json!({})), 1),
        ("503", Reply::json(503, &json!({})), 1),
        ("429", Reply::json(429, &json!({})), 1),
        ("400", Reply::json(400, &json!({})), 1),
        ("400-request", Reply::json(400, &json!({"error": "invalid_request"})), 1),
        ("403", Reply::json(403, &json!({})), 1),
        ("404", Reply::json(404, &json!({})), 1),
        ("410", Reply::json(410, &json!({})), 1),
        ("405", Reply::json(405, &json!({})), 1),
        ("page", Reply::text(200, "<html>").header("content-type", "text/html"), 1),
        ("gzip", Provider::good().gzip(), 1),
        ("cut", Reply::json(200, &json!({"sub": "alice"})).cut_after(5), 3),
        ("close", Reply::close(), 3),
        ("204", Reply::status(204), 1),
    ];
    for (token, reply, calls) in replies {
        gw.provider.answer_token(token, reply);
        for times in 1..=2 {
            assert_ne!(gw.get("/orders").bearer(token).send().await.status, 200, "{token}");
            assert_eq!(gw.provider.calls_with(token).len(), times * calls, "{token}");
        }
        gw.provider.answer_token(token, Provider::good());
        assert_eq!(gw.get("/orders").bearer(token).send().await.status, 200, "{token}");
    }
    counted(&gw, "cache.stored", 15).await;
    assert_eq!(counter(&gw, "cache_entries").await, 15);
}

/// The catalogue's rows 137 and 139. The token's end is the answer's own `exp`, though `ttl` is a
/// minute.
#[tokio::test]
async fn verdict_ends_with_exp_of_the_answer() {
    let gw = one_worker(json!({"ttl": "60s"})).await;
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let exp = now().as_secs() + 3;
    gw.provider.answer(Reply::json(200, &json!({"sub": "alice", "exp": exp})));
    let mut asked = Vec::new();
    while asked.len() < 2 {
        let before = now();
        assert_eq!(gw.get("/orders").bearer("good").send().await.status, 200);
        if gw.provider.count() > asked.len() {
            asked.push(now());
        } else {
            assert!(before.as_secs() < exp, "remembered at {before:?}, beyond {exp}");
        }
    }
    let after = asked[1];
    assert!(after.as_secs() >= exp, "asked again at {after:?} before {exp}");
    assert!(counter(&gw, "cache.hit").await > 0, "never remembered");
}

/// The same with the token's own `exp`, if it is a JWT. It is not verified here, so it can only
/// shorten the lifetime.
#[tokio::test]
async fn verdict_ends_with_exp_of_the_jwt() {
    let gw = one_worker(json!({"ttl": "60s"})).await;
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let exp = now().as_secs() + 3;
    // `{"exp":<ten digits>}` has 18 bytes, so base64url needs no padding.
    let token = format!("e30.{}.c2ln", base64url(format!(r#"{{"exp":{exp}}}"#).as_bytes()));
    gw.provider.answer(Reply::json(200, &json!({"sub": "alice"})));
    while gw.provider.count() < 2 {
        let (before, calls) = (now(), gw.provider.count());
        assert_eq!(gw.get("/orders").bearer(&token).send().await.status, 200);
        let asked = gw.provider.count() > calls;
        assert!(asked || before.as_secs() < exp, "remembered at {before:?}, beyond {exp}");
        assert!(!asked || calls == 0 || now().as_secs() >= exp, "asked before {exp}");
    }
    assert!(counter(&gw, "cache.hit").await > 0, "never remembered");
}

/// Base64url (RFC 4648 §5) of a multiple of three bytes.
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    assert_eq!(bytes.len() % 3, 0);
    let digits = |three: &[u8]| {
        let number = three.iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|shift| char::from(ALPHABET[number >> shift & 63]))
    };
    bytes.chunks(3).flat_map(digits).collect()
}

/// The catalogue's rows 136, 142 and 152: at the latest after `ttl`, every worker refuses what has
/// been revoked. 100 ms later is asserted by the time at which a good answer was still given: a
/// request that began later than that and passed is a failure, however slow the machine.
#[tokio::test]
async fn revoked_token_is_refused_by_every_worker_within_ttl() {
    for shared in [false, true] {
        let cache = json!({"ttl": "1s", "negative_ttl": "200ms", "shared": shared});
        let running = start(2, json!({"cache": cache})).await;
        let gw = running.gateway("gw");
        gw.provider.answer(Reply::json(200, &json!({"sub": "alice"})));
        // Connections stay with the worker that took them: enough for both to have some.
        let mut connections = Vec::new();
        for _ in 0..16 {
            connections.push(gw.connect().await.expect("a connection"));
        }
        let request = gw.get("/orders").bearer("good").to_bytes();
        for connection in &mut connections {
            let response = connection.exchange(&request, false).await.expect("a response");
            assert_eq!(response.status, 200);
        }
        gw.provider.answer(Provider::expired());
        let revoked = Instant::now();
        let allowed = Duration::from_millis(1100);
        let mut refused = vec![false; connections.len()];
        while !refused.iter().all(|refused| *refused) {
            for (connection, refused) in connections.iter_mut().zip(&mut refused) {
                let since = revoked.elapsed();
                let response = connection.exchange(&request, false).await.expect("a response");
                match response.status {
                    200 => assert!(since < allowed, "still good after {since:?}"),
                    401 => *refused = true,
                    status => panic!("{status}"),
                }
            }
        }
        // And what is good again is so after the refusal's own time.
        gw.provider.answer(Reply::json(200, &json!({"sub": "alice"})));
        let good = Instant::now();
        loop {
            let since = good.elapsed();
            let response = connections[0].exchange(&request, false).await.expect("a response");
            if response.status == 200 {
                break;
            }
            assert!(since < Duration::from_millis(300), "still refused after {since:?}");
        }
        running.envoy.assert_no_vm_restart().await;
    }
}

#[tokio::test]
async fn workers_share_verdicts() {
    for (shared, status) in [(true, 200), (true, 401), (false, 200)] {
        let running = start(4, json!({"cache": {"shared": shared, "negative_ttl": "1m"}})).await;
        let gw = running.gateway("gw");
        gw.provider.answer(match status {
            200 => Reply::json(200, &json!({"sub": "alice"})),
            _ => Provider::expired(),
        });
        let mut calls = 0;
        for n in 0..100 {
            // A connection each: the kernel spreads them over the workers.
            let response = gw.get("/orders").bearer("good").send().await;
            assert_eq!(response.status, status, "request {n}");
            calls = gw.provider.count();
        }
        if shared {
            assert_eq!(calls, 1);
            let name = "wasmcustom.oidc_cache.shared_hit";
            let found = running.envoy.wait_stat(name, |found| found > 0).await;
            assert!((1..=3).contains(&found), "{found} workers found what another had asked");
        } else {
            assert!((2..=4).contains(&calls), "{calls} calls by four workers");
        }
        running.envoy.assert_no_vm_restart().await;
    }
}

/// The catalogue's row 146: what is known serves while the provider is down, and no longer.
#[tokio::test]
async fn cached_verdict_bridges_an_outage_until_ttl() {
    let gw = one_worker(json!({"ttl": "4s"})).await;
    gw.provider.answer(Reply::json(200, &json!({"sub": "alice"})));
    assert_eq!(gw.get("/orders").bearer("good").send().await.status, 200);
    // The call was made before this, so the verdict may not live longer.
    let asked = Instant::now();
    gw.provider.down().await;
    let mut bridged = 0;
    loop {
        let since = asked.elapsed();
        if gw.get("/orders").bearer("good").send().await.status != 200 {
            break;
        }
        assert!(since < Duration::from_secs(4), "good after {since:?}");
        bridged += 1;
    }
    assert!(bridged > 0, "nothing was remembered");
}

/// An answer is cached even if no request waits for it any more: row 128.
#[tokio::test]
async fn answer_after_the_client_left_is_cached() {
    let gw = one_worker(json!({})).await;
    let gate = Gate::closed();
    gw.provider.answer(Reply::json(200, &json!({"sub": "alice"})).held_by(&gate));
    let client = tokio::spawn(gw.get("/left").bearer("good").send());
    counted(&gw, "requests_waiting", 1).await;
    client.abort();
    counted(&gw, "requests_waiting", 0).await;
    gate.open();
    counted(&gw, "cache_entries", 1).await;
    assert_eq!(gw.get("/orders").bearer("good").send().await.status, 200);
    assert_eq!((gw.provider.count(), gw.upstream.count()), (1, 1));
}

/// The catalogue's row 152, by the time at which an old value was still given.
#[tokio::test]
async fn changed_attribute_arrives_within_ttl() {
    let gw = one_worker(json!({"ttl": "1s"})).await;
    gw.provider.answer(Reply::json(200, &json!({"sub": "alice"})));
    assert_eq!(gw.get("/orders").bearer("good").send().await.status, 200);
    gw.provider.answer(Reply::json(200, &json!({"sub": "alicia"})));
    let changed = Instant::now();
    loop {
        let since = changed.elapsed();
        let response = gw.get("/orders").bearer("good").send().await;
        if response.upstream_header("x-user-id").as_deref() == Some("alicia") {
            break;
        }
        assert!(since < Duration::from_secs(1), "the old value after {since:?}");
    }
    assert_eq!(gw.provider.count(), 2);
}

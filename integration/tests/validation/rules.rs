//! Rules about the user: a route's own, on every way to a verdict; and what they read.

use integration::{Gate, Provider, Reply};
use tokio::sync::OnceCell;

use super::*;
use base::one;

static RIG: OnceCell<Running> = OnceCell::const_new();

const CACHE: &str = r#"{"shared": true, "ttl": "10m"}"#;

async fn gateway(name: &str) -> Gateway {
    let rig = RIG.get_or_init(|| async {
        let cache: Value = serde_json::from_str(CACHE).unwrap();
        let with = |more: Value| {
            let common = json!({"cache": cache, "access_log_state": true});
            (one(merged(common.clone(), more.clone())), introspecting(merged(common, more)))
        };
        let rules = [
            ("open", json!({})),
            ("scope", json!({"require_scope": ["orders:read", "orders:write"]})),
            ("audience", json!({"require_audience": ["https://api.example", "orders"]})),
            ("issuer", json!({"require_issuer": ["https://idp.example"]})),
            ("claims", json!({"require_claims": {"$.groups[*]": ["staff", 7]}})),
            ("deep", json!({"require_claims": {"$..a[?@.b == 1].c": 1}})),
            ("of_token", json!({"require_claims": {"$.tier": {"any": ["gold"], "of": "token"}}})),
            (
                "header",
                json!({"inject_headers": {"default": {
                "X-User-Id": {"path": "$.sub", "required": true}}}}),
            ),
        ];
        let mut setup = Setup::new().environment("OIDC_CLIENT_SECRET", SECRET);
        for (name, rule) in rules {
            let (userinfo, introspection) = with(rule);
            let other = format!("i_{name}");
            setup = setup.listener(Listener::named(name).config(userinfo));
            setup = setup.listener(Listener::named(&other).config(introspection));
        }
        setup.start().await
    });
    rig.await.gateway(name)
}

/// A rule, what fulfils it, and what does not, with the reply.
struct Row {
    rule: &'static str,
    good: Value,
    bad: Vec<Value>,
    status: u16,
    outcome: &'static str,
    error: Option<&'static str>,
}

/// Rules that read scope, audience or issuer: with introspection in the response, with UserInfo in the
/// payload of the token.
fn grants() -> Vec<Row> {
    vec![
        Row {
            rule: "scope",
            good: json!({"scope": "orders:write openid orders:read"}),
            bad: vec![
                json!({}),
                json!({"scope": "orders:read"}),
                json!({"scope": ["orders:read orders:write"]}),
                json!({"scope": {"orders:read": 1, "orders:write": 1}}),
                json!({"scope": "", "scp": ["orders:read", "orders:write"]}),
            ],
            status: 403,
            outcome: "forbidden",
            error: Some("insufficient_scope"),
        },
        Row {
            rule: "audience",
            good: json!({"aud": ["other", "orders"]}),
            bad: vec![
                json!({}),
                json!({"aud": "https://api.example/"}),
                json!({"aud": [["orders"]]}),
                json!({"aud": ["orders", 1]}),
            ],
            status: 401,
            outcome: "wrong_audience",
            error: Some("invalid_token"),
        },
        Row {
            rule: "issuer",
            good: json!({"iss": "https://idp.example"}),
            bad: vec![
                json!({}),
                json!({"iss": "https://idp.example/"}),
                json!({"iss": ["https://idp.example"]}),
            ],
            status: 401,
            outcome: "wrong_issuer",
            error: Some("invalid_token"),
        },
    ]
}

/// Rules about claims, which both ways find in the response.
fn claims() -> Vec<Row> {
    let refused = |rule, good, bad| Row {
        rule,
        good,
        bad,
        status: 403,
        outcome: "claim_refused",
        error: None,
    };
    vec![
        refused(
            "claims",
            json!({"groups": ["guests", "staff"]}),
            vec![
                json!({}),
                json!({"groups": ["guests"]}),
                json!({"groups": "staff"}),
                json!({"groups": [["staff"]]}),
                json!({"groups": ["7", 7.5, null]}),
            ],
        ),
        refused(
            "deep",
            json!({"a": [{"b": 1, "c": 1}]}),
            vec![json!({"a": [{"b": 2, "c": 1}]}), json!({"x": vec![vec![vec![1; 30]; 30]; 30]})],
        ),
        refused(
            "header",
            json!({}),
            vec![
                json!({"sub": ""}),
                json!({"sub": null}),
                json!({"sub": "a\nb"}),
                json!({"sub": "x".repeat(5000)}),
            ],
        ),
    ]
}

#[track_caller]
fn is_refused(row: &Row, response: &Response, what: &str) {
    assert_eq!(response.status, row.status, "{} {what}", row.rule);
    let challenge = challenge(response);
    match row.error {
        Some(error) => {
            assert!(challenge.contains(&format!("error=\"{error}\"")), "{} {challenge}", row.rule);
            let names = challenge.contains(r#"scope="orders:read orders:write""#);
            assert_eq!(names, row.rule == "scope", "{challenge}");
        }
        None => assert_eq!(challenge, "", "{}", row.rule),
    }
}

/// Sends a token to the open instance and to that of the rule, cold and kept, over both protocols.
async fn check((prefix, n): (&str, usize), row: &Row, token: &str, answer: &Value, is_good: bool) {
    let gw = gateway(&format!("{prefix}{}", row.rule)).await;
    gw.provider.answer_token(token, Reply::json(200, answer));
    for (round, source) in ["asked", "hit"].iter().enumerate() {
        let path = format!("/{prefix}{}/{n}/{round}", row.rule);
        let request = gw.get(&path).bearer(token);
        let response = if round == 0 { request.send().await } else { request.send_h2().await };
        if is_good {
            assert_eq!(response.status, 200, "{} {answer}", row.rule);
        } else {
            is_refused(row, &response, &answer.to_string());
        }
        let told = if is_good { "pass" } else { row.outcome };
        assert_eq!(outcome(&gw, &path).await, format!("{told};{source};default"), "{answer}");
    }
    assert_eq!(gw.provider.calls_with(token).len(), 1, "a good verdict stays: {answer}");
}

#[tokio::test]
async fn scope_audience_and_issuer_are_of_the_introspection_response() {
    for row in grants() {
        let cases = row.bad.iter().map(|bad| (bad, false)).chain([(&row.good, true)]);
        for (n, (said, is_good)) in cases.enumerate() {
            // What the token itself says neither restores nor takes away.
            let other = if is_good { json!({}) } else { row.good.clone() };
            let token = format!("{}.{}-{n:04}", jwt(&other), row.rule).replacen('.', "_", 9);
            let answer = merged(json!({"active": true, "sub": "alice"}), said.clone());
            check(("i_", n), &row, &token, &answer, is_good).await;
        }
    }
}

#[tokio::test]
async fn with_userinfo_they_are_of_the_vouched_token() {
    for row in grants() {
        let cases = row.bad.iter().map(|bad| (bad, false)).chain([(&row.good, true)]);
        for (n, (said, is_good)) in cases.enumerate() {
            let token = jwt(&merged(said.clone(), json!({"n": n, "of": row.rule})));
            let other = if is_good { json!({}) } else { row.good.clone() };
            let answer = merged(json!({"sub": "alice"}), other);
            check(("", n), &row, &token, &answer, is_good).await;
        }
        let opaque = format!("opaque-token-{}", row.rule);
        check(("", 99), &row, &opaque, &merged(json!({"sub": "a"}), row.good.clone()), false).await;
    }
}

#[tokio::test]
async fn claims_and_required_headers_are_of_the_response() {
    for row in claims() {
        for prefix in ["", "i_"] {
            let cases = row.bad.iter().map(|bad| (bad, false)).chain([(&row.good, true)]);
            for (n, (said, is_good)) in cases.enumerate() {
                let token = format!("claims-of-{prefix}{}-{n:04}", row.rule);
                let answer = merged(json!({"active": true, "sub": "alice"}), said.clone());
                check((prefix, n), &row, &token, &answer, is_good).await;
            }
        }
    }
}

/// A token that the provider vouches for, but whose payload two readers could take for different ones.
#[tokio::test]
async fn doubtful_token_has_no_claims() {
    let gw = gateway("of_token").await;
    gw.provider.answer(Provider::good());
    let plain = json!({"alg": "RS256"});
    let gold = br#"{"tier":"gold"}"#;
    assert_eq!(gw.get("/orders").bearer(&jwt_of(&plain, gold)).send().await.status, 200);
    for (header, payload) in [
        (json!({"alg": "none"}), &gold[..]),
        (json!({"alg": "RS256", "crit": ["b64"], "b64": false}), gold),
        (json!({"alg": "RS256", "b64": true}), gold),
        (json!({}), gold),
        (plain.clone(), br#"{"tier":"gold","tier":"gold"}"#),
        (plain.clone(), br#"{"tier":"gold"} "x""#),
        (plain.clone(), br#"["gold"]"#),
        (plain.clone(), b"tier=gold"),
        (plain.clone(), br#"{"tier":["gold"]}"#),
    ] {
        let token = jwt_of(&header, payload);
        let response = gw.get("/orders").bearer(&token).send().await;
        assert_eq!(response.status, 403, "{header} {}", String::from_utf8_lossy(payload));
    }
    let padded = format!("{}=", jwt_of(&plain, gold));
    assert_eq!(gw.get("/orders").bearer(&padded).send().await.status, 403);
    assert_eq!(gw.get("/orders").bearer("opaque").send().await.status, 403);
}

/// A payload that was swapped under another token's signature is another string: the provider does not
/// vouch for it, and what it says is read of nobody.
#[tokio::test]
async fn swapped_payload_is_another_token() {
    let gw = gateway("of_token").await;
    let silver = jwt(&json!({"tier": "silver", "n": 1}));
    let swapped = jwt(&json!({"tier": "gold", "n": 1}));
    gw.provider.answer(Provider::expired()).answer_token(&silver, Provider::good());
    assert_eq!(gw.get("/orders").bearer(&silver).send().await.status, 403);
    assert_eq!(gw.get("/orders").bearer(&swapped).send().await.status, 401);
}

/// Neither another route's verdict nor another route's refusal decides here.
#[tokio::test]
async fn each_route_judges_the_kept_verdict_by_its_own_rules() {
    let open = one(json!({"cache": {}}));
    let scoped = merged(open.clone(), json!({"require_scope": ["orders:read"]}));
    let listener = Listener::reference().config(open).instance("scoped", "/scoped", scoped);
    let gw = Gateway::start(listener).await;
    for (first, second) in [("/orders", "/scoped"), ("/scoped", "/orders")] {
        let token = jwt(&json!({"scope": "other", "of": [first, second]}));
        gw.provider.answer_token(&token, Provider::good());
        for path in [first, second, first] {
            let status = if path == "/orders" { 200 } else { 403 };
            assert_eq!(gw.get(path).bearer(&token).send().await.status, status, "{path}");
        }
        assert_eq!(gw.provider.calls_with(&token).len(), 1, "{first}");
    }
}

#[tokio::test]
async fn who_joins_a_call_is_judged_by_its_own_rules() {
    let gw = gateway("scope").await;
    let token = jwt(&json!({"scope": "orders:read", "n": "joined"}));
    let gate = Gate::closed();
    gw.provider.answer_token(&token, Provider::good().held_by(&gate));
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let request = gw.get("/orders").bearer(&token);
        requests.spawn(async move { request.send().await.status });
    }
    gw.provider.wait_calls(1).await;
    gw.envoy.wait_stat("wasmcustom.oidc_requests_waiting", |waiting| waiting >= 6).await;
    gate.open();
    assert_eq!(requests.join_all().await, [403; 6]);
}

/// What another worker has left is what the provider said: each route of this one decides for itself.
#[tokio::test]
async fn shared_verdict_is_judged_by_each_route() {
    let keys = json!({"cache": {"shared": true, "ttl": "10m"}, "access_log_state": true});
    for introspects in [false, true] {
        let with = |more: Value| match introspects {
            true => introspecting(merged(keys.clone(), more)),
            false => one(merged(keys.clone(), more)),
        };
        let scoped = with(json!({"require_scope": ["orders:read"]}));
        let staff = with(json!({"require_claims": {"$.groups[*]": "staff"}}));
        let header = json!({"default": {"X-Email": {"path": "$.email", "required": true}}});
        let named = with(json!({"inject_headers": header}));
        let listener = Listener::named("gw")
            .config(with(json!({})))
            .instance("scoped", "/scoped", scoped)
            .instance("staff", "/staff", staff)
            .instance("named", "/named", named);
        let setup = Setup::new().environment("OIDC_CLIENT_SECRET", SECRET).concurrency(4);
        let running = setup.listener(listener).start().await;
        let gw = running.gateway("gw");
        let token = jwt(&json!({"scope": "other", "shared": introspects}));
        let answer = json!({"active": true, "sub": "alice", "scope": "other", "groups": ["guest"]});
        gw.provider.answer_token(&token, Reply::json(200, &answer));
        for n in 0..100 {
            let path = ["/orders", "/scoped", "/staff", "/named"][n % 4];
            // A connection each: the kernel spreads them over the workers.
            let response = gw.get(path).bearer(&token).send().await;
            assert_eq!(response.status, if path == "/orders" { 200 } else { 403 }, "{path} {n}");
        }
        assert_eq!(gw.provider.count(), 1, "introspection: {introspects}");
        let name = "wasmcustom.oidc_cache.shared_hit";
        running.envoy.wait_stat(name, |found| found > 0).await;
        running.envoy.assert_no_vm_restart().await;
    }
}

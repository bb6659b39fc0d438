//! The data about a user for Envoy's own filters, and Envoy's statistics of the filter.

#[allow(dead_code, reason = "each file of tests uses its part")]
mod base;

use std::path::Path;

use base::{one, regions};
use integration::{DEFAULT_INSTANCE, Gateway, Listener, Reply, Running, Setup};
use serde_json::{Value, json};

/// Envoy's filter for access by roles, which lets pass whom this filter state names.
fn rbac(principal: &Value) -> Value {
    json!({
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": {
                "action": "ALLOW",
                "policies": {"users": {
                    "permissions": [{"any": true}],
                    "principals": [principal],
                }},
            },
        },
    })
}

/// Adds a field to the access log of a listener.
fn logging(name: &'static str, format: &'static str) -> impl Fn(&mut Value) {
    move |manager| {
        let log = &mut manager["access_log"][0]["typed_config"]["log_format"]["json_format"];
        assert!(log.is_object(), "the reference logs JSON: {log}");
        log[name] = format.into();
    }
}

fn userinfo(sub: &str, groups: &[&str]) -> Reply {
    Reply::json(200, &json!({"sub": sub, "groups": groups}))
}

async fn start() -> Running {
    let state = || {
        one(json!({"filter_state": {
            "user": "$.sub",
            "groups": {"path": "$.groups", "join": ","},
        }}))
    };
    let named = json!({"filter_state": {"key": "wasm.user", "string_match": {"exact": "alice"}}});
    let member = json!({"filter_state": {
        "key": "wasm.groups",
        "string_match": {"safe_regex": {"regex": "(.*,)?buyers(,.*)?"}},
    }});
    Setup::new()
        .listener(
            Listener::named("user")
                .config(state())
                .filter_last(rbac(&named))
                .connection_manager(logging("user", "%FILTER_STATE(wasm.user:PLAIN)%")),
        )
        .listener(Listener::named("groups").config(state()).filter_last(rbac(&member)))
        .listener(Listener::named("none").config(one(json!({}))).filter_last(rbac(&named)))
        .start()
        .await
}

async fn gets(gw: &Gateway, path: &str, status: u16) {
    let response = gw.get(path).bearer("token").send().await;
    assert_eq!(response.status, status, "{response:?}");
}

#[tokio::test]
async fn envoys_rbac_can_use_a_claim() {
    let running = start().await;
    let gw = running.gateway("user");
    gw.provider.answer(userinfo("alice", &[]));
    gets(&gw, "/alice", 200).await;
    gw.provider.answer(userinfo("bob", &[]));
    gets(&gw, "/bob", 403).await;
    // A missing claim gives no name.
    gw.provider.answer(Reply::json(200, &json!({"groups": ["alice"]})));
    gets(&gw, "/nobody", 403).await;
    // The client's own value is not the provider's.
    gw.provider.answer(userinfo("bob", &[]));
    let spoofed = gw.get("/spoofed").bearer("token").header("wasm.user", "alice");
    let spoofed = spoofed.header("x-user-id", "alice").send().await;
    assert_eq!(spoofed.status, 403, "{spoofed:?}");

    let gw = running.gateway("groups");
    gw.provider.answer(userinfo("bob", &["staff", "buyers"]));
    gets(&gw, "/member", 200).await;
    gw.provider.answer(userinfo("bob", &["staff", "nonbuyers"]));
    gets(&gw, "/other", 403).await;
    // As providers answer that write one value as text.
    gw.provider.answer(Reply::json(200, &json!({"sub": "bob", "groups": "buyers"})));
    gets(&gw, "/only", 200).await;
    gw.provider.answer(Reply::json(200, &json!({"sub": "bob", "groups": "staff,buyers"})));
    gets(&gw, "/one", 403).await;

    // Without `filter_state` there is nothing to decide by.
    let gw = running.gateway("none");
    gw.provider.answer(userinfo("alice", &[]));
    gets(&gw, "/alice", 403).await;
    running.envoy.assert_no_vm_restart().await;
}

#[tokio::test]
async fn access_log_has_the_user_if_configured() {
    let running = start().await;
    for (listener, logged) in [("user", true), ("groups", false)] {
        let gw = running.gateway(listener);
        gw.provider.answer(userinfo("alice", &["buyers"]));
        let path = format!("/who/{listener}");
        gets(&gw, &path, 200).await;
        let entry = running.envoy.access_entry(&path).await;
        let user = entry.get("user").and_then(Value::as_str);
        assert_eq!(user, logged.then_some("alice"), "{entry}");
        assert_eq!(entry.to_string().contains("alice"), logged, "{entry}");
    }
}

/// Several instances are distinguished, and every name exists before the first request.
#[tokio::test]
async fn statistics_have_instance_reason_and_region() {
    let setup = Setup::new()
        .listener(Listener::named("orders").config(regions(json!({"stat_name": "orders"}))))
        .listener(Listener::named("plain").config(one(json!({}))));
    let running = setup.start().await;
    let names = async || {
        let stats = running.envoy.stats().await.into_keys();
        stats.filter(|name| name.starts_with("wasmcustom.")).collect::<Vec<_>>()
    };
    let before = names().await;
    let gw = running.gateway("orders");
    gw.provider.answer(userinfo("alice", &[]));
    for region in ["FR", "FR", "US", "XX"] {
        let response = gw.get("/").bearer("token").header("x-region", region).send().await;
        assert_eq!(response.status, 200, "{response:?}");
    }
    assert_eq!(gw.get("/").send().await.status, 401);
    let plain = running.gateway("plain");
    plain.provider.answer(Reply::json(401, &json!({})));
    assert_eq!(plain.get("/").bearer("token").send().await.status, 401);
    plain.provider.answer(Reply::json(500, &json!({})));
    assert_eq!(plain.get("/").bearer("token").send().await.status, 500);

    for (name, number) in [
        ("oidc_requests.instance.orders", 5),
        ("oidc_outcome.pass.instance.orders", 4),
        ("oidc_outcome.no_credentials.instance.orders", 1),
        ("oidc_source.asked.instance.orders", 4),
        ("oidc_reason.absent.instance.orders", 1),
        ("oidc_region.FR.instance.orders", 2),
        ("oidc_region.US.instance.orders", 1),
        ("oidc_region_failed.FR.instance.orders", 0),
        ("oidc_region.default.instance.orders", 1),
        ("oidc_requests", 2),
        ("oidc_outcome.invalid_token", 1),
        ("oidc_reason.provider_4xx", 1),
        ("oidc_region.default", 2),
        ("oidc_region_failed.default", 1),
        ("oidc_outcome.pass", 0),
    ] {
        running.envoy.wait_stat(&format!("wasmcustom.{name}"), |n| n == number).await;
    }
    assert_eq!(names().await, before, "names made from traffic");
    // In Prometheus these parts are labels. A histogram is merged when statistics are flushed.
    let labelled = async || {
        let text = running.envoy.admin_get("/stats/prometheus").await.unwrap().text();
        let wanted = [
            ("oidc_userinfo_ms_count{", &[r#"region="FR""#, r#"connector="orders""#][..], "2"),
            ("oidc_outcome{", &[r#"outcome="pass""#, r#"connector="orders""#], "4"),
            ("oidc_outcome{", &[r#"{outcome="invalid_token"}"#], "1"),
            ("oidc_source{", &[r#"source="asked""#, r#"connector="orders""#], "4"),
            ("oidc_reason{", &[r#"reason="absent""#, r#"connector="orders""#], "1"),
            ("oidc_region{", &[r#"region="US""#, r#"connector="orders""#], "1"),
            ("oidc_region_failed{", &[r#"{region="default"}"#], "1"),
            ("oidc_requests{", &[r#"{connector="orders"}"#], "5"),
        ];
        let missing = wanted.into_iter().find(|(name, labels, value)| {
            !text.lines().any(|line| {
                line.starts_with(name)
                    && labels.iter().all(|label| line.contains(label))
                    && line.ends_with(&format!(" {value}"))
            })
        });
        missing.map(|missing| format!("{missing:?} not in {text}"))
    };
    let mut ask = tokio::time::interval(std::time::Duration::from_millis(100));
    let found = async {
        while labelled().await.is_some() {
            ask.tick().await;
        }
    };
    let in_time = tokio::time::timeout(integration::DEADLINE, found).await;
    assert!(in_time.is_ok(), "{:?}", labelled().await);
    // Prometheus gives each target these itself; one of ours would become `exported_instance`.
    let text = running.envoy.admin_get("/stats/prometheus").await.unwrap().text();
    for line in text.lines().filter(|line| line.starts_with("oidc_")) {
        for own in ["instance", "job"] {
            let taken = [format!("{{{own}=\""), format!(",{own}=\"")];
            assert!(!taken.iter().any(|label| line.contains(label)), "{own} in {line}");
        }
    }
}

/// A filter that sets filter state `wasm.user` as read-only.
const READ_ONLY: &str = r#"(module
  (import "env" "proxy_call_foreign_function"
    (func $call (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_property" (func $set (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "declare_property")
  (data (i32.const 32) "\0a\04user\10\01") ;; name = "user", readonly = true
  (data (i32.const 64) "user")
  (data (i32.const 80) "mallory")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "_initialize"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 4096)
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) i32.const 1)
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (call $call (i32.const 0) (i32.const 16) (i32.const 32) (i32.const 8)
      (i32.const 96) (i32.const 100))
    i32.eqz)
  (func (export "proxy_on_done") (param i32) (result i32) i32.const 1)
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $set (i32.const 64) (i32.const 4) (i32.const 80) (i32.const 7)))
    i32.const 0))
"#;

/// Envoy answers `proxy_set_property` with `BadArgument` then. Nobody passes as somebody else, and
/// the worker goes on.
#[tokio::test]
async fn filter_state_that_nobody_may_change_is_no_end_of_the_worker() {
    // Another suffix than the one by which the rig finds the module under test.
    let module = Path::new(env!("CARGO_TARGET_TMPDIR")).join("read_only.module");
    std::fs::write(&module, wat::parse_str(READ_ONLY).unwrap()).unwrap();
    let read_only = json!({
        "name": "read-only",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": "read-only",
                "vm_config": {
                    "vm_id": "read-only",
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": module}},
                },
            },
        },
    });
    let state = || one(json!({"filter_state": {"user": "$.sub"}}));
    let running = Setup::new()
        .listener(Listener::named("occupied").config(state()).connection_manager(move |manager| {
            let filters = manager["http_filters"].as_array_mut().unwrap();
            let ours = filters.iter().position(|filter| filter["name"] == DEFAULT_INSTANCE);
            filters.insert(ours.unwrap(), read_only.clone());
        }))
        .listener(Listener::named("free").config(state()))
        .start()
        .await;
    for _ in 0..2 {
        let gw = running.gateway("occupied");
        gw.provider.answer(userinfo("alice", &[]));
        let response = gw.get("/occupied").bearer("token").send().await;
        assert_eq!(response.status, 500, "{response:?}");
        gw.upstream.assert_untouched();
        let entry = running.envoy.access_entry("\"/occupied\"").await;
        assert_eq!(entry["details"], "oidc_token_connector{internal:host}", "{entry}");
        running.envoy.log().wait_for("Envoy refused to read or edit a request's headers").await;
        // In the same VM.
        let gw = running.gateway("free");
        gw.provider.answer(userinfo("alice", &[]));
        gets(&gw, "/free", 200).await;
    }
    running.envoy.assert_no_vm_restart().await;
}

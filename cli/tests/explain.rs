//! `oidc-connector explain`, run as its users run it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may panic"
)]

mod run;

use std::path::Path;

use run::{Ran, run, run_with_input};
use serde_json::{Value, json};

const CONFIG: &str = r#"{
    "userinfo_endpoint": {
        "regionCodeHeader": "X-Region",
        "regionCodeValue": {"FR": ["https://fr.idp.example/userinfo", "https://fr2.idp.example/u"]},
        "defaultURI": "https://idp.example/userinfo"},
    "clusters": {"fr.idp.example": "idp_fr"},
    "userinfo_headers": {"X-Api-Key": "sesame", "User-Agent": "gateway"},
    "inject_headers": {"X-User-Id": "$.sub", "X-Odd": "$.odd"},
    "region_header": "X-User-Region"}"#;

fn here(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).to_str().unwrap().to_owned()
}

/// `explain --config -` with [`CONFIG`] as standard input.
fn explained(arguments: &[&str]) -> Ran {
    let ran = run_with_input(&[&["explain", "--config", "-"], arguments].concat(), CONFIG);
    assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.err);
    ran
}

fn json_of(arguments: &[&str]) -> Value {
    serde_json::from_str(&explained(&[&["--format", "json"], arguments].concat()).out).unwrap()
}

#[test]
fn without_answer_prints_the_call() {
    let out = explained(&["--region", "FR", "--token", "t0ken"]).out;
    let expected = "\
calls GET https://fr.idp.example/userinfo through cluster idp_fr, for up to 5000 ms, with
  authorization: Bearer <token>
  accept: application/json
  accept-encoding: identity
  x-api-key: <as configured>
  user-agent: gateway
region FR: the request's x-region selects it
waits for the answer: give it by --userinfo FILE, --status CODE or --no-answer
";
    assert_eq!(out, expected);
}

#[test]
fn valid_answer_becomes_headers() {
    let answer = here("tests/userinfo.json");
    let story = json_of(&[
        "--token",
        "t0ken",
        "--header",
        "X_User_Id: mallory",
        "--header",
        "Accept: text/html",
        "--header",
        "Cookie: session=1",
        "--userinfo",
        &answer,
    ]);
    let client = |name, value| json!({"name": name, "value": value, "from": "client"});
    let filter = |name, value| json!({"name": name, "value": value, "from": "filter"});
    assert_eq!(story["version"], 1);
    assert_eq!(story["questions"][0]["url"], "https://idp.example/userinfo");
    assert_eq!(story["questions"][0]["cluster"], "idp.example");
    assert_eq!(
        story["result"],
        json!({
            "kind": "forward",
            "headers": [
                client(":method", "GET"),
                client(":scheme", "https"),
                client(":authority", "gateway.example"),
                client(":path", "/"),
                client("accept", "text/html"),
                client("cookie", "<hidden>"),
                filter("x-user-id", "alice"),
                filter("x-user-region", "default"),
            ],
            "removed": ["x_user_id", "authorization"],
            "filter_state": [],
        })
    );
    assert_eq!(
        story["record"],
        json!({"outcome": "pass", "reason": null, "source": "asked", "region": "default",
               "evidence": {"came": "200 that validates the token", "about": "the token",
                            "kept": "as valid, for `ttl`", "ends_good": false,
                            "next_site": false, "stale": false},
               "claims_invalid": 1, "claims_over_budget": 0})
    );
    let text = explained(&["--userinfo", &answer]).out;
    assert!(text.contains("\n  x-user-id: alice  (set by the filter)\n"), "{text}");
    assert!(text.contains("\nremoved: authorization\n"), "{text}");
    assert!(text.contains("outcome: pass; access log pass;asked;default\n"), "{text}");
    assert!(
        text.ends_with("headers left out because their claims are not allowed in a header: 1\n"),
        "{text}"
    );
}

#[test]
fn refusal_prints_the_clients_reply() {
    let challenge = "WWW-Authenticate: Bearer error=\"invalid_token\"";
    let story = json_of(&["--status", "401", "--answer-header", challenge]);
    let result = &story["result"];
    assert_eq!((&result["kind"], &result["status"]), (&json!("reply"), &json!(401)));
    let headers = result["headers"].as_array().unwrap();
    let challenge = headers.iter().find(|h| h["name"] == "www-authenticate").unwrap();
    assert_eq!(challenge["value"], r#"Bearer realm="api", error="invalid_token""#);
    let record = &story["record"];
    assert_eq!(record["outcome"], "invalid_token");
    assert!(record["reason"].as_str().unwrap().starts_with("provider_"), "{record}");
}

#[test]
fn explains_choice_of_region() {
    for (arguments, why) in [
        (&["--region", "FR"][..], "FR: the request's x-region selects it"),
        (&["--region", "XX"], "default: the code in x-region is not configured"),
        (&["--region", ""], "default: the request has an empty x-region"),
        (&[], "default: the request has no x-region"),
        (
            &["--region", "FR", "--header", "X-Region: FR"],
            "default: the request has more than one x-region",
        ),
    ] {
        assert_eq!(json_of(arguments)["why"]["region"], why, "{arguments:?}");
        let out = explained(arguments).out;
        assert!(out.contains(&format!("\nregion {why}\n")), "{out}");
    }
    assert_eq!(json_of(&["--no-token"])["why"]["region"], Value::Null);
    let reject = CONFIG.replacen('{', r#"{"unknown_region": "reject", "#, 1);
    let ran = run_with_input(&["explain", "--config", "-", "--region", "XX"], &reject);
    let said = "region none: the code in x-region is not configured\nanswers 401";
    assert!(ran.out.starts_with(said), "{}", ran.out);
}

#[test]
fn explains_each_header_left_out() {
    let answer = here("tests/userinfo.json");
    let config = r#"{"userinfo_endpoint": {"defaultURI": "https://idp.example/u"},
        "inject_headers": {"X-User-Id": "$.sub", "X-Mail": "$.email", "X-Odd": "$.odd"},
        "filter_state": {"role": "$.role"}}"#;
    let ran = run_with_input(&["explain", "--config", "-", "--userinfo", &answer], config);
    for line in [
        "left out x-mail: its path finds nothing, null or an empty text\n",
        "left out x-odd: its value is not allowed in a header or filter state\n",
        "left out wasm.role: its path finds nothing, null or an empty text\n",
    ] {
        assert!(ran.out.contains(line), "{line}{}", ran.out);
    }
    assert!(!ran.out.contains("left out x-user-id"), "{}", ran.out);
    let story = json_of(&["--userinfo", &answer]);
    let odd =
        json!([{"name": "x-odd", "why": "its value is not allowed in a header or filter state"}]);
    assert_eq!(story["why"]["left_out"], odd);
    assert_eq!(json_of(&["--status", "401"])["why"]["left_out"], json!([]));
}

#[test]
fn explains_joined_list_left_out() {
    let answer = here("tests/userinfo.json");
    let config = r#"{"userinfo_endpoint": {"defaultURI": "https://idp.example/u"},
        "inject_headers": {"default": {"X-Groups": {"path": "$.groups", "join": ","},
                                       "X-Odd": {"path": "$.odd", "join": ","}}}}"#;
    let ran = run_with_input(&["explain", "--config", "-", "--userinfo", &answer], config);
    for line in [
        "left out x-groups: its path finds nothing to join: null, empty texts, arrays and objects \
         are left out\n",
        "left out x-odd: its value is not allowed in a header, or a reader that splits the list \
         would not get the same elements\n",
    ] {
        assert!(ran.out.contains(line), "{line}{}", ran.out);
    }
}

#[test]
fn preflight_has_no_body_and_no_upgrade() {
    let config = r#"{"userinfo_endpoint": {"defaultURI": "https://idp.example/u"},
        "preflight": "pass"}"#;
    let explain = |more: &[&str]| {
        let arguments =
            ["explain", "--config", "-", "--no-token", "--method", "OPTIONS", "--header"];
        let headers =
            ["Origin: https://a.example", "--header", "Access-Control-Request-Method: GET"];
        run_with_input(&[&arguments, &headers[..], more].concat(), config).out
    };
    assert!(explain(&[]).contains("outcome: preflight"), "{}", explain(&[]));
    for more in ["Upgrade: websocket", "Content-Length: 5", "Origin: https://b.example"] {
        let out = explain(&["--header", more]);
        assert!(out.contains("outcome: no_credentials"), "{more} {out}");
    }
}

#[test]
fn response_header_in_request_is_reported() {
    let ran = explained(&["--header", "WWW-Authenticate: Bearer secret", "--status", "401"]);
    let said = "oidc-connector: --header www-authenticate: a response header; use --answer-header \
                for the provider's answer\n";
    assert_eq!(ran.err, said);
    assert_eq!(explained(&["--header", "Accept: text/html", "--status", "401"]).err, "");
}

#[test]
fn request_without_token_makes_no_call() {
    let story = json_of(&["--no-token"]);
    assert_eq!(story["questions"], json!([]));
    assert_eq!(
        (&story["record"]["outcome"], &story["record"]["reason"]),
        (&json!("no_credentials"), &json!("absent"))
    );
    let text = explained(&["--no-token"]).out;
    assert!(text.starts_with("answers 401 with\n"), "{text}");
    assert!(text.contains("InvalidAuthorizationHeaderValue"), "{text}");
}

#[test]
fn provider_down_calls_each_site() {
    let story = json_of(&["--region", "FR", "--no-answer"]);
    let urls: Vec<&Value> =
        story["questions"].as_array().unwrap().iter().map(|question| &question["url"]).collect();
    let (one, two) = ("https://fr.idp.example/userinfo", "https://fr2.idp.example/u");
    assert_eq!(urls, [one, one, two, two, two]);
    let again: Vec<&Value> =
        story["questions"].as_array().unwrap().iter().map(|question| &question["again"]).collect();
    assert_eq!(again, [false, true, false, true, true]);
    assert_eq!(story["record"]["evidence"]["about"], "the connection, or the site");
    let text = explained(&["--region", "FR", "--no-answer"]).out;
    assert!(text.contains("calls GET https://fr2.idp.example/u again, after a pause"), "{text}");
    assert!(
        text.contains(
            "kept: no; removes the valid entry: no; calls another site: yes; an outdated"
        ),
        "{text}"
    );
    assert_eq!(story["record"]["outcome"], "unavailable");
    assert_eq!(story["record"]["reason"], "unreachable");
}

#[test]
fn oversized_answer_is_unusable() {
    let config = CONFIG.replacen('{', r#"{"max_userinfo_bytes": 8, "#, 1);
    let answer = here("tests/userinfo.json");
    let ran = run_with_input(&["explain", "--config", "-", "--userinfo", &answer], &config);
    assert!(ran.out.contains("outcome: unusable, reason too_large;"), "{}{}", ran.out, ran.err);
}

#[test]
fn preflight_and_forwarded_token() {
    let config =
        CONFIG.replacen('{', r#"{"preflight": "pass", "block_authorization_header": false, "#, 1);
    let preflight = ["explain", "--config", "-", "--method", "OPTIONS"];
    let headers =
        ["--header", "Origin: https://a.example", "--header", "Access-Control-Request-Method: GET"];
    let ran = run_with_input(&[&preflight[..], &headers].concat(), &config);
    assert!(ran.out.contains("outcome: preflight;"), "{}{}", ran.out, ran.err);
    let answer = here("tests/userinfo.json");
    let arguments = ["explain", "--config", "-", "--token", "t0ken", "--userinfo", &answer];
    let ran = run_with_input(&arguments, &config);
    assert!(ran.out.contains("  authorization: Bearer <token>\n  x-user-id: alice"), "{}", ran.out);
    assert!(!ran.out.contains("t0ken"), "{}", ran.out);
}

#[test]
fn instance_is_selected_from_a_bootstrap() {
    let reference = here("../envoy/envoy.yaml");
    let partners = "oidc-token-connector-partners";
    let ran = run(&["explain", "--config", &reference, "--instance", partners]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let asked = "calls POST https://idp.example/partners/userinfo through cluster idp_default, for \
                 up to 2000 ms, with\n";
    assert!(ran.out.starts_with(asked), "{}", ran.out);
    // With a shared cache the gate looks there first.
    let default = "oidc-token-connector";
    let ran = run(&["explain", "--config", &reference, "--instance", default, "--region", "DE"]);
    assert!(ran.out.starts_with("calls GET https://de.idp.example/userinfo"), "{}", ran.out);
}

#[test]
fn error_has_reason_and_remedy() {
    let reference = here("../envoy/envoy.yaml");
    let plain = r#"{"userinfo_endpoint": {"defaultURI": "https://idp.example/u"}}"#;
    let broken = r#"{"timeout": 1, "userinfo_endpoint": {"defaultURI": "https://idp.example/u"}}"#;
    for (input, arguments, message) in [
        ("", vec!["--config", &reference], "several instances; select one by --instance: oidc-"),
        (
            "",
            vec!["--config", &reference, "--instance", "x"],
            "no instance x; expected one of oidc-",
        ),
        (
            plain,
            vec!["--config", "-", "--instance", "x"],
            "no instance x; the file is a single configuration",
        ),
        ("admin: {}", vec!["--config", "-", "--instance", "x"], "no instance x; the file has none"),
        ("admin: {}", vec!["--config", "-"], "-: has no instance of the filter"),
        (broken, vec!["--config", "-"], "does not load this configuration:\n  timeout: got a"),
        (plain, vec!["--config", "-", "--region", "FR"], "has no regionCodeHeader"),
        ("{}", vec!["--config", "-", "--region", "FR"], "has no endpoint"),
        (
            plain,
            vec!["--config", "-", "--header", "X"],
            "--header: got no colon, expected NAME: VALUE",
        ),
        (plain, vec!["--config", "-", "--answer-header", "a: b"], "give the answer's --status"),
        (
            plain,
            vec!["--config", "-", "--userinfo", "no-such-file"],
            "no-such-file: cannot be read",
        ),
        (
            plain,
            vec!["--config", "-", "--token", "t", "--header", "Authorization: Bearer t"],
            "--token and a header Authorization: give only one of them",
        ),
        (plain, vec!["--config", "-", "--status", "99"], "'--status <CODE>'"),
        (plain, vec!["--config", "-", "--status", "200", "--no-answer"], "cannot be used with"),
    ] {
        let ran = run_with_input(&[&["explain"], &arguments[..]].concat(), input);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{arguments:?}");
        assert!(ran.err.contains(message), "{arguments:?}: {}", ran.err);
    }
}

#[test]
fn filter_state_is_printed() {
    let config = r#"{"userinfo_endpoint": {"defaultURI": "https://idp.example/userinfo"},
                     "filter_state": {"user": "$.sub"}}"#;
    let answer = here("tests/userinfo.json");
    let arguments = ["explain", "--config", "-", "--userinfo", &answer];
    let ran = run_with_input(&arguments, config);
    let sub = serde_json::from_str::<Value>(&std::fs::read_to_string(&answer).unwrap()).unwrap();
    let line = format!("filter state wasm.user: {}\n", sub["sub"].as_str().unwrap());
    assert!(ran.out.contains(&line), "{}{}", ran.out, ran.err);
}

const INTROSPECTION: &str = r#"{
    "introspection_endpoint": {"issuers": {
        "https://a.example": {"name": "a", "uri": "https://a.example/introspect"}},
        "defaultURI": "https://idp.example/introspect"},
    "introspection_client": {
        "a": {"client_id": "gate way", "client_secret": "s3cret", "auth_method": "client_secret_post"},
        "default": {"client_id": "gateway", "client_secret": "s3cret"}},
    "region_header": "X-Issuer",
    "require_scope": ["orders:read"], "require_audience": ["orders"],
    "require_claims": {"$.tier": ["gold", 1.50], "$.azp": {"any": ["shop"], "of": "token"}},
    "inject_headers": {"default": {"X-User": {"path": "$.username", "required": true}},
                       "a": {"X-User": {"path": "$.username", "required": true}}}}"#;

/// A JWT of this payload, whose signature nobody looks at.
fn jwt(payload: &str) -> String {
    use base64::Engine as _;
    let part = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    [part(r#"{"alg":"RS256"}"#), part(payload), part("signature")].join(".")
}

/// `explain` with a configuration and an answer, as text; neither token nor secret is in it.
fn with_answer(config: &str, token: &str, answer: &str) -> String {
    let file = std::env::temp_dir().join(format!("oidc-explain-{}.json", std::process::id()));
    let thread = format!("{:?}", std::thread::current().id()).replace(['(', ')'], "");
    let file = file.with_extension(format!("{thread}.json"));
    std::fs::write(&file, answer).unwrap();
    let file = file.to_str().unwrap();
    let mut texts = Vec::new();
    for format in ["text", "json"] {
        let arguments =
            ["explain", "--config", "-", "--format", format, "--token", token, "--userinfo", file];
        let ran = run_with_input(&arguments, config);
        assert_eq!(ran.code, 0, "{}", ran.err);
        for secret in [token, "s3cret", "czNjcmV0", "Z2F0ZXdheTpzM2NyZXQ"] {
            assert!(!ran.out.contains(secret) && !ran.err.contains(secret), "{}", ran.out);
        }
        texts.push(ran.out);
    }
    std::fs::remove_file(file).unwrap();
    texts.remove(0)
}

#[test]
fn introspection_prints_the_form_without_token_and_secret() {
    let post = with_answer(INTROSPECTION, &jwt(r#"{"iss":"https://a.example"}"#), "{}");
    let expected = "\
calls POST https://a.example/introspect through cluster a.example, for up to 5000 ms, with
  accept: application/json
  accept-encoding: identity
  user-agent: <version>
  content-type: application/x-www-form-urlencoded
  form token=<token>
  form token_type_hint=access_token
  form client_id=gate%20way
  form client_secret=<secret>
region a: the issuer that the token names selects it
";
    let version = concat!("oidc-token-connector/", env!("CARGO_PKG_VERSION"));
    let post = post.replace(version, "<version>");
    assert!(post.starts_with(expected), "{post}");
    let basic = with_answer(INTROSPECTION, "0paque-t0ken", "{}").replace(version, "<version>");
    let expected = "\
calls POST https://idp.example/introspect through cluster idp.example, for up to 5000 ms, with
  accept: application/json
  accept-encoding: identity
  user-agent: <version>
  authorization: Basic <client and secret>
  content-type: application/x-www-form-urlencoded
  form token=<token>
  form token_type_hint=access_token
region default: the token names no issuer
";
    assert!(basic.starts_with(expected), "{basic}");
}

/// The row is that of the introspection endpoint's answer, and not of a missing subject.
#[test]
fn introspection_that_says_no_has_a_row_of_its_own() {
    let out = with_answer(INTROSPECTION, "0paque-t0ken", r#"{"active": false}"#);
    let row = "\nthe provider's answer: an introspection response that says no: `active` false, ";
    assert!(out.contains(row) && out.contains("reason inactive"), "{out}");
    let other = r#"{"active": true, "iss": "https://b.example"}"#;
    let out = with_answer(INTROSPECTION, &jwt(r#"{"iss":"https://a.example"}"#), other);
    let row = "\nthe provider's answer: 200, a JSON object without the subject";
    assert!(out.contains(row) && out.contains("reason other_issuer"), "{out}");
}

/// Nobody is asked about a token of another issuer, and the reason is there all the same.
#[test]
fn unlisted_issuer_is_the_reason_of_a_refusal() {
    let default = r#","defaultURI": "https://idp.example/userinfo""#;
    for (default, token, region) in [
        ("", r#"{"iss":"https://b.example"}"#, "names an issuer that issuers does not list"),
        ("", r#"{"sub":"u"}"#, "names no issuer"),
        (default, r#"{"sub":"u"}"#, "looks like a JWT, and names no issuer that can be read"),
    ] {
        let config = format!(
            r#"{{"userinfo_endpoint": {{"issuers": {{
                   "https://a.example": {{"name": "a", "uri": "https://a.example/userinfo"}}}}{default}}},
                 "region_header": "X-Issuer"}}"#
        );
        let out = with_answer(&config, &jwt(token), "{}");
        assert!(out.starts_with(&format!("region none: the token {region}\nanswers 401")), "{out}");
        assert!(out.contains("outcome: wrong_issuer, reason unknown_issuer"), "{out}");
    }
}

#[test]
fn rule_that_is_not_fulfilled_is_named_with_its_document() {
    let token = jwt(r#"{"iss":"https://a.example","azp":"shop","aud":"orders"}"#);
    let answer = |more: &str| format!(r#"{{"active": true, "iss": "https://a.example"{more}}}"#);
    for (token, more, outcome, rule) in [
        (
            &token,
            "",
            "wrong_audience",
            "require_audience: `aud` of the response: got nothing, expected \"orders\"",
        ),
        (
            &token,
            r#", "aud": ["a", "b"]"#,
            "wrong_audience",
            "require_audience: `aud` of the response: got an array of other texts, expected \
             \"orders\"",
        ),
        (
            &token,
            r#", "aud": "orders""#,
            "forbidden",
            "require_scope: `scope`, else `scp`, of the response: got nothing, expected \
             \"orders:read\"",
        ),
        (
            &token,
            r#", "aud": "orders", "scope": "orders:read", "tier": "silver""#,
            "claim_refused",
            "require_claims: $.tier of the response: got another text, expected one of \"gold\", 1.50",
        ),
        (
            &token,
            r#", "aud": "orders", "scope": "orders:read", "tier": 1.5"#,
            "claim_refused",
            "require_claims: $.tier of the response: got another number, or one written in another \
             way, expected one of \"gold\", 1.50",
        ),
        (
            &jwt(r#"{"iss":"https://a.example","azp":"other"}"#),
            r#", "aud": "orders", "scope": "orders:read", "tier": 1.50"#,
            "claim_refused",
            "require_claims: $.azp of the token: got another text, expected \"shop\"",
        ),
        (
            &"0paque-t0ken".to_owned(),
            r#", "aud": "orders", "scope": "orders:read", "tier": "gold""#,
            "claim_refused",
            "require_claims: $.azp of the token, which is no JWT whose claims can be read: got \
             nothing, expected \"shop\"",
        ),
        (
            &token,
            r#", "aud": "orders", "scope": "orders:read", "tier": "gold""#,
            "claim_refused",
            "required: no valid value for x-user in the response: its path finds nothing, null or \
             an empty text",
        ),
    ] {
        let out = with_answer(INTROSPECTION, token, &answer(more));
        assert!(out.contains(&format!("\nnot fulfilled: {rule}\n")), "{rule}: {out}");
        assert!(out.contains(&format!("\noutcome: {outcome}, ")), "{outcome}: {out}");
    }
    let whole = r#", "aud": "orders", "scope": "orders:read", "tier": "gold", "username": "u""#;
    let out = with_answer(INTROSPECTION, &token, &answer(whole));
    assert!(out.contains("outcome: pass; access log pass;asked;a\n"), "{out}");
    assert!(!out.contains("not fulfilled"), "{out}");
}

/// What the document has instead, by its kind, with the way to mean a list's elements.
#[test]
fn claim_that_is_refused_is_told_by_its_kind() {
    for (rule, answer, expected) in [
        (
            r#"{"$.groups": "staff"}"#,
            r#"{"groups": ["staff"]}"#,
            "$.groups of the response: got an array, expected \"staff\"; `$.groups[*]` selects its \
             elements",
        ),
        (
            r#"{"$.groups": ["staff", true]}"#,
            r#"{"groups": {"a": "staff"}}"#,
            "$.groups of the response: got an object, expected one of \"staff\", true; `$.groups[*]` \
             selects its members",
        ),
        (
            r#"{"$.groups[*]": "staff"}"#,
            r#"{"groups": "staff"}"#,
            "$.groups[*] of the response: got nothing: `$.groups` is a text, in which `$.groups[*]` \
             selects nothing, expected \"staff\"",
        ),
        (
            r#"{"$.groups[*]": "staff"}"#,
            r#"{"groups": ["users", 7, "guests"]}"#,
            "$.groups[*] of the response: got another text, a number, expected \"staff\"",
        ),
        (
            r#"{"$.level": 7}"#,
            r#"{"level": 7.0}"#,
            "$.level of the response: got another number, or one written in another way, expected 7",
        ),
        (
            r#"{"$.level": 7}"#,
            r#"{"level": "7"}"#,
            "$.level of the response: got a text, expected 7",
        ),
        (
            r#"{"$.paid": true}"#,
            r#"{"paid": false}"#,
            "$.paid of the response: got false, expected true",
        ),
        (r#"{"$.paid": true}"#, "{}", "$.paid of the response: got nothing, expected true"),
        (
            r#"{"$.paid": {"any": ["a", "b", "c", "d", "e", "f", "g"]}}"#,
            r#"{"paid": null}"#,
            "$.paid of the response: got null, expected one of \"a\", \"b\", \"c\", \"d\", \"e\" and \
             2 more",
        ),
    ] {
        let config = format!(
            r#"{{"userinfo_endpoint": {{"defaultURI": "https://idp.example/userinfo"}},
                 "require_claims": {rule}}}"#
        );
        let out = with_answer(&config, "0paque-t0ken", answer);
        let expected = format!("\nnot fulfilled: require_claims: {expected}\n");
        assert!(out.contains(&expected), "{expected}: {out}");
    }
}

/// With UserInfo these are read from the token alone.
#[test]
fn rules_of_userinfo_read_the_token() {
    let config = r#"{"userinfo_endpoint": {"defaultURI": "https://idp.example/userinfo"},
                     "require_issuer": ["https://a.example"]}"#;
    let answer = r#"{"sub": "u", "iss": "https://a.example"}"#;
    let out = with_answer(config, "0paque-t0ken", answer);
    let rule = "require_issuer: `iss` of the token, which is no JWT whose claims can be read: got \
                nothing, expected \"https://a.example\"";
    assert!(out.contains(&format!("not fulfilled: {rule}\n")), "{out}");
    assert!(out.contains("outcome: wrong_issuer, "), "{out}");
    let out = with_answer(config, &jwt(r#"{"iss":"https://a.example"}"#), answer);
    assert!(out.contains("outcome: pass; "), "{out}");
}

#[test]
fn anonymous_requests_and_the_metadata() {
    let config = r#"{"userinfo_endpoint": {"defaultURI": "https://idp.example/userinfo"},
        "credentials": "optional", "anonymous_header": "X-Anonymous",
        "protected_resource": {"resource": "https://api.example/mcp",
                               "authorization_servers": ["https://idp.example"]}}"#;
    let explain = |arguments: &[&str]| {
        let ran = run_with_input(&[&["explain", "--config", "-"], arguments].concat(), config);
        assert_eq!(ran.code, 0, "{}", ran.err);
        ran.out
    };
    let out = explain(&["--no-token", "--header", "X_Anonymous: false"]);
    assert!(out.contains("\n  x-anonymous: true  (set by the filter)\n"), "{out}");
    assert!(out.contains("\nremoved: x_anonymous\n"), "{out}");
    assert!(out.ends_with("outcome: anonymous; access log anonymous;none;none\n"), "{out}");
    let path = "/.well-known/oauth-protected-resource/mcp?a=b";
    let out = explain(&["--no-token", "--path", path, "--authority", "api.example"]);
    assert!(out.starts_with("answers 200 with\n"), "{out}");
    assert!(out.contains(r#"{"resource":"https://api.example/mcp""#), "{out}");
    assert!(out.contains("outcome: metadata"), "{out}");
    assert!(!out.contains("no metadata"), "{out}");
    let elsewhere = explain(&["--no-token", "--path", path]);
    assert!(elsewhere.contains("outcome: anonymous"), "{elsewhere}");
    let why = "\nno metadata: the path is that of the metadata, and :authority is gateway.example, \
               expected api.example: give --authority api.example";
    assert!(elsewhere.contains(why), "{elsewhere}");
    let other = explain(&["--no-token", "--path", "/.well-known/oauth-protected-resource"]);
    assert!(!other.contains("no metadata"), "{other}");
}

/// A signed UserInfo response is read as the filter reads it.
#[test]
fn signed_userinfo_is_read_as_its_payload() {
    let config = r#"{"userinfo_endpoint": {"defaultURI": "https://idp.example/userinfo"},
                     "userinfo_jwt": "trust_tls", "require_claims": {"$.tier": "gold"},
                     "inject_headers": {"X-User": "$.sub", "X-Mail": "$.email"}}"#;
    let file = std::env::temp_dir().join(format!("oidc-explain-{}.jwt", std::process::id()));
    let explain = |payload: &str| {
        std::fs::write(&file, jwt(payload)).unwrap();
        let answer = ["--userinfo", file.to_str().unwrap(), "--answer-header"];
        let arguments =
            [&["explain", "--config", "-"][..], &answer, &["content-type: application/jwt"]];
        run_with_input(&arguments.concat(), config).out
    };
    let out = explain(r#"{"sub": "u", "tier": "gold"}"#);
    assert!(out.contains("\n  x-user: u  (set by the filter)\n"), "{out}");
    assert!(
        out.contains("left out x-mail: its path finds nothing, null or an empty text"),
        "{out}"
    );
    let out = explain(r#"{"sub": "u"}"#);
    let rule = "not fulfilled: require_claims: $.tier of the response: got nothing, expected \
                \"gold\"\n";
    assert!(out.contains(rule), "{out}");
    std::fs::remove_file(file).unwrap();
}

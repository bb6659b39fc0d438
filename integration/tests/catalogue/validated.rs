//! Rows 205–226: introspection, the vouched token's own claims, and rules about them. What needs several
//! requests in order, or a configuration of its own, is a test of its own; the table says where.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use integration::Reply;
use serde_json::{Value, json};

use crate::row::{CANARY_CLAIM, CANARY_TOKEN, Row, claims, row};
use crate::worlds::{INTROSPECTS, REQUIRES};

const VALIDATION: &str = "integration/tests/validation/introspection.rs";
const RULES: &str = "integration/tests/validation/rules.rs";

/// Case, file, test.
pub const TESTS: &[(u32, &str, &str)] = &[
    (211, VALIDATION, "refused_client_is_no_verdict_and_no_outage"),
    (220, VALIDATION, "two_clients_have_verdicts_of_their_own"),
    (221, RULES, "each_route_judges_the_kept_verdict_by_its_own_rules"),
    (222, VALIDATION, "nothing_shows_the_secret"),
    (223, RULES, "swapped_payload_is_another_token"),
];

/// The rows.
pub fn rows() -> Vec<Row> {
    [active(), members(), foreign(), tokens(), required()].concat()
}

fn said(members: &Value) -> Reply {
    let mut document = claims();
    let active = json!({"active": true});
    for (name, value) in active.as_object().into_iter().chain(members.as_object()).flatten() {
        document[name] = value.clone();
    }
    Reply::json(200, &document)
}

fn introspected(number: &str, what: &str, members: &Value) -> Row {
    row(number, what).world(INTROSPECTS).answers(said(members))
}

/// 205: only the boolean counts.
fn active() -> Vec<Row> {
    let no_active = "unusable:no_active";
    let unusable = |number, what, value| {
        introspected(number, what, &json!({"active": value})).refused(401, no_active)
    };
    vec![
        introspected("205a", "active", &json!({})),
        introspected("205b", "inactive with a subject", &json!({"active": false}))
            .refused(401, "invalid_token:inactive"),
        unusable("205c", "active as text", json!("true")),
        unusable("205d", "active as a number", json!(1)),
        unusable("205e", "active is null", json!(null)),
        unusable("205f", "active as a list", json!([true])),
        row("205g", "a UserInfo document").world(INTROSPECTS).refused(401, no_active),
        row("205h", "active twice")
            .world(INTROSPECTS)
            .answers(
                Reply::text(200, r#"{"active":false,"active":true}"#)
                    .header("content-type", "application/json"),
            )
            .refused(401, "unusable:not_a_json_object"),
    ]
}

/// 206, 214 to 216: what an active response says against the token.
fn members() -> Vec<Row> {
    let refused = |number, what, members: Value, reason| {
        introspected(number, what, &members).refused(401, reason)
    };
    let (expired, other) = ("invalid_token:expired", "invalid_token:other_kind");
    let early = "invalid_token:not_yet_valid";
    vec![
        refused("206a", "exp in the past", json!({"exp": 1_000_000_000}), expired),
        refused("206b", "exp that is no date", json!({"exp": "soon"}), expired),
        introspected("206c", "exp in the future", &json!({"exp": 9_999_999_999_u64})),
        refused("214a", "a refresh token", json!({"token_use": "refresh_token"}), other),
        refused("214b", "a refresh token by typ", json!({"typ": "Refresh"}), other),
        refused("214c", "an ID token", json!({"typ": "ID"}), other),
        refused("214d", "another token type", json!({"token_type": "N_A"}), other),
        introspected("214e", "the token type in another case", &json!({"token_type": "BEARER"})),
        refused("215", "bound to a key", json!({"cnf": {"jkt": "x"}}), "invalid_token:key_bound"),
        refused("216", "nbf far ahead", json!({"nbf": 9_999_999_999_u64}), early),
    ]
}

/// 210, 212, 213, 217: answers of another kind, and the form to the byte.
fn foreign() -> Vec<Row> {
    let odd = "a+b/c~d.e-f_g==";
    vec![
        row("210", "200 with an OAuth error")
            .world(INTROSPECTS)
            .answers(Reply::json(200, &json!({"error": "invalid_token", "sub": CANARY_CLAIM})))
            .refused(401, "unusable:no_active"),
        introspected("212", "a token of every character", &json!({}))
            .bearer(format!("{CANARY_TOKEN}{odd}")),
        introspected("213", "a signed response", &json!({}))
            .answers(
                Reply::text(200, format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(CANARY_CLAIM)))
                    .header("content-type", "application/token-introspection+jwt"),
            )
            .refused(401, "unusable:jwt"),
        row("217", "an error about the kind of token")
            .world(INTROSPECTS)
            .answers(Reply::json(400, &json!({"error": "unsupported_token_type"})))
            .refused(401, "invalid_token:other_kind"),
    ]
}

/// A token that the provider vouches for, in the world that requires something of its payload.
fn bearing(number: &str, what: &str, header: &Value, payload: &[u8]) -> Row {
    let header = header.to_string();
    let parts = [header.as_bytes(), payload, CANARY_TOKEN.as_bytes()];
    let token = parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    row(number, what).world(REQUIRES).bearer(token)
}

/// 218, 219, 224: tokens that two readers could take for different ones have no claims.
fn tokens() -> Vec<Row> {
    let plain = json!({"alg": "RS256"});
    let good = br#"{"scope":"orders","aud":"api"}"#;
    let doubtful = |number, what, header: &Value, payload: &[u8]| {
        bearing(number, what, header, payload)
            .refused(401, "wrong_audience:audience_missing")
            .calls(1)
    };
    vec![
        bearing("218a", "a token with all that is required", &plain, good),
        doubtful("218b", "alg none", &json!({"alg": "none"}), good),
        doubtful("218c", "no alg", &json!({}), good),
        doubtful("218d", "a critical extension", &json!({"alg": "a", "crit": ["x"]}), good),
        doubtful("218e", "an unencoded payload", &json!({"alg": "a", "b64": false}), good),
        doubtful("219a", "a payload that is no JSON", &plain, b"scope=orders"),
        doubtful("219b", "a payload that is a list", &plain, b"[1]"),
        doubtful("219c", "a member twice", &plain, br#"{"scope":"orders","aud":"x","aud":"api"}"#),
        doubtful(
            "219d",
            "a byte order mark",
            &plain,
            b"\xef\xbb\xbf{\"scope\":\"orders\",\"aud\":\"api\"}",
        ),
        doubtful("219e", "bytes that are no UTF-8", &plain, b"{\"aud\":\"api\",\"x\":\"\xff\"}"),
        row("224", "an opaque token")
            .world(REQUIRES)
            .refused(401, "wrong_audience:audience_missing")
            .calls(1),
    ]
}

/// 207 to 209, 225, 226: what is required of the payload.
fn required() -> Vec<Row> {
    let plain = json!({"alg": "RS256"});
    let bearing = |number, what, payload: Value| {
        bearing(number, what, &plain, payload.to_string().as_bytes())
    };
    let audience = |row: Row| row.refused(401, "wrong_audience:audience_missing").calls(1);
    let scope = |row: Row| row.refused(403, "forbidden:scope_missing");
    vec![
        bearing("207a", "aud as a list", json!({"scope": "orders", "aud": ["x", "api"]})),
        audience(bearing("207b", "no aud", json!({"scope": "orders"}))),
        audience(bearing("207c", "another aud", json!({"scope": "orders", "aud": "api2"}))),
        audience(bearing("207d", "a list of lists", json!({"scope": "orders", "aud": [["api"]]}))),
        audience(bearing(
            "207e",
            "a number in the list",
            json!({"scope": "orders", "aud": ["api", 1]}),
        )),
        audience(bearing(
            "207f",
            "aud as an object",
            json!({"scope": "orders", "aud": {"api": 1}}),
        )),
        bearing(
            "208",
            "an issuer of which nothing is required",
            json!({"scope": "orders", "aud": "api", "iss": "x"}),
        ),
        scope(bearing("209a", "another scope", json!({"scope": "ordersx", "aud": "api"}))),
        scope(bearing("209b", "no scope", json!({"aud": "api"}))),
        scope(bearing("209c", "scope as a number", json!({"scope": 1, "aud": "api"}))),
        bearing("225", "scp as a list", json!({"scp": ["x", "orders"], "aud": "api"})),
        scope(bearing(
            "226",
            "scope of another type beside scp",
            json!({"scope": 1, "scp": ["orders"], "aud": "api"}),
        )),
    ]
}

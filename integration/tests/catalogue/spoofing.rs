//! Rows 25–52: identity headers that the client writes itself.

use integration::Reply;
use serde_json::{Value, json};

use crate::row::{CANARY_CLAIM, Row, Skip, row};

/// The rows.
pub fn rows() -> Vec<Row> {
    let mut rows = claims();
    rows.extend(regions());
    rows.extend(spellings());
    rows.extend(other_paths());
    rows.extend(connection());
    rows.extend(around());
    rows
}

/// 25–28
fn claims() -> Vec<Row> {
    let forged_mail = |n, what: &str| row(n, what).forged("X-User-Email", "admin@example.com");
    // `[]`, `{}`, `false` and `0` are values here, as in the source system; `null` and `""` are not.
    let mail = |n, value: Value, header: Option<&str>| {
        let mut lines = vec![("x-user-id", CANARY_CLAIM), ("x-user-region", "default")];
        lines.extend(header.map(|text| ("x-user-email", text)));
        forged_mail(n, &format!("the claim is {value}"))
            .claims(&json!({"sub": CANARY_CLAIM, "email": value}))
            .identity(&lines)
    };
    vec![
        row(25, "a forged header, the claim is there").forged("X-User-Id", "admin"),
        forged_mail("26", "a forged header, the claim is missing"),
        mail("27a", json!(null), None),
        mail("27b", json!(""), None),
        mail("27c", json!({}), Some("{}")),
        mail("27d", json!([]), Some("[]")),
        mail("27e", json!(false), Some("false")),
        mail("27f", json!(0), Some("0")),
        // The claim that can be required is `sub`: without it the token is not valid.
        row(28, "the required claim is missing")
            .world("subject")
            .claims(&json!({"name": "Ada"}))
            .refused(401, "invalid_token:no_subject"),
    ]
}

/// 29: headers of every other region than the one chosen.
fn regions() -> Vec<Row> {
    let headers = [("default", "X-User-Name"), ("eu", "X-Eu-Unit"), ("us", "X-Us-Account")];
    let mut rows = Vec::new();
    for (chosen, _) in headers {
        for (other, name) in headers.into_iter().filter(|(other, _)| *other != chosen) {
            let row = row(format!("29-{chosen}-{other}"), format!("{name} in {chosen}"));
            let row = row
                .forged(name, "admin")
                .claims(&json!({"sub": CANARY_CLAIM}))
                .region(chosen)
                .identity(&[("x-user-id", CANARY_CLAIM), ("x-user-region", chosen)]);
            rows.push(if chosen == "default" { row } else { row.header("x-region", chosen) });
        }
    }
    rows
}

/// 31–37
fn spellings() -> Vec<Row> {
    let forged = |n: &str, name: &str| row(n, name).forged(name, "admin");
    let mut rows = vec![
        row("31a", "the header twice").forged("X-User-Id", "a").forged("X-User-Id", "b"),
        // Envoy accepts at most 100 headers, so 90 copies instead of 100.
        (0..90).fold(row("31b", "the header 90 times"), |row, n| {
            row.forged("X-User-Id", n.to_string())
        }),
        forged("32a", "x-uSeR-iD"),
        row("32b", "capitals in HTTP/2")
            .http2(with_field("X-User-Id", "admin"))
            .envoy(&[400, 0])
            .not(Skip::Http1, "32a is the same in HTTP/1.1"),
        forged("33a", "x_user_id"),
        forged("33b", "x-user_id"),
        forged("33c", "x_user-id"),
        // Gateways behind may fold any sign, so all of them are stripped.
        forged("33d", "x.user.id"),
        forged("33e", "x!user~id"),
        forged("33f", "X_User_Email"),
        forged("33g", "x_user_region"),
        // The reference configuration refuses underscores in any name.
        forged("33h", "x_user_id").world("reference").envoy(&[400, 0]),
        forged("33i", "x.user.id").world("reference"),
        row("34a", "a Cyrillic letter in the name").header("x-us\u{435}r-id", "admin").envoy(&[400, 0]),
        row("34b", "a blank after the name")
            .http1("GET {path} HTTP/1.1\r\nhost: a\r\nx-user-id : admin\r\nauthorization: Bearer {t}\r\n\r\n")
            .http2(with_field("x-user-id ", "admin"))
            .envoy(&[400, 0]),
        row("34c", "a colon in the name")
            .http2(with_field("x-user-id:", "admin"))
            .envoy(&[400, 0])
            .not(Skip::Http1, "HTTP/1.1 would read a value that starts with a colon"),
    ];
    let trailers = |n, what| {
        row(n, what)
            .method("POST")
            .body("hello")
            .forged_trailer("X-User-Id", "admin")
            .forged_trailer("x_user_email", "admin@example.com")
            .trailer("x-checksum", "5")
    };
    rows.extend([
        trailers("35a", "forged trailers, HTTP/2 upstream").world("trailers"),
        trailers("35b", "forged trailers, HTTP/1.1 upstream"),
        row("35c", "the header forged in head and trailers")
            .world("trailers")
            .forged("X-User-Id", "admin")
            .method("POST")
            .body("hello")
            .forged_trailer("x-user-id", "admin"),
        // Only configured names are stripped: the -bin variant is another name.
        row(36, "gRPC metadata")
            .world("trailers")
            .method("POST")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .forged("x-user-id", "admin")
            .header("x-user-id-bin", "YWRtaW4")
            .body([0, 0, 0, 0, 0]),
        row(37, "the header of the region").forged("X-User-Region", "us"),
    ]);
    rows
}

/// An HTTP/2 request with one more field.
fn with_field(name: &str, value: &str) -> Vec<(String, String)> {
    [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "gateway.example"),
        (":path", "{path}"),
        ("authorization", "Bearer {t}"),
        (name, value),
    ]
    .map(|(n, v)| (n.to_owned(), v.to_owned()))
    .into()
}

/// 39–41
fn other_paths() -> Vec<Row> {
    let preflight = |n, what| {
        row(n, what)
            .method("OPTIONS")
            .no_authorization()
            .header("origin", "https://app.example")
            .header("access-control-request-method", "PUT")
    };
    let refused = |n, what| row(n, what).forged("X-User-Id", CANARY_CLAIM);
    vec![
        // The filter is off on such a route; the reference configuration has Envoy strip there.
        row(39, "a public path")
            .world("reference")
            .under("/public")
            .no_authorization()
            .forged("X-User-Id", "admin")
            .forged("X-User-Region", "us")
            .identity(&[])
            .calls(0)
            .counted(&[])
            .logged("-"),
        preflight("40", "a preflight that may pass")
            .world("preflight")
            .forged("X-User-Id", "admin")
            .forged("x_user_email", "admin@example.com")
            .forged("X-Us-Account", "1")
            .identity(&[])
            .calls(0)
            .counted(&["preflight"])
            .logged("preflight;none;none"),
        refused("41a", "refused for its credentials")
            .no_authorization()
            .refused(401, "no_credentials:absent"),
        refused("41b", "refused by the provider")
            .answers(Reply::json(403, &json!({"error": "insufficient_scope"})))
            .reply_header("www-authenticate", "Bearer realm=\"api\", error=\"insufficient_scope\"")
            .refused(403, "forbidden:provider_4xx"),
        refused("41c", "refused for want of an answer")
            .answers(Reply::close())
            .refused(401, "unavailable:unreachable")
            .calls(3),
    ]
}

/// 42–46
fn connection() -> Vec<Row> {
    let nominate = |n, what, value: &str| {
        row(n, what)
            .forged("connection", value)
            .not(Skip::Http2, "HTTP/2 has no Connection; 46 sends one")
    };
    let nine = "a, b, c, d, e, f, g, h, i";
    vec![
        nominate("42a", "Connection names the identity header", "X-User-Id")
            .forged("x-user-id", "admin"),
        nominate("42b", "Connection names the token", "authorization")
            .refused(401, "no_credentials:absent"),
        // On an upgrade Envoy leaves Connection as it is, and the next hop would delete what it
        // names.
        nominate("43", "an upgrade's Connection", "Upgrade, X-User-Id, Authorization")
            .world("tunnel")
            .header("upgrade", "websocket")
            .arriving("connection", "upgrade")
            .passes_with(101),
        nominate("44", "Connection names the region header", "X-Region").forged("x-region", "eu"),
        // Envoy's limit, from both sides; Connection itself is never forwarded.
        nominate("45a", "Connection with nine tokens", nine),
        nominate("45b", "Connection with ten tokens", &format!("{nine}, j")).envoy(&[400]),
        row("46a", "Connection in HTTP/2")
            .http2(with_field("connection", "x-user-id"))
            .envoy(&[400, 0])
            .not(Skip::Http1, "42 is the same in HTTP/1.1"),
        row("46b", "Transfer-Encoding in HTTP/2")
            .http2(with_field("transfer-encoding", "chunked"))
            .envoy(&[400, 0])
            .not(Skip::Http1, "HTTP/1.1 means something by it"),
    ]
}

/// 47–52
fn around() -> Vec<Row> {
    let long = "x".repeat(8 << 10);
    vec![
        row("47a", "headers like Authorization")
            .header("authorization_", "Bearer {t}")
            .header("x-authorization", "Bearer {t}"),
        row("47b", "Authorization twice, the same")
            .and_authorization("Bearer {t}")
            .header("x-authorization", "a")
            .refused(401, "malformed:not_a_token"),
        row("48a", "the token is forwarded").world("forward"),
        row("48b", "the token is forwarded to the letter")
            .world("forward")
            .authorization("bEaReR   {t}"),
        row(49, "the upstream's own headers")
            .upstream_answers(401, &[("x-user-id", "7"), ("www-authenticate", "Basic realm=\"b\"")])
            .passes_with(401)
            .reply_header("x-user-id", "7")
            .reply_header("www-authenticate", "Basic realm=\"b\""),
        // Envoy selects the route again after the filter's edits: by the true identity.
        row("50a", "a forged header would select another route")
            .world("routes")
            .forged("x-user-id", "teapot"),
        row("50b", "the identity selects a route")
            .world("routes")
            .claims(&json!({"sub": "vip"}))
            .identity(&[("x-user-id", "vip"), ("x-user-region", "default"), ("x-route", "vip")]),
        // Over 4 KiB a claim is invalid, and its header absent: it is never cut short.
        row(51, "claims of 8 KiB")
            .claims(&json!({"sub": CANARY_CLAIM, "name": long, "email": long, "groups": [long]}))
            .identity(&[("x-user-id", CANARY_CLAIM), ("x-user-region", "default")]),
        row("52a", "a retry carries our headers")
            .world("again")
            .forged("x-user-id", "admin")
            .upstream_answers(503, &[])
            .arrivals(2),
        row("52b", "a mirrored request carries our headers")
            .world("mirror")
            .forged("x-user-id", "admin")
            .arrivals(2),
        // Where tokens are stripped, a redirected request has none and gets 401; so this row runs
        // where they are forwarded, and the provider gets a second call.
        row("52c", "a redirect inside Envoy carries our headers")
            .world("redirect")
            .forged("x-user-id", "admin")
            .upstream_answers(302, &[("location", "http://gateway.example/redirected")])
            .elsewhere()
            .arrivals(2)
            .calls(2)
            .counted(&["pass", "pass"]),
    ]
}

//! Rows 81–128: the provider's answers.

use std::time::Duration;

use integration::Reply;
use serde_json::{Value, json};

use crate::row::{CANARY_CLAIM, CANARY_TOKEN, Row, Skip, claims, expired, good, row};

const NOT_AN_OBJECT: &str = "unusable:not_a_json_object";
const TOO_LARGE: &str = "unusable:too_large";
const ENCODED: &str = "unusable:encoded";
const JWT: &str = "unusable:jwt";
const UNEXPECTED: &str = "unavailable:unexpected_status";
const REDIRECT: &str = "unavailable:redirect";
const CUT_OFF: &str = "unavailable:cut_off";
const UNREACHABLE: &str = "unavailable:unreachable";

/// The rows.
pub fn rows() -> Vec<Row> {
    let mut rows = types();
    rows.extend(documents());
    rows.extend(numbers());
    rows.extend(subjects());
    rows.extend(texts());
    rows.extend(lists());
    rows.extend(sizes());
    rows.extend(statuses());
    rows.extend(refusals());
    rows.extend(transport());
    rows.extend(headers());
    rows
}

/// A 200 that says it is JSON, with these bytes.
fn answer(number: impl ToString, what: impl ToString, body: impl AsRef<[u8]>) -> Row {
    let reply = Reply::text(200, body).header("content-type", "application/json");
    row(number, what).answers(reply)
}

/// A 200 whose bytes are not a valid UserInfo document.
fn no_document(number: impl ToString, what: impl ToString, body: impl AsRef<[u8]>) -> Row {
    answer(number, what, body).refused(401, NOT_AN_OBJECT)
}

/// A good answer with this JSON text as the claim `name`, and the header that comes of it.
fn name(number: impl ToString, what: impl ToString, json: &str, header: Option<&str>) -> Row {
    let body = format!(r#"{{"sub":"{CANARY_CLAIM}","name":{json}}}"#);
    answer(number, what, body).identity(&identity("x-user-name", header))
}

fn identity<'h>(name: &'h str, value: Option<&'h str>) -> Vec<(&'h str, &'h str)> {
    let mut identity = vec![("x-user-id", CANARY_CLAIM), ("x-user-region", "default")];
    identity.extend(value.map(|value| (name, value)));
    identity
}

fn typed(content_type: &str) -> Reply {
    Reply::text(200, claims().to_string()).header("content-type", content_type)
}

/// 81–86: what the answer says it is.
fn types() -> Vec<Row> {
    let html = format!("<html><body>Sign in, {CANARY_CLAIM}</body></html>");
    vec![
        row(81, "200 with a subject alone")
            .claims(&json!({"sub": CANARY_CLAIM}))
            .identity(&identity("", None)),
        no_document(82, "200 without a body", ""),
        row("83a", "a sign-in page")
            .answers(Reply::text(200, &html).header("content-type", "text/html; charset=utf-8"))
            .refused(401, NOT_AN_OBJECT),
        no_document("83b", "a sign-in page that says it is JSON", &html),
        row("83c", "JSON that says it is a page")
            .answers(typed("text/html"))
            .refused(401, NOT_AN_OBJECT),
        row("84a", "JSON without a content-type").answers(Reply::text(200, claims().to_string())),
        row("84b", "JSON as text/plain").answers(typed("text/plain")).refused(401, NOT_AN_OBJECT),
        row("84c", "content-type with parameters, in capitals")
            .answers(typed("Application/JSON; charset=UTF-8")),
        row("84d", "a +json type").answers(typed("application/vnd.idp.user+json")),
        row("84e", "only begins like JSON")
            .answers(typed("application/jsonp"))
            .refused(401, NOT_AN_OBJECT),
        row("85a", "two content-types, the page first")
            .answers(typed("text/html").header("content-type", "application/json"))
            .refused(401, NOT_AN_OBJECT),
        row("85b", "two content-types, JSON first")
            .answers(typed("application/json").header("content-type", "text/html"))
            .refused(401, NOT_AN_OBJECT),
        row("86a", "a signed answer")
            .answers(
                Reply::text(200, "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.")
                    .header("content-type", "application/jwt"),
            )
            .refused(401, JWT),
        row("86b", "plain JSON that says it is signed")
            .answers(typed("application/jwt"))
            .refused(401, JWT),
    ]
}

/// 87–94: what JSON is.
fn documents() -> Vec<Row> {
    let good = claims().to_string();
    let utf16: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let nested =
        |n: usize| format!(r#"{{"sub":"{CANARY_CLAIM}","a":{}{}}}"#, "[".repeat(n), "]".repeat(n));
    let members: Vec<String> = (0..10_000).map(|n| format!(r#""{n}":1"#)).collect();
    let mut rows = vec![
        no_document("87a", "a byte order mark", [b"\xef\xbb\xbf", good.as_bytes()].concat()),
        no_document("88a", "UTF-16", &utf16),
        no_document("88b", "UTF-16 with its mark", [b"\xff\xfe", utf16.as_slice()].concat()),
        no_document("88c", "invalid UTF-8", b"{\"sub\":\"a\xff\"}"),
        no_document("88d", "an overlong encoding", b"{\"sub\":\"\xc0\xaf\"}"),
        no_document("88e", "an encoded surrogate", b"{\"sub\":\"\xed\xa0\x80\"}"),
        no_document("88f", "an escaped lone surrogate", br#"{"sub":"a","name":"\ud800"}"#),
        no_document("88g", "surrogates the wrong way round", br#"{"sub":"\udc00\ud800"}"#),
        name("91a", "nested as deep as may be", "0", Some("0"))
            .answers(Reply::text(200, nested(126)).header("content-type", "application/json"))
            .identity(&identity("", None)),
        no_document("91b", "one level deeper", nested(127)),
        no_document("91c", "30 000 levels", nested(30_000)),
        no_document("91d", "100 000 brackets that never close", "[".repeat(100_000)).world("large"),
        no_document("91e", "20 000 objects", r#"{"a":"#.repeat(20_000)).world("large"),
        no_document("92a", "a repeated subject", r#"{"sub":"a","sub":"b"}"#),
        no_document("92b", "a repeated equal subject", r#"{"sub":"a","sub":"a"}"#),
        no_document(
            "93a",
            "a repeated name further in",
            r#"{"sub":"a","x":[{"y":{"b":1,"b":2}}]}"#,
        ),
        no_document("93b", "a name that an escape repeats", r#"{"sub":"a","s\u0075b":"b"}"#),
        no_document("93c", "an escaped blank name", r#"{"sub":"a","":1,"":2}"#),
        row("94a", "names of other worlds").claims(&json!({
            "sub": CANARY_CLAIM, "name": "Ada", "groups": ["a", "b"],
            "": "empty", "__proto__": {"sub": "admin"}, "constructor": {"name": "admin"},
            "$serde_json::private::Number": "7",
        })),
        answer(
            "94b",
            "10 000 members",
            format!(r#"{{"sub":"{CANARY_CLAIM}",{}}}"#, members.join(",")),
        )
        .world("large")
        .identity(&identity("", None)),
    ];
    for (number, document) in
        [("89a", "null"), ("89b", "[]"), ("89c", "\"x\""), ("89d", "1"), ("89e", "true")]
    {
        rows.push(no_document(number, format!("{document} for an answer"), document));
    }
    rows.push(no_document("89f", "the answer in a list", format!("[{good}]")));
    for (number, what, body) in [
        ("90a", "two documents", format!("{good}{good}")),
        ("90b", "two documents on two lines", format!("{good}\n{good}\n")),
        ("90c", "text after the document", format!("{good} x")),
        ("90d", "a comment", format!("// comment\n{good}")),
        ("90e", "NaN", r#"{"sub":"a","x":NaN}"#.to_owned()),
        ("90f", "a comma too many", r#"{"sub":"a",}"#.to_owned()),
        ("90g", "single quotes", "{'sub':'a'}".to_owned()),
        ("90h", "a NUL after the document", format!("{good}\0")),
        ("90i", "cross-site script guard", format!(")]}}'\n{good}")),
    ] {
        rows.push(no_document(number, what, body));
    }
    rows
}

/// 95–97: numbers are passed on as written, or not at all; none is ever rounded.
fn numbers() -> Vec<Row> {
    [
        ("95a", "9007199254740993"),
        ("95b", "18446744073709551615"),
        ("96a", "18446744073709551616"),
        ("96b", "12345678901234567890123"),
        ("96c", "12345678901234567890999"),
        ("97a", "1.0"),
        ("97b", "1e2"),
        ("97c", "-0"),
        ("97d", "1e400"),
        ("97e", "1E+2"),
    ]
    .map(|(number, digits)| name(number, format!("the number {digits}"), digits, Some(digits)))
    .into()
}

/// 98: the subject of the answer.
fn subjects() -> Vec<Row> {
    let without = |sub: Value| match sub {
        Value::Null => json!({"name": "Ada"}),
        sub => json!({"sub": sub, "name": "Ada"}),
    };
    let ada = [("x-user-name", "Ada"), ("x-user-region", "default")];
    let mut rows = Vec::new();
    for (suffix, what, sub) in [
        ("a", "no subject", Value::Null),
        ("b", "a number for a subject", json!(7)),
        ("c", "an empty subject", json!("")),
        ("d", "a list for a subject", json!(["a"])),
        ("f", "a subject of 10 KiB", json!("s".repeat(10 << 10))),
        ("g", "a subject with a line break", json!("a\r\nb")),
    ] {
        let row = row(format!("98{suffix}"), format!("{what} where one is required"));
        let row = row.world("subject").claims(&without(sub));
        rows.push(row.refused(401, "invalid_token:no_subject"));
    }
    rows.push(
        row("98e", "no subject where none is required")
            .claims(&json!({"name": "Ada"}))
            .identity(&ada),
    );
    rows
}

/// 99–103: text for a header.
fn texts() -> Vec<Row> {
    let mut rows = vec![
        name("99a", "a line end and a header", r#""Ada\r\nX-Admin: 1""#, None),
        name("99b", "a line feed and a header", r#""Ada\nX-Admin: 1""#, None),
        name("99c", "a second request", r#""a\r\n\r\nGET /admin HTTP/1.1\r\n\r\n""#, None),
    ];
    let controls = (0..=0x1f).chain([0x7f]).chain(0x80..=0x9f);
    for byte in controls {
        let claim = format!(r#""a\u{byte:04x}b""#);
        rows.push(name(format!("100-{byte:02x}"), format!("U+{byte:04X}"), &claim, None));
    }
    rows.push(name("100x", "DEL as it is", "\"a\u{7f}b\"", None));
    for (number, text) in [
        ("101a", "Cem Özdemir"),
        ("101b", "😀 👩‍👩‍👧"),
        ("101c", "שלום עולם"),
        ("101d", "\u{e9}"),
        ("101e", "e\u{301}"),
        ("101f", "Ω \u{2126}"),
        ("101g", "\u{202e}nimda"),
    ] {
        rows.push(name(number, format!("the name {text}"), &format!("\"{text}\""), Some(text)));
    }
    rows.push(name("101h", "the same, escaped", r#""\u00e9\ud83d\ude00""#, Some("é😀")));
    for (number, claim) in [
        ("102a", r#"" admin""#),
        ("102b", r#""admin ""#),
        ("102c", r#"" ""#),
        ("102d", r#""\u00a0admin""#),
        ("102e", r#""admin\u3000""#),
    ] {
        rows.push(name(number, format!("blanks: {claim}"), claim, None));
    }
    let text = |n: usize| format!("\"{}\"", "x".repeat(n));
    rows.push(name("103a", "4 KiB", &text(4096), Some(&"x".repeat(4096))));
    rows.push(name("103b", "a byte more", &text(4097), None));
    rows.push(name("103c", "60 KiB", &text(60 << 10), None));
    rows.push(name("103d", "64 KiB", &text(64 << 10), None).world("large"));
    rows.push(name("103e", "4 KiB of two bytes each", &format!("\"{}\"", "é".repeat(2049)), None));
    rows
}

/// 104–106: lists, objects, and paths that find none, one, or several.
fn lists() -> Vec<Row> {
    let groups = |number: &str, what: &str, groups: Value, header: Option<&str>| {
        row(number, what)
            .claims(&json!({"sub": CANARY_CLAIM, "groups": groups}))
            .identity(&identity("x-groups", header))
    };
    let found = |number: &str, what: &str, body: &str, headers: &[(&str, &str)]| {
        let always = [("x-user-id", CANARY_CLAIM), ("x-user-region", "default"), ("x-all", body)];
        let headers = [&always[..], headers].concat();
        answer(number, what, body).world("lists").identity(&headers)
    };
    let body = |rest: &str| format!(r#"{{"sub":"{CANARY_CLAIM}"{rest}}}"#);
    vec![
        groups("104a", "a separator in an element", json!(["a,b", "c"]), None),
        groups("104b", "a line end in an element", json!(["a", "b\r\nX-Admin: 1"]), None),
        // Left out, and documented: they create no identity.
        groups("104c", "an empty element", json!(["a", ""]), Some("a")),
        groups("104d", "a list in the list", json!(["a", ["admin"]]), Some("a")),
        groups("104e", "null in the list", json!(["a", null]), Some("a")),
        name(
            "105a",
            "an object",
            r#"{"b": [1, "x"], "a": null}"#,
            Some(r#"{"b":[1,"x"],"a":null}"#),
        ),
        name("105b", "an object with a line end", r#"{"a": "\r\n"}"#, Some(r#"{"a":"\r\n"}"#)),
        groups("106a", "joined: none", json!([]), None),
        groups("106b", "joined: one", json!(["a"]), Some("a")),
        groups("106c", "joined: several", json!(["a", "b", 3]), Some("a,b,3")),
        found("106d", "listed: none", &body(""), &[]),
        found("106e", "listed: one", &body(r#","list":["a"]"#), &[("x-list", r#"["a"]"#)]),
        found(
            "106f",
            "listed: several",
            &body(r#","list":["a,b",{"id":1}],"x":{"id":"\u000d"}"#).replace("\\u000d", "\\r"),
            &[("x-list", r#"["a,b",{"id":1}]"#), ("x-deep", r#"[1,"\r"]"#)],
        ),
    ]
}

/// 107, 109, 110: how large, and how encoded.
fn sizes() -> Vec<Row> {
    let padded = |n: usize| {
        let claims = claims().to_string();
        " ".repeat(n - claims.len()) + &claims
    };
    let plain =
        || Reply::text(200, claims().to_string()).header("content-type", "application/json");
    let bomb = Reply::text(200, vec![b' '; 60 << 10]).header("content-type", "application/json");
    let mut rows = vec![
        answer("107a", "as large as may be", padded(65_536)),
        answer("107b", "a byte more", padded(65_537)).refused(401, TOO_LARGE),
        answer("107c", "a byte more, in chunks", "")
            .answers(
                Reply::text(200, padded(65_537))
                    .header("content-type", "application/json")
                    .chunked(),
            )
            .refused(401, TOO_LARGE),
        // The reference configuration lets Envoy hold 128 KiB. Envoy reports a larger answer
        // without headers, as it does beyond its own 32 MiB. That looks like a cut connection, so
        // the call is repeated twice.
        row("109a", "announces 33 MiB")
            .answers(Reply::raw(
                [
                    b"HTTP/1.1 200 OK\r\ncontent-length: 34603008\r\n\r\n",
                    vec![b' '; 300 << 10].as_slice(),
                ]
                .concat(),
            ))
            .refused(401, CUT_OFF)
            .calls(3),
        answer("109b", "300 KiB, whole", padded(300 << 10)).refused(401, CUT_OFF).calls(3),
        row("109c", "300 KiB in chunks, without a type")
            .answers(Reply::text(200, padded(300 << 10)).chunked())
            .refused(401, CUT_OFF)
            .calls(3),
        row("110a", "gzip").answers(good().gzip()).refused(401, ENCODED),
        row("110b", "gzip that would grow").answers(bomb.gzip()).refused(401, ENCODED),
        row("110c", "says identity").answers(plain().header("content-encoding", "identity")),
    ];
    for (number, coding) in [("110d", "br"), ("110e", "identity, gzip"), ("110f", "x-unheard-of")] {
        let reply = plain().header("content-encoding", coding);
        let row = row(number, format!("says {coding}")).answers(reply);
        rows.push(row.refused(401, ENCODED));
    }
    rows
}

/// 111–113, 117–119: statuses that are neither 200 nor an error.
fn statuses() -> Vec<Row> {
    let mut rows = Vec::new();
    for (number, status) in
        [("111a", 201), ("111b", 202), ("111c", 203), ("111d", 206), ("111e", 299)]
    {
        let row = row(number, status).answers(Reply::json(status, &claims()));
        rows.push(row.refused(401, UNEXPECTED));
    }
    for (number, status) in [("112a", 204), ("112b", 205)] {
        rows.push(row(number, status).answers(Reply::status(status)).refused(401, UNEXPECTED));
    }
    for (number, status) in
        [("113a", 300), ("113b", 301), ("113c", 302), ("113d", 303), ("113e", 307), ("113f", 308)]
    {
        let reply = Reply::json(status, &claims()).header("location", "/eu/userinfo");
        rows.push(row(number, status).answers(reply).refused(401, REDIRECT));
    }
    rows.push(row("113g", "304").answers(Reply::status(304)).refused(401, REDIRECT));
    rows.push(row("117a", "100, then 200").answers(good().after_interim(100)));
    rows.push(row("117b", "103, then 200").answers(good().after_interim(103)));
    rows.push(
        row("117c", "103 twice, then 401")
            .answers(expired().after_interim(103).after_interim(103))
            .refused(401, "invalid_token:provider_4xx"),
    );
    let raw = |number: &str, what: &str, bytes: &[u8], details: &'static str| {
        row(number, what).answers(Reply::raw(bytes)).refused(401, details)
    };
    rows.push(raw(
        "118",
        "101",
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n{\"sub\":\"a\"}",
        UNEXPECTED,
    ));
    rows.push(row("119a", "999").answers(Reply::json(999, &claims())).refused(401, UNEXPECTED));
    rows.push(row("119b", "600").answers(Reply::json(600, &claims())).refused(401, UNEXPECTED));
    rows.push(row("119c", "000").answers(Reply::json(0, &claims())).refused(401, UNREACHABLE));
    rows.push(raw("119d", "no code", b"HTTP/1.1\r\n\r\n{\"sub\":\"a\"}", UNREACHABLE));
    rows.push(raw("119e", "a word for a code", b"HTTP/1.1 OK 200\r\n\r\n", UNREACHABLE));
    rows.push(raw("119f", "2000", b"HTTP/1.1 2000 OK\r\n\r\n", UNEXPECTED));
    rows.push(raw("119g", "rubbish", b"\x16\x03\x01\x02\x00\x01\x00\xff\r\n\r\n", UNREACHABLE));
    rows.push(raw("119h", "a document without HTTP", b"{\"sub\":\"a\"}\r\n\r\n", UNREACHABLE));
    rows
}

/// 114–116: what the provider itself says reaches the client with its status.
fn refusals() -> Vec<Row> {
    let mut rows = Vec::new();
    for (number, status, details) in [
        ("114a", 400, "provider_error:provider_4xx"),
        ("114b", 401, "invalid_token:provider_4xx"),
        ("114c", 403, "forbidden:provider_4xx"),
        ("114d", 404, "provider_error:provider_4xx"),
        ("114e", 410, "provider_error:provider_4xx"),
        ("114f", 407, "provider_error:provider_4xx"),
        ("115a", 429, "provider_error:provider_4xx"),
        ("116a", 500, "provider_error:provider_5xx"),
        ("116b", 502, "provider_error:provider_5xx"),
        ("116c", 503, "provider_error:provider_5xx"),
        ("116d", 504, "provider_error:provider_5xx"),
        ("116e", 599, "provider_error:provider_5xx"),
    ] {
        // Nothing of such an answer is relayed by default, above all no session.
        let reply = Reply::json(status, &claims())
            .header("set-cookie", CANARY_CLAIM)
            .header("x-user-id", CANARY_CLAIM)
            .header("location", "http://elsewhere.example/");
        rows.push(row(number, status).answers(reply).refused(status, details));
    }
    for (number, status, sent, handed_on) in [
        ("115c", 429, "Sun, 06 Nov 1994 08:49:37 GMT", true),
        ("115d", 429, "soon", false),
        ("115e", 429, "-1", false),
        // With a time in the future the token waits: rows with one token use a time in the past.
        ("116f", 503, "Sun, 06 Nov 1994 08:49:37 GMT", true),
        ("116g", 500, "17", false),
    ] {
        let details = if status == 429 {
            "provider_error:provider_4xx"
        } else {
            "provider_error:provider_5xx"
        };
        let row = row(number, format!("{status}, Retry-After: {sent}"))
            .answers(Reply::status(status).header("retry-after", sent))
            .refused(status, details);
        rows.push(if handed_on { row.reply_header("retry-after", sent) } else { row });
    }
    rows.push(
        row("114g", "401 cut in its body")
            .answers(expired().cut_after(10))
            .refused(401, CUT_OFF)
            .calls(3),
    );
    // Each with its own token: a second request with the same token gets no call before that time.
    for (number, other, skip) in
        [("115b", "115b-h2", Skip::Http2), ("115b-h2", "115b", Skip::Http1)]
    {
        rows.push(
            row(number, "429, Retry-After: 17")
                .bearer(format!("{CANARY_TOKEN}.{number}"))
                .answers(Reply::status(429).header("retry-after", "17"))
                .refused(429, "provider_error:provider_4xx")
                .reply_header("retry-after", "17")
                .not(skip, other),
        );
    }
    rows.push(
        row("114h", "408 to the next request on an idle connection")
            .answers(Reply::status(408))
            .refused(408, "provider_error:provider_4xx")
            .calls(3),
    );
    rows
}

/// 120–126, 128: incomplete answers. A call that ends at once is repeated twice.
fn transport() -> Vec<Row> {
    let good = || Reply::json(200, &claims());
    let raw = |body: &str| {
        Reply::raw(format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{body}"))
    };
    let slowly = good().drip(1, Duration::from_millis(100));
    vec![
        row("120a", "connection refused").provider_down().refused(401, UNREACHABLE),
        row("120b", "reset before the header")
            .answers(Reply::reset())
            .refused(401, UNREACHABLE)
            .calls(3),
        row("120c", "closed before the header")
            .answers(Reply::close())
            .refused(401, UNREACHABLE)
            .calls(3),
        row("121a", "stalls after the header")
            .answers(good().stall_after(0))
            .refused(401, CUT_OFF)
            .waits(),
        row("121b", "stalls in the body")
            .answers(good().stall_after(20))
            .refused(401, CUT_OFF)
            .waits(),
        row("121c", "a byte each 100 ms").answers(slowly).refused(401, CUT_OFF).waits(),
        row("121d", "a 401 that stalls")
            .answers(expired().stall_after(0))
            .refused(401, CUT_OFF)
            .waits(),
        row("121e", "slow, but in time").answers(good().drip(10, Duration::from_millis(20))),
        row("122a", "cut short of its length")
            .answers(good().cut_after(20))
            .refused(401, CUT_OFF)
            .calls(3),
        row("122b", "cut before the body")
            .answers(good().cut_after(0))
            .refused(401, CUT_OFF)
            .calls(3),
        row("122c", "reset in the body")
            .answers(good().reset_after(20))
            .refused(401, CUT_OFF)
            .calls(3),
        row("122d", "cut in a chunk")
            .answers(good().chunk_cut_after(20))
            .refused(401, CUT_OFF)
            .calls(3),
        row("122e", "a whole document, its length longer")
            .answers(Reply::raw(format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{}",
                claims()
            )))
            .refused(401, CUT_OFF)
            .calls(3),
        row("123", "without a length, cut in the document")
            .answers(raw(&format!(r#"{{"sub":"{CANARY_CLAIM}","na"#)))
            .refused(401, NOT_AN_OBJECT),
        // A truncated answer without a length cannot be distinguished from a complete one: a
        // provider should send the length, or use HTTP/2.
        row("124", "without a length, cut after the document").answers(raw(&claims().to_string())),
        row("125a", "no answer").answers(Reply::silence()).refused(401, "unavailable:timed_out").waits(),
        row("125b", "a header that never ends")
            .answers(Reply::raw(b"HTTP/1.1 200 OK\r\ncontent-ty").held_by(&integration::Gate::closed()))
            .refused(401, "unavailable:timed_out")
            .waits(),
        row("126a", "a cluster that does not exist")
            .world("nowhere")
            .refused(401, "unavailable:not_sent"),
        row("126b", "the same, and the other region still answers")
            .world("nowhere")
            .header("x-region", "eu")
            .region("eu")
            .identity(&[("x-user-id", CANARY_CLAIM), ("x-user-region", "eu")]),
        row("128a", "answered after the client has left")
            .answers(good().drip(10, Duration::from_millis(40)))
            .leaves(),
        row("128b", "the next client, after that"),
        row("128c", "refused after the client has left")
            .answers(expired().drip(10, Duration::from_millis(40)))
            .leaves(),
        row("128d", "never answered, and the client has left").answers(Reply::silence()).leaves(),
    ]
}

/// 127: odd headers of an answer.
fn headers() -> Vec<Row> {
    let mut many = good();
    for n in 0..200 {
        many = many.header(&format!("x-many-{n}"), "v");
    }
    let raw = |lines: &str| {
        Reply::raw(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{lines}\r\n{}",
            claims()
        ))
    };
    vec![
        row("127a", "invalid UTF-8").answers(good().header("x-odd", b"\xff\xfe\x80")),
        row("127b", "invalid UTF-8 in a 401")
            .answers(expired().header("www-authenticate", b"Bearer error=\"\xff\""))
            .refused(401, "invalid_token:provider_4xx"),
        row("127c", ":status once more").answers(raw(":status: 401\r\n")).refused(401, UNREACHABLE),
        row("127d", "200 lines").answers(many).refused(401, UNREACHABLE),
        row("127e", "claims in headers").answers(good().header("x-user-id", "admin")),
        row("127f", "a NUL in a header").answers(raw("x-odd: a\0b\r\n")).refused(401, UNREACHABLE),
        row("127g", "two different lengths")
            .answers(raw("content-length: 5\r\ncontent-length: 6\r\n"))
            .refused(401, UNREACHABLE),
        row("127h", "marks itself as Envoy does")
            .answers(Reply::status(503).header("x-envoy-upstream-service-time", "1"))
            .refused(503, "provider_error:provider_5xx"),
    ]
}

//! Requests that mean harm or make no sense, on the real Envoy: token syntax, doubled credentials,
//! bytes that are not text, region codes that are not configured.
//!
//! If Envoy itself answers (400, 431), the tables say so: requests that it passes on, the filter
//! must handle. No case may end a VM or reach the upstream, unless its row says so.

use integration::{Gateway, Listener, Reply, Response, Running, Setup, merged};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

static RIG: OnceCell<Running> = OnceCell::const_new();

/// A listener for each test, so that none sees another's calls.
const TABLES: [&str; 9] =
    ["syntax", "places", "doubled", "bytes", "h2bytes", "long", "text", "names", "h2names"];

async fn gateway(name: &str) -> Gateway {
    let running = RIG.get_or_init(|| async {
        let plain = |name| Listener::named(name).config(config(json!({}))).allow_underscores();
        let mut setup = TABLES.into_iter().fold(Setup::new(), |s, name| s.listener(plain(name)));
        for (name, changes) in [
            ("regions", json!({})),
            ("regions-reject", json!({"unknown_region": "reject"})),
            (
                "regions-only",
                json!({"userinfo_endpoint": {
                    "regionCodeHeader": "X-Region",
                    "regionCodeValue": {"eu": "http://eu.example/eu"},
                }}),
            ),
        ] {
            let listener = Listener::named(name).config(config(changes)).allow_underscores();
            setup = setup.listener(listener);
        }
        setup.start().await
    });
    let gw = running.await.gateway(name);
    gw.provider.answer(Reply::json(200, &json!({"sub": "1"})));
    gw
}

fn config(changes: Value) -> Value {
    let config = json!({
        "userinfo_endpoint": {
            "regionCodeHeader": "X-Region",
            "regionCodeValue": {"eu": "http://eu.example/eu", "us": "http://us.example/us"},
            "defaultURI": "http://idp.example/default",
        },
        "clusters": {
            "idp.example": "idp_default", "eu.example": "idp_default", "us.example": "idp_default",
        },
        "inject_headers": {"X-User-Id": "$.sub"},
        "region_header": "X-User-Region",
    });
    merged(config, changes)
}

/// The result of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Forwarded, after a call with this token.
    Pass(&'static str),
    /// 401 by the filter without a call: no credentials, so the challenge names no error.
    NoCredentials,
    /// 401 by the filter without a call: `error="invalid_request"`.
    Malformed,
    /// Answered by Envoy itself with this status.
    Envoy(u16),
}
use Fate::{Envoy, Malformed, NoCredentials, Pass};

/// One GET with exactly these bytes between its `Host` line and the end of its header.
async fn ask(gw: &Gateway, lines: &[u8]) -> Response {
    let mut connection = gw.connect().await.unwrap();
    let head = [b"GET /orders HTTP/1.1\r\nhost: a\r\n", lines, b"\r\n"].concat();
    connection.write(head).await.unwrap();
    let response = connection.response().await;
    response.unwrap_or_else(|e| panic!("no response to {}: {e}", lines.escape_ascii()))
}

/// Judges a response by what the client, the provider and the upstream saw of it.
struct Witness {
    gw: Gateway,
    calls: usize,
    forwarded: usize,
    bytes: u64,
}

impl Witness {
    fn new(gw: &Gateway) -> Witness {
        let (provider, upstream) = (&gw.provider, &gw.upstream);
        Witness {
            gw: gw.clone(),
            calls: provider.count(),
            forwarded: upstream.count(),
            bytes: upstream.bytes(),
        }
    }

    #[track_caller]
    fn assert_fate(&self, r: &Response, expected: Fate, what: &str) {
        let Witness { gw, calls, forwarded, bytes } = self;
        let challenge = r.header("www-authenticate");
        let by_filter = r.header("x-mashery-error-code").is_some();
        let fate = match (r.status, challenge.as_deref()) {
            (200, None) => {
                let call = gw.provider.calls().pop().expect("a call for what passed");
                let Pass(token) = expected else { panic!("{what}: passed: {r:?}") };
                assert_eq!(call.token().as_deref(), Some(token), "{what}");
                assert_eq!(gw.provider.count(), calls + 1, "{what}");
                assert_eq!(gw.upstream.count(), forwarded + 1, "{what}");
                assert_eq!(r.upstream_header("x-user-id").as_deref(), Some("1"), "{what}");
                expected
            }
            (401, Some(r#"Bearer realm="api""#)) if by_filter => NoCredentials,
            (401, Some(r#"Bearer realm="api", error="invalid_request""#)) if by_filter => Malformed,
            (status, None) if !by_filter => Envoy(status),
            _ => panic!("{what}: {r:?}"),
        };
        assert_eq!(fate, expected, "{what}: {r:?}");
        if !matches!(expected, Pass(_)) {
            assert_eq!(gw.provider.count(), *calls, "calls at the provider: {what}");
            assert_eq!(gw.upstream.bytes(), *bytes, "bytes at the upstream: {what}");
        }
    }
}

/// Asserts the fate of a request with these header lines.
async fn check(gw: &Gateway, lines: &[u8], expected: Fate) {
    let witness = Witness::new(gw);
    let r = ask(gw, lines).await;
    witness.assert_fate(&r, expected, &lines.escape_ascii().to_string());
}

#[tokio::test]
async fn token_syntax() {
    let gw = gateway("syntax").await;
    for (value, expected) in [
        // 2 to 3
        (&b""[..], NoCredentials),
        (b"Bearer", Malformed),
        (b"Bearer ", Malformed),
        (b"bearer   ", Malformed),
        // 4 to 6
        (b"Bearer t", Pass("t")),
        (b"bearer t", Pass("t")),
        (b"BEARER t", Pass("t")),
        (b"BeArEr t", Pass("t")),
        (b"Bearer   t", Pass("t")),
        (b"  \tBearer t \t", Pass("t")),
        (b"Bearer\tt", Malformed),
        (b"Bearer \tt", Malformed),
        (b"Bearer\t t", Malformed),
        // 7 to 8
        (b"Bearer t extra", Malformed),
        (b"Bearer t,", Malformed),
        (b"Bearer t, Bearer u", Malformed),
        (b"Bearer t,Bearer u", Malformed),
        (b",Bearer t", Malformed),
        // 11
        (b"Basic dXNlcjpw", NoCredentials),
        (b"DPoP t", NoCredentials),
        (b"Token t", NoCredentials),
        (b"Bearert", NoCredentials),
        (b"Bearer2 t", NoCredentials),
        (b"Bearer_ t", NoCredentials),
        (b"t", NoCredentials),
        (b"Bearer:t", Malformed),
        (b"Bearer=t", Malformed),
        (b"\"Bearer t\"", NoCredentials),
        // 12 to 13
        (b"Bearer =====", Malformed),
        (b"Bearer =a", Malformed),
        (b"Bearer a=b", Malformed),
        (b"Bearer a=", Pass("a=")),
        (b"Bearer a===", Pass("a===")),
        (b"Bearer aZ09-._~+/==", Pass("aZ09-._~+/==")),
        // 24
        (b"Bearer ../../x", Pass("../../x")),
        (b"Bearer %0d%0a", Malformed),
        (b"Bearer $(id)", Malformed),
        (b"Bearer {\"a\":1}", Malformed),
        (b"Bearer {{x}}", Malformed),
        (b"Bearer Bearer", Pass("Bearer")),
        (b"Bearer Bearer t", Malformed),
    ] {
        check(&gw, &[b"Authorization: ", value, b"\r\n"].concat(), expected).await;
    }
    gw.envoy.assert_no_vm_restart().await;
}

/// Cases 1, 9, 10, 17, 20, 21, 22, 23.
#[tokio::test]
async fn placement_of_credentials() {
    let gw = gateway("places").await;
    for (lines, expected) in [
        (&b""[..], NoCredentials),
        (b"Proxy-Authorization: Bearer t\r\n", NoCredentials),
        (b"Cookie: access_token=t; Authorization=Bearer t\r\n", NoCredentials),
        (b"X-Authorization: Bearer t\r\n", NoCredentials),
        (b"Authorization_: Bearer t\r\n", NoCredentials),
        (b"aUTHORIZATION: Bearer t\r\n", Pass("t")),
        (b"Authorization: Bearer\r\n t\r\n", Pass("t")),
        (b"Authorization: Bearer a\r\n b\r\n", Malformed),
        (b"Authorization : Bearer t\r\n", Envoy(400)),
        (b" Authorization: Bearer t\r\n", Envoy(400)),
        (b"Authorization: Bearer t\0\r\n", Envoy(400)),
        (b"Authorization\0: Bearer t\r\n", Envoy(400)),
        (b"Authorization\r\n", Envoy(400)),
        (b"Connection: authorization\r\nAuthorization: Bearer t\r\n", NoCredentials),
    ] {
        check(&gw, lines, expected).await;
    }
    for (request, expected) in [
        (gw.get("/orders?access_token=t"), NoCredentials),
        (
            gw.post("/orders", "access_token=t")
                .header("content-type", "application/x-www-form-urlencoded"),
            NoCredentials,
        ),
        (gw.get("/orders?access_token=other").bearer("t"), Pass("t")),
    ] {
        for h2 in [false, true] {
            let witness = Witness::new(&gw);
            let asked = request.clone();
            let r = if h2 { asked.send_h2().await } else { asked.send().await };
            witness.assert_fate(&r, expected, &format!("{request:?}"));
        }
    }
    // The query is the client's own business.
    assert_eq!(gw.upstream.received().pop().unwrap().target, "/orders?access_token=other");
}

#[tokio::test]
async fn repeated_authorization_in_every_order() {
    let gw = gateway("doubled").await;
    for pair in [
        ["Bearer t", "Bearer u"],
        ["Bearer t", "Bearer t"],
        ["Basic dXNlcjpw", "Bearer t"],
        ["bearer t", "Digest username=\"x\""],
        ["DPoP t", "Bearer t"],
    ] {
        for [one, two] in [pair, [pair[1], pair[0]]] {
            let lines = format!("Authorization: {one}\r\nX-Between: 1\r\nauthorization: {two}\r\n");
            check(&gw, lines.as_bytes(), Malformed).await;
            let witness = Witness::new(&gw);
            let request = gw.get("/").header("authorization", one).header("authorization", two);
            let r = request.send_h2().await;
            witness.assert_fate(&r, Malformed, &format!("HTTP/2: {one:?}, {two:?}"));
        }
    }
    gw.upstream.assert_untouched();
    for (one, two, expected) in [
        ("Basic a", "Digest b", NoCredentials),
        ("", "", NoCredentials),
        // Envoy joins the lines before the filter sees them, and an empty one leaves no trace.
        ("Bearer t", "", Pass("t")),
        ("", "Bearer t", Pass("t")),
    ] {
        let lines = format!("Authorization: {one}\r\nAuthorization: {two}\r\n");
        check(&gw, lines.as_bytes(), expected).await;
        let witness = Witness::new(&gw);
        let request = gw.get("/").header("authorization", one).header("authorization", two);
        let r = request.send_h2().await;
        witness.assert_fate(&r, expected, &format!("HTTP/2: {one:?}, {two:?}"));
    }
}

/// Case 14: every byte inside a token. Envoy itself refuses control characters, and drops a single
/// carriage return before the filter sees it.
#[tokio::test]
async fn every_byte_inside_a_token() {
    let gw = gateway("bytes").await;
    for byte in 0..=u8::MAX {
        let expected = match byte {
            b'\r' => Pass("ab"),
            _ if in_tokens(byte) => Pass(format!("a{}b", char::from(byte)).leak()),
            b'\t' | 0x20..=0x7e | 0x80.. => Malformed,
            0x00..=0x1f | 0x7f => Envoy(400),
        };
        let lines = [b"Authorization: Bearer a", &[byte][..], b"b\r\n"].concat();
        check(&gw, &lines, expected).await;
    }
    gw.envoy.assert_no_vm_restart().await;
}

fn in_tokens(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte)
}

#[tokio::test]
async fn every_byte_inside_a_token_over_http_2() {
    let gw = gateway("h2bytes").await;
    let connection = gw.h2().await.unwrap();
    // Bytes that the client library can send; Envoy handles control characters, see above.
    for byte in (0x20..=0x7e).chain(0x80..=0xff).chain([b'\t']) {
        let witness = Witness::new(&gw);
        let value = [b"Bearer a", &[byte][..], b"b"].concat();
        let r = connection.send(gw.get("/orders").header("authorization", &value)).await;
        let allowed = byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
        let expected =
            if allowed { Pass(format!("a{}b", char::from(byte)).leak()) } else { Malformed };
        witness.assert_fate(&r, expected, &format!("byte {byte:#x}"));
    }
    gw.envoy.assert_no_vm_restart().await;
}

/// Cases 18 and 19.
#[tokio::test]
async fn long_tokens_and_long_headers() {
    let gw = gateway("long").await;
    let line = |length: usize| format!("Authorization: Bearer {}\r\n", "t".repeat(length));
    let longest: &'static str = "t".repeat(7168).leak();
    check(&gw, line(7168).as_bytes(), Pass(longest)).await;
    check(&gw, line(7169).as_bytes(), Malformed).await;
    check(&gw, line(50 * 1024).as_bytes(), Malformed).await;
    check(&gw, line(62_000).as_bytes(), Envoy(431)).await;
    let many = |n: usize| format!("Authorization: Bearer t\r\n{}", "x-a: 1\r\n".repeat(n));
    check(&gw, many(90).as_bytes(), Pass("t")).await;
    check(&gw, many(100).as_bytes(), Envoy(431)).await;
    let witness = Witness::new(&gw);
    let r = gw.get("/").bearer(&"t".repeat(50 * 1024)).send_h2().await;
    witness.assert_fate(&r, Malformed, "50 KB over HTTP/2");
    gw.envoy.assert_no_vm_restart().await;
}

#[tokio::test]
async fn non_text_bytes_do_not_stop_the_vm() {
    let gw = gateway("text").await;
    let bytes = b"\xff\xfe\x80 \xc3\x28 \xed\xa0\x80 \xc0\xaf";
    check(&gw, &[b"Authorization: ", &bytes[..], b"\r\n"].concat(), NoCredentials).await;
    check(&gw, &[b"Authorization: Bearer ", &bytes[..], b"\r\n"].concat(), Malformed).await;
    check(&gw, &[b"Authorization: Bearer t", &bytes[..], b"\r\n"].concat(), Malformed).await;
    // In any other header the filter ignores them, and they reach the upstream as sent.
    for name in ["X-Note", "Cookie", "User-Agent", "Content-Type", "Origin", "X-User-Mail"] {
        let request = gw.get("/orders").bearer("t").header(name, bytes);
        for r in [request.clone().send().await, request.send_h2().await] {
            assert_eq!(r.status, 200, "{name}: {r:?}");
            assert_eq!(r.upstream_headers().bytes(name), [bytes], "{name}");
        }
    }
    gw.envoy.assert_no_vm_restart().await;
}

/// RFC 9110 §5.6.2: the characters of a header name. Of names with any other Envoy lets none
/// through, so the filter never sees them.
fn in_names(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[tokio::test]
async fn every_byte_in_a_header_name() {
    let gw = gateway("names").await;
    for byte in 0..=u8::MAX {
        let lines = [b"Authorization: Bearer t\r\nX-", &[byte][..], b"odd: v\r\n"].concat();
        let passes = in_names(byte) || byte == b':';
        check(&gw, &lines, if passes { Pass("t") } else { Envoy(400) }).await;
        if in_names(byte) {
            let name = format!("x-{}odd", char::from(byte));
            let received = gw.upstream.received().pop().expect("forwarded").headers;
            assert_eq!(received.get(&name).as_deref(), Some("v"), "{name}");
        }
    }
    gw.envoy.assert_no_vm_restart().await;
}

#[tokio::test]
async fn every_byte_in_a_header_name_over_http_2() {
    let gw = gateway("h2names").await;
    let mut asking = tokio::task::JoinSet::new();
    for byte in 0..=u8::MAX {
        let gw = gw.clone();
        asking.spawn(async move {
            (byte, answers_h2(&gw, &[b"x-", &[byte][..], b"odd"].concat()).await)
        });
    }
    let mut answered: Vec<u8> = Vec::new();
    while let Some(asked) = asking.join_next().await {
        let (byte, answers) = asked.unwrap();
        answered.extend(answers.then_some(byte));
    }
    answered.sort_unstable();
    // Upper case is an error there too (RFC 9113 §8.2).
    let passes = |byte: &u8| in_names(*byte) && !byte.is_ascii_uppercase();
    assert_eq!(answered, (0..=u8::MAX).filter(passes).collect::<Vec<_>>());
    let received = gw.upstream.received();
    assert_eq!(received.len(), answered.len());
    for byte in answered {
        let name = format!("x-{}odd", char::from(byte));
        let with = received.iter().filter(|r| r.headers.has(&name)).count();
        assert_eq!(with, 1, "{name}");
    }
    gw.envoy.assert_no_vm_restart().await;
}

/// Whether a request with a header of this name gets a response; if not, Envoy has ended the stream
/// or the connection. Written as bytes, because no client library sends such names.
async fn answers_h2(gw: &Gateway, name: &[u8]) -> bool {
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const GOAWAY: u8 = 7;
    // `:method: GET`, `:scheme: http`, `:path: /` of the static table (RFC 7541 appendix A), then
    // literals that are neither indexed nor Huffman-coded.
    let mut block = vec![0x82, 0x86, 0x84];
    for (name, value) in
        [(&b":authority"[..], &b"a"[..]), (b"authorization", b"Bearer t"), (name, b"v")]
    {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text);
        }
    }
    let mut connection = gw.connect().await.unwrap();
    let length = u8::try_from(block.len()).unwrap();
    let end_stream_and_headers = 5;
    let bytes = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[0, 0, 0, 4, 0, 0, 0, 0, 0][..],
        &[0, 0, length, HEADERS, end_stream_and_headers, 0, 0, 0, 1],
        &block,
    ]
    .concat();
    connection.write(bytes).await.unwrap();
    loop {
        let frame = match connection.read(9).await {
            Ok(frame) => frame,
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return false,
            Err(e) => panic!("neither a response nor an end after {}: {e}", name.escape_ascii()),
        };
        match frame[3] {
            HEADERS => return true,
            RST_STREAM | GOAWAY => return false,
            _ => {}
        }
        let length = u32::from_be_bytes([0, frame[0], frame[1], frame[2]]);
        connection.read(usize::try_from(length).unwrap()).await.unwrap();
    }
}

/// Sends a request over both protocols with these region headers; `expected` is the provider's path
/// and the region that the upstream gets, or the error.
async fn check_region(gw: &Gateway, values: &[&[u8]], expected: Result<(&str, &str), &str>) {
    let request =
        values.iter().fold(gw.get("/orders").bearer("t"), |r, value| r.header("X-Region", value));
    let what = values.iter().map(|v| v.escape_ascii().to_string()).collect::<Vec<_>>().join(" + ");
    for h2 in [false, true] {
        let (calls, bytes) = (gw.provider.count(), gw.upstream.bytes());
        let request = request.clone();
        let r = if h2 { request.send_h2().await } else { request.send().await };
        match expected {
            Ok((path, region)) => {
                assert_eq!(r.status, 200, "{what}: {r:?}");
                let call = gw.provider.calls().pop().unwrap();
                assert_eq!(
                    (gw.provider.count(), call.target.as_str()),
                    (calls + 1, path),
                    "{what}"
                );
                let host = format!("{}.example", if region == "default" { "idp" } else { region });
                assert_eq!(call.headers.get("host"), Some(host), "{what}");
                assert_eq!(r.upstream_header("x-user-region").as_deref(), Some(region), "{what}");
            }
            Err(error) => {
                assert_eq!(r.status, 401, "{what}: {r:?}");
                assert_eq!(r.json()["error"], error, "{what}");
                assert_eq!((gw.provider.count(), gw.upstream.bytes()), (calls, bytes), "{what}");
                // Not a byte of the code is in the reply.
                let reply = format!("{r:?}");
                for code in values.iter().filter(|code| code.len() > 2) {
                    let code = code.escape_ascii().to_string();
                    assert!(!reply.contains(&code), "{what}: {reply}");
                }
            }
        }
    }
}

/// Cases 55 to 60: codes that are not configured, and more than one.
fn unknown_codes() -> Vec<Vec<Vec<u8>>> {
    let one = |code: &[u8]| vec![code.to_vec()];
    let two = |a: &str, b: &str| vec![a.as_bytes().to_vec(), b.as_bytes().to_vec()];
    let mut codes: Vec<Vec<Vec<u8>>> = [
        "zz",
        "EU",
        "Eu",
        "e",
        "eu2",
        "eu;q=1",
        "eu,us",
        "eu, eu",
        "eu us",
        "eu\tus",
        "default",
        "\"eu\"",
        "../",
        "../us",
        "http://evil.example",
        "@evil.example",
        "idp_default",
        "idp_fr",
        "eu.example",
        "%65%75",
        "\u{fc}",
        "ｅｕ",
    ]
    .iter()
    .map(|code| one(code.as_bytes()))
    .collect();
    codes.extend((0x80..=0xff).map(|byte| one(&[b'e', b'u', byte])));
    codes.push(one(b"\xff\xfe"));
    codes.push(one(&[b'e'; 8192]));
    codes.extend([
        two("eu", "eu"),
        two("eu", "us"),
        two("us", "eu"),
        two("", "eu"),
        two("eu", ""),
        two("zz", "eu"),
        two("eu", "zz"),
    ]);
    codes
}

#[tokio::test]
async fn unknown_region_uses_the_default() {
    let gw = gateway("regions").await;
    // 53, 54, and what is known.
    check_region(&gw, &[], Ok(("/default", "default"))).await;
    check_region(&gw, &[b""], Ok(("/default", "default"))).await;
    check_region(&gw, &[b"eu"], Ok(("/eu", "eu"))).await;
    check_region(&gw, &[b"us"], Ok(("/us", "us"))).await;
    // Blanks around a value are not part of it (RFC 9110 §5.5); the HTTP/2 client sends them.
    let padded = gw.get("/").bearer("t").header("X-Region", " eu ").send().await;
    assert_eq!(padded.upstream_header("x-user-region").as_deref(), Some("eu"));
    // 61
    let alias = gw.get("/").bearer("t").header("X_Region", "eu").header("X-Regio", "eu");
    assert_eq!(alias.send().await.upstream_header("x-user-region").as_deref(), Some("default"));
    // 44
    let named = gw.get("/").bearer("t").header("Connection", "X-Region").header("X-Region", "eu");
    assert_eq!(named.send().await.upstream_header("x-user-region").as_deref(), Some("default"));
    for codes in unknown_codes() {
        let codes: Vec<&[u8]> = codes.iter().map(Vec::as_slice).collect();
        check_region(&gw, &codes, Ok(("/default", "default"))).await;
    }
    gw.envoy.assert_no_vm_restart().await;
}

#[tokio::test]
async fn unknown_region_is_rejected_if_configured() {
    let gw = gateway("regions-reject").await;
    check_region(&gw, &[], Ok(("/default", "default"))).await;
    check_region(&gw, &[b""], Ok(("/default", "default"))).await;
    check_region(&gw, &[b"eu"], Ok(("/eu", "eu"))).await;
    for codes in unknown_codes() {
        let codes: Vec<&[u8]> = codes.iter().map(Vec::as_slice).collect();
        check_region(&gw, &codes, Err("InvalidRegionCode")).await;
    }
    gw.envoy.assert_no_vm_restart().await;
}

#[tokio::test]
async fn without_default_uri_only_configured_regions_pass() {
    let gw = gateway("regions-only").await;
    check_region(&gw, &[b"eu"], Ok(("/eu", "eu"))).await;
    for codes in [vec![], vec![&b""[..]], vec![b"us"], vec![b"eu", b"eu"]] {
        check_region(&gw, &codes, Err("DefaultUserInfoURINotPresent")).await;
    }
    // Control characters never get that far.
    let mut connection = gw.connect().await.unwrap();
    let head = "GET / HTTP/1.1\r\nhost: a\r\nauthorization: Bearer t\r\nx-region: e\0u\r\n\r\n";
    connection.write(head).await.unwrap();
    assert_eq!(connection.response().await.unwrap().status, 400);
}

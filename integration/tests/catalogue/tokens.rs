//! Rows 1–24: token parsing. `{t}` is the token that the provider validates.

use crate::row::{CANARY_TOKEN, Row, Skip, row};

/// The rows.
pub fn rows() -> Vec<Row> {
    let mut rows = schemes();
    rows.extend(every_byte());
    rows.extend(encodings());
    rows.extend(sizes());
    rows.extend(places());
    rows
}

/// 1–13
fn schemes() -> Vec<Row> {
    let no_token =
        |n, what, value: &str| row(n, what).authorization(value).refused(401, "malformed:no_token");
    let not_a_token =
        |n, value: &str| row(n, value).authorization(value).refused(401, "malformed:not_a_token");
    let other = |n, value: &str| {
        row(n, value).authorization(value).refused(401, "no_credentials:other_scheme")
    };
    vec![
        row(1, "no Authorization").no_authorization().refused(401, "no_credentials:absent"),
        row(2, "Authorization is empty").authorization("").refused(401, "no_credentials:empty"),
        no_token("3a", "Bearer alone", "Bearer"),
        no_token("3b", "Bearer and a blank", "Bearer "),
        row("4a", "bearer").authorization("bearer {t}"),
        row("4b", "BEARER").authorization("BEARER {t}"),
        row("4c", "BeArEr").authorization("BeArEr {t}"),
        // Of the two allowed readings this project takes 1*SP (RFC 9110 §11.4): the token is `t`.
        row(5, "several blanks").authorization("Bearer   {t}"),
        not_a_token("6", "Bearer\t{t}"),
        not_a_token("7", "Bearer {t} extra"),
        not_a_token("8a", "Bearer {t},"),
        not_a_token("8b", "Bearer {t}, Bearer u"),
        row(9, "two lines, both valid")
            .and_authorization("Bearer {t}")
            .refused(401, "malformed:not_a_token"),
        // The client gets the same answer in both orders; only the log's reason tells them apart,
        // because Envoy joins the lines and one order starts with Bearer.
        row("10a", "Basic, then Bearer")
            .authorization("Basic dXNlcjpw")
            .and_authorization("Bearer {t}")
            .refused(401, "malformed:several"),
        row("10b", "Bearer, then Basic")
            .and_authorization("Basic dXNlcjpw")
            .refused(401, "malformed:not_a_token"),
        other("11a", "Basic dXNlcjpw"),
        other("11b", "DPoP {t}"),
        other("11c", "Token {t}"),
        other("11d", "Bearer{t}"),
        not_a_token("12a", "Bearer ====="),
        not_a_token("12b", "Bearer ={t}"),
        not_a_token("13", "Bearer {t}=b"),
    ]
}

/// 14: each of the 256 bytes inside the token, and the padding at its end.
fn every_byte() -> Vec<Row> {
    let inside = |byte: u8| {
        let token = [CANARY_TOKEN.as_bytes(), &[byte], b"z"].concat();
        let row = row(format!("14-{byte:02x}"), format!("byte {byte:#04x} inside the token"));
        let row = row.bearer(token);
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => row,
            b'-' | b'.' | b'_' | b'~' | b'+' | b'/' => row,
            // Envoy takes a lone CR out of an HTTP/1.1 value before any filter sees it.
            b'\r' => row.token("{t}z").not(Skip::Http2, "14-0d-h2"),
            // A tab is allowed in a field value (RFC 9110 §5.5), other controls are not.
            0x00..=0x08 | 0x0a..=0x1f | 0x7f => row.envoy(&[400, 0]),
            _ => row.refused(401, "malformed:not_a_token"),
        }
    };
    let mut rows: Vec<Row> = (0..=u8::MAX).map(inside).collect();
    rows.push(
        row("14-0d-h2", "byte 0x0d inside the token")
            .authorization("Bearer {t}\rz")
            .envoy(&[400, 0])
            .not(Skip::Http1, "14-0d"),
    );
    rows.push(row("14-end1", "one = at the end").bearer("{t}="));
    rows.push(row("14-end3", "three = at the end").bearer("{t}==="));
    rows
}

/// 15–17
fn encodings() -> Vec<Row> {
    vec![
        row("15a", "invalid UTF-8 for a token")
            .authorization(b"Bearer \xff\xfe\xc0\xaf")
            .refused(401, "malformed:not_a_token"),
        row("15b", "invalid UTF-8 for a scheme")
            .authorization(b"B\xe9arer {t}")
            .refused(401, "no_credentials:other_scheme"),
        row("15c", "invalid UTF-8 after a good token")
            .authorization(b"Bearer {t}\xed\xa0\x80")
            .refused(401, "malformed:not_a_token"),
        row("16a", "invalid UTF-8 in another header").header("x-other", b"\xff\x80\xc0"),
        row("16b", "every high byte in another header")
            .header("x-other", (0x80..=0xff).collect::<Vec<u8>>()),
        row(17, "a folded line")
            .http1("GET {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {t}\r\n more\r\n\r\n")
            .refused(401, "malformed:not_a_token")
            .not(Skip::Http2, "HTTP/2 has no lines to fold"),
    ]
}

/// 18–20
fn sizes() -> Vec<Row> {
    let long = |n: usize| {
        let mut token = CANARY_TOKEN.to_owned();
        token.extend(std::iter::repeat_n('x', n - token.len()));
        token
    };
    let mut many = row("19b", "101 headers").envoy(&[431, 0]);
    for n in 0..101 {
        many = many.header(&format!("x-{n}"), "1");
    }
    vec![
        row("18a", "a token of the longest length").bearer(long(7168)),
        row("18b", "a token one byte longer").bearer(long(7169)).refused(401, "malformed:too_long"),
        row("18c", "a token of 50 KB").bearer(long(50_000)).refused(401, "malformed:too_long"),
        row("19a", "62 000 bytes of headers").header("x-big", long(62_000)).envoy(&[431, 0]),
        many,
        row("20a", "a blank before the colon")
            .http1("GET {path} HTTP/1.1\r\nhost: a\r\nauthorization : Bearer {t}\r\n\r\n")
            .envoy(&[400])
            .not(Skip::Http2, "HTTP/2 has no colon; 34c has a name with a blank"),
        row("20b", "NUL in the value").authorization(b"Bearer {t}\0").envoy(&[400, 0]),
    ]
}

/// 21–24
fn places() -> Vec<Row> {
    let absent = |n, what| row(n, what).no_authorization().refused(401, "no_credentials:absent");
    let not_a_token =
        |n, value: &str| row(n, value).authorization(value).refused(401, "malformed:not_a_token");
    vec![
        absent("21a", "the token in the query").query("?access_token=canary-token-7f3a91"),
        absent("21b", "the token in a form body")
            .method("POST")
            .header("content-type", "application/x-www-form-urlencoded")
            .body("access_token=canary-token-7f3a91"),
        absent("21c", "the token in a cookie").header("cookie", "access_token={t}"),
        // The header decides; the query goes upstream untouched, as any other.
        row(22, "tokens in query and header").query("?access_token=another"),
        absent("23", "Proxy-Authorization").header("proxy-authorization", "Bearer {t}"),
        row("24a", "a token like a path").bearer("../../{t}/x"),
        row("24b", "a token in base64 with all its signs").bearer("{t}+/~._-=="),
        not_a_token("24c", "Bearer {t}%0d%0aX-Admin:1"),
        not_a_token("24d", "Bearer $(id){t}"),
        not_a_token("24e", "Bearer {\"a\":1}"),
        not_a_token("24f", "Bearer {{{t}}}"),
    ]
}

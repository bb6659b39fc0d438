//! Rows 53–66: the region header.

use integration::{Connection, Reply, Request};

use crate::row::{CANARY_CLAIM, CANARY_TOKEN, Row, Skip, expired, good, row};
use crate::stage::Stage;

/// The rows.
pub fn rows() -> Vec<Row> {
    let mut rows = vec![
        row("53a", "no region, a default"),
        row("53b", "no region, no default")
            .world("no_default")
            .refused(401, "misconfigured:no_default_uri"),
        row("53c", "a region, no default").world("no_default").region("eu").header("x-region", "eu").eu(),
        row("53d", "no endpoint at all")
            .world("unconfigured")
            .refused(401, "misconfigured:no_userinfo_endpoint"),
        row("54a", "an empty region").header("x-region", ""),
        row("54b", "an empty region, unknown ones refused")
            .world("reject")
            .header("x-region", ""),
        // Envoy trims blanks around a value before any filter (RFC 9110 §5.5), so this is the code.
        row("56a", "blanks around the code")
            .header("x-region", "eu")
            .http1("GET {path} HTTP/1.1\r\nhost: a\r\nx-region:   eu \r\nauthorization: Bearer {t}\r\n\r\n")
            .region("eu")
            .eu()
            .not(Skip::Http2, "56a-h2"),
        // Over HTTP/2 Envoy does not trim, so this is no code. The next reader may trim it, so a
        // backend must use only the filter's region header.
        blanks("56a-h2").arriving("x-region", "eu"),
        blanks("56a-h2-reject").world("reject").refused(401, "unknown_region:unknown_code"),
        row("59-nul", "NUL in the region").header("x-region", b"e\0u").envoy(&[400, 0]),
    ];
    // 55–60: everything that is not exactly one configured code.
    let unknown: [(&str, Vec<&[u8]>); 19] = [
        ("55", vec![b"zz"]),
        ("55-canary", vec![CANARY_CLAIM.as_bytes()]),
        ("56b", vec![b"EU"]),
        ("56c", vec![b"eu;q=1"]),
        ("56d", vec![b"eu,us"]),
        ("57a", vec![b"eu", b"eu"]),
        ("57b", vec![b"eu", b"us"]),
        ("57c", vec![b"us", b"eu"]),
        ("58a", vec![b"", b"eu"]),
        ("58b", vec![b"eu", b""]),
        ("59a", vec![b"\x80\x81\xff"]),
        ("59b", vec!["ü".as_bytes()]),
        ("59c", vec![&[b'e'; 8192]]),
        ("60a", vec![b"../"]),
        ("60b", vec![b"http://evil"]),
        ("60c", vec![b"@evil"]),
        ("60d", vec![b"idp_fr_plain_unset"]),
        ("60e", vec![b"eu/../us"]),
        ("60f", vec![b"default"]),
    ];
    for (number, values) in &unknown {
        let shown = values.iter().map(|v| v[..v.len().min(20)].escape_ascii().to_string());
        let shown = shown.collect::<Vec<_>>().join(" and ");
        let sent = |row: Row| values.iter().fold(row, |row, v| row.header("x-region", v));
        rows.push(sent(row(number, format!("unknown region {shown}"))));
        let refused = row(format!("{number}-reject"), format!("unknown region {shown}"));
        rows.push(sent(refused.world("reject")).refused(401, "unknown_region:unknown_code"));
    }
    rows.extend([
        row("61a", "an alias of the region header").header("x_region", "eu"),
        row("61b", "an alias beside the region header")
            .header("x_region", "us")
            .header("x-region", "eu")
            .region("eu")
            .eu(),
        row(62, "a token of another region")
            .header("x-region", "us")
            .region("us")
            .answers_by(|call| if call.target.starts_with("/eu/") { good() } else { expired() })
            .refused(401, "invalid_token:provider_4xx"),
        row("64a", "the same subject in eu").header("x-region", "eu").region("eu").eu(),
        row("64b", "the same subject in us")
            .header("x-region", "us")
            .region("us")
            .identity(&[("x-user-id", CANARY_CLAIM), ("x-user-region", "us")]),
        row("65a", "the region's cluster is missing")
            .world("missing")
            .header("x-region", "us")
            .region("us")
            .refused(401, "unavailable:not_sent"),
        row("65b", "another region is unaffected")
            .world("missing")
            .header("x-region", "eu")
            .region("eu")
            .eu(),
        row(66, "the region changes between two requests")
            .played(|stage| Box::pin(two_regions(stage)))
            .region("any")
            .identity(&[("x-user-id", CANARY_CLAIM), ("x-user-region", "us"), ("x-region", "us")])
            .answers_by(
                |call| if call.target.starts_with("/us/") { good() } else { Reply::status(401) },
            )
            .calls(2)
            .counted(&["invalid_token", "pass"])
            .not(Skip::Http2, "streams of one connection: the leak test"),
    ]);
    rows
}

/// The code with blanks around it, in HTTP/2.
fn blanks(number: &str) -> Row {
    row(number, "blanks around the code")
        .http2([
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "gateway.example"),
            (":path", "{path}"),
            ("authorization", "Bearer {t}"),
            ("x-region", " eu "),
        ])
        .not(Skip::Http1, "56a")
}

impl Row {
    /// The headers at the upstream for a valid token of the region eu.
    fn eu(self) -> Row {
        self.identity(&[("x-user-id", CANARY_CLAIM), ("x-user-region", "eu")])
    }
}

/// The same token on the same connection, refused in eu, then good in us.
async fn two_regions(stage: Stage) -> Result<integration::Response, String> {
    let address = stage.gateway.address();
    let mut connection = Connection::open(address).await.map_err(|e| e.to_string())?;
    let mut ask = async |region| {
        let request = Request::new(address, "GET", &stage.path).bearer(CANARY_TOKEN);
        let bytes = request.header("x-region", region).to_bytes();
        connection.exchange(&bytes, false).await.map_err(|e| e.to_string())
    };
    let first = ask("eu").await?;
    if first.status != 401 {
        return Err(format!("eu: {first:?}"));
    }
    ask("us").await
}

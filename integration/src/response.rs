//! A complete response, however it came.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::wire::Headers;

/// A complete response.
#[derive(Clone, Default)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header lines in their order.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
    /// Trailer lines.
    pub trailers: Headers,
    /// Statuses of the informational responses that came first.
    pub interim: Vec<u16>,
    /// From the first byte sent to the last byte received.
    pub elapsed: Duration,
}

impl Response {
    /// The value of the one header line with this name; see [`Headers::get`].
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name)
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// If it is not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("the body is not JSON ({e}): {self:?}"))
    }

    /// The header lines that the upstream received, from its echo, names in lower case.
    ///
    /// # Panics
    ///
    /// If the response is not the upstream's echo.
    #[must_use]
    pub fn upstream_headers(&self) -> Headers {
        let echo = self.json();
        let lines = echo["headers"].as_array().unwrap_or_else(|| panic!("not an echo: {self:?}"));
        let text = |line: &Value, key: &str| line[key].as_str().map(str::to_owned);
        Headers(
            lines
                .iter()
                .map(|line| {
                    let value = match text(line, "latin1") {
                        Some(latin1) => latin1.chars().map(|c| c as u8).collect(),
                        None => text(line, "value").unwrap_or_default().into_bytes(),
                    };
                    (text(line, "name").unwrap_or_default(), value)
                })
                .collect(),
        )
    }

    /// The one header with this name that the upstream received.
    ///
    /// # Panics
    ///
    /// If the response is not the upstream's echo, or the header came several times.
    #[must_use]
    pub fn upstream_header(&self, name: &str) -> Option<String> {
        self.upstream_headers().get(name)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.text().chars().take(2000).collect::<String>();
        write!(f, "{} after {:?} {:?}\n{shown}", self.status, self.elapsed, self.headers)
    }
}

//! The request and the provider's answer, as the command line gives them.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use oidc_token_connector::policy::{Endpoints, Policy};
use oidc_token_connector::request::headers::HeaderView;
use oidc_token_connector::time::{MonotonicTime, Now, UnixTime};

use super::args::Args;
use crate::{input, output::complain};

/// Headers that only responses have.
const OF_ANSWERS: [&str; 10] = [
    "age",
    "authentication-info",
    "etag",
    "last-modified",
    "location",
    "proxy-authenticate",
    "retry-after",
    "server",
    "set-cookie",
    "www-authenticate",
];

/// Names, lower-cased as Envoy hands them over, and values.
#[derive(Debug, Clone, Default)]
pub(super) struct Headers(pub(super) Vec<(String, String)>);

impl Headers {
    /// As the filter sees them, with nothing behind them.
    pub(super) fn head(&self) -> HeaderView<'_> {
        let pairs = self.0.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        HeaderView::new(pairs).ending(true)
    }

    fn add(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// Adds what an option gives as `Name: value`.
    fn add_written(&mut self, option: &str, written: &str) -> Result<(), String> {
        let (name, value) = written.split_once(':').unwrap_or_default();
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() {
            // Not the text itself: it may be a token.
            return Err(format!(
                "{option}: got no colon, expected NAME: VALUE, such as 'X-Region: FR'"
            ));
        }
        self.add(&name.to_ascii_lowercase(), value);
        Ok(())
    }
}

/// The request.
pub(super) fn of(args: &Args, policy: &Policy) -> Result<Headers, String> {
    let mut headers = Headers::default();
    headers.add(":method", &args.method);
    headers.add(":scheme", "https");
    headers.add(":authority", &args.authority);
    headers.add(":path", &args.path);
    for header in &args.header {
        headers.add_written("--header", header)?;
    }
    for name in OF_ANSWERS.into_iter().filter(|name| headers.has(name)) {
        complain(format_args!(
            "--header {name}: a response header; use --answer-header for the provider's answer"
        ));
    }
    if let Some(region) = &args.region {
        let Endpoints::Configured(table) = &policy.endpoints else {
            return Err("--region: the configuration has no endpoint".to_owned());
        };
        let Some(header) = &table.region_header else {
            return Err("--region: the configuration has no regionCodeHeader".to_owned());
        };
        headers.add(header, region);
    }
    match (&args.token, headers.has("authorization")) {
        (Some(_), true) => {
            return Err("--token and a header Authorization: give only one of them".to_owned());
        }
        (Some(token), false) => headers.add("authorization", &format!("Bearer {token}")),
        (None, false) if !args.no_token => headers.add("authorization", "Bearer made-up"),
        (None, _) => {}
    }
    Ok(headers)
}

/// The provider's answer.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) headers: Headers,
    pub(super) body: Vec<u8>,
}

impl Given {
    /// The answer; `None` if the command line has none.
    pub(super) fn of(args: &Args) -> Result<Option<Given>, String> {
        let mut headers = Headers::default();
        if args.no_answer {
            // Envoy's answer if a connection fails.
            headers.add(":status", "503");
            headers.add("content-type", "text/plain");
            return Ok(Some(Given { headers, body: Vec::new() }));
        }
        if args.userinfo.is_none() && args.status.is_none() {
            if !args.answer_header.is_empty() {
                return Err("--answer-header: give the answer's --status or --userinfo".to_owned());
            }
            return Ok(None);
        }
        headers.add(":status", &args.status.unwrap_or(200).to_string());
        // With this header the filter distinguishes a provider's answer from Envoy's own.
        headers.add("x-envoy-upstream-service-time", "1");
        for header in &args.answer_header {
            headers.add_written("--answer-header", header)?;
        }
        let body = match &args.userinfo {
            Some(file) => {
                if !headers.has("content-type") {
                    headers.add("content-type", "application/json");
                }
                input::bytes(Path::new(file))?
            }
            None => Vec::new(),
        };
        Ok(Some(Given { headers, body }))
    }
}

/// The time at which all of it happens.
pub(super) fn now() -> Now {
    let date = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { moment: MonotonicTime::from_nanos(0), date: UnixTime(date.as_secs()) }
}

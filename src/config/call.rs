//! The keys about the call to the provider and its answer.

use std::time::Duration;

use super::duration::Range;
use super::file::Fields;
use super::location::Report;
use super::targets::Targets;
use super::{inject, names, uri};
use crate::claims::json::Json;
use crate::policy::{AnswerPolicy, Breaker, CallPolicy, Egress, SubjectPath, Success};

/// Longest value of a fixed header, in bytes.
const LONGEST_VALUE: usize = 4096;

/// Envoy takes a timeout below one millisecond as none, and a call has to end before a drain.
const TIMEOUT: Range = Range {
    min: Duration::from_millis(1),
    max: Duration::from_secs(30),
    said: "1ms to 30s",
    whole_seconds: false,
};

/// For all calls about one request.
const DEADLINE: Range = Range {
    min: Duration::from_millis(1),
    max: Duration::from_secs(60),
    said: "1ms to 60s",
    whole_seconds: false,
};

/// The longest pause between the filter's own questions to a site whose breaker is open.
const OPEN_FOR: Range = Range {
    min: Duration::from_millis(100),
    max: Duration::from_secs(300),
    said: "100ms to 5m",
    whole_seconds: false,
};

/// Reads `userinfo_method`, `timeout`, `deadline`, `breaker`, `max_in_flight` and
/// `userinfo_headers`.
pub(super) fn read(top: &Fields<'_>, report: &mut Report) -> CallPolicy {
    let method = top.choice("userinfo_method", &[("GET", "GET"), ("POST", "POST")], report);
    let timeout = top.get("timeout").and_then(|node| node.duration(&TIMEOUT, report));
    let timeout = timeout.unwrap_or(Duration::from_secs(5));
    CallPolicy {
        method: method.unwrap_or("GET"),
        timeout,
        deadline: deadline(top, timeout, report),
        breaker: breaker(top, report),
        max_in_flight: top.size("max_in_flight", 1..=65_536, report).unwrap_or(1024),
        headers: headers(top, report),
    }
}

fn deadline(top: &Fields<'_>, timeout: Duration, report: &mut Report) -> Duration {
    let Some(node) = top.get("deadline") else {
        return timeout.saturating_mul(2);
    };
    let deadline = node.duration(&DEADLINE, report).unwrap_or(DEADLINE.max);
    if deadline < timeout {
        report.problem(
            &node.place,
            "got less than timeout, expected at least timeout: the deadline covers all calls for \
             one request",
        );
    }
    deadline
}

fn breaker(top: &Fields<'_>, report: &mut Report) -> Breaker {
    let fields = top.object("breaker", &["failures", "open_for"], report);
    let fields = fields.as_ref();
    let failures = fields.and_then(|f| f.integer("failures", 0..=1000, report)).unwrap_or(5);
    let open_for = fields.and_then(|f| f.get("open_for")?.duration(&OPEN_FOR, report));
    match failures {
        0 => Breaker::Off,
        _ => Breaker::After { failures, open_for: open_for.unwrap_or(Duration::from_secs(5)) },
    }
}

/// Reads `max_userinfo_bytes`, `accept_any_200` and `require_subject`.
pub(super) fn answer(top: &Fields<'_>, report: &mut Report) -> AnswerPolicy {
    let any = top.boolean("accept_any_200", report).unwrap_or(false);
    let success = subject(top, report);
    if let (true, Some(node)) = (any, top.get("require_subject")) {
        let found = match success {
            Success::ObjectWithSubject => Some("true"),
            Success::ObjectWithSubjectAt(_) => Some("a JSONPath"),
            Success::Object | Success::Any => None,
        };
        if let Some(found) = found {
            report.problem(
                &node.place,
                format!(
                    "got {found} together with accept_any_200, expected one of the two: a \
                     response of any kind has no subject"
                ),
            );
        }
    }
    AnswerPolicy {
        max_bytes: top.size("max_userinfo_bytes", 1..=1_048_576, report).unwrap_or(65_536),
        success: if any { Success::Any } else { success },
    }
}

/// `require_subject`: true for `sub`, or the path to another place.
fn subject(top: &Fields<'_>, report: &mut Report) -> Success {
    const ALLOWED: &str = "true, false or a JSONPath as text";
    let Some(node) = top.get("require_subject") else {
        return Success::Object;
    };
    let text = match node.json {
        Json::Bool(true) => return Success::ObjectWithSubject,
        Json::Bool(false) => return Success::Object,
        Json::String(text) => text.as_ref(),
        Json::Null | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
            return node.wrong_kind(ALLOWED, report).unwrap_or(Success::Object);
        }
    };
    // The connector's older form would make the path `$.true` of it.
    if matches!(text, "true" | "false") {
        let allowed = "true or false without quotation marks, or a JSONPath as text";
        return node.wrong_kind(allowed, report).unwrap_or(Success::Object);
    }
    match inject::compile(&node, ALLOWED, report) {
        Some(path) if path.is_singular() => {
            Success::ObjectWithSubjectAt(SubjectPath { text: text.into(), path })
        }
        Some(_) => {
            report.problem(
                &node.place,
                "got a JSONPath that can select several nodes, expected only names and indexes, \
                 such as $.data.sub: a token has one subject",
            );
            Success::Object
        }
        None => Success::Object,
    }
}

/// Reads `http_proxy_server` and `http_proxy_port`.
pub(super) fn egress(top: &Fields<'_>, targets: &Targets, report: &mut Report) -> Egress {
    let (server_key, port_key) = ("http_proxy_server", "http_proxy_port");
    let (server_node, port_node) = (top.get(server_key), top.get(port_key));
    for (one, other, key) in
        [(&server_node, &port_node, port_key), (&port_node, &server_node, server_key)]
    {
        if let (Some(node), None) = (one, other) {
            report.problem(
                &node.place,
                format!(
                    "{key} is missing, expected both keys or \
                                                 neither"
                ),
            );
        }
    }
    if server_node.is_some() || port_node.is_some() {
        for target in targets.iter().filter(|target| target.uri.scheme == "http") {
            report.problem(
                &target.place,
                "got http:// together with http_proxy_server, expected https://: Envoy supports a \
                 proxy only with CONNECT",
            );
        }
    }
    let server = server_node.and_then(|node| {
        let text = node.text("a host name as text", report)?;
        match uri::check_host(text) {
            Ok(()) => Some(text.to_owned()),
            Err(wrong) => {
                report.problem(&node.place, format!("invalid host name: {wrong}"));
                None
            }
        }
    });
    let port = top.integer(port_key, 1..=65_535, report).and_then(|port| port.try_into().ok());
    match (server, port) {
        (Some(server), Some(port)) => Egress::Proxy { server, port },
        _ => Egress::Direct,
    }
}

/// Most fixed headers: the host takes no more than 1024 for one call.
const MOST_HEADERS: usize = 64;

/// The fixed headers. Their values may be secrets: what is wrong with one never shows it.
fn headers(top: &Fields<'_>, report: &mut Report) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for (written, node) in top.map("userinfo_headers", report).iter().flat_map(Fields::iter) {
        let name = names::writable(written).and_then(|name| {
            if names::same(&name, "accept-encoding") {
                let always = "reserved header name: the filter always sends identity, it cannot \
                              read an encoded response";
                return Err(always.to_owned());
            }
            Ok(name)
        });
        let name = name.map_err(|wrong| report.problem(&node.place, wrong));
        let value = node.header_text(LONGEST_VALUE, report);
        let Ok(name) = name else {
            continue;
        };
        if let Some((twin, _)) = headers.iter().find(|(other, _)| names::same(other, &name)) {
            report.problem(&node.place, names::repeats(twin));
        }
        headers.push((name, value.unwrap_or_default().to_owned()));
    }
    if let (true, Some(node)) = (headers.len() > MOST_HEADERS, top.get("userinfo_headers")) {
        let found = headers.len();
        report
            .problem(&node.place, format!("got {found} headers, expected at most {MOST_HEADERS}"));
    }
    if !headers.iter().any(|(name, _)| name == "user-agent") {
        let version = env!("CARGO_PKG_VERSION");
        headers.push(("user-agent".to_owned(), format!("oidc-token-connector/{version}")));
    }
    headers
}

//! Checks one run: the reply, the provider's calls, the request at the upstream, the access log
//! entry.

use std::time::Duration;

use integration::{Call, Headers, Received, Response};
use serde_json::Value;

use crate::row::{CANARY_CLAIM, CANARY_TOKEN, Expected, Row};
use crate::stage::{Protocol, Stage};
use crate::worlds::{self, World, identity};

/// Plays a row and returns everything that is not as it says, with how many bytes came upstream.
pub async fn run(stage: &Stage, row: &Row, world: &World) -> (Vec<String>, u64) {
    let (provider, upstream) = (&stage.gateway.provider, &stage.gateway.upstream);
    let _ = (provider.take_calls(), upstream.take());
    let (bytes, count) = (upstream.bytes(), upstream.count());
    for (status, headers) in &row.upstream_answers {
        upstream.answer_next(*status, headers.clone());
    }

    let exchange = match stage.play(row).await {
        Ok(exchange) => exchange,
        Err(e) => {
            let complaint = format!("could not be played to its end: {e}");
            stage.idle().await;
            return (vec![complaint], upstream.bytes() - bytes);
        }
    };
    let mut complaints = exchange.complaints;
    reply(&mut complaints, row, stage, &exchange.response);
    if exchange.tail != row.tail {
        let tail = exchange.tail.escape_ascii().to_string();
        complaints.push(format!("after the reply came {tail:?}"));
    }

    calls(&mut complaints, row, &provider.take_calls());
    for at_call in stage.desk.upstream_bytes() {
        if at_call != bytes && row.arrivals < 2 {
            let early = at_call - bytes;
            complaints.push(format!("{early} bytes had come upstream when the provider was asked"));
        }
    }
    if row.passes() {
        // A mirrored request may come after the reply.
        let all_there = async {
            let mut look = tokio::time::interval(Duration::from_millis(2));
            while upstream.count() < count + row.arrivals {
                look.tick().await;
            }
        };
        let _ = tokio::time::timeout(world.timeout, all_there).await;
        let arrived = upstream.take();
        told(&mut complaints, &exchange.response, &arrived);
        if arrived.len() != row.arrivals {
            let n = row.arrivals;
            complaints.push(format!("{} requests came upstream, not {n}", arrived.len()));
        }
        arrived.iter().for_each(|one| arrival(&mut complaints, row, world, stage, one));
    } else {
        told(&mut complaints, &exchange.response, &[]);
        if upstream.bytes() != bytes {
            let came = upstream.bytes() - bytes;
            complaints.push(format!("{came} bytes came upstream: {:?}", upstream.take()));
        }
    }
    // If the filter answered, its call has ended.
    let by_filter = match row.expected {
        Expected::Pass(_) | Expected::Refused(..) => row.played.is_none(),
        Expected::Envoy(_) | Expected::Gone => false,
    };
    if !by_filter || !complaints.is_empty() {
        stage.idle().await;
    }
    (complaints, upstream.bytes() - bytes)
}

/// Judges what the access log says of a run, the time that it took above all: a client that is busy
/// measures itself.
pub fn access_log(row: &Row, world: &World, entries: &[Value]) -> Vec<String> {
    let mut complaints = Vec::new();
    let entry = match (entries, &row.expected) {
        // Not every request that Envoy itself refuses has a path to be logged under.
        ([], Expected::Envoy(_)) => return complaints,
        _ if row.elsewhere => return complaints,
        ([entry], _) => entry,
        (several, _) => {
            if row.played.is_none() {
                complaints.push(format!("{} entries in the access log", several.len()));
            }
            return complaints;
        }
    };
    let text = |name: &str| entry[name].as_str().unwrap_or("-").to_owned();
    let region = row.region;
    let (details, outcome) = match &row.expected {
        Expected::Pass(_) => (None, format!("pass;asked;{region}")),
        Expected::Refused(_, reason) => {
            let word = reason.split(':').next().unwrap_or_default();
            let asked =
                row.calls_expected() > 0 || row.provider_down || reason.ends_with("not_sent");
            let source = if asked { format!("asked;{region}") } else { "none;none".into() };
            (Some(format!("oidc_token_connector{{{reason}}}")), format!("{word};{source}"))
        }
        Expected::Envoy(_) | Expected::Gone => (None, "-".to_owned()),
    };
    if let Some(details) = details
        && text("details") != details
    {
        complaints.push(format!("details are {}, not {details}", text("details")));
    }
    let outcome = row.logged.map_or(outcome, str::to_owned);
    let word = text("outcome");
    if word != outcome {
        complaints.push(format!("outcome is {word}, not {outcome}"));
    }
    let took = Duration::from_millis(entry["milliseconds"].as_u64().unwrap_or(u64::MAX));
    // Envoy's timers may be a little early.
    let least = world.timeout.saturating_sub(Duration::from_millis(50));
    let limit = row.within.unwrap_or(world.timeout * 2);
    if took > limit {
        complaints.push(format!("took {took:?}, at most {limit:?}"));
    }
    if row.waits && took < least {
        complaints.push(format!("took {took:?}, at least {least:?}"));
    }
    complaints
}

fn reply(complaints: &mut Vec<String>, row: &Row, stage: &Stage, response: &Response) {
    let status = response.status;
    let fits = match &row.expected {
        Expected::Pass(expected) | Expected::Refused(expected, _) => status == *expected,
        Expected::Envoy(expected) => expected.contains(&status),
        Expected::Gone => status == 0,
    };
    if !fits {
        complaints.push(format!("expected {:?}, got {response:?}", row.expected));
        return;
    }
    let expected = match row.expected {
        Expected::Refused(status, details) => {
            let endpoint =
                if row.world == worlds::INTROSPECTS { "introspection" } else { "UserInfo" };
            own_reply(status, details, endpoint)
        }
        Expected::Pass(_) | Expected::Envoy(_) | Expected::Gone => None,
    };
    if let Some((headers, body)) = expected {
        let body = row.reply_body.clone().unwrap_or(body);
        let to_head = row.sent.method == "HEAD";
        let sent = if to_head { "" } else { body.as_str() };
        if response.text() != sent {
            complaints.push(format!("the body is {:?}, not {sent:?}", response.text()));
        }
        let length = Some(body.len().to_string());
        if response.header("content-length") != length && !row.is_grpc() {
            complaints.push(format!("content-length is not {length:?}: {:?}", response.headers));
        }
        reply_headers(complaints, row, headers, &response.headers);
    } else {
        for (name, value) in &row.reply_headers {
            if response.headers.all(name) != value.iter().cloned().collect::<Vec<_>>() {
                complaints.push(format!("{name} is not {value:?}: {:?}", response.headers));
            }
        }
        if let Some(body) = &row.reply_body
            && response.text() != *body
        {
            complaints.push(format!("the body is {:?}, not {body:?}", response.text()));
        }
    }
    let echoes = row.passes() && !row.elsewhere && row.tail.is_empty();
    if echoes && row.played.is_none() && row.sent.method != "HEAD" && status != 101 {
        let path = serde_json::from_slice(&response.body).ok();
        let path = path.and_then(|echo: Value| echo["path"].as_str().map(str::to_owned));
        if path.as_deref() != Some(&format!("{}{}", stage.path, row.sent.query)) {
            complaints.push(format!("not the upstream's answer to this request: {response:?}"));
        }
    }
}

/// Only the upstream's own echo may contain the token or a claim.
fn told(complaints: &mut Vec<String>, response: &Response, arrived: &[Received]) {
    let echo = |one: &Received| one.echo().as_bytes() == response.body;
    let mut told = Vec::new();
    if !arrived.iter().any(echo) {
        told.extend_from_slice(&response.body);
    }
    for (name, value) in response.headers.0.iter().chain(&response.trailers.0) {
        told.extend_from_slice(name.as_bytes());
        told.extend_from_slice(value);
    }
    for canary in [CANARY_TOKEN, CANARY_CLAIM] {
        if told.windows(canary.len()).any(|part| part == canary.as_bytes()) {
            complaints.push(format!("the reply tells {canary}: {response:?}"));
        }
    }
}

/// Exactly these headers, beside those that Envoy always adds.
fn reply_headers(
    complaints: &mut Vec<String>,
    row: &Row,
    mut expected: Vec<(&'static str, String)>,
    headers: &Headers,
) {
    for (name, value) in &row.reply_headers {
        expected.retain(|(known, _)| known != name);
        expected.extend(value.clone().map(|value| (*name, value)));
    }
    let envoys = ["date", "server", "connection", "content-length"];
    let mut got: Vec<(String, String)> = headers
        .0
        .iter()
        .map(|(n, v)| (n.to_ascii_lowercase(), String::from_utf8_lossy(v).into_owned()))
        .filter(|(name, _)| !envoys.contains(&name.as_str()))
        .collect();
    let mut expected: Vec<(String, String)> =
        expected.into_iter().map(|(n, v)| (n.to_owned(), v)).collect();
    got.sort();
    expected.sort();
    if got != expected {
        complaints.push(format!("the reply's headers are {got:?}, not {expected:?}"));
    }
}

/// Headers and body of the filter's replies in the ordinary case.
fn own_reply(
    status: u16,
    details: &str,
    endpoint: &str,
) -> Option<(Vec<(&'static str, String)>, String)> {
    let (outcome, reason) = details.split_once(':')?;
    let error = |name: &str, text: &str| {
        format!("{{\"error\":\"{name}\",\"error_description\":\"{text}\"}}")
    };
    let (challenge, body) = match outcome {
        "no_credentials" | "malformed" => (
            if outcome == "malformed" { ", error=\"invalid_request\"" } else { "" },
            error(
                "InvalidAuthorizationHeaderValue",
                "The Authorization header is missing, empty or not one Bearer token.",
            ),
        ),
        "unknown_region" => ("", error("InvalidRegionCode", "The region code is not configured.")),
        "misconfigured" if reason == "no_default_uri" => (
            "",
            error("DefaultUserInfoURINotPresent", "No default UserInfo endpoint is configured."),
        ),
        "misconfigured" => (
            "",
            error(
                "InvalidPreInputConfigurationForUserInfoEndpointURI",
                "The UserInfo endpoint is not configured.",
            ),
        ),
        "invalid_token" if !reason.starts_with("provider") => (
            ", error=\"invalid_token\"",
            error("invalid_token", "The provider does not vouch for the access token."),
        ),
        // In the world that requires a scope, which every challenge names.
        "wrong_audience" => (
            ", scope=\"orders\", error=\"invalid_token\"",
            error("invalid_token", "The access token was not issued for this resource."),
        ),
        "forbidden" if reason == "scope_missing" => (
            ", scope=\"orders\", error=\"insufficient_scope\"",
            error(
                "insufficient_scope",
                "The access token does not have the scopes that this resource requires.",
            ),
        ),
        "unavailable" | "unusable" => {
            let text = format!("No usable response from the {endpoint} endpoint.");
            ("", error("TargetEndpointError", &text))
        }
        _ => (
            // Another status is challenged for what its answer says: its row tells so.
            ", error=\"invalid_token\"",
            format!("Error Response retrieved from UserInfo endpoint. Response Code - {status}"),
        ),
    };
    let of_provider = !body.starts_with('{');
    let kind = if of_provider { "text/plain" } else { "application/json" };
    let mut headers =
        vec![("content-type", kind.to_owned()), ("cache-control", "no-store".to_owned())];
    if of_provider {
        headers.push(("x-content-type-options", "nosniff".to_owned()));
    }
    if status == 401 || reason == "scope_missing" {
        headers.push(("www-authenticate", format!("Bearer realm=\"api\"{challenge}")));
    }
    if status == 401 {
        headers.push(("x-mashery-error-code", "ERR_401_UNAUTHORIZED".to_owned()));
    }
    Some((headers, body))
}

/// As Envoy makes them for a request that has none: rows send none of their own.
fn is_identifier(id: &[u8]) -> bool {
    id.len() == 36 && id.iter().all(|b| b.is_ascii_hexdigit() || *b == b'-')
}

fn is_traceparent(value: &[u8]) -> bool {
    let hex = |b: &u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    let lengths: Vec<_> = value.split(|b| *b == b'-').map(<[u8]>::len).collect();
    lengths == [2, 32, 16, 2] && value.iter().all(|b| hex(b) || *b == b'-')
}

/// The provider got the expected number of calls, with the token, well-formed identifiers and
/// nothing else of the client.
fn calls(complaints: &mut Vec<String>, row: &Row, calls: &[Call]) {
    let expected = row.calls_expected();
    if calls.len() != expected {
        complaints.push(format!("{} calls at the provider, not {expected}", calls.len()));
    }
    let introspects = row.world == worlds::INTROSPECTS;
    for call in calls {
        if call.token().map(String::into_bytes).as_ref() != Some(&row.token) {
            complaints.push(format!("the provider was told another token: {:?}", call.headers));
        }
        let lines = call.headers.bytes("authorization").len();
        if (call.method == "POST", lines) != (introspects, usize::from(!introspects)) {
            complaints.push(format!("asked in another way: {} {:?}", call.method, call.headers));
        }
        let told = match introspects {
            true => 3,
            false => 0,
        };
        let fields =
            call.body.split(|byte| *byte == b'&').filter(|field| !field.is_empty()).count();
        let known = [
            "host",
            "authorization",
            "accept",
            "accept-encoding",
            "user-agent",
            "x-envoy-internal",
            "x-envoy-expected-rq-timeout-ms",
            "content-length",
            "x-request-id",
            "traceparent",
        ];
        let odd = |(name, _): &&(String, Vec<u8>)| {
            !(known.contains(&name.as_str()) || introspects && name == "content-type")
        };
        let odd: Vec<_> = call.headers.0.iter().filter(odd).collect();
        if !odd.is_empty() || fields != told {
            complaints.push(format!("the provider was told more than the token: {call:?}"));
        }
        let ids = call.headers.bytes("x-request-id");
        if ids.len() > 1 || !ids.iter().all(|id| is_identifier(id)) {
            complaints.push(format!("the provider was told of requests {ids:?}"));
        }
        let sent = row.sent.headers.iter().filter(|line| line.name == "traceparent");
        let sent: Vec<_> = sent.map(|line| line.value.clone()).collect();
        let expected = if sent.len() == 1 && is_traceparent(&sent[0]) { sent } else { Vec::new() };
        let traces = call.headers.bytes("traceparent");
        if traces != expected {
            complaints.push(format!("the provider was told of traces {traces:?}"));
        }
        let target = match row.region {
            "default" => "/default/userinfo?schema=openid".to_owned(),
            region => format!("/{region}/userinfo"),
        };
        if call.target != target && row.region != "any" && row.world != "reference" {
            complaints.push(format!("asked at {}, not {target}", call.target));
        }
    }
}

/// Headers that Envoy writes itself on the way upstream.
const ENVOYS: [&str; 10] = [
    "host",
    "x-envoy-internal",
    "x-envoy-original-url",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-request-id",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-external-address",
    "content-length",
    "transfer-encoding",
];

/// The upstream got the request as sent, without the identity headers, plus those that the filter
/// sets.
fn arrival(complaints: &mut Vec<String>, row: &Row, world: &World, stage: &Stage, got: &Received) {
    let sent = &row.sent;
    let raw = match stage.protocol {
        Protocol::Http1 => sent.http1.is_some(),
        Protocol::Http2 => sent.http2.is_some(),
    };
    if !raw && !row.elsewhere {
        let target = format!("{}{}", stage.path, sent.query);
        if (got.method.as_str(), &got.target) != (sent.method, &target) {
            complaints.push(format!("came upstream as {} {}", got.method, got.target));
        }
    }
    let body = row.body_upstream.as_ref().unwrap_or(&sent.body);
    if got.body != *body {
        let (came, sent) = (got.body.len(), body.len());
        complaints.push(format!("another body came upstream: {came} bytes, {sent} sent"));
    }

    let mut expected = row.identity.clone().unwrap_or_else(|| identity(row.world));
    for line in &sent.headers {
        let forwarded = world.forwards_authorization && line.name == "authorization";
        if line.arrives || forwarded {
            expected.push((line.name.clone(), line.value.clone()));
        }
    }
    compare(complaints, "headers", &got.headers, &expected);
    let arriving = sent.trailers.iter().filter(|line| line.arrives && world.trailers);
    let arriving: Vec<_> = arriving.map(|l| (l.name.clone(), l.value.clone())).collect();
    compare(complaints, "trailers", &got.trailers, &arriving);
}

fn compare(
    complaints: &mut Vec<String>,
    what: &str,
    got: &Headers,
    expected: &[(String, Vec<u8>)],
) {
    let sorted = |lines: &[(String, Vec<u8>)]| {
        let lower = |(n, v): &(String, Vec<u8>)| (n.to_ascii_lowercase(), v.clone());
        let ours = |(n, _): &(String, Vec<u8>)| !ENVOYS.contains(&n.as_str());
        let mut lines: Vec<_> = lines.iter().map(lower).filter(ours).collect();
        lines.sort();
        lines
    };
    let (got, expected) = (sorted(&got.0), sorted(expected));
    if got != expected {
        let (got, expected) = (Headers(got), Headers(expected));
        complaints.push(format!("{what} upstream are {got:?}, not {expected:?}"));
    }
}

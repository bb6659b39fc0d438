//! Target: the provider's `WWW-Authenticate` → ours. Input: a digit that chooses the provider's
//! status, then its header's values, one per line; after an empty line its JSON body.

use std::rc::Rc;

use oidc_token_connector::config::{self, Policy};
use oidc_token_connector::gate::{Admission, Arrival, Gate, Seed, StreamId};
use oidc_token_connector::head::Head;
use oidc_token_connector::time::{Date, Moment, Now};
use oidc_token_connector::userinfo::{Answer, Body};

use crate::document::Document;
use crate::{message, rules};

/// Longest text of a parameter that is handed on, in bytes.
const LONGEST: usize = 256;

thread_local! {
    static POLICY: Rc<Policy> = Rc::new(
        config::read(br#"{"userinfo_endpoint": {"defaultURI": "https://idp.example/userinfo"},
                          "error_metadata_location": "ResponseHeaders",
                          "error_header_name": "WWW-Authenticate"}"#)
            .expect("a good configuration")
            .policy,
    );
}

/// Runs the target.
pub fn check(data: &[u8]) {
    let Some((status, lines, body)) = input(data) else { return };
    let mut gate = Gate::new(Seed::new([1; 16]));
    let policy = POLICY.with(Rc::clone);
    let now = Now { moment: Moment::from_nanos(0), date: Date(0) };
    let request = message::head(&[("authorization", b"Bearer t")]);
    let arrival = gate.admit(&policy, StreamId(1), &request, now);
    let Arrival::Admitted(Admission::Lead(call, _)) = arrival else {
        panic!("not held");
    };
    let digits = status.to_string();
    let mut pairs: Vec<(&[u8], &[u8])> = vec![
        (b":status", digits.as_bytes()),
        (b"content-type", b"application/json"),
        (b"x-envoy-upstream-service-time", b"1"),
    ];
    pairs.extend(lines.split(|b| *b == b'\n').map(|value| (&b"www-authenticate"[..], value)));
    let answer = Answer::Whole { head: Head::new(pairs), body: Body::Read(body) };
    let release = gate.answered(call, &answer, now).releases.pop().expect("released");
    let reply = rules::replied(&release.decision);

    assert_eq!(reply.status, status);
    let ours = reply.headers.iter().find(|(name, _)| *name == "www-authenticate");
    let expected = expected(status, lines, body);
    assert_eq!(ours.map(|(_, value)| value), expected.as_ref(), "{status} {lines:?} {body:?}");
}

/// Whether something that the provider said is repeated to the client.
pub fn accepts(data: &[u8]) -> Option<bool> {
    let (status, lines, body) = input(data)?;
    Some(expected(status, lines, body) != expected(status, b"", b""))
}

/// The provider's status, the lines of its header and its body.
fn input(data: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (choice, text) = data.split_first()?;
    let status = [401_u16, 403, 400, 429, 500][usize::from(choice & 15) % 5];
    let at = text.windows(2).position(|two| two == b"\n\n");
    let (lines, body) = at.map_or((text, &b""[..]), |at| (&text[..at], &text[at + 2..]));
    Some((status, lines, body))
}

/// The challenge to the client. The provider's header counts before its body, and of several lines
/// the first that says anything usable; lines and body are never mixed.
fn expected(status: u16, lines: &[u8], body: &[u8]) -> Option<String> {
    let by_status = match status {
        401 => Some("invalid_token"),
        403 => Some("insufficient_scope"),
        400 => None,
        _ => return None, // the token is not at fault
    };
    let said = lines.split(|b| *b == b'\n').map(Said::in_line).find(Said::anything);
    let said = said.unwrap_or_else(|| Said::in_body(body));
    let error = said.error.as_deref().or(by_status)?;
    let mut challenge = format!("Bearer realm=\"api\", error=\"{error}\"");
    for (name, text) in [("error_description", said.description), ("scope", said.scope)] {
        if let Some(text) = text {
            challenge += &format!(", {name}=\"{text}\"");
        }
    }
    Some(challenge)
}

/// What of a provider's challenge may be repeated.
struct Said {
    error: Option<String>,
    description: Option<String>,
    scope: Option<String>,
}

impl Said {
    fn in_line(line: &[u8]) -> Said {
        let read = parameters(line);
        // The first of a name counts, usable or not.
        Said::of(|wanted| {
            let (_, value) = read.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
            String::from_utf8(value.clone()).ok()
        })
    }

    fn in_body(body: &[u8]) -> Said {
        let document = Document::read(body);
        Said::of(|wanted| Some(document.as_ref()?.member(wanted)?.text()?.to_owned()))
    }

    fn of(get: impl Fn(&str) -> Option<String>) -> Said {
        let codes = ["invalid_request", "invalid_token", "insufficient_scope"];
        let allowed = |text: &String| {
            (1..=LONGEST).contains(&text.len())
                && text.chars().all(|c| (' '..='~').contains(&c) && c != '"' && c != '\\')
        };
        // Tokens with one space between two (RFC 6749 §3.3).
        let spaced =
            |text: &String| !text.starts_with(' ') && !text.ends_with(' ') && !text.contains("  ");
        Said {
            error: get("error").filter(|text| codes.contains(&text.as_str())),
            description: get("error_description").filter(allowed),
            scope: get("scope").filter(allowed).filter(spaced),
        }
    }

    fn anything(&self) -> bool {
        self.error.is_some() || self.description.is_some() || self.scope.is_some()
    }
}

/// Every `name=value` outside of quotes, up to a quote that is not closed. What is neither, a
/// scheme or a stray sign, is passed over, as providers write many things.
fn parameters(line: &[u8]) -> Vec<(String, Vec<u8>)> {
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    let word = |at: usize| line[at..].iter().take_while(|b| is_name(b)).count() + at;
    let solid = |at: usize| line[at..].iter().take_while(|b| b.is_ascii_whitespace()).count() + at;
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(byte) = line.get(at) {
        if *byte == b'"' {
            let Some((_, end)) = unquoted(line, at + 1) else { break };
            at = end;
            continue;
        }
        let end = word(at);
        if end == at {
            at += 1;
            continue;
        }
        let name = String::from_utf8_lossy(&line[at..end]).into_owned();
        at = end;
        if line.get(solid(at)) != Some(&b'=') {
            continue;
        }
        at = solid(solid(at) + 1);
        let value = if line.get(at) == Some(&b'"') {
            unquoted(line, at + 1)
        } else {
            Some((line[at..word(at)].to_vec(), word(at)))
        };
        let Some((value, end)) = value else { break };
        found.push((name, value));
        at = end;
    }
    found
}

/// The quoted text that begins at `at`, and where the line goes on after it.
fn unquoted(line: &[u8], mut at: usize) -> Option<(Vec<u8>, usize)> {
    let mut text = Vec::new();
    loop {
        match line.get(at)? {
            b'"' => return Some((text, at + 1)),
            b'\\' => text.push(*line.get(at + 1)?),
            byte => text.push(*byte),
        }
        at += if line[at] == b'\\' { 2 } else { 1 };
    }
}

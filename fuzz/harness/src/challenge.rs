//! Target: the provider's `WWW-Authenticate` → ours. Input: a character that selects the provider's
//! status and whether its body has the content type JSON (a digit: yes), then its header's values,
//! one per line; after an empty line its body.

use std::rc::Rc;

use oidc_token_connector::filter::{Event, Gate, Seed, StreamId};
use oidc_token_connector::policy::{self, Policy};
use oidc_token_connector::provider::response::{Answer, Body};
use oidc_token_connector::request::headers::HeaderView;
use oidc_token_connector::time::{MonotonicTime, Now, UnixTime};

use crate::document::Document;
use crate::drive::{self, Admission};
use crate::{message, rules};

/// Longest text of a parameter that is handed on, in bytes.
const LONGEST: usize = 256;

thread_local! {
    static POLICY: Rc<Policy> = Rc::new(
        policy::read(br#"{"userinfo_endpoint": {"defaultURI": "https://idp.example/userinfo"},
                          "error_metadata_location": "ResponseHeaders",
                          "error_header_name": "WWW-Authenticate"}"#)
            .expect("a good configuration")
            .policy,
    );
}

/// Runs the target.
pub fn check(data: &[u8]) {
    let Some(input) = Input::of(data) else { return };
    assert_eq!(ours(&input), expected(&input), "{input:?}");
    a_valid_bearer_challenge_survives(&input);
}

/// Whether something that the provider said is repeated to the client.
pub fn accepts(data: &[u8]) -> Option<bool> {
    let input = Input::of(data)?;
    Some(expected(&input) != expected(&Input { lines: Vec::new(), body: b"", ..input.clone() }))
}

/// A challenge by the grammar is relayed, whatever the other lines and the body contain.
fn a_valid_bearer_challenge_survives(input: &Input<'_>) {
    // Each ends in another scheme: the next line may begin with a parameter.
    let valid = [
        (
            r#"bearer error=insufficient_user_authentication,acr_values="urn:a b", max_age=60,X"#,
            r#"error="insufficient_user_authentication", acr_values="urn:a b", max_age="60""#,
        ),
        (
            concat!(
                r#"Negotiate a+/==, BEARER realm="a, b" , error_description="gone, \because" ,"#,
                r#"error="invalid_token", Basic realm="c""#
            ),
            r#"error="invalid_token", error_description="gone, because""#,
        ),
        (
            r#"Bearer error = "invalid_token" , scope=a, DPoP algs="ES256""#,
            r#"error="invalid_token", scope="a""#,
        ),
    ];
    // Of several that name an error the first counts.
    let named = Said::in_lines(&input.lines).error.is_some();
    for (line, said) in valid {
        let line = line.as_bytes();
        let wanted = match input.status {
            429 | 500 => None,
            _ => Some(format!("Bearer realm=\"api\", {said}")),
        };
        let first = [&[line], &input.lines[..]].concat();
        let found = ours(&Input { lines: first, ..input.clone() });
        assert_eq!(found, wanted, "first of {input:?}");
        if !named {
            let last = [&input.lines[..], &[line]].concat();
            let found = ours(&Input { lines: last, ..input.clone() });
            assert_eq!(found, wanted, "last of {input:?}");
        }
    }
}

/// The provider's answer.
#[derive(Debug, Clone)]
struct Input<'d> {
    status: u16,
    content_type: &'static str,
    lines: Vec<&'d [u8]>,
    body: &'d [u8],
}

impl<'d> Input<'d> {
    fn of(data: &'d [u8]) -> Option<Input<'d>> {
        let (choice, text) = data.split_first()?;
        let at = text.windows(2).position(|two| two == b"\n\n");
        let (lines, body) = at.map_or((text, &b""[..]), |at| (&text[..at], &text[at + 2..]));
        Some(Input {
            status: [401_u16, 403, 400, 429, 500][usize::from(choice & 15) % 5],
            content_type: if choice & 16 == 0 { "text/html" } else { "application/json" },
            lines: lines.split(|b| *b == b'\n').collect(),
            body,
        })
    }
}

/// The challenge in the filter's reply.
fn ours(input: &Input<'_>) -> Option<String> {
    let mut gate = Gate::new(Seed::new([1; 16]));
    let policy = POLICY.with(Rc::clone);
    let now = Now { moment: MonotonicTime::from_nanos(0), date: UnixTime(0) };
    let request = message::head(&[("authorization", b"Bearer t")]);
    let admission = drive::arrives(&mut gate, StreamId(1), &policy, &request, now);
    let Admission::Call(call, _) = admission else {
        panic!("not held");
    };
    let digits = input.status.to_string();
    let mut pairs: Vec<(&[u8], &[u8])> = vec![
        (b":status", digits.as_bytes()),
        (b"content-type", input.content_type.as_bytes()),
        (b"x-envoy-upstream-service-time", b"1"),
    ];
    pairs.extend(input.lines.iter().map(|value| (&b"www-authenticate"[..], *value)));
    let answer = Answer::Whole { head: HeaderView::new(pairs), body: Body::Read(input.body) };
    let ended = Event::CallEnded { call, answer: &answer };
    let release = drive::handle(&mut gate, ended, now, |_| None).releases.pop().expect("released");
    let reply = rules::replied(&release.decision);
    assert_eq!(reply.status, input.status);
    let ours = reply.headers.iter().find(|(name, _)| *name == "www-authenticate");
    ours.map(|(_, value)| value.clone())
}

/// The challenge to the client: what header or body says, whichever names an error, the header
/// where both do or neither does; header and body are never mixed.
fn expected(input: &Input<'_>) -> Option<String> {
    let (header, body) = (Said::in_lines(&input.lines), Said::in_body(input.body));
    let of_body = header.error.is_none() && (body.error.is_some() || !header.anything());
    let said = if of_body { body } else { header };
    let error = match (input.status, said.error.as_deref()) {
        (429 | 500, _) | (403, Some("invalid_request")) => None, // the token is not at fault
        (401, Some("invalid_request" | "insufficient_scope") | None) => Some("invalid_token"),
        (_, error) => error,
    }?;
    let mut challenge = format!("Bearer realm=\"api\", error=\"{error}\"");
    let login = error == "insufficient_user_authentication";
    for (name, text) in [
        ("error_description", said.description),
        ("scope", said.scope),
        ("acr_values", said.acr_values.filter(|_| login)),
        ("max_age", said.max_age.filter(|_| login)),
    ] {
        if let Some(text) = text {
            challenge += &format!(", {name}=\"{text}\"");
        }
    }
    Some(challenge)
}

/// The part of a provider's challenge that may be relayed.
struct Said {
    error: Option<String>,
    description: Option<String>,
    scope: Option<String>,
    acr_values: Option<String>,
    max_age: Option<String>,
}

impl Said {
    /// The first Bearer challenge that names an error, else that says anything; where there is no
    /// scheme at all, the parameters without one.
    fn in_lines(lines: &[&[u8]]) -> Said {
        let challenges = challenges(lines);
        let all_loose = challenges.len() == 1;
        let wanted = challenges.into_iter().filter(|(scheme, _)| match scheme {
            Some(scheme) => scheme.eq_ignore_ascii_case("bearer"),
            None => all_loose,
        });
        let mut said: Vec<Said> = wanted
            .map(|(_, read)| {
                // The first of a name counts, usable or not.
                Said::of(|wanted| {
                    let (_, value) =
                        read.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
                    String::from_utf8(value.clone()).ok()
                })
            })
            .collect();
        said.sort_by_key(|said| (said.error.is_none(), !said.anything()));
        said.into_iter().next().unwrap_or_else(|| Said::of(|_| None))
    }

    fn in_body(body: &[u8]) -> Said {
        let document = Document::read(body);
        Said::of(|wanted| match wanted {
            "acr_values" | "max_age" => None,
            _ => Some(document.as_ref()?.member(wanted)?.text()?.to_owned()),
        })
    }

    fn of(get: impl Fn(&str) -> Option<String>) -> Said {
        let codes = [
            "invalid_request",
            "invalid_token",
            "insufficient_scope",
            "insufficient_user_authentication",
        ];
        let allowed = |text: &String| {
            (1..=LONGEST).contains(&text.len())
                && text.chars().all(|c| (' '..='~').contains(&c) && c != '"' && c != '\\')
        };
        // Tokens with one space between two (RFC 6749 §3.3).
        let spaced =
            |text: &String| !text.starts_with(' ') && !text.ends_with(' ') && !text.contains("  ");
        let digits = |text: &String| {
            (1..=10).contains(&text.len()) && text.chars().all(|c| c.is_ascii_digit())
        };
        Said {
            error: get("error").filter(|text| codes.contains(&text.as_str())),
            description: get("error_description").filter(allowed),
            scope: get("scope").filter(allowed).filter(spaced),
            acr_values: get("acr_values").filter(allowed).filter(spaced),
            max_age: get("max_age").filter(digits),
        }
    }

    fn anything(&self) -> bool {
        let texts = [&self.description, &self.scope, &self.acr_values, &self.max_age];
        self.error.is_some() || texts.iter().any(|text| text.is_some())
    }
}

/// A scheme, and its parameters.
type Challenge = (Option<String>, Vec<(String, Vec<u8>)>);

/// A piece of a line.
#[derive(Debug, PartialEq)]
enum Piece {
    Blank,
    Comma,
    Equals,
    Word(String),
    Quoted(Vec<u8>),
    /// Neither of these; also an unclosed quote with the text after it.
    Odd(Vec<u8>),
}

/// Every challenge of all lines. The first one has no scheme.
fn challenges(lines: &[&[u8]]) -> Vec<Challenge> {
    let mut found: Vec<Challenge> = vec![(None, Vec::new())];
    for line in lines {
        let pieces = pieces(line);
        for element in pieces.split(|piece| *piece == Piece::Comma) {
            let mut element = element;
            while let [Piece::Blank, rest @ ..] | [rest @ .., Piece::Blank] = element {
                element = rest;
            }
            let parameters = match element {
                _ if is_parameter(element) => parameters(element),
                [Piece::Word(scheme)] => {
                    found.push((Some(scheme.clone()), Vec::new()));
                    None
                }
                [Piece::Word(scheme), Piece::Blank, rest @ ..]
                    if is_parameter(rest) || is_token68(rest) =>
                {
                    found.push((Some(scheme.clone()), Vec::new()));
                    parameters(rest)
                }
                _ => None,
            };
            let (_, own) = found.last_mut().expect("there is one");
            own.extend(parameters.into_iter().flatten());
        }
    }
    found
}

fn is_parameter(element: &[Piece]) -> bool {
    matches!(
        element,
        [Piece::Word(_), Piece::Equals, ..] | [Piece::Word(_), Piece::Blank, Piece::Equals, ..]
    )
}

/// One parameter, or several, each but the last quoted; `None` if it is anything else.
fn parameters(element: &[Piece]) -> Option<Vec<(String, Vec<u8>)>> {
    let (name, rest) = match element {
        [Piece::Word(name), Piece::Equals, rest @ ..]
        | [Piece::Word(name), Piece::Blank, Piece::Equals, rest @ ..] => (name, rest),
        _ => return None,
    };
    let value = match rest {
        [Piece::Blank, value @ ..] => value,
        value => value,
    };
    match value {
        [Piece::Word(value)] => Some(vec![(name.clone(), value.clone().into_bytes())]),
        [Piece::Quoted(value)] => Some(vec![(name.clone(), value.clone())]),
        [Piece::Quoted(value), Piece::Blank, more @ ..] => {
            let more = parameters(more)?;
            Some([vec![(name.clone(), value.clone())], more].concat())
        }
        _ => None,
    }
}

/// Letters, digits and a few signs, `=` at the end alone (RFC 9110 §11.2).
fn is_token68(element: &[Piece]) -> bool {
    let mut text = String::new();
    for piece in element {
        match piece {
            Piece::Equals => text.push('='),
            Piece::Word(word) => text += word,
            Piece::Odd(odd) if odd == b"/" => text.push('/'),
            Piece::Blank | Piece::Comma | Piece::Quoted(_) | Piece::Odd(_) => return false,
        }
    }
    let inside = text.trim_end_matches('=');
    !inside.is_empty() && inside.chars().all(|c| c.is_ascii_alphanumeric() || "-._~+/".contains(c))
}

fn pieces(line: &[u8]) -> Vec<Piece> {
    let is_word = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    let is_blank = |b: &u8| *b == b' ' || *b == b'\t';
    let mut pieces = Vec::new();
    let mut rest = line;
    while let Some(first) = rest.first() {
        let run = |of: &dyn Fn(&u8) -> bool| rest.iter().take_while(|b| of(b)).count();
        let (piece, length) = match first {
            b',' => (Piece::Comma, 1),
            b'=' => (Piece::Equals, 1),
            b'"' => match unquoted(rest, 1) {
                Some((text, end)) => (Piece::Quoted(text), end),
                None => (Piece::Odd(rest.to_vec()), rest.len()),
            },
            byte if is_blank(byte) => (Piece::Blank, run(&is_blank)),
            byte if is_word(byte) => {
                let end = run(&is_word);
                (Piece::Word(String::from_utf8_lossy(&rest[..end]).into_owned()), end)
            }
            byte => (Piece::Odd(vec![*byte]), 1),
        };
        pieces.push(piece);
        rest = &rest[length..];
    }
    pieces
}

/// The quoted text that begins at `at`, and the rest of the line after it.
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

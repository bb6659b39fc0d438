//! Searches for the most expensive answer that a configuration and a provider may cause, and prints
//! what it costs: ten headers with one path, over a document as large as is read by default.
//!
//! `cargo run --release --example worst_paths [SEED]`: every path of up to two pieces over every
//! document, then random changes to the worst found. Nothing is asserted: time is the machine's.

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a tool for the terminal that measures time"
)]

use std::rc::Rc;
use std::time::Duration;

use cpu_time::ThreadTime;
use oidc_token_connector::claims::jsonpath::JsonPath;
use oidc_token_connector::filter::{Effect, Event, Gate, Seed, StreamId};
use oidc_token_connector::policy;
use oidc_token_connector::provider::response::{Answer, Body};
use oidc_token_connector::request::headers::HeaderView;
use oidc_token_connector::time::{MonotonicTime, Now, UnixTime};

/// `max_userinfo_bytes` where it is not configured.
const MAX_BYTES: usize = 65_536;
/// Headers per answer.
const HEADERS: usize = 10;
/// How many of the worst are measured again.
const KEPT: usize = 12;
/// Random changes tried.
const CHANGES: u32 = 3000;

/// The pieces of paths.
const PIECES: &[&str] = &[
    "[*]",
    "..*",
    "..[*,*]",
    "..[0]",
    "..a",
    "..['aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa']",
    "[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]",
    "[::1]",
    "[::-1]",
    "..[::-1]",
    "[?@]",
    "..[?@.a]",
    "..[?@.a==@.b]",
    "[?@==$[0]]",
    "[?@==$]",
    "..[?@==$]",
    "..[?@==@]",
    "[?@!=$[1]]",
    "[?@>=0.1]",
    "..[?@>1e300]",
    "[?@>$[0]]",
    "[?@<'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa']",
    "[?@ =~ /(a|aa)*b/]",
    "..[?search(@,'(a|b|ab)*c')]",
    "[?search(@,'[a-z]{0,60}[0-9]')]",
    "..[?match(@.a,'(.*a.*){8}x')]",
    "[?!@.a && !@.b && !@.c && !@.d && !@.e]",
    "..[?@.a.a.a.a.a.a.a.a]",
    "..[?@[0][0][0][0][0][0][0][0][0][0][0]]",
    "[-1]",
    ".a",
    "[0]",
];

/// An answer to measure.
#[derive(Clone)]
struct Case {
    path: String,
    document: usize,
    time: Duration,
}

fn main() {
    let seed = std::env::args().nth(1).and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let documents = documents();
    let mut random = Random(seed);
    let mut cases = Vec::new();
    let mut paths: Vec<String> = vec!["$".to_owned()];
    let mut count = 0_u32;
    for _ in 0..2 {
        let longer = |path: &String| PIECES.iter().map(|piece| format!("{path}{piece}")).collect();
        paths = paths.iter().flat_map(|path| -> Vec<String> { longer(path) }).collect();
        paths.retain(|path| JsonPath::compile(path).is_ok());
        for path in &paths {
            for document in 0..documents.len() {
                count += 1;
                try_case(&mut cases, &documents, path, document);
            }
        }
    }
    println!("{count} combinations of paths and documents tried");
    for round in 0..CHANGES {
        let case: &Case = &cases[random.below(cases.len().min(KEPT))];
        let path = random.change(&case.path);
        let document = if round % 4 == 0 { random.below(documents.len()) } else { case.document };
        if JsonPath::compile(&path).is_ok() {
            try_case(&mut cases, &documents, &path, document);
        }
    }
    println!("{CHANGES} random changes tried, seed {seed}\n");
    println!("one answer with {HEADERS} such headers, reading the document included:");
    let reading = Measured::new("$.none");
    for case in &mut cases {
        let gate = Measured::new(&case.path);
        let body = documents[case.document].1.as_bytes();
        case.time = (0..9).map(|_| gate.answer(body)).min().unwrap_or_default();
    }
    cases.sort_by_key(|case| std::cmp::Reverse(case.time));
    for case in &cases {
        let (name, body) = &documents[case.document];
        let alone = (0..9).map(|_| reading.answer(body.as_bytes())).min().unwrap_or_default();
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        println!(
            "{:>7.2} ms, {:.2} of it reading  {}  on {name}",
            millis(case.time),
            millis(alone),
            case.path
        );
    }
}

/// Keeps the case if it is among the worst.
fn try_case(cases: &mut Vec<Case>, documents: &[(&str, String)], path: &str, document: usize) {
    let gate = Measured::new(path);
    let body = documents[document].1.as_bytes();
    let bar = if cases.len() < KEPT { Duration::ZERO } else { cases[KEPT - 1].time };
    // One run is enough to rule out a case; a case that was slow on a busy machine is measured
    // again.
    let mut time = gate.answer(body);
    if time > bar {
        time = time.min(gate.answer(body)).min(gate.answer(body));
    }
    if time > bar && !cases.iter().any(|case| case.path == path && case.document == document) {
        cases.push(Case { path: path.to_owned(), document, time });
        cases.sort_by_key(|case| std::cmp::Reverse(case.time));
        cases.truncate(KEPT);
    }
}

/// A policy whose every header has that path.
struct Measured(Rc<policy::Policy>);

impl Measured {
    fn new(path: &str) -> Measured {
        let path = path.replace('\\', "\\\\").replace('"', "\\\"");
        let rules: Vec<String> =
            (0..HEADERS).map(|header| format!("\"X-H{header}\":\"{path}\"")).collect();
        let text = format!(
            r#"{{"userinfo_endpoint":{{"defaultURI":"https://idp.example/u"}},
                "accept_any_200":true,"inject_headers":{{{}}}}}"#,
            rules.join(",")
        );
        let loaded = policy::read(text.as_bytes());
        Measured(Rc::new(loaded.unwrap_or_else(|p| panic!("{path}: {p:?}")).policy))
    }

    /// From the whole answer to the decision.
    fn answer(&self, body: &[u8]) -> Duration {
        let mut gate = Gate::new(Seed::new([1; 16]));
        let now = Now { moment: MonotonicTime::from_nanos(0), date: UnixTime(0) };
        let request = HeaderView::new(vec![(b"authorization", b"Bearer t")]);
        let event = Event::Request { stream: StreamId(1), policy: &self.0, headers: &request };
        let Some(Effect::Call(call, _)) = gate.handle(event, now).into_iter().next() else {
            panic!("not held");
        };
        let head =
            HeaderView::new(vec![(b":status", b"200"), (b"content-type", b"application/json")]);
        let answer = Answer::Whole { head, body: Body::Read(body) };
        // Not the clock on the wall: others may use the machine as well.
        let started = ThreadTime::now();
        let effects = gate.handle(Event::CallEnded { call, answer: &answer }, now);
        let taken = started.elapsed();
        let released = |effect: &Effect| matches!(effect, Effect::Release(_));
        assert_eq!(effects.into_iter().filter(released).count(), 1);
        taken
    }
}

/// Documents of the largest size, each hard on something else.
fn documents() -> Vec<(&'static str, String)> {
    let list = |element: &str| {
        let count = (MAX_BYTES - 2) / (element.len() + 1);
        format!("[{}]", vec![element; count].join(","))
    };
    let members = |width: usize, value: &str| {
        let mut text = "{".to_owned();
        for index in 0.. {
            let member = format!("\"{index:a>width$}\":{value},");
            if text.len() + member.len() > MAX_BYTES {
                break;
            }
            text.push_str(&member);
        }
        text.pop();
        text + "}"
    };
    let nested = |depth: usize, inner: &str| {
        let open = "[".repeat(depth);
        let close = "]".repeat(depth);
        format!("{open}{inner}{close}")
    };
    let objects = |depth: usize| {
        let open = "{\"a\":".repeat(depth);
        let close = "}".repeat(depth);
        format!("{open}0{close}")
    };
    let all: Vec<(&'static str, String)> = vec![
        ("numbers", list("0")),
        ("empty arrays", list("[]")),
        ("empty strings", list("\"\"")),
        ("short strings", list("\"aaaaaaaa\"")),
        ("strings of 100", list(&format!("\"{}\"", "a".repeat(100)))),
        ("strings that all need escapes", list("\"\\u0001\\u0001\"")),
        ("two long strings", list(&format!("\"{}\"", "a".repeat(MAX_BYTES / 2 - 5)))),
        ("long numbers", list(&format!("0.{}1", "3".repeat(400)))),
        ("numbers with exponents", list("1234567890123456789012e300")),
        ("small objects", list("{\"a\":0,\"b\":1}")),
        ("objects with strings", list("{\"a\":\"aaaaaaaaaaaaaaaa\",\"b\":\"abababab\"}")),
        ("members with short names", members(4, "0")),
        ("members with long names", members(40, "0")),
        ("members with objects", members(6, "{\"a\":0}")),
        ("arrays 10 deep", list(&nested(10, "0"))),
        ("arrays 125 deep", list(&nested(125, ""))),
        ("objects 125 deep", list(&objects(125))),
        ("one pair within another", pairs()),
        ("arrays of arrays", list(&format!("[{}]", ["0"; 100].join(",")))),
        ("squares", list(&format!("[{}]", ["[0,0,0,0,0,0]"; 6].join(",")))),
    ];
    for (name, document) in &all {
        assert!(document.len() <= MAX_BYTES, "{name}: {} bytes", document.len());
    }
    all
}

/// Each array holds one number and the next array, as deep as may be, over and over.
fn pairs() -> String {
    let one = format!("{}0{}", "[0,".repeat(120), "]".repeat(120));
    let count = (MAX_BYTES - 2) / (one.len() + 1);
    format!("[{}]", vec![one; count].join(","))
}

/// Numbers that look random and repeat for a seed (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end.max(1)).unwrap_or(1)).unwrap_or(0)
    }

    /// A path with something put in, taken out, or doubled.
    fn change(&mut self, path: &str) -> String {
        let chars: Vec<char> = path.chars().collect();
        let at = 1 + self.below(chars.len());
        let (before, after) = chars.split_at(at.min(chars.len()));
        let piece: Vec<char> = match self.below(4) {
            0 => PIECES[self.below(PIECES.len())].chars().collect(),
            1 => ",0".repeat(1 + self.below(40)).chars().collect(),
            2 => ",*".repeat(1 + self.below(20)).chars().collect(),
            _ => ["@", "$", "a", "!", "&&@", "||@", "(", ")", ".a", "..", "{9}", "1e9", "[0]"]
                [self.below(13)]
            .chars()
            .collect(),
        };
        let skip = if self.below(3) == 0 { self.below(6) } else { 0 };
        before.iter().chain(&piece).chain(after.iter().skip(skip)).collect()
    }
}

//! Translates a text into the filter's configuration: each key is read as the source system reads
//! it.
//!
//! A value is copied unchanged or not at all. One that cannot be copied is a [`Finding`] with line
//! and remedy.

use std::collections::BTreeMap;

use oidc_token_connector::policy;
use serde_json::{Map, Value as Json};

use super::text::{ENDPOINT_KEYS, KEYS, Member, Value};

/// The values of `error_metadata_location`; any other value counts as absent.
const LOCATIONS: [&str; 2] = ["ResponseHeaders", "ResponsePayload"];

/// A remark about a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// `None`: about the text as a whole.
    pub(super) line: Option<usize>,
    pub(super) what: String,
    pub(super) remedy: String,
    pub(super) weight: Weight,
}

/// The effect of a finding on the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// There is no result until it is corrected: the result would differ from the text.
    Mend,
    /// The result lacks what this line says.
    LeftOut,
    /// The result contains it, and requests will be refused because of it.
    Refusing,
}

/// One value that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) line: usize,
    /// Its path in the configuration.
    pub(super) place: String,
    /// The value there, or the reason why there is none.
    pub(super) taken: String,
}

/// The content of a text.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// The filter's configuration, without `clusters`.
    pub(super) config: Map<String, Json>,
    pub(super) rows: Vec<Row>,
    pub(super) findings: Vec<Finding>,
    /// Lines of keys of `userinfo_endpoint` outside it.
    pub(super) alone: Vec<usize>,
    /// The line of each place, in the filter's own spelling of places.
    lines: BTreeMap<String, usize>,
}

impl Settings {
    /// Takes each member of a text.
    pub(super) fn of(members: &[Member]) -> Settings {
        let mut settings = Settings::default();
        let mut endpoint = Map::new();
        for member in members {
            let name = member.name.as_str();
            match name {
                "userinfo_endpoint" => settings.endpoint_object(member, &mut endpoint),
                "inject_headers" => settings.inject_headers(member),
                _ if ENDPOINT_KEYS.contains(&name) => {
                    settings.alone.push(member.line);
                    settings.endpoint_key(member, &mut endpoint);
                }
                _ if KEYS.contains(&name) => settings.scalar(member),
                _ => settings.unknown(member, false),
            }
        }
        if !endpoint.is_empty() {
            settings.config.insert("userinfo_endpoint".to_owned(), Json::Object(endpoint));
        }
        let Settings { config, .. } = &mut settings;
        *config =
            KEYS.iter().filter_map(|key| Some(((*key).to_owned(), config.remove(*key)?))).collect();
        settings
    }

    /// The line of a place, or of the innermost one around it that has a line.
    pub(super) fn line_of(&self, place: &str) -> Option<usize> {
        let around = |known: &str| {
            place
                .strip_prefix(known)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let known = self.lines.iter().filter(|(known, _)| around(known));
        known.max_by_key(|(known, _)| known.len()).map(|(_, line)| *line)
    }

    fn endpoint_object(&mut self, member: &Member, endpoint: &mut Map<String, Json>) {
        match &member.value {
            Value::Map(members) => {
                if !self.first(member.line, &["userinfo_endpoint"]) {
                    return;
                }
                for member in members {
                    if ENDPOINT_KEYS.contains(&member.name.as_str()) {
                        self.endpoint_key(member, endpoint);
                    } else {
                        self.unknown(member, true);
                    }
                }
            }
            // The source system answers this per request; here the key is left out.
            Value::Text(text) if text.is_empty() => {
                self.absent(member.line, &["userinfo_endpoint"])
            }
            Value::Text(_) => self.mend(
                member.line,
                "userinfo_endpoint: got text, expected an object",
                "write `userinfo_endpoint: { defaultURI: … }`",
            ),
        }
    }

    fn endpoint_key(&mut self, member: &Member, endpoint: &mut Map<String, Json>) {
        let names = ["userinfo_endpoint", member.name.as_str()];
        if !self.first(member.line, &names) {
            return;
        }
        let taken = match (&member.value, names) {
            (Value::Text(text), [_, "regionCodeHeader" | "regionCodeValue"]) if text.is_empty() => {
                return self.absent(member.line, &names);
            }
            (Value::Text(_), [_, "regionCodeValue"]) => {
                return self.mend(
                    member.line,
                    "regionCodeValue: got text, expected an object",
                    "write `regionCodeValue: {\"code\": \"URI\", …}`",
                );
            }
            (Value::Text(text), _) => self.text(member.line, &names, text),
            (Value::Map(members), [_, "regionCodeValue"]) => {
                Json::Object(self.texts(&names, members, "a URI as text"))
            }
            (Value::Map(_), _) => return self.not_text(member),
        };
        endpoint.insert(member.name.clone(), taken);
    }

    fn inject_headers(&mut self, member: &Member) {
        let names = ["inject_headers"];
        if !self.first(member.line, &names) {
            return;
        }
        let members = match &member.value {
            Value::Map(members) => members,
            Value::Text(text) if text.is_empty() => return self.absent(member.line, &names),
            Value::Text(_) => {
                return self.mend(
                    member.line,
                    "inject_headers: got text, expected an object",
                    "write `inject_headers: {\"name\": \"JSONPath\", …}`",
                );
            }
        };
        let mut maps = Map::new();
        for member in members {
            let names = ["inject_headers", member.name.as_str()];
            let taken = match &member.value {
                Value::Text(text) if self.first(member.line, &names) => {
                    self.text(member.line, &names, text)
                }
                Value::Map(headers) if self.first(member.line, &names) => {
                    Json::Object(self.texts(&names, headers, "a JSONPath as text"))
                }
                Value::Text(_) | Value::Map(_) => continue,
            };
            maps.insert(member.name.clone(), taken);
        }
        self.config.insert("inject_headers".to_owned(), Json::Object(maps));
    }

    /// The members of an object whose values are all text.
    fn texts(&mut self, around: &[&str], members: &[Member], allowed: &str) -> Map<String, Json> {
        let mut texts = Map::new();
        for member in members {
            let names = [around, &[member.name.as_str()]].concat();
            if !self.first(member.line, &names) {
                continue;
            }
            match &member.value {
                Value::Text(text) => {
                    let taken = self.text(member.line, &names, text);
                    texts.insert(member.name.clone(), taken);
                }
                Value::Map(_) => self.mend(
                    member.line,
                    &format!("{}: got an object, expected {allowed}", place(&names)),
                    "remove the braces, or close the object before it",
                ),
            }
        }
        texts
    }

    fn scalar(&mut self, member: &Member) {
        let name = member.name.as_str();
        let Value::Text(text) = &member.value else { return self.not_text(member) };
        if !self.first(member.line, &[name]) {
            return;
        }
        let word = text.to_ascii_lowercase();
        let taken = match (name, word.as_str()) {
            ("enable_error_set", word) => {
                if !matches!(word, "true" | "false" | "") {
                    self.no_effect(member.line, name, text, "false", &["true", "false"]);
                }
                Json::Bool(word == "true")
            }
            (_, "") => return self.absent(member.line, &[name]),
            ("error_metadata_location", _) if !LOCATIONS.contains(&text.as_str()) => {
                self.no_effect(member.line, name, text, "absent", &LOCATIONS);
                return self.row(member.line, &[name], "counts as absent: left out".to_owned());
            }
            ("block_authorization_header", "true") => Json::Bool(true),
            ("block_authorization_header", "false") => Json::Bool(false),
            ("block_authorization_header", _) => {
                return self.mend(
                    member.line,
                    "block_authorization_header: got another value, expected true or false",
                    "write `true` to remove Authorization before the backend, `false` to keep it",
                );
            }
            ("http_proxy_port", _) => match text.parse::<u16>() {
                Ok(port) => Json::from(port),
                Err(_) => {
                    return self.mend(
                        member.line,
                        "http_proxy_port: got an invalid port, expected 1 to 65535",
                        "write a whole number from 1 to 65535",
                    );
                }
            },
            _ => Json::from(text.as_str()),
        };
        self.row(member.line, &[name], taken.to_string());
        self.config.insert(name.to_owned(), taken);
    }

    /// A key that the source system does not know. The filter's own reader names the nearest key.
    fn unknown(&mut self, member: &Member, in_endpoint: bool) {
        let name = member.name.as_str();
        let mut probe = Json::from_iter([(name, Json::Null)]);
        if in_endpoint {
            probe = Json::from_iter([("userinfo_endpoint", probe)]);
        }
        let problems = policy::read(probe.to_string().as_bytes()).err().unwrap_or_default();
        let unknown = problems.iter().find_map(|p| p.message.strip_prefix("unknown key, "));
        let remedy = match unknown {
            Some(near) if near.starts_with("did you mean") => {
                format!("{near} Correct the name and run this again")
            }
            Some(_) => "ignore it if it belongs to another processor of the chain; otherwise \
                        correct the name and run this again"
                .to_owned(),
            None => "it is a key of this filter: add it to the result by hand".to_owned(),
        };
        self.findings.push(Finding {
            line: Some(member.line),
            what: format!("{} is not a key of the source system", shown(name)),
            remedy,
            weight: Weight::LeftOut,
        });
    }

    /// A value that the source system and the filter silently read as something else: probably
    /// not what the author meant.
    fn no_effect(&mut self, line: usize, name: &str, text: &str, counts: &str, allowed: &[&str]) {
        let first = text.split(char::is_whitespace).next().unwrap_or_default();
        let meant = allowed.iter().find(|word| word.eq_ignore_ascii_case(first));
        let remedy = match meant {
            Some(word) if first.len() < text.len() => format!(
                "got text after the value: remove it and run this again if `{word}` is meant"
            ),
            Some(_) | None => {
                let verb = if counts == "false" { "write" } else { "expected" };
                let words: Vec<String> = allowed.iter().map(|word| format!("`{word}`")).collect();
                format!("{verb} {}", words.join(" or "))
            }
        };
        self.findings.push(Finding {
            line: Some(line),
            what: format!("{name} is {}, which counts as {counts} in both systems", shown(text)),
            remedy,
            weight: Weight::LeftOut,
        });
    }

    /// Whether nothing has been read for this place before.
    fn first(&mut self, line: usize, names: &[&str]) -> bool {
        let place = place(names);
        match self.lines.get(&place) {
            None => {
                self.lines.insert(place, line);
                true
            }
            Some(before) => {
                let what = format!("{place} is set here and in line {before}");
                self.mend(line, &what, "keep one of the two");
                false
            }
        }
    }

    fn text(&mut self, line: usize, names: &[&str], text: &str) -> Json {
        self.row(line, names, Json::from(masked(text)).to_string());
        Json::from(text)
    }

    fn absent(&mut self, line: usize, names: &[&str]) {
        self.row(line, names, "empty: left out".to_owned());
    }

    fn row(&mut self, line: usize, names: &[&str], taken: String) {
        self.rows.push(Row { line, place: place(names), taken });
    }

    fn not_text(&mut self, member: &Member) {
        let what = format!("{}: got an object, expected text", member.name);
        self.mend(member.line, &what, "write the value after the colon, without braces");
    }

    fn mend(&mut self, line: usize, what: &str, remedy: &str) {
        self.findings.push(Finding {
            line: Some(line),
            what: what.to_owned(),
            remedy: remedy.to_owned(),
            weight: Weight::Mend,
        });
    }
}

/// A place as the filter spells it in its problems.
pub(super) fn place(names: &[&str]) -> String {
    let mut place = String::new();
    for name in names {
        let plain = (1..=48).contains(&name.len())
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        match (plain, place.is_empty()) {
            (true, true) => place.push_str(name),
            (true, false) => place.extend([".", name]),
            (false, _) => {
                let quoted = Json::from(*name).to_string();
                place.extend(["[", &quoted, "]"]);
            }
        }
    }
    place
}

/// A text from the source, quoted for one line of the report.
pub(super) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    Json::from(short).to_string()
}

/// A URI without what may be a password: the report goes further than the configuration.
fn masked(text: &str) -> String {
    let host = text.split_once("://").map(|(scheme, rest)| (scheme, rest.split('/').next(), rest));
    match host {
        Some((scheme, Some(authority), rest)) if authority.contains('@') => {
            let after = rest.split_once('@').map_or("", |(_, after)| after);
            format!("{scheme}://…@{after}")
        }
        _ => text.to_owned(),
    }
}

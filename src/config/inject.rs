//! `inject_headers` and `region_header`: which headers the upstream gets from this filter.

use std::rc::Rc;

use super::file::{Fields, Node};
use super::location::Report;
use super::names::{self, DEFAULT_REGION};
use super::problem::{first_not, quoted};
use super::targets::Targets;
use crate::claims::json::Json;
use crate::claims::jsonpath::JsonPath;
use crate::policy::{ClaimRule, Lists};
use crate::request::strip::fold;

/// Longest separator of a joined list, in bytes.
const LONGEST_JOIN: usize = 64;

/// Its value is the client's word, and the upstream would take it for the filter's.
const IS_REGION_CODE: &str = "reserved header name: the same as regionCodeHeader";

/// The header maps. One for all regions is kept as that of `default`, which serves every region
/// without a map of its own.
#[derive(Debug, Default)]
pub(super) struct Injected {
    maps: Vec<(String, Rc<[ClaimRule]>)>,
    /// The name of every rule, also of one whose path is refused.
    names: Vec<String>,
}

impl Injected {
    /// The rules for a region, or for `default`.
    pub(super) fn rules(&self, region: &str) -> Rc<[ClaimRule]> {
        let of = |name: &str| self.maps.iter().find(|(region, _)| region == name);
        of(region)
            .or_else(|| of(DEFAULT_REGION))
            .map(|(_, rules)| rules.clone())
            .unwrap_or_default()
    }

    /// Every header name of every map, lower-cased.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}

/// Reads `inject_headers`.
pub(super) fn read(top: &Fields<'_>, targets: &Targets, report: &mut Report) -> Injected {
    let Some(node) = top.get("inject_headers") else {
        return Injected::default();
    };
    let place = node.place.clone();
    let Some(map) = Fields::open_map(node, report) else {
        return Injected::default();
    };
    let texts = map.iter().filter(|(_, node)| matches!(node.json, Json::String(_))).count();
    let objects = map.iter().filter(|(_, node)| matches!(node.json, Json::Object(_))).count();
    if texts > 0 && objects > 0 {
        report.problem(
            &place,
            format!(
                "got both text ({texts}) and objects ({objects}), expected header names with \
                 a JSONPath each, or regions with an object each"
            ),
        );
    }
    let mut reader = Reader { targets, report, names: Vec::new() };
    let maps = if objects == 0 {
        vec![(DEFAULT_REGION.to_owned(), reader.rules(&map, Form::Everywhere))]
    } else {
        let regions = map.iter();
        regions
            .filter_map(|(name, node)| Some((name.to_owned(), reader.region(name, node)?)))
            .collect()
    };
    Injected { maps, names: reader.names }
}

/// Reads `region_header`: its name, lower-cased.
pub(super) fn region_header(
    top: &Fields<'_>,
    targets: &Targets,
    injected: &Injected,
    report: &mut Report,
) -> Option<String> {
    let node = top.get("region_header")?;
    let text = node.text("a header name as text", report)?;
    let wrong = match names::writable(text) {
        Err(wrong) => wrong,
        Ok(name) if targets.read_region_from(&name) => IS_REGION_CODE.to_owned(),
        Ok(name) if injected.names().any(|other| names::same(other, &name)) => {
            "repeated header name: the same as one of inject_headers".to_owned()
        }
        Ok(name) => return Some(name),
    };
    report.problem(&node.place, wrong);
    None
}

/// What a header's value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Text alone: an object would be a region.
    Everywhere,
    /// Text, or an object with `path`.
    Regional,
}

/// Reads header maps, gathering the names in them.
struct Reader<'r> {
    targets: &'r Targets,
    report: &'r mut Report,
    names: Vec<String>,
}

impl Reader<'_> {
    /// A member where the others are regions.
    fn region(&mut self, name: &str, node: Node<'_>) -> Option<Rc<[ClaimRule]>> {
        let codes = self.targets.codes();
        let known = codes.is_none_or(|codes| codes.iter().any(|code| code == name));
        match node.json {
            Json::Object(_) if known || name == DEFAULT_REGION => {}
            Json::Object(members) => {
                self.report.problem(&node.place, not_a_region(self.targets));
                // A header rule in the wrong place: its members are no headers.
                if members.iter().any(|(name, _)| name == "path") {
                    return None;
                }
            }
            // The mix has been reported; the rule itself may have more to say.
            Json::String(_) => {
                self.rule(name, &node, Form::Everywhere);
                return None;
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) => {
                return node.wrong_kind("an object with the headers of a region", self.report);
            }
        }
        let map = Fields::open_map(node, self.report)?;
        Some(self.rules(&map, Form::Regional))
    }

    fn rules(&mut self, map: &Fields<'_>, form: Form) -> Rc<[ClaimRule]> {
        let mut rules = Vec::new();
        let mut seen: Vec<(Vec<u8>, &str)> = Vec::new();
        for (name, node) in map.iter() {
            let folded = fold(name.as_bytes());
            match seen.iter().find(|(other, _)| *other == folded) {
                Some((_, twin)) => self.report.problem(&node.place, names::repeats(twin)),
                None => seen.push((folded, name)),
            }
            rules.extend(self.rule(name, &node, form));
        }
        rules.into()
    }

    fn rule(&mut self, name: &str, node: &Node<'_>, form: Form) -> Option<ClaimRule> {
        let name = match names::writable(name) {
            Ok(name) if self.targets.read_region_from(&name) => Err(IS_REGION_CODE.to_owned()),
            other => other,
        };
        let name = name.map_err(|wrong| self.report.problem(&node.place, wrong)).ok();
        self.names.extend(name.clone());
        let (path, lists) = match form {
            Form::Regional => value(node, self.report)?,
            Form::Everywhere => (compile(node, "a JSONPath as text", self.report)?, Lists::Json),
        };
        Some(ClaimRule { name: name?.into(), path, lists })
    }
}

/// Where a value is: a JSONPath as text, or an object with `path`.
pub(super) fn value(node: &Node<'_>, report: &mut Report) -> Option<(JsonPath, Lists)> {
    if let Json::Object(_) = node.json {
        let node = Node { place: node.place.clone(), json: node.json };
        return list_rule(Fields::open(node, &["path", "join"], report)?, report);
    }
    let allowed = "a JSONPath as text, or an object with path";
    Some((compile(node, allowed, report)?, Lists::Json))
}

/// A value as an object: `{"path": …, "join": …}`.
fn list_rule(fields: Fields<'_>, report: &mut Report) -> Option<(JsonPath, Lists)> {
    let path = match fields.get("path") {
        Some(node) => compile(&node, "a JSONPath as text", report),
        None => {
            report.problem(&fields.place.absent("path"), "missing, expected a JSONPath");
            None
        }
    };
    let lists = match fields.get("join") {
        Some(node) => separator(&node, report).map(Lists::Joined),
        None => Some(Lists::Json),
    };
    Some((path?, lists?))
}

fn separator(node: &Node<'_>, report: &mut Report) -> Option<String> {
    let text = node.text("the text between two elements", report)?;
    let wrong = if text.is_empty() {
        "got empty text, expected at least one character between two elements".to_owned()
    } else if text.len() > LONGEST_JOIN {
        format!("got {} bytes, expected at most {LONGEST_JOIN}", text.len())
    } else if let Some(found) = first_not(text, |c| !c.is_control()) {
        format!("got {found}, expected no control characters")
    } else {
        return Some(text.to_owned());
    };
    report.problem(&node.place, wrong);
    None
}

/// Compiles a JSONPath; the position it reports counts characters from 1.
pub(super) fn compile(node: &Node<'_>, allowed: &str, report: &mut Report) -> Option<JsonPath> {
    let text = node.text(allowed, report)?;
    let error = match JsonPath::compile(text) {
        Ok(path) => return Some(path),
        Err(error) => error,
    };
    let position = error.offset.map(|offset| {
        let before = text.char_indices().take_while(|(at, _)| *at < offset).count();
        format!(" at {}", before.saturating_add(1))
    });
    let position = position.unwrap_or_default();
    report.problem(&node.place, format!("invalid JSONPath{position}: {}", error.reason));
    None
}

fn not_a_region(targets: &Targets) -> String {
    let codes = targets.codes().unwrap_or_default();
    let allowed: Vec<String> = codes.iter().map(|code| format!(", {}", quoted(code))).collect();
    format!(
        "unknown region, expected one of \"{DEFAULT_REGION}\"{} (the object form of a header is \
         accepted only in the map of a region)",
        allowed.concat()
    )
}

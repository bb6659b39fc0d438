//! `inject_headers` and `filter_state`: which claims become headers for the upstream, and filter state
//! for Envoy's own filters.

use std::rc::Rc;

use crate::claims::jsonpath::JsonPath;
use crate::config::file::{Fields, Node};
use crate::config::key::{Boolean, Choice, Key, Own};
use crate::config::location::Report;
use crate::config::names::{self, DEFAULT_REGION, IS_REGION_CODE, fold};
use crate::config::problem::quoted;
use crate::config::shape::{Keys, Object, names_of, text};
use crate::config::tree::Tree;

/// The keys of this room.
pub(crate) const KEYS: Keys = &[&INJECT_HEADERS, &FILTER_STATE];

static INJECT_HEADERS: Key<Own> = Key::new(
    "inject_headers",
    Own {
        schema: text(
            r##"{"anyOf": [
                {"type": "object", "propertyNames": {"$ref": "#/$defs/HeaderName"},
                 "additionalProperties": {"$ref": "#/$defs/ValueRule"}},
                {"type": "object", "additionalProperties":
                 {"$ref": "#/$defs/RegionHeaders", "not": {"required": ["path"]}}}]}"##,
        ),
        told: text("object"),
    },
    text(
        "headers for the backend: `{\"X-User-Id\": \"$.sub\"}` for all endpoints, or by region: \
         `{\"FR\": {…}, \"default\": {…}}`; a region without a map of its own gets `default`",
    ),
);

static FILTER_STATE: Key<Own> = Key::new(
    "filter_state",
    Own {
        schema: text(
            r##"{"type": "object",
                "propertyNames": {"$ref": "#/$defs/Name", "not": {"const": "oidc_outcome"}},
                "additionalProperties": {"$ref": "#/$defs/ValueRule"}}"##,
        ),
        told: text("object name → JSONPath, or an object as below"),
    },
    text(
        "leaves what is found as filter state `wasm.<name>`, for Envoy's own filters: RBAC, rate \
         limiting, access log. Names of `a-z`, `0-9` and `_`, a letter first; `oidc_outcome` is \
         reserved, the filter sets it itself",
    ),
);

/// A value as an object.
pub static VALUE: Object = Object {
    title: "ValueObject",
    keys: &[&PATH, &JOIN, &LIST, &ENCODE, &OF, &REQUIRED],
    more: text(
        r##""required": ["path"],
            "not": {"properties": {"list": {"const": true}}, "required": ["join", "list"]}"##,
    ),
};

static PATH: Key<Own> = Key::new(
    "path",
    Own { schema: text(r##"{"$ref": "#/$defs/JsonPath"}"##), told: text("JSONPath") },
    text("where the value is"),
);

static JOIN: Key<Own> = Key::new(
    "join",
    Own {
        schema: text(r##"{"$ref": "#/$defs/NoControl", "minLength": 1, "maxLength": 64}"##),
        told: text("text"),
    },
    text(
        "the text between the elements of a list, instead of a JSON array. An element that would not \
         come back when the list is taken apart makes the claim invalid; `null`, `\"\"`, arrays and \
         objects are left out",
    ),
);

static LIST: Key<Boolean> = Key::new(
    "list",
    Boolean { default: false },
    text("always a JSON array, also for one value; not together with `join`"),
);

static ENCODE: Key<Own> = Key::new(
    "encode",
    Own {
        schema: text(r##"{"enum": ["percent", "base64url"]}"##),
        told: text("`\"percent\"`, `\"base64url\"`"),
    },
    text(
        "for backends that take no UTF-8, and for values with line breaks: percent-encoding of all but \
         the unreserved characters (RFC 3986 §2.1), or base64url without padding (RFC 4648 §5), of the \
         value's UTF-8",
    ),
);

/// Where a rule reads.
pub(crate) static OF: Key<Choice<Document>> = Key::new(
    "of",
    Choice { default: ("response", Document::Response), others: &[("token", Document::Token)] },
    text(
        "`token` reads the payload of the vouched token, where that is a JWT, and not the provider's \
         response: see *Claims of the token*",
    ),
);

static REQUIRED: Key<Boolean> = Key::new(
    "required",
    Boolean { default: false },
    text(
        "a request for which no valid value is found gets a 403 without a challenge, also when the \
         value is left out for its size. An array is a value, also `[]` and `[null]`: \
         `require_claims` asks for an element",
    ),
);

/// The document that a rule reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// The provider's response.
    Response,
    /// The payload of the vouched token.
    Token,
}

/// How a value becomes characters that any backend takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As it is, in UTF-8.
    Plain,
    /// RFC 3986 §2.1, unreserved characters kept.
    Percent,
    /// RFC 4648 §5, without padding.
    Base64Url,
}

/// One claim to hand on.
#[derive(Debug)]
pub struct ClaimRule {
    /// The header's name, lower-cased, or that of the filter state.
    pub name: Rc<str>,
    /// Its value.
    pub value: ValueRule,
}

/// Where a value is, and how it is written.
#[derive(Debug)]
pub struct ValueRule {
    /// Where it is in its document.
    pub path: JsonPath,
    /// Which document that is.
    pub of: Document,
    /// How a found list is written.
    pub lists: Lists,
    /// How the value is encoded.
    pub encoding: Encoding,
    /// Whether a request without it is refused.
    pub required: bool,
}

impl ValueRule {
    /// What is at this path of the response, as it is.
    pub fn plain(path: JsonPath) -> ValueRule {
        ValueRule {
            path,
            of: Document::Response,
            lists: Lists::Json,
            encoding: Encoding::Plain,
            required: false,
        }
    }
}

/// How a list becomes a header value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lists {
    /// As a compact JSON array.
    Json,
    /// As a compact JSON array, also where there is one value.
    Always,
    /// Its elements with this separator between them; one that would not come back when the list
    /// is taken apart makes the claim invalid.
    Joined(String),
}

/// The regions that the endpoints have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Regions<'t> {
    /// The codes; `None` if that cannot be known.
    pub(crate) codes: Option<&'t [String]>,
    /// The header that the code is read from.
    pub(crate) header: Option<&'t str>,
}

/// What a member of `inject_headers` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    /// A header, with a JSONPath or an object with `path`.
    Header,
    /// A region, with an object of headers.
    Region,
    /// Neither: another kind of value.
    Other,
}

impl Regions<'_> {
    /// A known region stays one, also with a header that is called `path`.
    fn entry(&self, name: &str, node: &Node<'_>) -> Entry {
        let is_known = name == DEFAULT_REGION
            || self.codes.is_some_and(|codes| codes.iter().any(|c| c == name));
        match node.value {
            Tree::Text(_) => Entry::Header,
            Tree::Object(members)
                if !is_known && members.iter().any(|(name, _)| name == "path") =>
            {
                Entry::Header
            }
            Tree::Object(_) => Entry::Region,
            Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::List(_) => Entry::Other,
        }
    }
}

/// The words of `encode`; absence is none of them.
const ENCODINGS: [(&str, Encoding); 2] =
    [("percent", Encoding::Percent), ("base64url", Encoding::Base64Url)];

/// Longest separator of a joined list, in bytes.
const LONGEST_JOIN: usize = 64;

/// What the filter itself leaves as filter state.
const OWN: &str = "oidc_outcome";

/// The header maps. One for all regions is kept as that of `default`, which serves every region
/// without a map of its own.
#[derive(Debug, Default)]
pub(crate) struct Injected {
    maps: Vec<(String, Rc<[ClaimRule]>)>,
    /// The name of every rule, also of one whose path is refused.
    names: Vec<String>,
}

impl Injected {
    /// The rules for a region, or for `default`.
    pub(crate) fn rules(&self, region: &str) -> Rc<[ClaimRule]> {
        let of = |name: &str| self.maps.iter().find(|(region, _)| region == name);
        of(region)
            .or_else(|| of(DEFAULT_REGION))
            .map(|(_, rules)| rules.clone())
            .unwrap_or_default()
    }

    /// Every header name of every map, lower-cased.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }
}

/// Reads `inject_headers`.
pub(crate) fn read(top: &Fields<'_>, regions: Regions<'_>, report: &mut Report) -> Injected {
    let Some(node) = INJECT_HEADERS.node(top) else {
        return Injected::default();
    };
    let place = node.place.clone();
    let Some(map) = Fields::open_map(node, report) else {
        return Injected::default();
    };
    let count = |wanted: Entry| {
        map.iter().filter(|(name, node)| regions.entry(name, node) == wanted).count()
    };
    let (headers, objects) = (count(Entry::Header), count(Entry::Region));
    if headers > 0 && objects > 0 {
        report.problem(
            &place,
            format!(
                "got both headers ({headers}) and regions ({objects}), expected header names with a \
                 JSONPath or an object with path each, or regions with an object each"
            ),
        );
    }
    let mut reader = Reader { regions, report, names: Vec::new() };
    let maps = if objects == 0 {
        vec![(DEFAULT_REGION.to_owned(), reader.rules(&map))]
    } else {
        let regions = map.iter();
        regions
            .filter_map(|(name, node)| Some((name.to_owned(), reader.region(name, node)?)))
            .collect()
    };
    Injected { maps, names: reader.names }
}

/// Reads `filter_state`: names, and where their values are.
pub(crate) fn filter_state(top: &Fields<'_>, report: &mut Report) -> Rc<[ClaimRule]> {
    let mut rules = Vec::new();
    for (name, node) in top.map(FILTER_STATE.name(), report).iter().flat_map(Fields::iter) {
        let wrong = match names::wrong_name(name) {
            None if name == OWN => Some(format!("reserved name: the filter sets {OWN} itself")),
            wrong => wrong,
        };
        match (wrong, value(&node, report)) {
            (Some(wrong), _) => report.problem(&node.place, wrong),
            (None, Some(value)) => rules.push(ClaimRule { name: name.into(), value }),
            (None, None) => {}
        }
    }
    rules.into()
}

/// Reads header maps, gathering the names in them.
struct Reader<'r> {
    regions: Regions<'r>,
    report: &'r mut Report,
    names: Vec<String>,
}

impl Reader<'_> {
    /// A member where others are regions.
    fn region(&mut self, name: &str, node: Node<'_>) -> Option<Rc<[ClaimRule]>> {
        match self.regions.entry(name, &node) {
            // The mix has been reported; the rule itself may have more to say.
            Entry::Header => {
                self.rule(name, &node);
                return None;
            }
            Entry::Other => {
                return node.wrong_kind("an object with the headers of a region", self.report);
            }
            Entry::Region => {}
        }
        let codes = self.regions.codes;
        let known = codes.is_none_or(|codes| codes.iter().any(|code| code == name));
        if !known && name != DEFAULT_REGION {
            self.report.problem(&node.place, not_a_region(self.regions));
        }
        let map = Fields::open_map(node, self.report)?;
        Some(self.rules(&map))
    }

    fn rules(&mut self, map: &Fields<'_>) -> Rc<[ClaimRule]> {
        let mut rules = Vec::new();
        let mut seen: Vec<(Vec<u8>, &str)> = Vec::new();
        for (name, node) in map.iter() {
            let folded = fold(name.as_bytes());
            match seen.iter().find(|(other, _)| *other == folded) {
                Some((_, twin)) => self.report.problem(&node.place, names::repeats(twin)),
                None => seen.push((folded, name)),
            }
            rules.extend(self.rule(name, &node));
        }
        rules.into()
    }

    fn rule(&mut self, name: &str, node: &Node<'_>) -> Option<ClaimRule> {
        let name = match names::writable(name) {
            Ok(name) if self.regions.header.is_some_and(|header| names::same(header, &name)) => {
                Err(IS_REGION_CODE.to_owned())
            }
            other => other,
        };
        let name = name.map_err(|wrong| self.report.problem(&node.place, wrong)).ok();
        self.names.extend(name.clone());
        let value = value(node, self.report)?;
        Some(ClaimRule { name: name?.into(), value })
    }
}

/// Where a value is: a JSONPath as text, or an object with `path`.
fn value(node: &Node<'_>, report: &mut Report) -> Option<ValueRule> {
    if let Tree::Object(_) = node.value {
        let node = Node { place: node.place.clone(), value: node.value };
        return object(&Fields::open(node, &names_of(&[VALUE.keys]), report)?, report);
    }
    let allowed = "a JSONPath as text, or an object with path";
    Some(ValueRule::plain(json_path(node, allowed, report)?))
}

/// A value as an object: `{"path": …, "join": …}`.
fn object(fields: &Fields<'_>, report: &mut Report) -> Option<ValueRule> {
    let path = match PATH.node(fields) {
        Some(node) => json_path(&node, "a JSONPath as text", report),
        None => {
            report.problem(&fields.place.absent(PATH.name()), "missing, expected a JSONPath");
            None
        }
    };
    let always = LIST.read(fields, report);
    let lists = match JOIN.node(fields) {
        Some(node) => {
            if always {
                report.problem(
                    &node.place,
                    "got join together with list, expected one of the two: a list is either joined \
                     or a JSON array",
                );
            }
            let text = node.plain_text("the text between two elements", LONGEST_JOIN, report);
            text.map(|text| Lists::Joined(text.to_owned()))
        }
        None if always => Some(Lists::Always),
        None => Some(Lists::Json),
    };
    let encoding = match ENCODE.node(fields) {
        None => Encoding::Plain,
        Some(node) => {
            let word = node.word(&ENCODINGS.map(|(word, _)| word), report);
            let named = ENCODINGS.iter().find(|(known, _)| Some(*known) == word);
            named.map_or(Encoding::Plain, |(_, encoding)| *encoding)
        }
    };
    let of = OF.read(fields, report);
    let required = REQUIRED.read(fields, report);
    Some(ValueRule { path: path?, of, lists: lists?, encoding, required })
}

/// Compiles a JSONPath; the position it reports counts characters from 1.
pub(crate) fn json_path(node: &Node<'_>, allowed: &str, report: &mut Report) -> Option<JsonPath> {
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

fn not_a_region(regions: Regions<'_>) -> String {
    let codes = regions.codes.unwrap_or_default();
    let allowed: Vec<String> = codes.iter().map(|code| format!(", {}", quoted(code))).collect();
    format!(
        "unknown region, expected one of \"{DEFAULT_REGION}\"{} (a header as an object has a path)",
        allowed.concat()
    )
}

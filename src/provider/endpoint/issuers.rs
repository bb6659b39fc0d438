//! `issuers`: the provider of a token is the one that its issuer names.
//!
//! The issuer is read without any check of the token. It chooses who is asked, from a closed list, and
//! nothing else; a token is shown to no other provider than the one that it names.

use super::region::{self, Region};
use crate::config::file::{Fields, Node};
use crate::config::key::{Choice, Key, Own};
use crate::config::location::Report;
use crate::config::names::DEFAULT_REGION;
use crate::config::problem::quoted;
use crate::config::shape::{Object, names_of, text};

/// The list of issuers, a member of the endpoint.
pub(super) static ISSUERS: Key<Own> = Key::new(
    "issuers",
    Own {
        schema: text(
            r##"{"type": "object", "minProperties": 1, "maxProperties": 10,
                "propertyNames": {"minLength": 1, "maxLength": 2048},
                "additionalProperties": {"$ref": "#/$defs/Issuer"}}"##,
        ),
        told: text("object issuer → object as below, 1 to 10"),
    },
    text(
        "the endpoint of each issuer, for tokens that are JWTs: the `iss` of the token chooses, byte for \
         byte, and an `iss` in the response must then be the same. Opaque tokens go to `defaultURI`. Not \
         together with `regionCodeHeader`",
    ),
);

/// What a token of another issuer gets.
pub(crate) static UNKNOWN_ISSUER: Key<Choice<UnknownIssuer>> = Key::new(
    "unknown_issuer",
    Choice {
        default: ("reject", UnknownIssuer::Reject),
        others: &[("default", UnknownIssuer::UseDefault)],
    },
    text(
        "what a token of an issuer that `issuers` does not list gets: 401 `invalid_token`, or the default \
         endpoint",
    ),
);

/// One issuer.
pub static ISSUER: Object = Object {
    title: "Issuer",
    keys: &[&NAME, &URI],
    more: text(r##""required": ["name", "uri"]"##),
};

static NAME: Key<Own> = Key::new(
    "name",
    Own {
        schema: text(
            r##"{"type": "string", "pattern": "^[a-z0-9_-]{1,32}$", "not": {"const": "default"}}"##,
        ),
        told: text("text of `a-z`, `0-9`, `_`, `-`, up to 32"),
    },
    text(
        "the issuer's short name: its region in `inject_headers`, `introspection_client`, \
         `region_header`, counters and the access log",
    ),
);

static URI: Key<Own> = Key::new(
    "uri",
    Own {
        schema: text(r##"{"$ref": "#/$defs/Endpoint"}"##),
        told: text("URI, or 1 to 5 in order"),
    },
    text("its endpoint"),
);

/// `unknown_issuer`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownIssuer {
    /// The token is refused, and nobody is asked.
    Reject,
    /// The default endpoint is asked.
    UseDefault,
}

/// Most issuers of one configuration.
const MOST: usize = 10;

/// Longest issuer, in bytes.
const LONGEST: usize = 2048;

/// Longest name of an issuer.
const LONGEST_NAME: usize = 32;

/// The endpoints by issuer; `None` if there are none. The names are `None` if they could not be read.
pub(super) fn read(
    fields: &Fields<'_>,
    report: &mut Report,
) -> Option<(Option<Vec<String>>, Vec<Region>)> {
    let node = ISSUERS.node(fields)?;
    let place = node.place.clone();
    let Some(map) = Fields::open_map(node, report) else {
        return Some((None, Vec::new()));
    };
    let count = map.len();
    if !(1..=MOST).contains(&count) {
        report.problem(&place, format!("got {count} issuers, expected 1 to {MOST}"));
    }
    let mut names: Vec<String> = Vec::new();
    let mut regions = Vec::new();
    let mut is_known = true;
    for (issuer, node) in map.iter() {
        if issuer.is_empty() || issuer.len() > LONGEST {
            let length = issuer.len();
            let message = format!("got an issuer of {length} bytes, expected 1 to {LONGEST} bytes");
            report.problem(&node.place, message);
        }
        match one(issuer, node, &names, report) {
            Some(region) => {
                names.push(region.code.clone());
                regions.push(region);
            }
            None => is_known = false,
        }
    }
    Some((is_known.then_some(names), regions))
}

fn one(issuer: &str, node: Node<'_>, names: &[String], report: &mut Report) -> Option<Region> {
    let fields = Fields::open(node, &names_of(&[ISSUER.keys]), report)?;
    let name = match NAME.node(&fields) {
        Some(node) => name(&node, names, report),
        None => {
            report.problem(&fields.place.absent(NAME.name()), "missing, expected a short name");
            None
        }
    };
    let Some(node) = URI.node(&fields) else {
        report.problem(&fields.place.absent(URI.name()), "missing, expected an endpoint URI");
        return None;
    };
    let region = region::region(&name.unwrap_or_default(), node, report)?;
    (!region.code.is_empty()).then(|| Region { issuer: Some(issuer.to_owned()), ..region })
}

fn name(node: &Node<'_>, names: &[String], report: &mut Report) -> Option<String> {
    let name = node.text("a short name as text", report)?;
    let is_name = (1..=LONGEST_NAME).contains(&name.len())
        && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
    let wrong = if !is_name {
        format!("got {}, expected 1 to {LONGEST_NAME} of a-z, 0-9, _ and -", quoted(name))
    } else if name == DEFAULT_REGION {
        format!("got {DEFAULT_REGION}, expected another name: it is reserved for defaultURI")
    } else if names.iter().any(|other| other == name) {
        "got a repeated name, expected each name once".to_owned()
    } else {
        return Some(name.to_owned());
    };
    report.problem(&node.place, wrong);
    None
}

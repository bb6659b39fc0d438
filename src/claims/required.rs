//! What a route requires of the token and of the user whose token is good: `require_scope`,
//! `require_audience`, `require_issuer`, `require_claims`.
//!
//! They are rules of the route alone. They must never change what the provider's response is evidence of,
//! nor what is kept of it; and what cannot be evaluated is not fulfilled.

mod values;

use crate::claims::ClaimFaults;
use crate::claims::json::Json;
use crate::claims::jsonpath::{Budget, JsonPath, Selection};
use crate::claims::rules::{Document, json_path};
use crate::config::file::{Fields, Node};
use crate::config::key::{Key, Own};
use crate::config::list;
use crate::config::location::Report;
use crate::config::shape::{Keys, text};
use crate::config::tree::Tree;
pub use values::ANY_OF;
use values::Allowed;

/// The keys of this room.
pub(crate) const KEYS: Keys =
    &[&REQUIRE_SCOPE, &REQUIRE_AUDIENCE, &REQUIRE_ISSUER, &REQUIRE_CLAIMS];

static REQUIRE_SCOPE: Key<Own> = Key::new(
    "require_scope",
    Own {
        schema: text(
            r##"{"type": "array", "minItems": 1, "maxItems": 32, "uniqueItems": true, "items":
                {"$ref": "#/$defs/Scope"}}"##,
        ),
        told: text("list of texts, 1 to 32"),
    },
    text(
        "the token has **all** of these scopes (elsewhere such lists often mean any of them); else 403 \
         `insufficient_scope`, which names those wanted. Read from `scope`, else `scp`: text with spaces \
         between, or a list of texts",
    ),
);

static REQUIRE_AUDIENCE: Key<Own> = Key::new(
    "require_audience",
    Own {
        schema: text(
            r##"{"type": "array", "minItems": 1, "maxItems": 32, "uniqueItems": true, "items":
                {"type": "string", "minLength": 1, "maxLength": 2048}}"##,
        ),
        told: text("list of texts, 1 to 32"),
    },
    text(
        "**one** of these is in `aud`, text or a list of texts; else 401 `invalid_token`: the token was \
         issued for another API",
    ),
);

static REQUIRE_ISSUER: Key<Own> = Key::new(
    "require_issuer",
    Own {
        schema: text(
            r##"{"type": "array", "minItems": 1, "maxItems": 32, "uniqueItems": true, "items":
                {"type": "string", "minLength": 1, "maxLength": 2048}}"##,
        ),
        told: text("list of texts, 1 to 32"),
    },
    text("`iss` is **one** of these, byte for byte; else 401 `invalid_token`"),
);

static REQUIRE_CLAIMS: Key<Own> = Key::new(
    "require_claims",
    Own {
        schema: text(
            r##"{"type": "object", "minProperties": 1,
                "propertyNames": {"$ref": "#/$defs/JsonPath"},
                "additionalProperties": {"anyOf": [
                    {"$ref": "#/$defs/ClaimValue"}, {"$ref": "#/$defs/ClaimValues"},
                    {"$ref": "#/$defs/AnyOf"}]}}"##,
        ),
        told: text(
            "object JSONPath → text, number, boolean, a list of these, or an object as below",
        ),
    },
    text(
        "for every path, one of the selected nodes equals one of the values: of the same type, to the \
         letter, a number as the provider writes it (a Struct does not keep how its own numbers are \
         written). Else 403 without a challenge. What is absent, of another type, or too costly to find \
         is not fulfilled. Numbers have at most 15 digits. `[*]` selects the elements of a list, and the \
         members of an object: `{\"$.groups[*]\": [\"staff\", \"admin\"]}`",
    ),
);

/// Most values of a list.
const MOST: usize = 32;

/// Longest audience or issuer, in bytes.
const LONGEST_NAME: usize = 2048;

/// What a route requires. All of it has to be fulfilled.
#[derive(Debug, Default)]
pub struct Requirements {
    scope: Vec<String>,
    audience: Vec<String>,
    issuer: Vec<String>,
    claims: Vec<RequiredClaim>,
}

#[derive(Debug)]
struct RequiredClaim {
    path: JsonPath,
    allowed: Allowed,
}

/// The first requirement that is not fulfilled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmet {
    /// `require_scope`
    Scope,
    /// `require_audience`
    Audience,
    /// `require_issuer`
    Issuer,
    /// `require_claims`
    Claim,
    /// A header rule with `required`.
    Header,
}

/// What a vouched token comes with.
#[derive(Debug, Clone, Copy)]
pub struct Documents<'d, 'b> {
    /// The provider's response; `None` where it is no JSON.
    pub response: Option<&'d Json<'b>>,
    /// The payload of the token; `None` where it has none, or where nobody needs it.
    pub token: Option<&'d Json<'b>>,
    /// Which of the two says scope, audience and issuer: one alone. A provider may withhold scopes from
    /// this gateway, and the token's own must not restore them.
    pub grants: Document,
}

impl<'d, 'b> Documents<'d, 'b> {
    /// One of the two.
    pub fn of(&self, document: Document) -> Option<&'d Json<'b>> {
        match document {
            Document::Response => self.response,
            Document::Token => self.token,
        }
    }
}

impl Requirements {
    /// Whether the token's payload has to be read, where scope, audience and issuer are in `grants`.
    pub(crate) fn reads_token(&self, grants: Document) -> bool {
        let lists = [&self.scope, &self.audience, &self.issuer];
        (grants == Document::Token && lists.iter().any(|list| !list.is_empty()))
            || self.claims.iter().any(|claim| claim.allowed.of == Document::Token)
    }

    /// The scopes wanted, as a challenge names them (RFC 6750 §3).
    pub(crate) fn scope(&self) -> Option<String> {
        (!self.scope.is_empty()).then(|| self.scope.join(" "))
    }

    /// The first requirement that is not fulfilled.
    #[must_use]
    pub fn unmet(&self, documents: Documents<'_, '_>) -> Option<Unmet> {
        self.first_unmet(documents, &mut ClaimFaults::default())
    }

    /// The same, and counts a search that is given up.
    pub(crate) fn first_unmet(
        &self,
        documents: Documents<'_, '_>,
        faults: &mut ClaimFaults,
    ) -> Option<Unmet> {
        let grants = documents.of(documents.grants);
        // A member that is null says nothing.
        let said = |name: &str| {
            let member = grants.and_then(|document| document.member(name));
            member.filter(|value| **value != Json::Null)
        };
        let any = |wanted: &[String], found: Option<Vec<&str>>| {
            let found = found.unwrap_or_default();
            wanted.is_empty() || wanted.iter().any(|wanted| found.contains(&wanted.as_str()))
        };
        if !any(&self.issuer, said("iss").and_then(text_of).map(|issuer| vec![issuer])) {
            return Some(Unmet::Issuer);
        }
        if !any(&self.audience, said("aud").and_then(texts)) {
            return Some(Unmet::Audience);
        }
        if !self.scope.is_empty() {
            let found = said("scope").or_else(|| said("scp")).and_then(scopes).unwrap_or_default();
            if !self.scope.iter().all(|wanted| found.contains(&wanted.as_str())) {
                return Some(Unmet::Scope);
            }
        }
        let mut budget = Budget::for_answer();
        let is_fulfilled = |claim: &RequiredClaim| {
            let document = documents.of(claim.allowed.of);
            match document.map(|document| claim.path.select(document, &mut budget)) {
                Some(Selection::One(node)) => claim.allowed.has(node),
                Some(Selection::Many(nodes)) => {
                    nodes.into_iter().any(|node| claim.allowed.has(node))
                }
                Some(Selection::OverBudget) => {
                    faults.one_over_budget();
                    false
                }
                Some(Selection::Nothing) | None => false,
            }
        };
        (!self.claims.iter().all(is_fulfilled)).then_some(Unmet::Claim)
    }
}

fn text_of<'j>(node: &'j Json<'_>) -> Option<&'j str> {
    match node {
        Json::String(text) => Some(text),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => None,
    }
}

/// A text, or a list of nothing but texts.
fn texts<'j>(node: &'j Json<'_>) -> Option<Vec<&'j str>> {
    match node {
        Json::Array(elements) => elements.iter().map(text_of).collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_) => {
            text_of(node).map(|text| vec![text])
        }
    }
}

/// Scopes as text with spaces between (RFC 6749 §3.3), or as a list.
fn scopes<'j>(node: &'j Json<'_>) -> Option<Vec<&'j str>> {
    match node {
        Json::String(text) => Some(text.split(' ').filter(|scope| !scope.is_empty()).collect()),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
            texts(node)
        }
    }
}

/// Reads the keys.
pub(crate) fn read(top: &Fields<'_>, report: &mut Report) -> Requirements {
    let name = |text: &str| {
        (text.len() > LONGEST_NAME)
            .then(|| format!("got {} bytes, expected at most {LONGEST_NAME}", text.len()))
    };
    let mut texts = |key: &Key<Own>, allowed: &str, wrong: &dyn Fn(&str) -> Option<String>| {
        let node = key.node(top);
        node.map(|node| list::texts(&node, MOST, allowed, wrong, report)).unwrap_or_default()
    };
    Requirements {
        scope: texts(&REQUIRE_SCOPE, "a scope as text", &list::wrong_scope),
        audience: texts(&REQUIRE_AUDIENCE, "an audience as text", &name),
        issuer: texts(&REQUIRE_ISSUER, "an issuer as text", &name),
        claims: claims(top, report),
    }
}

fn claims(top: &Fields<'_>, report: &mut Report) -> Vec<RequiredClaim> {
    let Some(node) = REQUIRE_CLAIMS.node(top) else {
        return Vec::new();
    };
    let place = node.place.clone();
    let Some(map) = Fields::open_map(node, report) else {
        return Vec::new();
    };
    if map.len() == 0 {
        report
            .problem(&place, "got an empty object, expected at least one JSONPath with its values");
    }
    let claims = map.iter().filter_map(|(name, node)| {
        let written = Tree::Text(name.to_owned());
        let place = node.place.clone();
        let path = json_path(&Node { place, value: &written }, "a JSONPath", report);
        let allowed = values::read(&node, report);
        Some(RequiredClaim { path: path?, allowed: allowed? })
    });
    claims.collect()
}

#[cfg(test)]
mod tests;

//! `require_subject` and `accept_any_200`: which response with status 200 vouches for a token.

use crate::claims;
use crate::claims::json::Json;
use crate::claims::jsonpath::{Budget, JsonPath, Selection};
use crate::claims::rules::json_path;
use crate::config::file::Fields;
use crate::config::key::{Boolean, Key, Own};
use crate::config::location::Report;
use crate::config::shape::{Keys, text};
use crate::config::tree::Tree;

/// The keys of this room.
pub(crate) const KEYS: Keys = &[&REQUIRE_SUBJECT, &ACCEPT_ANY_200];

static REQUIRE_SUBJECT: Key<Own> = Key::new(
    "require_subject",
    Own {
        schema: text(
            r##"{"anyOf": [{"type": "boolean"}, {"$ref": "#/$defs/SubjectPath"}], "default": false}"##,
        ),
        told: text("boolean or JSONPath, false"),
    },
    text(
        "true: the response also has a string `sub` (OpenID Connect Core §5.3.2) that a header can \
         carry. A path of names and indexes alone, such as `\"$.data.sub\"`, is for a provider that has \
         its subject elsewhere; there must be such a text, or an integer. Recommended: a health page \
         that responds `{\"ok\":true}`, or a `{\"code\":401,\"data\":null}` with status 200, would \
         otherwise vouch for every token",
    ),
);

static ACCEPT_ANY_200: Key<Boolean> = Key::new(
    "accept_any_200",
    Boolean { default: false },
    text(
        "the source system's rule: any complete, unencoded 200 within the size, then without injected \
         headers unless it is JSON. Not together with `require_subject`",
    ),
);

/// Which responses with status 200 are successful validations. It is part of the token's key
/// (`provider/key.rs`): a success by one rule is not a success by another.
#[derive(Debug)]
pub enum Success {
    /// A JSON object.
    Object,
    /// A JSON object with a string `sub` (OpenID Connect Core §5.3.2) that a header can carry.
    ObjectWithSubject,
    /// A JSON object with a subject elsewhere: text that a header can carry, or an integer.
    ObjectWithSubjectAt(SubjectPath),
    /// Any complete, unencoded response within the size, as in the source system.
    Any,
}

/// Where the subject is. The path is singular: of several nodes nobody could say which is meant.
#[derive(Debug)]
pub struct SubjectPath {
    /// As written.
    pub text: Box<str>,
    /// The path itself.
    pub path: JsonPath,
}

impl Success {
    /// Its part of the token's key.
    pub(crate) fn key_parts(&self) -> Vec<&str> {
        match self {
            Success::Object => vec!["object"],
            Success::ObjectWithSubject => vec!["sub"],
            Success::ObjectWithSubjectAt(SubjectPath { text, .. }) => vec!["subject at", text],
            Success::Any => vec!["any"],
        }
    }

    /// Whether this body, `None` where it is no JSON, vouches for the token.
    pub(crate) fn holds(&self, document: Option<&Json<'_>>) -> bool {
        let object = document.filter(|document| matches!(document, Json::Object(_)));
        match (self, object) {
            (Success::Any, _) | (Success::Object, Some(_)) => true,
            (Success::ObjectWithSubject, Some(object)) => {
                let sub = object.member("sub");
                matches!(sub, Some(Json::String(text)) if claims::is_identity(text))
            }
            (Success::ObjectWithSubjectAt(at), Some(object)) => has_subject_at(at, object),
            (_, None) => false,
        }
    }
}

/// Whether a subject is there: what no header can carry would reach the upstream authenticated and
/// without an identity.
fn has_subject_at(at: &SubjectPath, document: &Json<'_>) -> bool {
    match at.path.select(document, &mut Budget::for_answer()) {
        Selection::One(Json::String(text)) => claims::is_identity(text),
        // As written: an integer that another reader rounds is another user's.
        Selection::One(Json::Number(text)) => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            digits.bytes().all(|byte| byte.is_ascii_digit()) && claims::is_identity(text)
        }
        Selection::One(Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_))
        | Selection::Nothing
        | Selection::Many(_)
        | Selection::OverBudget => false,
    }
}

/// Reads the keys.
pub(crate) fn read(top: &Fields<'_>, report: &mut Report) -> Success {
    let any = ACCEPT_ANY_200.read(top, report);
    let success = subject(top, report);
    if let (true, Some(node)) = (any, REQUIRE_SUBJECT.node(top)) {
        let found = match success {
            Success::ObjectWithSubject => Some("true"),
            Success::ObjectWithSubjectAt(_) => Some("a JSONPath"),
            Success::Object | Success::Any => None,
        };
        if let Some(found) = found {
            report.problem(
                &node.place,
                format!(
                    "got {found} together with accept_any_200, expected one of the two: a response \
                     of any kind has no subject"
                ),
            );
        }
    }
    if any { Success::Any } else { success }
}

/// Reports `accept_any_200` where tokens are introspected: only `"active": true` vouches there.
pub(crate) fn refuse_any_200(top: &Fields<'_>, report: &mut Report) {
    if let Some(node) = ACCEPT_ANY_200.node(top) {
        report.problem(
            &node.place,
            "got a value with introspection_endpoint, expected it absent: only \"active\": true vouches \
             there",
        );
    }
}

/// `require_subject`: true for `sub`, or the path to another place.
fn subject(top: &Fields<'_>, report: &mut Report) -> Success {
    const ALLOWED: &str = "true, false or a JSONPath as text";
    let Some(node) = REQUIRE_SUBJECT.node(top) else {
        return Success::Object;
    };
    let text = match node.value {
        Tree::Bool(true) => return Success::ObjectWithSubject,
        Tree::Bool(false) => return Success::Object,
        Tree::Text(text) => text.as_str(),
        Tree::Null | Tree::Number(_) | Tree::List(_) | Tree::Object(_) => {
            return node.wrong_kind(ALLOWED, report).unwrap_or(Success::Object);
        }
    };
    // The connector's older form would make the path `$.true` of it.
    if matches!(text, "true" | "false") {
        let allowed = "true or false without quotation marks, or a JSONPath as text";
        return node.wrong_kind(allowed, report).unwrap_or(Success::Object);
    }
    match json_path(&node, ALLOWED, report) {
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

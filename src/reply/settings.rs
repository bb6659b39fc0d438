//! What refused requests get in reply.
//!
//! Envoy does not check the headers of a reply that a filter makes: a line break in one would be
//! a header of its own. So every text that becomes a header is checked here.

use std::time::Duration;

use crate::config::duration::Range;
use crate::config::file::Fields;
use crate::config::key::{Choice, HeaderText, Integer, Key, OptionalTime, Own};
use crate::config::location::Report;
use crate::config::shape::{Keys, Object, text};
use crate::config::tree::Tree;
use crate::provider::error_text::{self, ProviderText};
use crate::provider::method::Words;

/// The keys of this room.
pub(crate) const KEYS: Keys =
    &[&REALM, &ENABLE_ERROR_SET, &ERROR_SET, &USERINFO_UNAVAILABLE, &PROVIDER_ERRORS];

static REALM: Key<HeaderText> = Key::new(
    "realm",
    HeaderText { shortest: 0, longest: 1024, default: "api" },
    text("`realm` of every challenge"),
);

static ENABLE_ERROR_SET: Key<Own> = Key::new(
    "enable_error_set",
    Own {
        schema: text(r##"{"examples": [true, false, "true"]}"##),
        told: text("`\"true\"` in any case, or boolean; anything else is false"),
    },
    text("the connector's own errors are answered with `error_set`"),
);

static ERROR_SET: Key<&Object> = Key::new(
    "error_set",
    &Object {
        title: "ErrorSet",
        keys: &[&CODE, &DETAIL_HEADER, &RESPONSE_BODY, &CONTENT_TYPE],
        more: text(""),
    },
    text("the reply in the place of the connector's own errors, with `enable_error_set`"),
);

static CODE: Key<Integer> =
    Key::new("code", Integer { min: 400, max: 599, default: 403 }, text("status of the reply"));

static DETAIL_HEADER: Key<HeaderText> = Key::new(
    "detail_header",
    HeaderText { shortest: 0, longest: 1024, default: "Not Authorized" },
    text("value of `X-Error-Detail-Header`"),
);

static RESPONSE_BODY: Key<Own> = Key::new(
    "response_body",
    Own {
        schema: text(r##"{"type": "string", "maxLength": 65536, "default": ""}"##),
        told: text("text, `\"\"`"),
    },
    text("body of the reply"),
);

static CONTENT_TYPE: Key<HeaderText> = Key::new(
    "content_type",
    HeaderText { shortest: 1, longest: 1024, default: "text/plain" },
    text("content type of the body; not empty"),
);

static USERINFO_UNAVAILABLE: Key<&Object> = Key::new(
    "userinfo_unavailable",
    &Object {
        title: "Unavailable",
        keys: &[&STATUS, &RETRY_AFTER],
        more: text(
            r##""dependentSchemas": {"retry_after":
                {"required": ["status"], "properties": {"status": {"const": 503}}}}"##,
        ),
    },
    text(
        "the reply when there is no response from the provider, or no call is made. With status 503, a \
         200 that cannot be used is answered 502 without `Retry-After`: trying again does not help",
    ),
);

static STATUS: Key<Own> = Key::new(
    "status",
    Own {
        schema: text(r##"{"enum": [401, 503], "default": 401}"##),
        told: text("401 or 503, 401"),
    },
    text("status of the reply. Recommended: 503, because a 401 makes clients discard valid tokens"),
);

static RETRY_AFTER: Key<OptionalTime> = Key::new(
    "retry_after",
    OptionalTime(&UP_TO_A_DAY),
    text("`Retry-After` of the reply, in whole seconds; only with status 503"),
);

static PROVIDER_ERRORS: Key<Choice<ProviderErrors>> = Key::new(
    "provider_errors",
    Choice { default: ("relay", ProviderErrors::Relay), others: &[("map", ProviderErrors::Map)] },
    text(
        "what becomes of an error that the provider responds with. `map` needs `userinfo_unavailable` \
         with `status` 503",
    ),
);

/// Largest body of the error set, in bytes.
const LONGEST_BODY: usize = 65_536;

/// `Retry-After` counts whole seconds (RFC 9110 §10.2.3).
const UP_TO_A_DAY: Range = Range {
    min: Duration::from_secs(1),
    max: Duration::from_secs(24 * 60 * 60),
    said: "1s to 24h",
    whole_seconds: true,
};

/// How refused requests are answered.
#[derive(Debug)]
pub struct ReplyPolicy {
    /// What clients read of the endpoint that is asked.
    pub words: Words,
    /// `realm` of every challenge.
    pub realm: String,
    /// The gateway's own parameters of every challenge: where its metadata is, and the scopes wanted.
    pub parameters: Vec<(&'static str, String)>,
    /// What replaces the errors that the connector itself raises.
    pub own_errors: OwnErrors,
    /// The reply when the provider gave no usable answer.
    pub unavailable: Unavailable,
    /// Where the provider's error text is.
    pub provider_text: ProviderText,
    /// What becomes of a provider's error.
    pub provider_errors: ProviderErrors,
}

/// `enable_error_set`
#[derive(Debug)]
pub enum OwnErrors {
    /// Answered by name.
    Named,
    /// Answered with the configured error set.
    ErrorSet(ErrorSet),
}

/// `error_set`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorSet {
    /// 400 to 599.
    pub code: u16,
    /// Value of `X-Error-Detail-Header`.
    pub detail_header: String,
    /// The body.
    pub response_body: String,
    /// The body's content type.
    pub content_type: String,
}

/// `userinfo_unavailable`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// Not configured: `TargetEndpointError` like the connector's other errors.
    AsOwnError,
    /// Configured with status 401: as named, also where an error set is enabled.
    Unauthorized,
    /// Configured with status 503.
    ServiceUnavailable {
        /// Whole seconds for `Retry-After`, if configured.
        retry_after: Option<u32>,
    },
}

/// `provider_errors`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderErrors {
    /// Its status goes to the client, as in the source system.
    Relay,
    /// A verdict about the token becomes 401 or 403, every other error the reply of
    /// `userinfo_unavailable`, whose status is then 503.
    Map,
}

/// Reads the keys.
pub(crate) fn read(
    top: &Fields<'_>,
    words: Words,
    parameters: Vec<(&'static str, String)>,
    report: &mut Report,
) -> ReplyPolicy {
    let error_set = error_set(top, report);
    let unavailable = unavailable(top, report);
    ReplyPolicy {
        words,
        realm: REALM.read(top, report),
        parameters,
        own_errors: match enabled(top) {
            true => OwnErrors::ErrorSet(error_set),
            false => OwnErrors::Named,
        },
        unavailable,
        provider_text: error_text::read(top, report),
        provider_errors: provider_errors(top, unavailable, report),
    }
}

/// `enable_error_set`: like the source system, reads every value but "true" as false.
fn enabled(top: &Fields<'_>) -> bool {
    match ENABLE_ERROR_SET.node(top).map(|node| node.value) {
        Some(Tree::Bool(value)) => *value,
        Some(Tree::Text(text)) => text.eq_ignore_ascii_case("true"),
        Some(Tree::Null | Tree::Number(_) | Tree::List(_) | Tree::Object(_)) | None => false,
    }
}

fn error_set(top: &Fields<'_>, report: &mut Report) -> ErrorSet {
    let none = Fields::none();
    let fields = ERROR_SET.open(top, report).unwrap_or(none);
    let body = RESPONSE_BODY.node(&fields).and_then(|node| {
        let text = node.text("text", report)?;
        if text.len() > LONGEST_BODY {
            let length = text.len();
            let message = format!("got {length} bytes, expected at most {LONGEST_BODY}");
            report.problem(&node.place, message);
        }
        Some(text.to_owned())
    });
    ErrorSet {
        code: CODE.read(&fields, report).try_into().unwrap_or(403),
        detail_header: DETAIL_HEADER.read(&fields, report),
        response_body: body.unwrap_or_default(),
        content_type: CONTENT_TYPE.read(&fields, report),
    }
}

fn unavailable(top: &Fields<'_>, report: &mut Report) -> Unavailable {
    let Some(fields) = USERINFO_UNAVAILABLE.open(top, report) else {
        return Unavailable::AsOwnError;
    };
    let retry_after = RETRY_AFTER.read(&fields, report);
    // A status that is wrong has been reported: what else would be wrong with it is not known.
    let status = match STATUS.node(&fields) {
        Some(node) => node.whole_number("401 or 503", |n| matches!(n, 401 | 503), report),
        None => Some(401),
    };
    if let (Some(401), Some(node)) = (status, RETRY_AFTER.node(&fields)) {
        report.problem(
            &node.place,
            "got retry_after with status 401, expected status 503: change the status or remove \
             retry_after",
        );
    }
    match status {
        Some(503) => Unavailable::ServiceUnavailable {
            retry_after: retry_after.and_then(|after| after.as_secs().try_into().ok()),
        },
        _ => Unavailable::Unauthorized,
    }
}

/// `map` turns what is no verdict into the reply for an outage: with 401 there, clients would throw
/// good tokens away because a provider is ill.
fn provider_errors(
    top: &Fields<'_>,
    unavailable: Unavailable,
    report: &mut Report,
) -> ProviderErrors {
    let chosen = PROVIDER_ERRORS.read(top, report);
    let is_503 = matches!(unavailable, Unavailable::ServiceUnavailable { .. });
    if let (ProviderErrors::Map, false, Some(node)) = (chosen, is_503, PROVIDER_ERRORS.node(top)) {
        report.problem(
            &node.place,
            "got \"map\" without userinfo_unavailable.status 503, expected both together: set \
             userinfo_unavailable to {\"status\": 503}, or provider_errors to \"relay\"",
        );
    }
    chosen
}

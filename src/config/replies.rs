//! The keys about what refused requests are answered.
//!
//! Envoy does not check the headers of a reply that a filter makes: a line break in one would be
//! a header of its own. So every text that becomes a header is checked here.

use std::time::Duration;

use super::duration::Range;
use super::file::Fields;
use super::location::Report;
use super::{inject, names};
use crate::claims::json::Json;
use crate::policy::{ErrorSet, OwnErrors, ProviderErrors, ProviderText, ReplyPolicy, Unavailable};

/// Longest text that becomes a header of a reply, in bytes.
const LONGEST_HEADER_TEXT: usize = 1024;

/// Largest body of the error set, in bytes.
const LONGEST_BODY: usize = 65_536;

/// `Retry-After` counts whole seconds (RFC 9110 §10.2.3).
const RETRY_AFTER: Range = Range {
    min: Duration::from_secs(1),
    max: Duration::from_secs(24 * 60 * 60),
    said: "1s to 24h",
    whole_seconds: true,
};

/// Reads everything about replies.
pub(super) fn read(top: &Fields<'_>, report: &mut Report) -> ReplyPolicy {
    let error_set = error_set(top, report);
    let unavailable = unavailable(top, report);
    ReplyPolicy {
        realm: header_text(top, "realm", "api", report),
        own_errors: match enabled(top) {
            true => OwnErrors::ErrorSet(error_set),
            false => OwnErrors::Named,
        },
        unavailable,
        provider_text: provider_text(top, report),
        provider_errors: provider_errors(top, unavailable, report),
    }
}

/// `enable_error_set`: like the source system, reads every value but "true" as false.
fn enabled(top: &Fields<'_>) -> bool {
    match top.get("enable_error_set").map(|node| node.json) {
        Some(Json::Bool(value)) => *value,
        Some(Json::String(text)) => text.eq_ignore_ascii_case("true"),
        Some(Json::Null | Json::Number(_) | Json::Array(_) | Json::Object(_)) | None => false,
    }
}

fn error_set(top: &Fields<'_>, report: &mut Report) -> ErrorSet {
    let keys = ["code", "detail_header", "response_body", "content_type"];
    let default = ErrorSet {
        code: 403,
        detail_header: "Not Authorized".to_owned(),
        response_body: String::new(),
        content_type: "text/plain".to_owned(),
    };
    let Some(fields) = top.object("error_set", &keys, report) else {
        return default;
    };
    let body = fields.get("response_body").and_then(|node| {
        let text = node.text("text", report)?;
        if text.len() > LONGEST_BODY {
            let length = text.len();
            let message = format!("got {length} bytes, expected at most {LONGEST_BODY}");
            report.problem(&node.place, message);
        }
        Some(text.to_owned())
    });
    let content_type = header_text(&fields, "content_type", &default.content_type, report);
    if let ("", Some(node)) = (content_type.as_str(), fields.get("content_type")) {
        report.problem(&node.place, "got empty text, expected a media type");
    }
    ErrorSet {
        code: fields
            .integer("code", 400..=599, report)
            .and_then(|code| code.try_into().ok())
            .unwrap_or(default.code),
        detail_header: header_text(&fields, "detail_header", &default.detail_header, report),
        response_body: body.unwrap_or(default.response_body),
        content_type,
    }
}

fn unavailable(top: &Fields<'_>, report: &mut Report) -> Unavailable {
    let Some(node) = top.get("userinfo_unavailable") else {
        return Unavailable::AsOwnError;
    };
    let Some(fields) = Fields::open(node, &["status", "retry_after"], report) else {
        return Unavailable::AsOwnError;
    };
    let retry_node = fields.get("retry_after");
    let retry_after = retry_node.as_ref().and_then(|node| node.duration(&RETRY_AFTER, report));
    // A status that is wrong has been reported: what else would be wrong with it is not known.
    let status = match fields.get("status") {
        Some(_) => fields.one_of("status", &[401, 503], report),
        None => Some(401),
    };
    if let (Some(401), Some(node)) = (status, retry_node) {
        report.problem(
            &node.place,
            "got retry_after with status 401, expected status 503: change \
                                     the status or remove retry_after",
        );
    }
    match status {
        Some(503) => Unavailable::ServiceUnavailable {
            retry_after: retry_after.and_then(|after| after.as_secs().try_into().ok()),
        },
        _ => Unavailable::Unauthorized,
    }
}

/// Where the provider's error text is: `error_metadata_location` and the key that goes with it.
/// Both names are checked even where the location does not use them.
fn provider_text(top: &Fields<'_>, report: &mut Report) -> ProviderText {
    // Anything else counts as not given, as in the source system, whatever its type.
    let location = top.get("error_metadata_location").and_then(|node| {
        if let Json::String(word) = node.json { Some(word.as_ref()) } else { None }
    });
    let header = top.get("error_header_name").filter(|node| !is_empty(node.json));
    let header = header.and_then(|node| {
        let text = node.text("the name of a response header", report)?;
        names::header(text).map_err(|wrong| report.problem(&node.place, wrong)).ok()
    });
    let payload = top.get("error_payload_location").filter(|node| !is_empty(node.json));
    let payload = payload.and_then(|node| inject::compile(&node, "a JSONPath as text", report));
    match location {
        Some("ResponseHeaders") => header.map_or(ProviderText::Withheld, ProviderText::Header),
        Some("ResponsePayload") => payload.map_or(ProviderText::Payload, ProviderText::PayloadAt),
        _ => ProviderText::Withheld,
    }
}

/// `map` turns what is no verdict into the reply for an outage: with 401 there, clients would throw
/// good tokens away because a provider is ill.
fn provider_errors(
    top: &Fields<'_>,
    unavailable: Unavailable,
    report: &mut Report,
) -> ProviderErrors {
    let choices = [("relay", ProviderErrors::Relay), ("map", ProviderErrors::Map)];
    let chosen = top.choice("provider_errors", &choices, report).unwrap_or(ProviderErrors::Relay);
    let is_503 = matches!(unavailable, Unavailable::ServiceUnavailable { .. });
    if let (ProviderErrors::Map, false, Some(node)) = (chosen, is_503, top.get("provider_errors")) {
        report.problem(
            &node.place,
            "got \"map\" without userinfo_unavailable.status 503, expected both together: set \
             userinfo_unavailable to {\"status\": 503}, or provider_errors to \"relay\"",
        );
    }
    chosen
}

fn header_text(fields: &Fields<'_>, key: &str, default: &str, report: &mut Report) -> String {
    let text = fields.get(key).and_then(|node| node.header_text(LONGEST_HEADER_TEXT, report));
    text.unwrap_or(default).to_owned()
}

fn is_empty(json: &Json<'_>) -> bool {
    matches!(json, Json::String(text) if text.is_empty())
}

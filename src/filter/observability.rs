//! `access_log_state` and `stat_name`: what the access log and Envoy's statistics get to know.

use crate::config::file::Fields;
use crate::config::key::{Boolean, Key, Own};
use crate::config::location::Report;
use crate::config::names;
use crate::config::shape::{Keys, text};

/// The keys of this room.
pub(crate) const KEYS: Keys = &[&ACCESS_LOG_STATE, &STAT_NAME];

static ACCESS_LOG_STATE: Key<Boolean> = Key::new(
    "access_log_state",
    Boolean { default: false },
    text(
        "writes filter state `wasm.oidc_outcome`: `<outcome>;<source>;<region>`, for \
         `%FILTER_STATE(wasm.oidc_outcome:PLAIN)%` and for [the guard](security.md#the-guard) behind \
         the filter, which refuses every request without it",
    ),
);

static STAT_NAME: Key<Own> = Key::new(
    "stat_name",
    Own { schema: text(r##"{"$ref": "#/$defs/Name"}"##), told: text("name") },
    text(
        "counters and histograms of this instance end in `.instance.<name>`, in Prometheus the label \
         `connector`; without it all instances count together",
    ),
);

/// `access_log_state`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLog {
    /// Nothing is written.
    Silent,
    /// The outcome is written as filter state `wasm.oidc_outcome`.
    FilterState,
}

/// Reads `access_log_state`.
pub(crate) fn access_log(top: &Fields<'_>, report: &mut Report) -> AccessLog {
    match ACCESS_LOG_STATE.read(top, report) {
        true => AccessLog::FilterState,
        false => AccessLog::Silent,
    }
}

/// Reads `stat_name`: what tells this instance's counters from those of others.
pub(crate) fn stat_name(top: &Fields<'_>, report: &mut Report) -> Option<String> {
    let node = STAT_NAME.node(top)?;
    let text = node.text("a name as text", report)?;
    if let Some(wrong) = names::wrong_name(text) {
        report.problem(&node.place, wrong);
        return None;
    }
    Some(text.to_owned())
}

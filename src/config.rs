//! The filter's configuration: bytes in, a [`Policy`] or every [`Problem`] at once out.
//!
//! Reading it is a pure function of its bytes: no clock, no randomness, no shared data. Envoy
//! silently leaves out a filter whose configuration fails only in a worker, and requests would
//! then pass unauthenticated. The configuration's own text never appears in a problem beyond the
//! piece that is wrong, and never a value that may be a secret.

mod binary;
mod cache;
mod call;
mod duration;
mod endpoints;
mod file;
mod identity;
mod inject;
mod location;
mod names;
mod problem;
mod replies;
pub(crate) mod secret;
mod targets;
#[cfg(test)]
mod tests;
mod uri;

use file::{Fields, Node};
use location::{Location, Report};
pub use problem::Problem;

pub use crate::policy::*;

use crate::claims::json::{self, JsonError};
use crate::request::strip::StripList;

/// Largest configuration that is read, in bytes. Ten regions with a hundred headers each stay far
/// below it, and it bounds what a configuration can cost each of Envoy's threads.
pub const MAX_CONFIG_BYTES: usize = 256 * 1024;

/// What a configuration that loads gives.
#[derive(Debug)]
pub struct Loaded {
    /// The policy to run.
    pub policy: Policy,
    /// Faults that the source system answers per request instead of refusing to load: a missing
    /// `userinfo_endpoint` or `defaultURI`. The filter logs them as errors; `oidc-connector check` fails.
    pub faults: Vec<Problem>,
}

/// Reads a configuration as Envoy hands it over: JSON text (StringValue) or a binary
/// `google.protobuf.Struct`.
///
/// # Errors
///
/// Every problem in document order, faults included, if there is at least one that is not a
/// fault. A Struct's members have no order: theirs are read by name.
pub fn read(bytes: &[u8]) -> Result<Loaded, Vec<Problem>> {
    let whole = |message: String| vec![Problem { path: String::new(), message }];
    if bytes.is_empty() {
        return Err(whole(
            "empty configuration: give the filter a JSON object as `configuration`, in a \
             google.protobuf.StringValue or as a google.protobuf.Struct"
                .to_owned(),
        ));
    }
    if bytes.len() > MAX_CONFIG_BYTES {
        return Err(whole(format!(
            "got {} bytes, expected at most {MAX_CONFIG_BYTES}",
            bytes.len()
        )));
    }
    let tree = if binary::is_struct(bytes) {
        binary::decode(bytes).map_err(whole)?
    } else {
        json::parse_keeping_duplicates(bytes).map_err(|e| whole(not_json(bytes, &e)))?
    };

    let mut report = Report::default();
    let root = Node { place: Location::root(), json: &tree };
    root.report_repeated_keys(&mut report);
    let policy = read_policy(root, &mut report);
    let refused = report.refuses();
    match policy {
        Some(policy) if !refused => Ok(Loaded { policy, faults: report.in_order() }),
        _ => Err(report.in_order()),
    }
}

/// Every key of the outermost object, in the order of the reference.
const KEYS: &[&str] = &[
    "userinfo_endpoint",
    "inject_headers",
    "block_authorization_header",
    "error_metadata_location",
    "error_header_name",
    "error_payload_location",
    "enable_error_set",
    "http_proxy_server",
    "http_proxy_port",
    "clusters",
    "userinfo_method",
    "timeout",
    "deadline",
    "breaker",
    "max_in_flight",
    "userinfo_headers",
    "region_header",
    "preflight",
    "access_log_state",
    "filter_state",
    "stat_name",
    "realm",
    "error_set",
    "userinfo_unavailable",
    "provider_errors",
    "unknown_region",
    "accept_any_200",
    "require_subject",
    "max_token_bytes",
    "max_userinfo_bytes",
    "cache",
];

/// The policy, as far as it could be read; it counts only if nothing was reported.
fn read_policy(root: Node<'_>, report: &mut Report) -> Option<Policy> {
    let top = Fields::open(root, KEYS, report)?;
    let targets = endpoints::read(&top, report);
    let injected = inject::read(&top, &targets, report);
    let region_header = inject::region_header(&top, &targets, &injected, report);
    let egress = call::egress(&top, &targets, report);
    let call = call::read(&top, report);
    let answer = call::answer(&top, report);
    let strip = StripList::new(injected.names().chain(region_header.as_deref()));
    Some(Policy {
        endpoints: endpoints::build(&top, targets, &injected, (&call, &answer.success), report),
        stat_name: identity::stat_name(&top, report),
        call,
        answer,
        cache: cache::read(&top, report),
        forward: ForwardPolicy {
            authorization: match top.boolean("block_authorization_header", report).unwrap_or(true) {
                true => Authorization::Remove,
                false => Authorization::Forward,
            },
            region_header: region_header.map(Into::into),
            strip,
        },
        replies: replies::read(&top, report),
        // With `Bearer` and its name the header stays below the 8 KiB at which usual servers refuse
        // it; some drop the whole HTTP/2 connection then, with everybody's calls on it.
        max_token_bytes: top.size("max_token_bytes", 1..=65_536, report).unwrap_or(7168),
        preflight: top
            .choice(
                "preflight",
                &[("authenticate", Preflight::Authenticate), ("pass", Preflight::Pass)],
                report,
            )
            .unwrap_or(Preflight::Authenticate),
        access_log: match top.boolean("access_log_state", report).unwrap_or(false) {
            true => AccessLog::FilterState,
            false => AccessLog::Silent,
        },
        egress,
    })
}

fn not_json(text: &[u8], error: &JsonError) -> String {
    let before = text.get(..error.offset).unwrap_or(text);
    let line = before.split(|b| *b == b'\n').count();
    let last = before.rsplit(|b| *b == b'\n').next().unwrap_or_default();
    // UTF-8 continuation bytes are no columns of their own.
    let column = last.iter().filter(|b| (**b & 0xC0) != 0x80).count().saturating_add(1);
    format!("invalid JSON at line {line}, column {column}: {}", error.reason)
}

//! `block_authorization_header`, `region_header` and `anonymous_header`: what the upstream gets to see beside claims.

use super::{Authorization, ForwardPolicy, StripList};
use crate::config::file::Fields;
use crate::config::key::{Boolean, HeaderName, Key};
use crate::config::location::Report;
use crate::config::names::{self, IS_REGION_CODE};
use crate::config::shape::{Keys, text};
use crate::request::bearer::Credentials;

/// The keys of this room.
pub(crate) const KEYS: Keys = &[&BLOCK_AUTHORIZATION_HEADER, &REGION_HEADER, &ANONYMOUS_HEADER];

static BLOCK_AUTHORIZATION_HEADER: Key<Boolean> = Key::new(
    "block_authorization_header",
    Boolean { default: true },
    text("remove `Authorization` before the backend, or forward it byte for byte"),
);

static REGION_HEADER: Key<HeaderName> = Key::new(
    "region_header",
    HeaderName,
    text(
        "carries the region that was used, as configured (`FR`, `default`), so that a backend never \
         joins on `sub` alone across regions",
    ),
);

static ANONYMOUS_HEADER: Key<HeaderName> = Key::new(
    "anonymous_header",
    HeaderName,
    text(
        "says `true` on a request without credentials, and is absent otherwise; only with `credentials` \
         `\"optional\"`",
    ),
);

/// Reads the keys. `code_header` carries the client's region code, `injected` are the names that
/// claims are written to.
pub(crate) fn read(
    top: &Fields<'_>,
    code_header: Option<&str>,
    injected: &[String],
    credentials: Credentials,
    report: &mut Report,
) -> ForwardPolicy {
    let region_header = own_header(&REGION_HEADER, (code_header, injected, None), top, report);
    let others = (code_header, injected, region_header.as_deref());
    let anonymous_header = own_header(&ANONYMOUS_HEADER, others, top, report);
    if let (Credentials::Required, Some(node)) = (credentials, ANONYMOUS_HEADER.node(top)) {
        report.problem(
            &node.place,
            "got anonymous_header without credentials \"optional\", expected both together: no request \
             without credentials goes on",
        );
    }
    let own = injected.iter().map(String::as_str).chain(region_header.as_deref());
    let own = own.chain(anonymous_header.as_deref());
    ForwardPolicy {
        authorization: match BLOCK_AUTHORIZATION_HEADER.read(top, report) {
            true => Authorization::Remove,
            false => Authorization::Forward,
        },
        strip: StripList::new(own),
        region_header: region_header.map(Into::into),
        anonymous_header: anonymous_header.map(Into::into),
    }
}

/// A header of the filter's own, which no other one of this configuration may be.
fn own_header(
    key: &Key<HeaderName>,
    (code_header, injected, region_header): (Option<&str>, &[String], Option<&str>),
    top: &Fields<'_>,
    report: &mut Report,
) -> Option<String> {
    let name = key.read(top, report)?;
    let wrong = if code_header.is_some_and(|header| names::same(header, &name)) {
        IS_REGION_CODE
    } else if injected.iter().any(|other| names::same(other, &name)) {
        "got a repeated header name, expected another one: the same as one of inject_headers"
    } else if region_header.is_some_and(|header| names::same(header, &name)) {
        "got a repeated header name, expected another one: the same as region_header"
    } else {
        return Some(name);
    };
    if let Some(node) = key.node(top) {
        report.problem(&node.place, wrong);
    }
    None
}

//! `block_authorization_header` and `region_header`: what the upstream gets to see beside claims.

use super::{Authorization, ForwardPolicy, StripList};
use crate::config::file::Fields;
use crate::config::key::{Boolean, HeaderName, Key};
use crate::config::location::Report;
use crate::config::names::{self, IS_REGION_CODE};
use crate::config::shape::{Keys, text};

/// The keys of this room.
pub(crate) const KEYS: Keys = &[&BLOCK_AUTHORIZATION_HEADER, &REGION_HEADER];

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

/// Reads the keys. `code_header` carries the client's region code, `injected` are the names that
/// claims are written to.
pub(crate) fn read(
    top: &Fields<'_>,
    code_header: Option<&str>,
    injected: &[String],
    report: &mut Report,
) -> ForwardPolicy {
    let region_header = region_header(top, code_header, injected, report);
    let own = injected.iter().map(String::as_str).chain(region_header.as_deref());
    ForwardPolicy {
        authorization: match BLOCK_AUTHORIZATION_HEADER.read(top, report) {
            true => Authorization::Remove,
            false => Authorization::Forward,
        },
        strip: StripList::new(own),
        region_header: region_header.map(Into::into),
    }
}

fn region_header(
    top: &Fields<'_>,
    code_header: Option<&str>,
    injected: &[String],
    report: &mut Report,
) -> Option<String> {
    let name = REGION_HEADER.read(top, report)?;
    let wrong = if code_header.is_some_and(|header| names::same(header, &name)) {
        IS_REGION_CODE
    } else if injected.iter().any(|other| names::same(other, &name)) {
        "repeated header name: the same as one of inject_headers"
    } else {
        return Some(name);
    };
    if let Some(node) = REGION_HEADER.node(top) {
        report.problem(&node.place, wrong);
    }
    None
}

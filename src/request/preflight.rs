//! `preflight`: whether a request is a CORS preflight, and what it gets.

use crate::config::file::Fields;
use crate::config::key::{Choice, Key};
use crate::config::location::Report;
use crate::config::shape::{Keys, text};
use crate::request::headers::{Field, HeaderView};

/// The keys of this room.
pub(crate) const KEYS: Keys = &[&PREFLIGHT];

static PREFLIGHT: Key<Choice<Preflight>> = Key::new(
    "preflight",
    Choice {
        default: ("authenticate", Preflight::Authenticate),
        others: &[("pass", Preflight::Pass)],
    },
    text(
        "`pass` lets a CORS preflight through unauthenticated, stripped like any request and always of \
         `Authorization`; for a filter before CORS. A preflight is what a browser sends: `OPTIONS`, one `Origin`, one \
         `Access-Control-Request-Method`, no `Upgrade`, and nothing after the headers. Any other \
         OPTIONS request is authenticated",
    ),
);

/// `preflight`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preflight {
    /// Like any other request.
    Authenticate,
    /// Let through unauthenticated, stripped.
    Pass,
}

/// Reads `preflight`.
pub(crate) fn read(top: &Fields<'_>, report: &mut Report) -> Preflight {
    PREFLIGHT.read(top, report)
}

/// Whether a browser would send this before a request of another origin (Fetch §4.8): one origin,
/// one method, and nothing beyond headers. With a body or an upgrade, any client could pass the
/// gateway by calling its request a preflight.
pub(crate) fn is_preflight(head: &HeaderView<'_>) -> bool {
    // Envoy makes one value of several lines, with commas between.
    let says_one = |name| match head.field(name) {
        Field::One(value) => {
            !value.is_empty() && value.iter().all(|b| matches!(b, b'!'..=b'~') && *b != b',')
        }
        Field::Absent | Field::Several => false,
    };
    head.field(":method") == Field::One(b"OPTIONS")
        && says_one("origin")
        && says_one("access-control-request-method")
        && [":protocol", "upgrade", "transfer-encoding"]
            .iter()
            .all(|name| head.field(name) == Field::Absent)
        && matches!(head.field("content-length"), Field::Absent | Field::One(b"0"))
        && head.ends()
}

//! Text that must never reach a log, a metric or a reply.

use std::fmt;

/// A credential. It has no `Display`, and `Debug` never shows it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// Takes charge of a credential.
    pub(crate) fn new(text: String) -> Secret {
        Secret(text)
    }

    /// The credential itself, for the one place that sends it on.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

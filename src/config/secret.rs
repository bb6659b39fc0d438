//! Text that must never reach a log, a metric or a reply.

use std::borrow::Cow;
use std::fmt;

/// A credential. It has no `Display`, and `Debug` never shows it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret<'t>(Cow<'t, str>);

impl<'t> Secret<'t> {
    /// A credential borrowed from its buffer.
    pub(crate) fn new(text: &'t str) -> Secret<'t> {
        Secret(Cow::Borrowed(text))
    }

    /// The same credential, owned.
    pub(crate) fn into_owned(self) -> Secret<'static> {
        Secret(Cow::Owned(self.0.into_owned()))
    }

    /// The credential itself, for the one place that sends it on.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

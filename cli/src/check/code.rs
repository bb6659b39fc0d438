//! What a kind of finding is; `codes.rs` has all of them.

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Severity {
    /// The configuration does not load, or lets through what it must not, or shows tokens.
    Error,
    /// Works, but will cause trouble.
    Warning,
    /// Worth knowing, or not seen in these files.
    Note,
}

impl Severity {
    /// Its name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

/// A kind of finding.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Code {
    /// Its name for `--allow`.
    pub(crate) name: &'static str,
    /// The severity.
    pub(crate) severity: Severity,
    /// Why it matters.
    pub(crate) why: &'static str,
    /// The remedy.
    pub(crate) remedy: &'static str,
}

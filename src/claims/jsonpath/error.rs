//! Why a path is refused, and where. It must name no more of the path than fits one line.

/// Why a path is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathError {
    /// Byte offset in the path as the user wrote it, where it can be said.
    pub offset: Option<usize>,
    /// What is wrong and what is allowed, as one line of product text.
    pub reason: String,
}

impl PathError {
    /// Reasons name pieces of the path, and go to Envoy's log as they are: what would break the
    /// line, turn its direction or not be seen in it is escaped.
    pub(super) fn on_one_line(mut self) -> PathError {
        let shown = |c: char| matches!(c, '\'' | '"' | '\\') || c.escape_debug().len() == 1;
        if !self.reason.chars().all(shown) {
            let mut reason = String::new();
            for c in self.reason.chars() {
                if shown(c) { reason.push(c) } else { reason.extend(c.escape_unicode()) }
            }
            self.reason = reason;
        }
        self
    }
}

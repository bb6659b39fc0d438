//! What `--allow` accepts, so that finding it is no failure.

use super::codes::{self, Code, Severity};
use super::finding::Finding;

/// What may be found without the check failing.
#[derive(Debug, Default)]
pub(crate) struct Allowed {
    warnings: bool,
    codes: Vec<&'static Code>,
}

impl Allowed {
    /// What the values of `--allow` accept.
    ///
    /// # Errors
    ///
    /// Which of them is no code.
    pub(crate) fn of(words: &[String]) -> Result<Allowed, String> {
        let mut allowed = Allowed::default();
        for word in words {
            match (word.as_str(), codes::named(word)) {
                ("warnings", _) => allowed.warnings = true,
                (_, Some(code)) => allowed.codes.push(code),
                (_, None) => {
                    let known: Vec<&str> = codes::ALL.iter().map(|code| code.word).collect();
                    let known = known.join(", ");
                    return Err(format!(
                        "--allow {word}: no such code; there are warnings, {known}"
                    ));
                }
            }
        }
        Ok(allowed)
    }

    /// Whether it accepts this.
    pub(crate) fn covers(&self, finding: &Finding) -> bool {
        self.codes.contains(&finding.code)
            || self.warnings && finding.code.severity == Severity::Warning
    }
}

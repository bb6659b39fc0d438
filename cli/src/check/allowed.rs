//! The findings that `--allow` accepts, so that they do not fail the check.

use super::codes::{self, Code, Severity};
use super::finding::Finding;

/// The accepted codes.
#[derive(Debug, Default)]
pub(crate) struct Allowed {
    warnings: bool,
    codes: Vec<&'static Code>,
}

impl Allowed {
    /// Reads the values of `--allow`.
    ///
    /// # Errors
    ///
    /// Which of them is no code.
    pub(crate) fn of(names: &[String]) -> Result<Allowed, String> {
        let mut allowed = Allowed::default();
        for name in names {
            match (name.as_str(), codes::named(name)) {
                ("warnings", _) => allowed.warnings = true,
                (_, Some(code)) => allowed.codes.push(code),
                (_, None) => {
                    let known: Vec<&str> = codes::ALL.iter().map(|code| code.name).collect();
                    let known = known.join(", ");
                    return Err(format!(
                        "--allow {name}: unknown code, expected warnings, {known}"
                    ));
                }
            }
        }
        Ok(allowed)
    }

    /// Whether it accepts this.
    pub(crate) fn covers(&self, finding: &Finding) -> bool {
        // That nothing was checked is no warning about what was.
        let by_severity = self.warnings
            && finding.code.severity == Severity::Warning
            && finding.code != codes::NO_INSTANCE;
        by_severity || self.codes.contains(&finding.code)
    }
}

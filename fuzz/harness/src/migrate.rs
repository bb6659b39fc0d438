//! Target: bytes → a text of the source system, and what `oidc-connector migrate` makes of it.
//! Input: the text.
//!
//! It ends; what it makes loads, and there is a result exactly where nothing has to be corrected.

use cli::migrate::{Migration, Options, migrate};
use oidc_token_connector::policy;

fn migrated(data: &[u8]) -> Option<Migration> {
    Some(migrate(std::str::from_utf8(data).ok()?, &Options::default()))
}

/// Runs the target.
///
/// # Panics
///
/// Where a promise is broken.
pub fn check(data: &[u8]) {
    let Some(Migration { result, report, whole, .. }) = migrated(data) else { return };
    let to_correct = report.lines().any(|line| line == "## To correct");
    assert_eq!(result.is_none(), to_correct, "{report}");
    assert!(!whole || result.is_some(), "{report}");
    if let Some(result) = result {
        assert!(policy::read(result.filter.as_bytes()).is_ok(), "{}", result.filter);
    }
}

/// Whether there is a result.
pub fn accepts(data: &[u8]) -> Option<bool> {
    Some(migrated(data)?.result.is_some())
}

//! Durations as text: a whole number with its unit.

use std::fmt;
use std::time::Duration;

use super::problem::quoted;

/// The durations that a key allows.
#[derive(Debug)]
pub struct Range {
    /// Shortest one.
    pub min: Duration,
    /// Longest one.
    pub max: Duration,
    /// The range in the user's words.
    pub said: &'static str,
    /// Whether only whole seconds can be expressed where the duration is used.
    pub whole_seconds: bool,
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.said)
    }
}

/// Reads `250ms`, `2s`, `5m` or `1h`.
///
/// # Errors
///
/// What was found and what is allowed, as product text.
pub(crate) fn parse(text: &str, range: &Range) -> Result<Duration, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(end).unwrap_or_default();
    let millis_per_unit = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    if digits.is_empty() || millis_per_unit == 0 {
        return Err(format!(
            "got {}, expected a whole number with its unit ms, s, m or h, {range}",
            quoted(text)
        ));
    }
    let millis = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(millis_per_unit));
    match millis.map(Duration::from_millis) {
        Some(found) if !(range.min..=range.max).contains(&found) => {
            Err(format!("got {}, expected {range}", quoted(text)))
        }
        Some(found) if range.whole_seconds && found.subsec_millis() != 0 => {
            Err(format!("got {}, expected whole seconds, {range}", quoted(text)))
        }
        Some(found) => Ok(found),
        None => Err(format!("got {}, expected {range}", quoted(text))),
    }
}

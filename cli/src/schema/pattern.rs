//! Regular expressions for durations within a range, in the part of ECMA-262 that every validator has:
//! no look-around, no flags.

/// A duration from `min` to `max` milliseconds, written as a whole number and its unit.
pub(super) fn duration(min: u64, max: u64) -> String {
    let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
    units_pattern(
        units.into_iter().map(|(unit, millis)| (unit, min.div_ceil(millis), max / millis)),
    )
}

/// A duration of whole seconds from `min` to `max`.
pub(super) fn whole_seconds(min: u64, max: u64) -> String {
    let units = [("000ms", 1), ("s", 1), ("m", 60), ("h", 3600)];
    units_pattern(units.into_iter().map(|(unit, secs)| (unit, min.div_ceil(secs), max / secs)))
}

fn units_pattern(units: impl Iterator<Item = (&'static str, u64, u64)>) -> String {
    let of_unit = |(unit, low, high): (&str, u64, u64)| {
        (low <= high).then(|| format!("({}){unit}", numbers(low, high).join("|")))
    };
    format!("^0*({})$", units.filter_map(of_unit).collect::<Vec<_>>().join("|"))
}

/// Alternatives that match the numbers from `low` to `high`, written without leading zeros.
fn numbers(low: u64, high: u64) -> Vec<String> {
    let mut alternatives = Vec::new();
    let mut from = low;
    // One length after the other.
    while from <= high {
        let digits = from.to_string();
        let last = 10u64.saturating_pow(u32::try_from(digits.len()).unwrap_or(u32::MAX)) - 1;
        let to = last.min(high);
        alternatives.extend(same_length(digits.as_bytes(), to.to_string().as_bytes()));
        let Some(next) = to.checked_add(1) else { break };
        from = next;
    }
    alternatives
}

fn same_length(low: &[u8], high: &[u8]) -> Vec<String> {
    let (Some((first_low, low)), Some((first_high, high))) =
        (low.split_first(), high.split_first())
    else {
        return vec![String::new()];
    };
    let after = |first: u8, rest: Vec<String>| {
        rest.into_iter().map(move |rest| format!("{}{rest}", char::from(first))).collect::<Vec<_>>()
    };
    if first_low == first_high {
        return after(*first_low, same_length(low, high));
    }
    let (zeros, nines) = (vec![b'0'; low.len()], vec![b'9'; low.len()]);
    let (mut from, mut to) = (*first_low, *first_high);
    let (mut alternatives, mut above) = (Vec::new(), Vec::new());
    if low != zeros {
        alternatives = after(from, same_length(low, &nines));
        from += 1;
    }
    if high != nines {
        above = after(to, same_length(&zeros, high));
        to -= 1;
    }
    if from <= to {
        let class = match from == to {
            true => char::from(from).to_string(),
            false => format!("[{}-{}]", char::from(from), char::from(to)),
        };
        alternatives.push(match low.len() {
            0 => class,
            1 => format!("{class}[0-9]"),
            more => format!("{class}[0-9]{{{more}}}"),
        });
    }
    alternatives.extend(above);
    alternatives
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_pattern_covers_each_unit() {
        assert_eq!(
            duration(1, 30_000),
            "^0*(([1-9]|[1-9][0-9]|[1-9][0-9]{2}|[1-9][0-9]{3}|[12][0-9]{4}|30000)ms\
             |([1-9]|[12][0-9]|30)s)$"
                .replace("[12]", "[1-2]")
        );
    }

    /// Every number near a border, by the expressions' own engine.
    #[test]
    fn number_pattern_equals_range() {
        for (low, high) in [(0, 0), (0, 5), (1, 30), (7, 1234), (100, 300_000), (59, 60), (1, 9)] {
            let pattern = format!("^({})$", numbers(low, high).join("|"));
            let matches = |n: u64| {
                let schema = serde_json::json!({"pattern": pattern});
                jsonschema::is_valid(&schema, &n.to_string().into())
            };
            let near = [low, high, 10, 100, 1000, 99, 999].into_iter();
            for n in near.flat_map(|n| n.saturating_sub(2)..=n + 2) {
                assert_eq!(matches(n), (low..=high).contains(&n), "{n} of {low}..={high}");
            }
        }
    }
}

//! The arithmetic of the figures: medians, percentiles, and how often the users of a service come.

/// Of an even number of values the mean of the middle two; of none not a number.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match (values.len() / 2, values.len() % 2) {
        (0, 0) => f64::NAN,
        (middle, 0) => f64::midpoint(values[middle - 1], values[middle]),
        (middle, _) => values[middle],
    }
}

/// The least value that `percent` of all values do not exceed (nearest rank); of none not a number.
pub(crate) fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// Zipf's law with exponent 1: the user of rank k comes 1/k as often as the first. Entry k is the
/// share of all requests that the users up to rank k make; the last one is 1.
pub(crate) fn zipf(users: usize) -> Vec<f64> {
    let mut sum = 0.0;
    let add = |rank: usize| {
        sum += 1.0 / rank as f64;
        sum
    };
    let sums: Vec<f64> = (1..=users).map(add).collect();
    sums.into_iter().map(|up_to| up_to / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles() {
        assert_eq!(median([9.0, 1.0, 5.0]), 5.0);
        assert_eq!(median([9.0, 1.0, 5.0, 7.0]), 6.0);
        assert!(median([]).is_nan() && percentile(&[], 50.0).is_nan());
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(
            [50.0, 99.0, 100.0, 0.0].map(|p| percentile(&hundred, p)),
            [50.0, 99.0, 100.0, 1.0]
        );
        assert_eq!(percentile(&[3.0, 8.0], 99.0), 8.0);
    }
}

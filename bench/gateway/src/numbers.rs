//! The arithmetic of the figures: medians, percentiles, and how often the users of a service come.

/// Of an even number of values the mean of the middle two; of none not a number.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
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
    let sums: Vec<f64> = (1..=users)
        .map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        })
        .collect();
    sums.into_iter().map(|up_to| up_to / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![9.0, 1.0, 5.0]), 5.0);
        assert_eq!(median(vec![9.0, 1.0, 5.0, 7.0]), 6.0);
        assert_eq!(median(vec![4.0]), 4.0);
        assert!(median(vec![]).is_nan());
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&hundred, 50.0), 50.0);
        assert_eq!(percentile(&hundred, 99.0), 99.0);
        assert_eq!(percentile(&hundred, 100.0), 100.0);
        assert_eq!(percentile(&hundred, 0.0), 1.0);
        assert_eq!(percentile(&[3.0, 8.0], 99.0), 8.0);
        assert_eq!(percentile(&[3.0, 8.0], 50.0), 3.0);
        assert!(percentile(&[], 50.0).is_nan());
    }

    #[test]
    fn the_first_users_come_most_often() {
        let shares = zipf(3);
        // 1, 1/2 and 1/3 of 11/6.
        let expected = [6.0 / 11.0, 9.0 / 11.0, 1.0];
        assert_eq!(shares.len(), 3);
        for (share, expected) in shares.iter().zip(expected) {
            assert!((share - expected).abs() < 1e-12, "{shares:?}");
        }
        let many = zipf(10_000);
        assert!(many.is_sorted());
        assert_eq!(many.last(), Some(&1.0));
        assert!((many[0] - 0.1021).abs() < 1e-4, "{}", many[0]);
        assert!(zipf(0).is_empty());
    }
}

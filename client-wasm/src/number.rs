//! JavaScript's numbers and ours. Offsets, times and user ids stay below 2^53, so nothing is rounded.

/// A whole number; what is none becomes the nearest one, and `NaN` 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, as wanted"
)]
pub(crate) fn whole(number: f64) -> u64 {
    number as u64
}

/// The same in a size of this machine.
pub(crate) fn size(number: f64) -> usize {
    usize::try_from(whole(number)).unwrap_or(usize::MAX)
}

/// As JavaScript has it.
pub(crate) fn number(whole: u64) -> f64 {
    whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers() {
        for (given, expected) in [
            (0.0, 0),
            (9_007_199_254_740_991.0, (1 << 53) - 1),
            (-1.0, 0),
            (f64::NAN, 0),
            (f64::INFINITY, u64::MAX),
        ] {
            assert_eq!(whole(given), expected, "{given}");
        }
        assert_eq!(whole(number(1_790_000_000_000)), 1_790_000_000_000);
    }
}

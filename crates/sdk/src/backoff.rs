//! Waiting before another try: full jitter, so that many clients don't come back together. Never reads a clock.

use std::time::Duration;

/// A wait chosen evenly between nothing and `base · 2^failures`, at most `cap`. `chance` is 64 random bits.
pub(crate) fn full_jitter((base, cap): (Duration, Duration), failures: u32, chance: u64) -> Duration {
    let most = base.saturating_mul(2u32.saturating_pow(failures)).min(cap);
    // 53 bits are what a float holds exactly.
    let fraction = (chance >> 11) as f64 / (1u64 << 53) as f64;
    most.mul_f64(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RANGE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

    proptest! {
        #[test]
        fn a_wait_is_never_longer_than_its_step_and_the_cap(failures in 0..1000u32, chance: u64) {
            let step = 2f64.powi(failures.min(60).cast_signed());
            prop_assert!(full_jitter(RANGE, failures, chance).as_secs_f64() <= step.min(30.0));
        }
    }

    #[test]
    fn waits_are_spread_over_the_whole_step() {
        assert_eq!(full_jitter(RANGE, 3, 0), Duration::ZERO);
        assert!(full_jitter(RANGE, 3, u64::MAX) > Duration::from_millis(7_999));
        assert!(full_jitter(RANGE, 9, u64::MAX) > Duration::from_millis(29_999));
        assert_eq!(full_jitter(RANGE, 9, 1 << 63), Duration::from_secs(15));
    }
}

//! [`Pulse`]: how many events a shard has counted in each of the last seconds.
//!
//! What must hold: it knows no clock; whoever has one calls [`Pulse::beat`] about once a second.
//! Counting is one addition.

use std::time::Duration;

/// How many seconds are remembered.
pub const SECOND_COUNT: usize = 120;

/// The rates of one shard, not touched by resets.
#[derive(Clone, Debug, Default)]
pub struct Pulse {
    /// Events since the last beat.
    count: u64,
    /// Events per second, oldest first.
    rates: Vec<u64>,
}

impl Pulse {
    /// Counts one event.
    #[inline]
    pub fn count(&mut self) {
        self.count += 1;
    }

    /// Ends a second that took `elapsed` in truth.
    pub fn beat(&mut self, elapsed: Duration) {
        if self.rates.len() == SECOND_COUNT {
            self.rates.remove(0);
        }
        let nanos = elapsed.as_nanos().max(1);
        let rate = (u128::from(self.count) * 1_000_000_000 + nanos / 2) / nanos;
        self.rates.push(u64::try_from(rate).unwrap_or(u64::MAX));
        self.count = 0;
    }

    /// Events per second in each of the last seconds, oldest first.
    pub fn rates(&self) -> &[u64] {
        &self.rates
    }

    /// Events per second in the last whole second.
    pub fn rate(&self) -> u64 {
        self.rates.last().copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(counts: impl Iterator<Item = u64>) -> Pulse {
        let mut pulse = Pulse::default();
        for count in counts {
            (0..count).for_each(|_| pulse.count());
            pulse.beat(Duration::from_secs(1));
        }
        pulse
    }

    #[test]
    fn each_second_has_its_rate() {
        assert_eq!(after([3, 0, 5].into_iter()).rates(), [3, 0, 5]);
        assert_eq!(Pulse::default().rate(), 0);
    }

    #[test]
    fn a_second_that_was_late_is_measured_by_its_length() {
        let mut pulse = Pulse::default();
        (0..300).for_each(|_| pulse.count());
        pulse.beat(Duration::from_millis(1500));
        assert_eq!(pulse.rate(), 200);
        pulse.count();
        pulse.beat(Duration::ZERO);
        assert_eq!(pulse.rate(), 1_000_000_000);
    }

    #[test]
    fn two_minutes_are_remembered() {
        let seconds = SECOND_COUNT as u64;
        assert_eq!(after(0..seconds).rates()[0], 0);
        let pulse = after(0..=seconds);
        assert_eq!(pulse.rates().len(), SECOND_COUNT);
        assert_eq!((pulse.rates()[0], pulse.rate()), (1, seconds));
    }
}

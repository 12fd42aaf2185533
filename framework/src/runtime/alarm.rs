//! [`Alarm`]: the one timer of a ring, which ends the waits of its shard.
//!
//! A wait that names its own timeout has the kernel start and stop a timer around every sleep. The
//! deadlines of a server are far away and move further with every request, so one timer that stays
//! does as well: it is set when a wait needs one, brought forward when one needs it earlier, and
//! otherwise left alone. When it rings too early the shard finds nothing due and sets it again.
//!
//! What must hold: while a shard waits without a timeout, the alarm is set to its deadline or an
//! earlier moment.

use std::time::{Duration, Instant};

/// Shorter waits name their timeout: an alarm would be set anew for each of them.
const SHORTEST: Duration = Duration::from_millis(10);

/// When the timer of a ring rings.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    due: Option<Instant>,
}

/// What a wait needs to end in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// A timeout of its own.
    Timeout,
    /// Nothing: the alarm rings by then.
    Nothing,
    /// The alarm, which is not set.
    Alarm,
    /// The alarm, which is set to a later moment; or it has just rung, which will be told.
    EarlierAlarm,
}

impl Alarm {
    /// Notes that from `now` on a wait of at most `timeout` begins, and says what it needs.
    #[inline]
    pub(super) fn plan(&mut self, now: Instant, timeout: Duration) -> Needs {
        if timeout < SHORTEST {
            return Needs::Timeout;
        }
        let due = now + timeout;
        match self.due {
            Some(before) if before <= due => Needs::Nothing,
            Some(_) => {
                self.due = Some(due);
                Needs::EarlierAlarm
            }
            None => {
                self.due = Some(due);
                Needs::Alarm
            }
        }
    }

    /// The alarm has rung, and is not set any more.
    pub(super) fn has_rung(&mut self) {
        self.due = None;
    }
}

#[cfg(test)]
mod tests {
    use super::super::clock::Clock;
    use super::*;

    #[test]
    fn an_alarm_is_set_once_and_brought_forward_but_not_put_off() {
        let (mut alarm, now) = (Alarm::default(), Clock::monotonic());
        let mut plan = |after, milliseconds| {
            let now = now + Duration::from_millis(after);
            alarm.plan(now, Duration::from_millis(milliseconds))
        };
        assert_eq!(plan(0, 5_000), Needs::Alarm);
        assert_eq!(plan(0, 5_000), Needs::Nothing);
        assert_eq!(plan(1_000, 4_000), Needs::Nothing);
        assert_eq!(plan(1_000, 3_999), Needs::EarlierAlarm);
        assert_eq!(plan(1_000, 4_000), Needs::Nothing);
        alarm.has_rung();
        assert_eq!(alarm.plan(now, SHORTEST), Needs::Alarm);
    }

    #[test]
    fn a_short_wait_names_its_own_timeout() {
        let (mut alarm, now) = (Alarm::default(), Clock::monotonic());
        let shorter = SHORTEST.saturating_sub(Duration::from_nanos(1));
        assert_eq!(alarm.plan(now, shorter), Needs::Timeout);
        assert_eq!(alarm.plan(now, SHORTEST), Needs::Alarm);
        assert_eq!(alarm.plan(now, shorter), Needs::Timeout);
    }
}

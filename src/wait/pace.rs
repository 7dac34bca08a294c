//! How often to retry, by what the server answered and how long premain has waited.

use std::time::Duration;

use crate::retry::Policy;

/// How often to retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// An attempt costs the server nothing, as with a closed port.
    Brisk,
    /// The server answers, and is about to be ready.
    Steady,
    /// The server answers, and is busy.
    Gentle,
}

/// With the jitter 50 to 58 ms, so at most 20 attempts a second, and readiness is noticed within
/// 60 ms.
const BRISK: Policy = up_to(54).with_jitter(0.07);

/// A server that answers "starting up" is busy now and ready soon.
const STEADY: Policy = up_to(100).with_jitter(0.15);

/// A server that answers "too many connections" must not get more of them than necessary.
const GENTLE: Policy = up_to(250).with_jitter(0.2);

/// After a longer wait a second more matters little: at most two attempts a second.
const PATIENT_AFTER: Duration = Duration::from_secs(10);
const PATIENT: Policy = up_to(560).with_jitter(0.1);

/// The first pause is short, so that the second attempt comes within 50 ms.
const fn up_to(milliseconds: u64) -> Policy {
    Policy::doubling(Duration::from_millis(25), Duration::from_millis(milliseconds))
}

impl Pace {
    /// The pauses at this pace, `elapsed` after waiting began.
    pub(super) fn policy(self, elapsed: Duration) -> Policy {
        match self {
            _ if elapsed >= PATIENT_AFTER => PATIENT,
            Pace::Gentle => GENTLE,
            Pace::Steady => STEADY,
            Pace::Brisk => BRISK,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::Pauses;

    const SECOND: Duration = Duration::from_secs(1);

    fn pause(pauses: &mut Pauses, pace: Pace, elapsed: Duration) -> Duration {
        pauses.follow(pace.policy(elapsed));
        pauses.next()
    }

    fn pauses() -> Pauses {
        Pauses::new(BRISK)
    }

    #[test]
    fn the_second_attempt_comes_within_50_ms() {
        for pace in [Pace::Brisk, Pace::Steady, Pace::Gentle] {
            assert!(pause(&mut pauses(), pace, Duration::ZERO) < Duration::from_millis(50));
        }
    }

    #[test]
    fn a_closed_port_is_asked_20_times_a_second_and_noticed_within_60_ms() {
        let mut pauses = pauses();
        let times: Vec<_> = (0..1000).map(|_| pause(&mut pauses, Pace::Brisk, SECOND)).collect();
        assert!(times.iter().all(|pause| *pause <= Duration::from_millis(60)));
        assert!(times[2..].iter().all(|pause| *pause >= Duration::from_millis(50)));
    }

    #[test]
    fn after_ten_seconds_two_attempts_a_second() {
        let mut pauses = pauses();
        let late = Duration::from_secs(11);
        let times: Vec<_> = (0..100).map(|_| pause(&mut pauses, Pace::Brisk, late)).collect();
        assert!(times[5..].iter().all(|pause| *pause >= Duration::from_millis(500)));
    }

    #[test]
    fn a_server_that_becomes_a_closed_port_is_asked_briskly_again() {
        let mut pauses = pauses();
        for _ in 0..20 {
            pause(&mut pauses, Pace::Gentle, SECOND);
        }
        assert!(pause(&mut pauses, Pace::Brisk, SECOND) <= Duration::from_millis(60));
    }
}

//! How long to pause between two attempts: the one place that knows the `backoff` crate.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;

use super::verdict::Pace;

/// The first pause, so that the second attempt comes within 50 ms.
const FIRST: Duration = Duration::from_millis(25);

/// A closed port is cheap to ask: with the jitter 50 to 58 ms, so at most 20 attempts a second,
/// and readiness is noticed within 60 ms.
const BRISK: Duration = Duration::from_millis(54);
const BRISK_JITTER: f64 = 0.07;

/// A server that answers "starting up" has work to do, and will soon be done.
const STEADY: Duration = Duration::from_millis(100);
const STEADY_JITTER: f64 = 0.15;

/// One that answers "too many connections" has more than enough of them.
const GENTLE: Duration = Duration::from_millis(250);
const GENTLE_JITTER: f64 = 0.2;

/// Who has waited this long can wait a little longer: at most two attempts a second from here on.
const PATIENT_AFTER: Duration = Duration::from_secs(10);
const PATIENT: Duration = Duration::from_millis(560);
const PATIENT_JITTER: f64 = 0.1;

/// Exponential backoff with jitter, whose cap depends on what the server said and on how long it
/// has been.
pub(super) struct Pacer {
    backoff: ExponentialBackoff,
}

impl Pacer {
    pub(super) fn new() -> Self {
        Pacer {
            backoff: ExponentialBackoff {
                current_interval: FIRST,
                initial_interval: FIRST,
                multiplier: 2.0,
                max_elapsed_time: None,
                ..ExponentialBackoff::default()
            },
        }
    }

    /// How long to pause before the next attempt.
    pub(super) fn pause(&mut self, pace: Pace, elapsed: Duration) -> Duration {
        let (cap, jitter) = match pace {
            _ if elapsed >= PATIENT_AFTER => (PATIENT, PATIENT_JITTER),
            Pace::Gentle => (GENTLE, GENTLE_JITTER),
            Pace::Steady => (STEADY, STEADY_JITTER),
            Pace::Brisk => (BRISK, BRISK_JITTER),
        };
        self.backoff.max_interval = cap;
        self.backoff.current_interval = self.backoff.current_interval.min(cap);
        self.backoff.randomization_factor = jitter;
        self.backoff.next_backoff().unwrap_or(cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_second_attempt_comes_within_50_ms() {
        for pace in [Pace::Brisk, Pace::Steady, Pace::Gentle] {
            assert!(Pacer::new().pause(pace, Duration::ZERO) < Duration::from_millis(50));
        }
    }

    #[test]
    fn a_closed_port_is_asked_20_times_a_second_and_noticed_within_60_ms() {
        let mut pacer = Pacer::new();
        let pauses: Vec<_> = (0..1000).map(|_| pacer.pause(Pace::Brisk, SECOND)).collect();
        assert!(pauses.iter().all(|pause| *pause <= Duration::from_millis(60)));
        assert!(pauses[2..].iter().all(|pause| *pause >= Duration::from_millis(50)));
    }

    #[test]
    fn after_ten_seconds_two_attempts_a_second() {
        let mut pacer = Pacer::new();
        let late = Duration::from_secs(11);
        let pauses: Vec<_> = (0..100).map(|_| pacer.pause(Pace::Brisk, late)).collect();
        assert!(pauses[5..].iter().all(|pause| *pause >= Duration::from_millis(500)));
    }

    #[test]
    fn a_server_that_becomes_a_closed_port_is_asked_briskly_again() {
        let mut pacer = Pacer::new();
        for _ in 0..20 {
            pacer.pause(Pace::Gentle, SECOND);
        }
        assert!(pacer.pause(Pace::Brisk, SECOND) <= Duration::from_millis(60));
    }
}

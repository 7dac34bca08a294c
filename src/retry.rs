//! Growing pauses, by the crate `backoff`: between attempts, and between log lines about one thing.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;

/// How pauses grow: each is twice as long as the one before, up to a cap.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    first: Duration,
    cap: Duration,
    jitter: f64,
}

impl Policy {
    /// From `first` to `cap`, without jitter.
    pub(crate) const fn doubling(first: Duration, cap: Duration) -> Policy {
        Policy { first, cap, jitter: 0.0 }
    }

    /// Makes each pause up to this fraction of itself shorter or longer, at random.
    pub(crate) const fn with_jitter(self, jitter: f64) -> Policy {
        Policy { jitter, ..self }
    }
}

/// The pauses between attempts, one after the other.
#[derive(Debug)]
pub(crate) struct Pauses(ExponentialBackoff);

impl Pauses {
    pub(crate) fn new(policy: Policy) -> Self {
        Pauses(ExponentialBackoff {
            current_interval: policy.first,
            initial_interval: policy.first,
            randomization_factor: policy.jitter,
            multiplier: 2.0,
            max_interval: policy.cap,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        })
    }

    /// How long to pause before the next attempt.
    pub(crate) fn next(&mut self) -> Duration {
        // Without `max_elapsed_time` there always is a next one.
        self.0.next_backoff().unwrap_or(self.0.max_interval)
    }

    /// Takes cap and jitter from `policy`; the pauses continue to grow from where they are.
    pub(crate) fn follow(&mut self, policy: Policy) {
        self.0.max_interval = policy.cap;
        self.0.current_interval = self.0.current_interval.min(policy.cap);
        self.0.randomization_factor = policy.jitter;
    }
}

/// The time between two log lines which say that something still goes on; it grows by a policy.
#[derive(Debug)]
pub(crate) struct Silence {
    policy: Policy,
    pauses: Pauses,
    end: Instant,
}

impl Silence {
    /// The first silence begins now.
    pub(crate) fn new(policy: Policy) -> Self {
        let mut pauses = Pauses::new(policy);
        let end = Instant::now() + pauses.next();
        Silence { policy, pauses, end }
    }

    /// Whether a log line is due; if it is, the next silence begins.
    pub(crate) fn is_over(&mut self) -> bool {
        let now = Instant::now();
        let over = now >= self.end;
        if over {
            self.end = now + self.pauses.next();
        }
        over
    }

    /// Starts over with the first silence, because something else was just logged.
    pub(crate) fn restart(&mut self) {
        *self = Silence::new(self.policy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy::doubling(Duration::from_millis(10), Duration::from_millis(25));

    #[test]
    fn pauses_double_up_to_the_cap() {
        let mut pauses = Pauses::new(POLICY);
        let millis: Vec<_> = (0..4).map(|_| pauses.next().as_millis()).collect();
        assert_eq!(millis, [10, 20, 25, 25]);
    }

    #[test]
    fn jitter_stays_within_its_fraction() {
        for _ in 0..100 {
            let pause = Pauses::new(POLICY.with_jitter(0.2)).next();
            assert!((8.0..=12.0).contains(&(pause.as_secs_f64() * 1000.0)), "{pause:?}");
        }
    }

    #[test]
    fn pauses_follow_a_policy_with_another_cap() {
        let mut pauses = Pauses::new(POLICY);
        pauses.next();
        pauses.follow(Policy::doubling(Duration::from_millis(1), Duration::from_millis(15)));
        assert_eq!(pauses.next().as_millis(), 15);
        pauses.follow(POLICY);
        assert_eq!([pauses.next(), pauses.next()].map(|pause| pause.as_millis()), [15, 25]);
    }

    #[test]
    fn a_silence_ends_and_the_next_is_longer() {
        let mut silence = Silence::new(POLICY);
        assert!(!silence.is_over());
        silence.end = Instant::now();
        assert!(silence.is_over());
        assert!(silence.end > Instant::now() + Duration::from_millis(11));
        silence.restart();
        assert!(silence.end <= Instant::now() + Duration::from_millis(10));
    }
}

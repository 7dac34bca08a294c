//! Decides what the init does: events in, actions out, without any system call.

use std::time::{Duration, Instant};

use super::rules::Rules;
use crate::signal::Signal;

/// Something that happened to the init.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A signal was sent to the init.
    Arrived(Signal),
    /// This signal has stopped the application.
    Stopped(Signal),
    /// The application ended with this status, 128 + n if signal n killed it.
    Ended(u8),
    /// Every child that had ended is reaped.
    Reaped {
        /// Whether other children are still alive.
        left: bool,
    },
    /// The [`Supervisor::deadline`] has passed.
    Elapsed,
}

/// What the init must do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Send a signal to the application.
    Forward {
        /// The signal, as rewritten.
        signal: Signal,
        /// What to do afterwards.
        then: Option<Then>,
    },
    /// Kill the application: its grace period is over.
    Kill,
    /// Stop, as the application was stopped by this signal.
    Suspend(Signal),
    /// Continue the application, and the processes that were stopped together with it.
    Continue,
    /// Send a signal to the processes that the application left behind.
    SignalLeftovers(Signal),
    /// Kill the processes that the application left behind.
    KillLeftovers,
    /// Exit with this status.
    Exit(u8),
}

/// What follows a signal that is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Continue the application, because it is stopped and the signal is to end it.
    Continue,
    /// Stop: this signal of a shell's job control was rewritten, so that the application does not.
    Suspend(Signal),
}

/// The signals by which a shell or a terminal stops a job.
const JOB_CONTROL: [Signal; 3] = [Signal::TSTP, Signal::TTIN, Signal::TTOU];

/// Processes that the application left behind get at least this time to end by themselves, even if
/// the application used up the grace period.
const LEFTOVERS_GRACE: Duration = Duration::from_secs(4);

/// What the init knows about the application, and what follows from it.
#[derive(Debug)]
pub(super) struct Supervisor<'a> {
    rules: &'a Rules,
    stage: Stage,
    /// Whether the application is stopped.
    stopped: bool,
    /// When the grace period ends. `None` before a signal starts it, and if it has no end.
    kill_at: Option<Instant>,
    /// Whether a TERM or INT has arrived: only the first one starts the grace period and the delay.
    stopping: bool,
    /// When to forward the TERM that `--term-delay` holds back.
    delayed: Option<Instant>,
    /// Whether the application was continued so that it can end.
    woken: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// The child is still premain: waiting, migrating.
    Booting,
    /// The child is the application.
    Running,
    /// The application has ended, and premain will exit with this status. It may have left
    /// processes behind.
    Ended(u8),
    /// The processes that it left behind got a TERM.
    Clearing(u8),
    /// The processes that it left behind got a KILL.
    Cleared(u8),
}

impl<'a> Supervisor<'a> {
    /// For a child that has just been started.
    pub(super) fn new(rules: &'a Rules) -> Self {
        Supervisor {
            rules,
            stage: Stage::Booting,
            stopped: false,
            kill_at: None,
            stopping: false,
            delayed: None,
            woken: false,
        }
    }

    /// The child has become the application.
    pub(super) fn launched(&mut self) {
        if self.stage == Stage::Booting {
            self.stage = Stage::Running;
        }
    }

    /// Whether the child is still premain, as far as is known.
    pub(super) fn is_booting(&self) -> bool {
        self.stage == Stage::Booting
    }

    /// When [`Event::Elapsed`] is due; `None` for never.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.delayed.into_iter().chain(self.kill_at).min()
    }

    /// The one place that decides what an event means.
    pub(super) fn on(&mut self, event: Event, now: Instant) -> Option<Action> {
        match (&self.stage, event) {
            (Stage::Booting | Stage::Running, Event::Arrived(signal)) => self.arrived(signal, now),
            (Stage::Booting | Stage::Running, Event::Stopped(signal)) => Some(self.stopped(signal)),
            (Stage::Booting | Stage::Running, Event::Elapsed) => self.elapsed(now),
            (Stage::Booting, Event::Ended(status)) => {
                self.stage = Stage::Ended(status);
                None
            }
            (Stage::Running, Event::Ended(status)) => {
                let status = *self.rules.remap_exit.get(&status).unwrap_or(&status);
                self.stage = Stage::Ended(status);
                None
            }
            (Stage::Booting | Stage::Running, Event::Reaped { .. }) => None,

            (
                Stage::Ended(status) | Stage::Clearing(status) | Stage::Cleared(status),
                Event::Reaped { left: false },
            ) => Some(Action::Exit(*status)),
            (Stage::Ended(status), Event::Reaped { left: true }) => {
                self.stage = Stage::Clearing(*status);
                self.delayed = None;
                self.kill_at = self
                    .rules
                    .grace
                    .map(|grace| self.kill_at.unwrap_or(now + grace).max(now + LEFTOVERS_GRACE));
                Some(Action::SignalLeftovers(Signal::TERM))
            }
            (Stage::Clearing(_), Event::Arrived(signal)) => Some(Action::SignalLeftovers(signal)),
            (Stage::Clearing(status), Event::Elapsed) if due(self.kill_at, now) => {
                self.stage = Stage::Cleared(*status);
                self.kill_at = Some(now + LEFTOVERS_GRACE);
                Some(Action::KillLeftovers)
            }
            // A child may have been created after the last KILL was sent.
            (Stage::Cleared(_), Event::Reaped { left: true }) => Some(Action::KillLeftovers),
            // A process hangs in the kernel. Exiting as PID 1 makes the kernel clean it up.
            (Stage::Cleared(status), Event::Elapsed) if due(self.kill_at, now) => {
                Some(Action::Exit(*status))
            }
            (Stage::Ended(_) | Stage::Clearing(_) | Stage::Cleared(_), _) => None,
        }
    }

    fn arrived(&mut self, arrived: Signal, now: Instant) -> Option<Action> {
        // Signals are rewritten for the application only: the boot understands TERM.
        let signal = match self.stage {
            Stage::Running => *self.rules.rewrite.get(&arrived).unwrap_or(&Some(arrived)),
            _ => Some(arrived),
        }?;
        if signal == Signal::CONT {
            self.stopped = false;
            return Some(Action::Continue);
        }
        let ends = [arrived, signal].iter().any(|s| [Signal::TERM, Signal::INT].contains(s));
        let first = ends && !self.stopping;
        if first {
            self.stopping = true;
            self.kill_at = self.rules.grace.map(|grace| now + grace);
        }
        let delay = self.rules.term_delay;
        if first && arrived == Signal::TERM && self.stage == Stage::Running && !delay.is_zero() {
            self.delayed = Some(now + delay);
            return None;
        }
        if ends {
            // A second TERM ends the delay.
            self.delayed = None;
        }
        if JOB_CONTROL.contains(&arrived)
            && !JOB_CONTROL.contains(&signal)
            && signal != Signal::STOP
        {
            return Some(Action::Forward { signal, then: Some(Then::Suspend(arrived)) });
        }
        Some(self.forward(signal, ends))
    }

    fn stopped(&mut self, signal: Signal) -> Action {
        // It stopped before the TERM arrived, but SIGCHLD came after it. Only once: a process that
        // reads from the terminal in the background would be stopped and continued for ever.
        if self.stopping && self.delayed.is_none() && !std::mem::replace(&mut self.woken, true) {
            return Action::Continue;
        }
        self.stopped = true;
        Action::Suspend(signal)
    }

    fn elapsed(&mut self, now: Instant) -> Option<Action> {
        if due(self.kill_at, now) {
            self.kill_at = None;
            self.delayed = None;
            return Some(Action::Kill);
        }
        if due(self.delayed, now) {
            self.delayed = None;
            let signal = *self.rules.rewrite.get(&Signal::TERM).unwrap_or(&Some(Signal::TERM));
            return signal.map(|signal| self.forward(signal, true));
        }
        None
    }

    fn forward(&mut self, signal: Signal, ends: bool) -> Action {
        let then = (ends && std::mem::take(&mut self.stopped)).then_some(Then::Continue);
        Action::Forward { signal, then }
    }
}

fn due(at: Option<Instant>, now: Instant) -> bool {
    at.is_some_and(|at| at <= now)
}

#[cfg(test)]
mod tests;

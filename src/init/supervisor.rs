//! What an init decides: events in, actions out, no system call in between.

use std::time::{Duration, Instant};

use super::rules::Rules;
use crate::exit::Exit;
use crate::signal::Signal;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody sent a signal.
    Arrived(Signal),
    /// The application was stopped, by ^Z for example.
    Stopped,
    /// The application ended with this status, 128 + n if signal n killed it.
    Ended(u8),
    /// Every child that had ended is reaped.
    Reaped {
        /// Others live on.
        left: bool,
    },
    /// The time of [`Supervisor::deadline`] has come.
    Elapsed,
}

/// What is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a signal to the application.
    Forward {
        /// Which one.
        signal: Signal,
        /// Let it continue then: it is stopped, and could not act on the signal.
        wake: bool,
    },
    /// Kill the application: its grace is over.
    Kill,
    /// Stop together with the application: somebody pressed ^Z.
    Suspend,
    /// Let the application, and whoever was stopped together with it, continue.
    Continue,
    /// Pass a signal on to whatever the application has left behind.
    SignalLeftovers(Signal),
    /// Kill whatever the application has left behind.
    KillLeftovers,
    /// Nothing is left to do: end like this.
    Exit(Exit),
}

/// What the application has left behind gets at least this long to end by itself, also when the
/// application has used up the grace alone.
const LEFTOVERS_GRACE: Duration = Duration::from_secs(4);

/// An application's life as its init sees it.
#[derive(Debug)]
pub struct Supervisor<'a> {
    rules: &'a Rules,
    stage: Stage,
    /// The application was stopped and nobody has continued it since.
    stopped: bool,
    /// When the grace ends. `None` before a signal started it, and where it never does.
    kill_at: Option<Instant>,
    /// A TERM or INT has arrived: there is one grace and one delay, not one for each of them.
    stopping: bool,
    /// The TERM that `--term-delay` holds back, and until when.
    delayed: Option<Instant>,
    /// The application was woken in order to end.
    woken: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// premain's own child: waiting, migrating.
    Booting,
    /// The application.
    Running,
    /// The application is gone, with this as its last word, and what it left behind may live.
    Ended(Exit),
    /// What it left behind was asked to end.
    Clearing(Exit),
    /// And killed.
    Cleared(Exit),
}

impl<'a> Supervisor<'a> {
    /// For a child that has just begun to boot.
    pub fn new(rules: &'a Rules) -> Self {
        let stage = Stage::Booting;
        Supervisor {
            rules,
            stage,
            stopped: false,
            kill_at: None,
            stopping: false,
            delayed: None,
            woken: false,
        }
    }

    /// The boot is over: from here on the child is the application.
    pub fn launched(&mut self) {
        if self.stage == Stage::Booting {
            self.stage = Stage::Running;
        }
    }

    /// Whether the child is, as far as is known, still premain itself.
    pub fn is_booting(&self) -> bool {
        self.stage == Stage::Booting
    }

    /// When [`Event::Elapsed`] is due; `None` for never.
    pub fn deadline(&self) -> Option<Instant> {
        self.delayed.into_iter().chain(self.kill_at).min()
    }

    /// The one place where it is decided what an event means.
    pub fn on(&mut self, event: Event, now: Instant) -> Option<Action> {
        match (&self.stage, event) {
            (Stage::Booting | Stage::Running, Event::Arrived(signal)) => self.arrived(signal, now),
            (Stage::Booting | Stage::Running, Event::Stopped) => Some(self.stopped()),
            (Stage::Booting | Stage::Running, Event::Elapsed) => self.elapsed(now),
            (Stage::Booting, Event::Ended(status)) => {
                self.stage = Stage::Ended(Exit::Application(status));
                None
            }
            (Stage::Running, Event::Ended(status)) => {
                let status = *self.rules.remap_exit.get(&status).unwrap_or(&status);
                self.stage = Stage::Ended(Exit::Application(status));
                None
            }
            (Stage::Booting | Stage::Running, Event::Reaped { .. }) => None,

            (
                Stage::Ended(exit) | Stage::Clearing(exit) | Stage::Cleared(exit),
                Event::Reaped { left: false },
            ) => Some(Action::Exit(*exit)),
            (Stage::Ended(exit), Event::Reaped { left: true }) => {
                self.stage = Stage::Clearing(*exit);
                self.delayed = None;
                self.kill_at = self
                    .rules
                    .grace
                    .map(|grace| self.kill_at.unwrap_or(now + grace).max(now + LEFTOVERS_GRACE));
                Some(Action::SignalLeftovers(Signal::TERM))
            }
            (Stage::Clearing(_), Event::Arrived(signal)) => Some(Action::SignalLeftovers(signal)),
            (Stage::Clearing(exit), Event::Elapsed) if due(self.kill_at, now) => {
                self.stage = Stage::Cleared(*exit);
                self.kill_at = Some(now + LEFTOVERS_GRACE);
                Some(Action::KillLeftovers)
            }
            // Whose parent was killed is ours now, and was perhaps not there to be killed before.
            (Stage::Cleared(_), Event::Reaped { left: true }) => Some(Action::KillLeftovers),
            // Somebody hangs in the kernel; ending is what is left to us.
            (Stage::Cleared(exit), Event::Elapsed) if due(self.kill_at, now) => {
                Some(Action::Exit(*exit))
            }
            (Stage::Ended(_) | Stage::Clearing(_) | Stage::Cleared(_), _) => None,
        }
    }

    fn arrived(&mut self, arrived: Signal, now: Instant) -> Option<Action> {
        // The rules are the application's; the boot takes TERM for what it is.
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
            // Whoever asks again does not want to wait.
            self.delayed = None;
        }
        Some(self.forward(signal, ends))
    }

    fn stopped(&mut self) -> Action {
        // It had stopped before the TERM, and we hear of it behind the TERM. Once: somebody who
        // reads in the background would be stopped, and woken, as often as he can.
        if self.stopping && self.delayed.is_none() && !std::mem::replace(&mut self.woken, true) {
            return Action::Continue;
        }
        self.stopped = true;
        Action::Suspend
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
        let wake = ends && std::mem::take(&mut self.stopped);
        Action::Forward { signal, wake }
    }
}

fn due(at: Option<Instant>, now: Instant) -> bool {
    at.is_some_and(|at| at <= now)
}

#[cfg(test)]
mod tests;

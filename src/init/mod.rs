//! The init: starts the application's process, forwards signals, reaps children, and exits.
//!
//! It has one thread, which waits in one system call. [`supervisor`] decides what an event means,
//! without any system call; this file executes its decisions. It knows nothing of databases.

#![forbid(unsafe_code)]

mod leftovers;
mod oom;
pub mod rules;
mod supervisor;
mod terminal;

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::unistd::{Pid, getpgrp, setpgid};

use crate::exit::Exit;
use crate::signal::Signal;
use crate::sys::{self, End, Forked, Reaped, Received, Recipient};
use crate::{log, phase};
pub use rules::{Rules, SignalTarget};
use supervisor::{Action, Event, Supervisor, Then};
use terminal::Terminal;

/// Forks once. The child runs `boot` and becomes the application; this process supervises it until
/// it has ended, and returns its status. It may wait for a boot that `only_launches`.
pub fn run(rules: &Rules, only_launches: bool, boot: impl Fn() -> Exit) -> Exit {
    phase::set_process_name(phase::INIT);
    adopt_orphans();
    if let Some(signal) = rules.pdeathsig {
        sys::set_parent_death_signal(signal);
    }
    let terminal = Terminal::find();
    let child = || {
        enter_own_group(Pid::this(), terminal);
        boot()
    };
    // On a terminal a ^Z could stop the child before its exec, while this process waits for it.
    let forked = if only_launches && terminal.is_none() {
        sys::fork_and_wait_for_exec(|| child().code()).map(Forked::Parent)
    } else {
        sys::fork()
    };
    match forked {
        Err(error) => {
            tracing::error!("cannot create a process for the application: {error}");
            Exit::System
        }
        Ok(Forked::Child) => child(),
        Ok(Forked::Parent(child)) => {
            // Both processes do it, so that the group exists before the first signal is forwarded.
            let _ = setpgid(child, child);
            drop(boot);
            release_resources();
            let supervisor = Supervisor::new(rules);
            Init { rules, child, terminal, supervisor, sent_kill: false }.supervise()
        }
    }
}

/// Orphans become children of PID 1, or of the nearest child subreaper.
fn adopt_orphans() {
    if Pid::this() != Pid::from_raw(1)
        && let Err(error) = nix::sys::prctl::set_child_subreaper(true)
    {
        tracing::warn!("orphaned processes will not be reaped, since this is not PID 1: {error}");
    }
}

/// Creates the application's own process group, and makes it the terminal's foreground. The child
/// does this itself, because it may read from the terminal as soon as it boots.
fn enter_own_group(child: Pid, terminal: Option<Terminal>) {
    // It only fails if the child is already the leader of this group.
    let _ = setpgid(child, child);
    terminal.inspect(|terminal| terminal.give(child));
}

/// Releases what PID 1 would otherwise hold as long as it lives: free memory, inherited
/// descriptors, and the file system of the working directory.
fn release_resources() {
    sys::trim_memory();
    sys::close_from(3);
    let _ = nix::unistd::chdir("/");
    log::never_wait();
}

struct Init<'a> {
    rules: &'a Rules,
    child: Pid,
    terminal: Option<Terminal>,
    supervisor: Supervisor<'a>,
    /// Whether the init has sent a SIGKILL, so that one needs no explanation.
    sent_kill: bool,
}

impl Init<'_> {
    fn supervise(mut self) -> Exit {
        loop {
            let timeout = self.supervisor.deadline().map(|at| at.duration_since(Instant::now()));
            let exit = match timeout {
                // Checked first, so that a flood of signals cannot delay the deadline.
                Some(Duration::ZERO) => self.handle(Event::Elapsed),
                _ => sys::next_signal(timeout).and_then(|received| self.receive(received)),
            };
            if let Some(exit) = exit {
                return exit;
            }
        }
    }

    fn receive(&mut self, Received { signal, from_self }: Received) -> Option<Exit> {
        match signal {
            Signal::CHLD => self.reap(),
            // A log line was written to a closed pipe, which does not concern the application.
            Signal::PIPE if from_self => None,
            signal => {
                self.detect_launch();
                self.handle(Event::Arrived(signal))
            }
        }
    }

    /// Reaps every child that has ended: one SIGCHLD may stand for several.
    fn reap(&mut self) -> Option<Exit> {
        self.detect_launch();
        let (mut killed, mut last) = (0, 0);
        let left = loop {
            match self.reap_next() {
                Reaped::Ended(pid, end) if pid == self.child => self.application_ended(end),
                Reaped::Stopped(pid, signal) if pid == self.child => {
                    self.handle(Event::Stopped(signal));
                }
                Reaped::Ended(pid, End::Killed(Signal::KILL)) if !self.sent_kill => {
                    killed += 1;
                    last = pid.as_raw();
                }
                Reaped::Ended(..) | Reaped::Stopped(..) => {}
                Reaped::Nothing => break true,
                Reaped::NoChildren => break false,
            }
        };
        // One line, even if many were killed at once.
        if killed > 0 {
            let hint = oom::hint();
            tracing::warn!(
                pid = last,
                count = killed,
                "a child process of the application was killed{hint}"
            );
        }
        self.handle(Event::Reaped { left })
    }

    fn reap_next(&mut self) -> Reaped {
        if !self.supervisor.is_booting() {
            return sys::reap(None);
        }
        // Before it is reaped: afterwards it is too late to ask whether it was the application.
        let next = sys::next_to_reap();
        if next == Some(self.child) {
            self.detect_launch();
        }
        next.map_or(Reaped::Nothing, |next| sys::reap(Some(next)))
    }

    /// Finds out whether the child has become the application: setpgid(2) fails with EACCES for a
    /// child that has called `execve`; before that it sets the group that the child has already.
    fn detect_launch(&mut self) {
        if self.supervisor.is_booting() && setpgid(self.child, self.child).is_err() {
            self.supervisor.launched();
        }
    }

    fn application_ended(&mut self, end: End) {
        let status = match end {
            End::Exited(status) => status,
            End::Killed(signal) => {
                if signal == Signal::KILL && !self.sent_kill {
                    tracing::warn!(
                        pid = self.child.as_raw(),
                        "the application was killed{}",
                        oom::hint()
                    );
                }
                Exit::Stopped(signal.number()).code()
            }
        };
        tracing::debug!("the application ended with status {status}");
        self.handle(Event::Ended(status));
    }

    /// Lets the supervisor decide about `event`, and executes its decision.
    fn handle(&mut self, event: Event) -> Option<Exit> {
        match self.supervisor.on(event, Instant::now())? {
            Action::Forward { signal, then } => {
                self.send(signal);
                match then {
                    Some(Then::Continue) => self.send(Signal::CONT),
                    Some(Then::Suspend(signal)) => self.suspend(signal),
                    None => {}
                }
            }
            Action::Kill => {
                tracing::warn!("the application did not end within its grace period and is killed");
                self.sent_kill = true;
                self.send(Signal::KILL);
            }
            Action::Suspend(signal) => self.suspend(signal),
            Action::Continue => self.resume(),
            Action::SignalLeftovers(signal) => {
                tracing::debug!("sending {signal} to what the application left behind");
                leftovers::signal(signal, self.child);
                // A stopped process handles it only when it is continued.
                leftovers::signal(Signal::CONT, self.child);
            }
            Action::KillLeftovers => {
                if !self.sent_kill {
                    tracing::warn!("what the application left behind did not end and is killed");
                }
                self.sent_kill = true;
                leftovers::signal(Signal::KILL, self.child);
            }
            Action::Exit(status) => {
                self.terminal.map(|terminal| terminal.take_back(self.child));
                return Some(Exit::Application(status));
            }
        }
        None
    }

    fn send(&self, signal: Signal) {
        let process = Recipient::Process(self.child);
        let sent = match self.rules.signal_target {
            SignalTarget::Child => sys::send(signal, process),
            // ESRCH: the group does not exist yet, or no longer.
            SignalTarget::Group => match sys::send(signal, Recipient::Group(self.child)) {
                Err(Errno::ESRCH) => sys::send(signal, process),
                sent => sent,
            },
        };
        match sent {
            Ok(()) => tracing::debug!("forwarded {signal}"),
            Err(error) => tracing::warn!(
                "cannot send {signal} to the application (pid {}): {error}; only root with CAP_KILL \
                 can signal a process of another user",
                self.child
            ),
        }
    }

    /// Stops as the application did, so that the shell sees its job stopped; not if no process could
    /// be there that continues this one. Returns when it is continued.
    fn suspend(&self, signal: Signal) {
        if !terminal::may_have_shell() {
            return;
        }
        let this = Recipient::Process(Pid::this());
        if self.terminal.is_some_and(|terminal| terminal.take_back(self.child)) {
            // A ^Z reached the application's group alone; it was meant for the whole job.
            let job = if signal == Signal::TSTP { Recipient::Group(getpgrp()) } else { this };
            if !sys::stop_by(signal, job) {
                // Without premain the kernel would not have stopped the application either.
                let _ = sys::send(Signal::CONT, this);
            }
        } else if !sys::stop_by(signal, this) && self.terminal.is_none() {
            sys::stop_by(Signal::STOP, this);
        }
    }

    fn resume(&self) {
        self.terminal.inspect(|terminal| terminal.give(self.child));
        // ^Z stopped the whole group.
        if sys::send(Signal::CONT, Recipient::Group(self.child)).is_err() {
            self.send(Signal::CONT);
        }
    }
}

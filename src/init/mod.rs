//! PID 1: forward, reap, grace, exit.
//!
//! One process, one thread, one system call to wait in. What an event means is decided in
//! [`supervisor`], which makes no system call; here its decisions are carried out. Nothing of
//! waiting and migrating is known here.

#![forbid(unsafe_code)]

mod leftovers;
mod oom;
pub mod rules;
mod supervisor;
mod terminal;

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::unistd::{Pid, setpgid};

use crate::config::Config;
use crate::exit::Exit;
use crate::log;
use crate::phase;
use crate::signal::Signal;
use crate::sys::{self, Change, Forked, Inherited, Reaped, Received, Recipient};
pub use rules::{Rules, SignalTarget};
use supervisor::{Action, Event, Supervisor};
use terminal::Terminal;

/// Forks once. The child does `boot` and becomes the application; this process looks after it, and
/// returns what the application ended with.
pub fn run(
    config: Config,
    inherited: &Inherited,
    boot: impl Fn(&Config, &Inherited) -> Exit,
) -> Exit {
    phase::publish_init();
    adopt_orphans();
    if let Some(signal) = config.init.pdeathsig {
        sys::set_parent_death_signal(signal);
    }
    let terminal = Terminal::find();
    let child = || {
        step_forward(Pid::this(), terminal);
        boot(&config, inherited)
    };
    // At a terminal a ^Z could stop the child on its way, and with it whoever waits for its exec.
    let forked = if config.boots() || terminal.is_some() {
        sys::fork()
    } else {
        sys::fork_and_wait_for_exec(|| child().code()).map(Forked::Parent)
    };
    match forked {
        Err(error) => {
            tracing::error!("cannot start a process for the application: {error}");
            Exit::System
        }
        Ok(Forked::Child) => child(),
        Ok(Forked::Parent(child)) => {
            // Whoever of the two comes first: the group is there before a signal is forwarded.
            let _ = setpgid(child, child);
            let rules = settle(config);
            let supervisor = Supervisor::new(&rules);
            Init { rules: &rules, child, terminal, supervisor, killed: false }.supervise()
        }
    }
}

/// Orphans come to PID 1 by themselves, to others only as a child subreaper.
fn adopt_orphans() {
    if Pid::this() != Pid::from_raw(1)
        && let Err(error) = nix::sys::prctl::set_child_subreaper(true)
    {
        tracing::warn!("orphaned processes will not be reaped, since this is not PID 1: {error}");
    }
}

/// Gives the application a group of its own, and that group the terminal if it is our turn there.
/// This is up to the child: as soon as it boots it may want to read.
fn step_forward(child: Pid, terminal: Option<Terminal>) {
    // A child of a fork leads neither group nor session, so this can only fail as unnecessary.
    let _ = setpgid(child, child);
    terminal.inspect(|terminal| terminal.give(child));
}

/// Lets go of everything that PID 1 would otherwise keep from others for as long as it lives:
/// memory, inherited descriptors, the file system of the working directory.
fn settle(config: Config) -> Rules {
    let rules = config.init;
    drop((config.command, config.database, config.launch, config.wait, config.migrate));
    sys::trim_memory();
    sys::close_from(3);
    let _ = nix::unistd::chdir("/");
    log::never_wait();
    rules
}

struct Init<'a> {
    rules: &'a Rules,
    child: Pid,
    terminal: Option<Terminal>,
    supervisor: Supervisor<'a>,
    /// Whether we have killed anybody, so that a SIGKILL needs no explanation.
    killed: bool,
}

impl Init<'_> {
    fn supervise(mut self) -> Exit {
        loop {
            let patience = self.supervisor.deadline().map(|at| at.duration_since(Instant::now()));
            let exit = match patience {
                // Not even a flood of signals puts off a deadline.
                Some(Duration::ZERO) => self.tell(Event::Elapsed),
                _ => sys::next_signal(patience).and_then(|received| self.receive(received)),
            };
            if let Some(exit) = exit {
                return exit;
            }
        }
    }

    fn receive(&mut self, Received { signal, own }: Received) -> Option<Exit> {
        match signal {
            Signal::CHLD => self.reap(),
            // A log line hit a closed pipe; that is nothing to bother the application with.
            Signal::PIPE if own => None,
            signal => {
                self.look();
                self.tell(Event::Arrived(signal))
            }
        }
    }

    /// Many may have ended for one SIGCHLD: reaps until there is nobody left to reap.
    fn reap(&mut self) -> Option<Exit> {
        self.look();
        let (mut killed, mut last) = (0, 0);
        let left = loop {
            match self.reap_next() {
                Reaped::Child(pid, change) if pid == self.child => self.application(change),
                Reaped::Child(pid, Change::Killed(Signal::KILL)) if !self.killed => {
                    killed += 1;
                    last = pid.as_raw();
                }
                Reaped::Child(..) => {}
                Reaped::Nothing => break true,
                Reaped::Childless => break false,
            }
        };
        // One line, even where somebody kills by the dozen.
        if killed > 0 {
            let hint = oom::hint();
            tracing::warn!(
                pid = last,
                count = killed,
                "a child of the application's was killed{hint}"
            );
        }
        self.tell(Event::Reaped { left })
    }

    fn reap_next(&mut self) -> Reaped {
        if !self.supervisor.is_booting() {
            return sys::reap(None);
        }
        // Look before you reap: once it is gone nobody knows whether it was the application.
        let next = sys::next_to_reap();
        if next == Some(self.child) {
            self.look();
        }
        next.map_or(Reaped::Nothing, |next| sys::reap(Some(next)))
    }

    /// Finds out whether the boot has become the application. The kernel knows: it lets nobody
    /// change the group of a child that has executed another program (setpgid(2), EACCES), and to
    /// the group that the child is in already it can be changed as often as one likes.
    fn look(&mut self) {
        if self.supervisor.is_booting() && setpgid(self.child, self.child).is_err() {
            self.supervisor.launched();
        }
    }

    fn application(&mut self, change: Change) {
        let status = match change {
            Change::Stopped => {
                self.tell(Event::Stopped);
                return;
            }
            Change::Exited(status) => status,
            Change::Killed(signal) => {
                if signal == Signal::KILL && !self.killed {
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
        self.tell(Event::Ended(status));
    }

    /// Lets the supervisor decide, and does what it says.
    fn tell(&mut self, event: Event) -> Option<Exit> {
        match self.supervisor.on(event, Instant::now())? {
            Action::Forward { signal, wake } => {
                self.send(signal);
                if wake {
                    self.send(Signal::CONT);
                }
            }
            Action::Kill => {
                tracing::warn!("the application did not end within its grace and is killed");
                self.killed = true;
                self.send(Signal::KILL);
            }
            Action::Suspend => self.suspend(),
            Action::Continue => self.resume(),
            Action::SignalLeftovers(signal) => {
                tracing::debug!("sending {signal} to what the application left behind");
                leftovers::signal(signal, self.child);
                // Whoever is stopped can act on it only when he goes on.
                leftovers::signal(Signal::CONT, self.child);
            }
            Action::KillLeftovers => {
                if !self.killed {
                    tracing::warn!("what the application left behind did not end and is killed");
                }
                self.killed = true;
                leftovers::signal(Signal::KILL, self.child);
            }
            Action::Exit(exit) => {
                self.terminal.inspect(|terminal| terminal.take_back(self.child));
                return Some(exit);
            }
        }
        None
    }

    fn send(&self, signal: Signal) {
        let process = Recipient::Process(self.child);
        let sent = match self.rules.signal_target {
            SignalTarget::Child => sys::send(signal, process),
            // A group that does not exist yet, or not anymore.
            SignalTarget::Group => match sys::send(signal, Recipient::Group(self.child)) {
                Err(Errno::ESRCH) => sys::send(signal, process),
                sent => sent,
            },
        };
        match sent {
            Ok(()) => tracing::debug!("forwarded {signal}"),
            Err(error) => tracing::warn!(
                "cannot send {signal} to the application (pid {}): {error}; a process of another \
                 user can be signalled by root with CAP_KILL only",
                self.child
            ),
        }
    }

    /// Stops with the application, as sudo does: the shell that waits for us sees its job stopped.
    fn suspend(&mut self) {
        if let Some(terminal) = self.terminal.filter(|_| Terminal::has_shell()) {
            terminal.take_back(self.child);
            sys::suffer(Signal::TSTP);
            // Continued, by `fg` or `bg`; or never stopped, because no shell would be left that
            // could continue us. Either way the application goes on: as soon as this CONT, which
            // adds nothing to one that is pending, is received.
            let _ = sys::send(Signal::CONT, Recipient::Process(Pid::this()));
        }
    }

    fn resume(&self) {
        self.terminal.inspect(|terminal| terminal.give(self.child));
        // The terminal's ^Z stopped the whole group.
        if sys::send(Signal::CONT, Recipient::Group(self.child)).is_err() {
            self.send(Signal::CONT);
        }
    }
}

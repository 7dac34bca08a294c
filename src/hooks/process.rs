//! One hook's process: started, listened to, waited for, stopped.

use std::fs::File;
use std::io;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal as Typed};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{self, Pid, dup2_stderr, dup2_stdin, dup2_stdout, setpgid};
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe::Receiver;

use super::How;
use super::command::Hook;
use crate::launch::Settings;
use crate::launch::{self, Call};
use crate::log;
use crate::shutdown::Shutdown;
use crate::signal::Signal;
use crate::sys::{self, Change, Inherited, Reaped, Recipient};

/// How long a hook may take to end when it was told to; a supervisor's grace is longer.
const GRACE: Duration = Duration::from_secs(5);

/// What a pipe holds, and what is read of it at once.
const PIPE: usize = 64 * 1024;
const PART: usize = 4096;

/// A line that is longer is passed on in parts.
const LONGEST_LINE: usize = 16 * 1024;

/// Why there is no process.
pub enum Error {
    /// The program cannot be executed.
    Launch(launch::Error),
    /// The operating system refused something else.
    System(io::Error),
}

/// A hook that runs.
pub struct Process {
    pid: Pid,
    label: String,
    /// Says that a child has ended.
    children: AsyncFd<SignalFd>,
    output: Option<Receiver>,
    /// What was read and not passed on yet.
    text: Vec<u8>,
    /// There was no room for the last line: the next one does not wait for room.
    hurried: bool,
    /// How it has ended, if it has.
    end: Option<Change>,
}

impl Process {
    /// Starts it, as a group of its own, with the signals that the application will have.
    pub fn start(hook: &Hook, launch: &Settings, inherited: &Inherited) -> Result<Process, Error> {
        let system = |error: io::Error| Error::System(error);
        let ended = SigSet::from(Typed::SIGCHLD);
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let children = SignalFd::with_flags(&ended, flags).map_err(io::Error::from);
        let children = children.and_then(sys::watch).map_err(system)?;
        let (reader, writer) = io::pipe().map_err(system)?;
        let nothing = File::open("/dev/null").map_err(system)?;
        let call = Call::prepare(launch, &hook.words).map_err(Error::Launch)?;
        let mut refused = None;
        let pid = sys::fork_and_wait_for_exec(|| {
            let placed = setpgid(Pid::from_raw(0), Pid::from_raw(0))
                .and_then(|()| dup2_stdin(&nothing))
                .and_then(|()| dup2_stdout(&writer))
                .and_then(|()| dup2_stderr(&writer));
            refused = Some(match placed {
                Ok(()) => Error::Launch(inherited.restored(|| call.execute())),
                Err(error) => Error::System(error.into()),
            });
            1
        });
        let pid = pid.map_err(|error| Error::System(error.into()))?;
        if let Some(refused) = refused {
            // It has ended already: nobody else is left to be told about it.
            sys::reap(Some(pid));
            return Err(refused);
        }
        let output = Receiver::from_owned_fd(reader.into()).map_err(system)?;
        let label = hook.label().to_owned();
        let output = Some(output);
        Ok(Process { pid, label, children, output, text: Vec::new(), hurried: false, end: None })
    }

    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Passes on what it prints until it has ended; how it has, unless well. Whoever stops listening
    /// may begin again.
    pub async fn ended(&mut self) -> Result<(), How> {
        while self.end.is_none() {
            self.pass_on_lines().await;
            self.end = match sys::reap(Some(self.pid)) {
                Reaped::Child(_, end @ (Change::Exited(_) | Change::Killed(_))) => Some(end),
                Reaped::Child(_, Change::Stopped) | Reaped::Nothing | Reaped::Childless => None,
            };
            if self.end.is_none() {
                tokio::select! {
                    () = readable(self.output.as_ref()) => drop(self.read()),
                    () = child_ended(&self.children) => {}
                }
            }
        }
        // What a pipe holds, and its end; not more, lest somebody it left behind keeps us.
        for _ in 0..=PIPE / PART {
            if !self.read() {
                break;
            }
            self.pass_on_lines().await;
        }
        if !self.text.is_empty() {
            let rest = std::mem::take(&mut self.text);
            self.pass_on(&rest);
        }
        match self.end {
            Some(Change::Exited(status)) if status != 0 => Err(How::Status(status)),
            Some(Change::Killed(signal)) => Err(How::Signal(signal)),
            _ => Ok(()),
        }
    }

    /// Whether somebody else may still print what nobody reads.
    pub fn is_shared(&self) -> bool {
        self.output.is_some()
    }

    /// Reads what is there now; whether there was something.
    fn read(&mut self) -> bool {
        let Some(output) = &self.output else { return false };
        let mut part = [0; PART];
        // The runtime asks the kernel only where it has heard of something to read, which may be
        // after the hook has ended; and it listens again only where it was told no.
        let read = match unistd::read(output, &mut part) {
            Err(Errno::EAGAIN) => output.try_read(&mut part),
            read => read.map_err(io::Error::from),
        };
        match read {
            Ok(length) if length > 0 => self.text.extend_from_slice(&part[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Ok(_) | Err(_) => self.output = None,
        }
        self.output.is_some()
    }

    /// Passes on every line that is whole, or too long. Between two of them a signal may come.
    async fn pass_on_lines(&mut self) {
        loop {
            let end = self.text.iter().position(|&byte| byte == b'\n');
            let (length, skip) = match end {
                Some(end) if end <= LONGEST_LINE => (end, 1),
                _ if self.text.len() >= LONGEST_LINE => (LONGEST_LINE, 0),
                _ => return,
            };
            let mut line: Vec<u8> = self.text.drain(..length + skip).collect();
            line.truncate(length);
            self.pass_on(&line);
            tokio::task::yield_now().await;
        }
    }

    fn pass_on(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.hurried = !log::pass_on(&self.label, line, self.hurried);
    }

    /// Passes a signal on, and sees to it that the hook and whoever it has started end.
    pub async fn stop(&mut self, signal: Signal, shutdown: &Shutdown) {
        tracing::info!("forwarding {signal} to {} (pid {})", self.label, self.pid);
        let group = Recipient::Group(self.pid);
        let _ = sys::send(signal, group);
        // Whoever is stopped can act on it only when he goes on.
        let _ = sys::send(Signal::CONT, group);
        let ended = tokio::select! {
            biased;
            // A second signal waits for nothing.
            _ = shutdown.signal() => false,
            ended = tokio::time::timeout(GRACE, self.ended()) => ended.is_ok(),
        };
        // Also what it has left behind: it does not become an application's.
        let _ = sys::send(Signal::KILL, group);
        if !ended {
            tracing::warn!("{} did not end in time and is killed", self.label);
            let _ = tokio::time::timeout(GRACE, self.ended()).await;
        }
    }
}

/// Completes when there is something to read; never where nothing will come anymore.
async fn readable(output: Option<&Receiver>) {
    match output {
        Some(output) => drop(output.readable().await),
        None => std::future::pending().await,
    }
}

/// Completes when a child may have ended.
async fn child_ended(children: &AsyncFd<SignalFd>) {
    loop {
        let Ok(mut ready) = children.readable().await else { return };
        match children.get_ref().read_signal() {
            Ok(Some(_)) => return,
            Ok(None) | Err(_) => ready.clear_ready(),
        }
    }
}

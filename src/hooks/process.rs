//! The process of one hook: starts it, logs its output, waits for it, stops it.

use std::fs::File;
use std::io;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal as Typed};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{self, Pid, dup2_stderr, dup2_stdin, dup2_stdout, setpgid};
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe::Receiver;

use super::command::Hook;
use crate::launch::{self, Call, Settings};
use crate::log;
use crate::shutdown::Shutdown;
use crate::signal::Signal;
use crate::sys::{self, End, Inherited, Reaped, Recipient};

/// How long a hook may take to end after a signal; shorter than any supervisor's grace period.
const GRACE: Duration = Duration::from_secs(5);

/// The capacity of a pipe, in bytes.
const PIPE: usize = 64 * 1024;

/// How many bytes are read at once.
const CHUNK: usize = 4096;

/// In bytes; a longer line is logged as several.
const LONGEST_LINE: usize = 16 * 1024;

/// Why a hook could not be started.
pub(super) enum Error {
    /// The program cannot be executed.
    Launch(launch::Error),
    /// Another system call failed.
    System(io::Error),
}

/// The process of a hook, which may have ended.
pub(super) struct Process {
    pub(super) pid: Pid,
    label: String,
    /// Readable after a SIGCHLD.
    children: AsyncFd<SignalFd>,
    /// `None` after its end.
    output: Option<Receiver>,
    /// What was read of the output and not logged yet.
    text: Vec<u8>,
    /// Whether the log had no room for the last line: the next one does not wait for room.
    hurried: bool,
    /// `None` while it runs.
    end: Option<End>,
}

impl Process {
    /// Starts `hook` in its own process group, with the signals that the application will have.
    pub(super) fn start(
        hook: &Hook,
        launch: &Settings,
        inherited: &Inherited,
    ) -> Result<Process, Error> {
        let ended = SigSet::from(Typed::SIGCHLD);
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let children = SignalFd::with_flags(&ended, flags).map_err(io::Error::from);
        let children = children.and_then(sys::watch).map_err(Error::System)?;
        let (reader, writer) = io::pipe().map_err(Error::System)?;
        let nothing = File::open("/dev/null").map_err(Error::System)?;
        let call = Call::prepare(launch, &hook.words).map_err(Error::Launch)?;
        let mut failure = None;
        let pid = sys::fork_and_wait_for_exec(|| {
            let placed = setpgid(Pid::from_raw(0), Pid::from_raw(0))
                .and_then(|()| dup2_stdin(&nothing))
                .and_then(|()| dup2_stdout(&writer))
                .and_then(|()| dup2_stderr(&writer));
            failure = Some(match placed {
                Ok(()) => Error::Launch(inherited.restored(|| call.execute())),
                Err(error) => Error::System(error.into()),
            });
            1
        });
        let pid = pid.map_err(|error| Error::System(error.into()))?;
        if let Some(failure) = failure {
            sys::wait_for(pid);
            return Err(failure);
        }
        let output = Some(Receiver::from_owned_fd(reader.into()).map_err(Error::System)?);
        let label = hook.label().to_owned();
        Ok(Process { pid, label, children, output, text: Vec::new(), hurried: false, end: None })
    }

    /// Logs its output until it has ended, and returns how. Cancel safe: it can be called again.
    pub(super) async fn ended(&mut self) -> End {
        let end = loop {
            self.pass_on_lines().await;
            if let Some(end) = self.end {
                break end;
            }
            if let Reaped::Ended(_, end) = sys::reap(Some(self.pid)) {
                self.end = Some(end);
                break end;
            }
            tokio::select! {
                () = readable(self.output.as_ref()) => drop(self.read()),
                () = child_ended(&self.children) => {}
            }
        };
        // At most what the pipe holds, and its end: a child of the hook may write for ever.
        for _ in 0..=PIPE / CHUNK {
            if !self.read() {
                break;
            }
            self.pass_on_lines().await;
        }
        if !self.text.is_empty() {
            let rest = std::mem::take(&mut self.text);
            self.pass_on(&rest);
        }
        end
    }

    /// Whether another process still has the output open.
    pub(super) fn is_shared(&self) -> bool {
        self.output.is_some()
    }

    /// Reads what is available now. Returns whether there was something.
    fn read(&mut self) -> bool {
        let Some(output) = &self.output else { return false };
        let mut chunk = [0; CHUNK];
        // `try_read` does nothing until the runtime has seen an event, which may be too late for
        // the last output; but only `try_read` makes the runtime wait for the next event.
        let read = match unistd::read(output, &mut chunk) {
            Err(Errno::EAGAIN) => output.try_read(&mut chunk),
            read => read.map_err(io::Error::from),
        };
        match read {
            Ok(length) if length > 0 => self.text.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Ok(_) | Err(_) => self.output = None,
        }
        self.output.is_some()
    }

    /// Logs every line that is complete or too long. Yields after each, to notice a signal.
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

    /// Forwards `signal` to the hook and its children, and kills them after the grace period.
    pub(super) async fn stop(&mut self, signal: Signal, shutdown: &Shutdown) {
        tracing::info!("forwarding {signal} to {} (pid {})", self.label, self.pid);
        let group = Recipient::Group(self.pid);
        let _ = sys::send(signal, group);
        // A stopped process handles it only when it is continued.
        let _ = sys::send(Signal::CONT, group);
        let ended = tokio::select! {
            biased;
            // A second signal ends the grace period.
            _ = shutdown.signal() => false,
            ended = tokio::time::timeout(GRACE, self.ended()) => ended.is_ok(),
        };
        // Its children too, so that none of them becomes a child of the application.
        let _ = sys::send(Signal::KILL, group);
        if !ended {
            tracing::warn!("{} did not end in time and is killed", self.label);
            let _ = tokio::time::timeout(GRACE, self.ended()).await;
        }
    }
}

/// Completes when there is something to read; never after the end of the output.
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

//! Signals while booting: they stay blocked, and are read from a descriptor.
//!
//! No handler is installed and nothing is unblocked before the application is exec'ed, so a signal
//! can arrive at any instant and none is lost.

use std::io;

use nix::sys::signal::{SigSet, Signal as Typed};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use tokio::io::unix::AsyncFd;

use crate::signal::Signal;
use crate::sys;

/// The signals that end a process that does not handle them; a boot needs no others. SIGPIPE is not
/// one of them: a closed log is no reason to stop.
const STOPPING: [Typed; 8] = [
    Typed::SIGTERM,
    Typed::SIGINT,
    Typed::SIGQUIT,
    Typed::SIGHUP,
    Typed::SIGUSR1,
    Typed::SIGUSR2,
    Typed::SIGALRM,
    Typed::SIGPWR,
];

/// A signal came before the work was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped by {signal} while {during}")]
pub(crate) struct Stopped {
    pub signal: Signal,
    pub during: &'static str,
}

/// Where signals arrive during the boot.
pub(crate) struct Shutdown(AsyncFd<SignalFd>);

impl Shutdown {
    /// Listens to the signals that stop a boot, except those that premain's caller ignores
    /// (`nohup`). They must be blocked. Needs a running tokio runtime.
    ///
    /// # Errors
    /// The operating system's, for example when the process has no descriptors left.
    pub(crate) fn listen(ignored: impl Fn(i32) -> bool) -> io::Result<Shutdown> {
        let signals: SigSet =
            STOPPING.into_iter().filter(|signal| !ignored(*signal as i32)).collect();
        let descriptor =
            SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        sys::watch(descriptor).map(Shutdown)
    }

    /// Does `work` until a signal arrives, and drops it then.
    ///
    /// # Errors
    /// The signal.
    pub(crate) async fn race<T>(
        &self,
        during: &'static str,
        work: impl Future<Output = T>,
    ) -> Result<T, Stopped> {
        tokio::select! {
            biased;
            signal = self.signal() => Err(Stopped { signal, during }),
            outcome = work => Ok(outcome),
        }
    }

    /// Completes when a signal has arrived.
    pub(crate) async fn signal(&self) -> Signal {
        loop {
            let Ok(mut ready) = self.0.readable().await else { return Signal::TERM };
            match self.0.get_ref().read_signal() {
                Ok(Some(info)) => {
                    let number = i32::try_from(info.ssi_signo).unwrap_or_default();
                    return Signal::from_number(number).unwrap_or(Signal::TERM);
                }
                Ok(None) | Err(_) => ready.clear_ready(),
            }
        }
    }
}

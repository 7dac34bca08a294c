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

/// The signals that end a process which does not handle them; a boot has no use for any other.
/// SIGPIPE is not among them: a closed log is no reason to stop.
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

/// Where signals arrive during the boot.
pub struct Shutdown(AsyncFd<SignalFd>);

impl Shutdown {
    /// Listens to the signals that stop a boot, `ignored` ones (as under `nohup`) aside. They must
    /// be blocked. Needs a running tokio runtime.
    ///
    /// # Errors
    /// The operating system's, for a process that is out of descriptors.
    pub fn listen(ignored: impl Fn(i32) -> bool) -> io::Result<Shutdown> {
        let signals: SigSet =
            STOPPING.into_iter().filter(|signal| !ignored(*signal as i32)).collect();
        let descriptor =
            SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        sys::watch(descriptor).map(Shutdown)
    }

    /// Completes when one of them has arrived.
    pub async fn signal(&self) -> Signal {
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

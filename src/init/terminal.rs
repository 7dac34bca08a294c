//! Job control: makes the application the foreground process group of the terminal.
//!
//! The application runs in its own process group, so that a ^C reaches it once and the init not at
//! all. That group must be the terminal's foreground, otherwise its first read would stop it.

use std::os::fd::BorrowedFd;

use nix::unistd::{Pid, getpgrp, getsid, tcgetpgrp, tcsetpgrp};

use crate::sys::STANDARD_STREAMS;

/// The terminal that controls this process.
#[derive(Clone, Copy)]
pub(super) struct Terminal {
    fd: BorrowedFd<'static>,
    /// The init's own process group.
    group: Pid,
}

impl Terminal {
    /// The controlling terminal, if standard input, output or error is one.
    pub(super) fn find() -> Option<Terminal> {
        // For everything but the controlling terminal it fails with ENOTTY.
        let fd = STANDARD_STREAMS.into_iter().find(|fd| tcgetpgrp(fd).is_ok())?;
        Some(Terminal { fd, group: getpgrp() })
    }

    /// Makes `group` the foreground, if the init's group is: not if premain was started in the
    /// background, nor if the application has made another group the foreground.
    pub(super) fn give(&self, group: Pid) {
        self.change_foreground(self.group, group);
    }

    /// Makes the init's group the foreground again, if `group` is; whether it was.
    pub(super) fn take_back(&self, group: Pid) -> bool {
        self.change_foreground(group, self.group)
    }

    /// From the background this would stop the caller with SIGTTOU, but that is blocked. A failure
    /// is ignored, because the application runs all the same.
    fn change_foreground(&self, from: Pid, to: Pid) -> bool {
        let is_foreground = tcgetpgrp(self.fd) == Ok(from);
        if is_foreground {
            let _ = tcsetpgrp(self.fd, to);
        }
        is_foreground
    }
}

/// Whether premain may have been started by a shell with job control, which notices when premain
/// stops, and continues it. PID 1 and the leader of a session have no such parent.
pub(super) fn may_have_shell() -> bool {
    Pid::this() != Pid::from_raw(1) && getsid(None) != Ok(Pid::this())
}

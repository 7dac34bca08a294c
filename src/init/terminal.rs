//! Job control: whose turn it is at the terminal.
//!
//! The application runs in a process group of its own, so that a ^C reaches it once and the init
//! not at all. Its group must then be the terminal's foreground, or its first read would stop it.

use std::os::fd::BorrowedFd;

use nix::unistd::{Pid, getpgrp, getsid, tcgetpgrp, tcsetpgrp};

use crate::sys::STANDARD_STREAMS;

/// The terminal that controls this process.
#[derive(Clone, Copy)]
pub(super) struct Terminal {
    fd: BorrowedFd<'static>,
    /// Our own group, which is this terminal's foreground when it is our turn.
    group: Pid,
}

impl Terminal {
    /// The controlling terminal, if standard input, output or error is one.
    pub(super) fn find() -> Option<Terminal> {
        // Anything else than our controlling terminal is ENOTTY.
        let fd = STANDARD_STREAMS.into_iter().find(|fd| tcgetpgrp(fd).is_ok())?;
        Some(Terminal { fd, group: getpgrp() })
    }

    /// Makes `group` the foreground if the foreground was ours to give: not if we were started in
    /// the background, nor if the application has passed it on.
    pub(super) fn give(&self, group: Pid) {
        self.hand(self.group, group);
    }

    /// Takes the foreground back from `group`, if that has it.
    pub(super) fn take_back(&self, group: Pid) {
        self.hand(group, self.group);
    }

    /// Whether a shell's job control is what this process belongs to, so that stopping it tells
    /// somebody. The leader of a session has no such parent, and PID 1 has none at all.
    pub(super) fn has_shell() -> bool {
        Pid::this() != Pid::from_raw(1) && getsid(None) != Ok(Pid::this())
    }

    /// Doing this from the background would stop us, were SIGTTOU not blocked. Failing is no
    /// reason to give up: the application runs all the same.
    fn hand(&self, from: Pid, to: Pid) {
        if tcgetpgrp(self.fd) == Ok(from) {
            let _ = tcsetpgrp(self.fd, to);
        }
    }
}

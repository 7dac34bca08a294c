//! premain at a terminal of its own, with a keyboard and a screen.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use nix::pty::{Winsize, openpty};

use super::process::{self, Printed};

/// A process that has a terminal.
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Printed,
}

impl Terminal {
    /// Starts this as the leader of a session, as a login does.
    #[allow(unsafe_code, reason = "between fork and exec there is no other way")]
    pub fn start(mut command: Command) -> Terminal {
        let size = Winsize { ws_row: 33, ws_col: 177, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).unwrap();
        let stdio = || Stdio::from(pty.slave.try_clone().unwrap());
        command.stdin(stdio()).stdout(stdio()).stderr(stdio());
        // SAFETY: setsid and ioctl may be called between fork and exec.
        let command = unsafe {
            command.pre_exec(|| {
                nix::unistd::setsid()?;
                libc::ioctl(0, libc::TIOCSCTTY, 0);
                Ok(())
            })
        };
        let child = command.spawn().unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        drop(pty.slave);
        let keyboard = File::from(pty.master);
        let screen = Printed::by(keyboard.try_clone().unwrap());
        Terminal { child, keyboard, screen }
    }

    /// Waits until the screen shows this.
    #[track_caller]
    pub fn shows(&self, text: &str) {
        assert!(self.screen.contains(text), "not shown, '{text}':\n{}", self.screen.text());
    }

    pub fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for its end; the exit status and everything that was shown.
    #[track_caller]
    pub fn end(mut self) -> (i32, String) {
        let status = process::wait(&mut self.child, || self.screen.text());
        let screen = String::from_utf8_lossy(&self.screen.to_end()).into_owned();
        (status.code().unwrap(), screen)
    }
}

/// A test that fails leaves no process behind.
impl Drop for Terminal {
    fn drop(&mut self) {
        process::kill_family(&mut self.child);
    }
}

//! premain at a terminal of its own, and somebody who types.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use nix::pty::{Winsize, openpty};

use super::wait_for;

/// A process that has a terminal.
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
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
        let mut output = keyboard.try_clone().unwrap();
        let screen = Arc::new(Mutex::new(String::new()));
        let shared = Arc::clone(&screen);
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Ends with an error when nobody has the terminal any more.
            while let Ok(length @ 1..) = output.read(&mut bytes) {
                shared.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..length]));
            }
        });
        Terminal { child, keyboard, screen, reader }
    }

    /// Waits until the screen shows this.
    pub fn shows(&self, text: &str) {
        wait_for(text, || self.screen.lock().unwrap().contains(text).then_some(()));
    }

    pub fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for its end; the exit status and everything that was shown.
    pub fn end(mut self) -> (i32, String) {
        let status = self.child.wait().unwrap();
        // What was written last may still be on its way.
        self.reader.join().unwrap();
        let screen = self.screen.lock().unwrap().clone();
        (status.code().unwrap(), screen)
    }
}

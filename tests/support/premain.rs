//! premain as a process: its arguments and environment, its log line by line, its end.

use std::ffi::OsStr;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::pty::{Winsize, openpty};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use premain::config::command::COMMANDS;

use super::postgres::{Database, PASSWORD};
use super::process::{self, Printed};
use super::terminal::Terminal;

/// premain, about to be started, with nothing in its environment but a PATH.
pub struct Premain(Command);

/// premain, running.
pub struct Running {
    child: Child,
    launches: bool,
    /// Standard output, unless that is a terminal.
    output: Option<Printed>,
    log: Printed,
}

/// How premain ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status; 128 + n where signal n killed it.
    pub code: i32,
    /// Its standard output.
    pub output: String,
    /// Its standard error: its log.
    pub log: String,
}

/// premain with these arguments.
pub fn premain<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Premain {
    Premain::of(Command::new(env!("CARGO_BIN_EXE_premain"))).words(arguments)
}

/// `premain migrate` with this directory.
pub fn migrate(directory: &Path) -> Premain {
    premain(["migrate", "--migrations"]).with(directory)
}

impl Premain {
    /// A program that becomes premain in the end.
    pub fn of(mut command: Command) -> Premain {
        command.env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Premain(command)
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// One more argument.
    pub fn with(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.0.arg(argument);
        self
    }

    /// More arguments.
    pub fn words<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.0.args(arguments);
        self
    }

    /// Its database, always with a password, although hardly a server here asks for one: no test
    /// may ever see it printed (see [`Running::end`]).
    pub fn database(self, url: impl AsRef<OsStr>) -> Self {
        let url = url.as_ref().to_str().unwrap();
        let login = format!("postgres://postgres:{PASSWORD}@");
        self.env("DATABASE_URL", url.replace("postgres://postgres@", &login))
    }

    /// Runs it as that user.
    pub fn run_by(mut self, uid: u32) -> Self {
        self.0.uid(uid).gid(uid);
        self
    }

    /// Without a limit for core dumps.
    pub fn may_dump_core(mut self) -> Self {
        let limit = || {
            let (_, hard) = getrlimit(Resource::RLIMIT_CORE)?;
            Ok(setrlimit(Resource::RLIMIT_CORE, hard, hard)?)
        };
        // SAFETY: two system calls, and nothing else between fork and exec.
        #[allow(unsafe_code, reason = "there is no other way")]
        unsafe {
            self.0.pre_exec(limit)
        };
        self
    }

    pub fn within(mut self, directory: &Path) -> Self {
        self.0.current_dir(directory);
        self
    }

    /// Whether it is to become an application, which may print what it likes.
    fn launches(&self) -> bool {
        let own = |word: &OsStr| {
            COMMANDS.iter().any(|command| command.name != "run" && word == command.name)
                || word == "--help"
        };
        !self.0.get_args().any(own)
    }

    pub fn start(mut self) -> Running {
        let launches = self.launches();
        let mut child = self.0.spawn().unwrap();
        let output = child.stdout.take().map(Printed::by);
        let log = Printed::by(child.stderr.take().unwrap());
        Running { child, launches, output, log }
    }

    /// With a terminal for its standard error, and all that appears there in its log.
    pub fn start_at_a_terminal(mut self) -> Running {
        let size = Winsize { ws_row: 24, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
        let terminal = openpty(Some(&size), None).unwrap();
        self.0.stderr(terminal.slave);
        let launches = self.launches();
        let mut child = self.0.spawn().unwrap();
        // The terminal does not end as long as this process has it open.
        drop(self);
        let output = child.stdout.take().map(Printed::by);
        let log = Printed::by(std::fs::File::from(terminal.master));
        Running { child, launches, output, log }
    }

    pub fn run(self) -> Ended {
        self.start().end()
    }

    /// Starts it at a terminal, where it may ask questions.
    pub fn at_a_terminal(self) -> Terminal {
        Terminal::start(self.0)
    }
}

/// Holds this advisory lock of another tool until premain waits for it. How premain ends then.
pub fn waits_for_lock(
    database: &Database<'_>,
    key: impl std::fmt::Display,
    premain: Premain,
) -> Ended {
    let other = database.open(&format!("SELECT pg_advisory_lock({key});"));
    let mut running = premain.database(database.url()).start();
    running.wait_for("waiting for the migration lock, held by pid");
    drop(other);
    running.end().code(0)
}

impl Running {
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Waits until the log holds this.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        assert!(self.log.contains(text), "premain did not log '{text}':\n{}", self.log());
    }

    /// The most memory that it had so far, in kilobytes; 0 once it has ended.
    pub fn peak_memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.map_or(0, |line| line.trim().trim_end_matches(" kB").parse().unwrap())
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(mut self) -> Ended {
        let status = process::wait(&mut self.child, || self.log.text());
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let output = self.output.as_ref().map(Printed::to_end).map(text).unwrap_or_default();
        let log = text(self.log.to_end());
        let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap();
        assert!(!log.contains(PASSWORD), "a secret in the log:\n{log}");
        // The application gets the password and may print it.
        assert!(self.launches || !output.contains(PASSWORD), "a secret in the output:\n{output}");
        Ended { code, output, log }
    }
}

/// A test that fails leaves no premain behind.
impl Drop for Running {
    fn drop(&mut self) {
        process::kill_family(&mut self.child);
    }
}

impl Ended {
    /// Fails with the log unless this is the status.
    #[track_caller]
    pub fn code(self, expected: i32) -> Self {
        assert_eq!(self.code, expected, "{}", self.log);
        self
    }

    /// Fails with the log unless it holds this.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.log.contains(text), "'{text}' is not in:\n{}", self.log);
        self
    }

    /// Fails with the log if it holds this.
    #[track_caller]
    pub fn says_nothing_of(self, text: &str) -> Self {
        assert!(!self.log.contains(text), "'{text}' is in:\n{}", self.log);
        self
    }

    /// How many lines of the log hold this.
    pub fn lines_with(&self, text: &str) -> usize {
        self.log.lines().filter(|line| line.contains(text)).count()
    }
}

//! Starts an init as PID 1 or beside other processes, and waits for facts.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

#[path = "../support/process.rs"]
#[allow(dead_code, reason = "shared with the tests of the database")]
pub mod process;

use process::Printed;
pub use process::{PATIENCE, children_of, wait_for};

/// Where an init runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// PID 1 of a PID namespace of its own, with a /proc of it.
    Pid1,
    /// In the namespace of the tests, beside other processes.
    Subreaper,
}

impl Place {
    pub const BOTH: [Place; 2] = [Place::Pid1, Place::Subreaper];
}

/// Options with which the child becomes the application straight away, in the memory of the init,
/// and with which it boots first, in its own.
pub const BOOTS: [&[&str]; 2] = [&[], &["--wait-for", "file:///etc/passwd"]];

pub fn premain() -> &'static str {
    env!("CARGO_BIN_EXE_premain")
}

pub fn probe() -> String {
    let path = PathBuf::from(premain()).parent().unwrap().join("examples/probe");
    assert!(path.exists(), "{path:?} is missing: cargo build --example probe");
    path.into_os_string().into_string().unwrap()
}

/// The path of a program of a Debian package.
pub fn debian(program: &str, package: &str) -> String {
    let directories = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];
    let found = directories
        .iter()
        .map(|directory| format!("{directory}/{program}"))
        .find(|p| fs::exists(p).unwrap());
    found.unwrap_or_else(|| panic!("{program} is missing: apt-get install -y {package}"))
}

/// A directory with these executables. Without a `#!` line a shell runs them.
pub fn executables(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = directory.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    directory
}

/// An init that is about to be started.
pub struct Setup {
    command: Command,
    place: Place,
    acts: Vec<Act>,
}

type Act = Box<dyn FnMut() -> std::io::Result<()> + Send + Sync>;

impl Setup {
    /// premain with these options, and an application behind `--`.
    pub fn new(place: Place, options: &[&str], application: &[&str]) -> Setup {
        let mut words = options.to_vec();
        words.push("--");
        words.extend(application);
        Setup::program(place, premain(), &words)
    }

    /// premain and the probe as its application.
    pub fn probe(place: Place, options: &[&str], words: &[&str]) -> Setup {
        let probe = probe();
        let mut application = vec![probe.as_str()];
        application.extend(words);
        Setup::new(place, options, &application)
    }

    /// Any program.
    pub fn program(place: Place, program: &str, words: &[&str]) -> Setup {
        let mut command = Command::new(program);
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PREMAIN_") {
                command.env_remove(name);
            }
        }
        // The line that announces the application is the boot's business.
        command.env("PREMAIN_LOG", "warn");
        // Whatever started the tests may have left descriptors open.
        Setup { command, place, acts: Vec::new() }.before_exec(|| {
            // SAFETY: numbers.
            unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
            Ok(())
        })
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Setup {
        self.command.env(name, value);
        self
    }

    /// Changes the command in any other way.
    pub fn with(mut self, change: impl FnOnce(&mut Command)) -> Setup {
        change(&mut self.command);
        self
    }

    /// Runs in the new process, which is in its place, just before it becomes the init.
    pub fn before_exec(
        mut self,
        act: impl FnMut() -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Setup {
        self.acts.push(Box::new(act));
        self
    }

    /// Not as root.
    pub fn run_by(self, uid: u32, gid: u32, groups: &'static [u32]) -> Setup {
        self.before_exec(move || {
            // SAFETY: as many groups as it says.
            unsafe { libc::setgroups(groups.len(), groups.as_ptr()) };
            nix::unistd::setgid(gid.into())?;
            Ok(nix::unistd::setuid(uid.into())?)
        })
    }

    pub fn start(self) -> Run {
        let Setup { mut command, place, acts } = self;
        let spawn = move || {
            if place == Place::Pid1 {
                // It is this thread whose next child begins a namespace.
                let root = unshare(CloneFlags::CLONE_NEWPID);
                assert_eq!(root, Ok(()), "a PID namespace takes root");
                // SAFETY: system calls only.
                unsafe { command.pre_exec(own_mounts) };
                // SAFETY: the same.
                unsafe { command.pre_exec(own_proc) };
            }
            for act in acts {
                // SAFETY: the acts of these tests make system calls only.
                unsafe { command.pre_exec(act) };
            }
            command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
        };
        let mut child = std::thread::spawn(spawn).join().unwrap();
        let stdout = child.stdout.take().map(Printed::by);
        let stderr = child.stderr.take().map(Printed::by);
        let stdin = child.stdin.take();
        Run { child, stdout, stderr, stdin }
    }

    /// Starts it and waits for its end.
    pub fn end(self) -> End {
        self.start().end()
    }
}

/// From here on no other process sees what this process mounts.
pub fn own_mounts() -> std::io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    Ok(mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?)
}

fn own_proc() -> std::io::Result<()> {
    Ok(mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), None::<&str>)?)
}

/// A running init.
pub struct Run {
    child: Child,
    /// Neither is there if a test has put something else in its place.
    stdout: Option<Printed>,
    stderr: Option<Printed>,
    pub stdin: Option<ChildStdin>,
}

/// How it ended.
#[derive(Debug)]
pub struct End {
    /// The exit status; 128 + n if the init itself was killed by signal n is *not* made up here.
    pub code: Option<i32>,
    /// What killed the init itself.
    pub killed: Option<i32>,
    /// The lines that were not read before.
    pub lines: Vec<String>,
    /// The whole log.
    pub stderr: String,
}

impl Run {
    /// The init's pid in the namespace of the tests.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// The next line of standard output.
    #[track_caller]
    pub fn line(&mut self) -> String {
        self.line_within(PATIENCE).unwrap_or_else(|| panic!("no further line; log: {}", self.log()))
    }

    /// The next line, if there is one within this time.
    pub fn line_within(&mut self, time: Duration) -> Option<String> {
        self.stdout.as_ref()?.line_within(time)
    }

    /// Waits for a line.
    #[track_caller]
    pub fn expect(&mut self, line: &str) {
        assert_eq!(self.line(), line);
    }

    /// Waits for a line that begins like this; what follows.
    pub fn after(&mut self, start: &str) -> String {
        let line = self.line();
        line.strip_prefix(start)
            .unwrap_or_else(|| panic!("{line:?}, not {start:?}"))
            .trim()
            .to_owned()
    }

    pub fn signal(&self, signal: i32) {
        kill(self.pid(), signal);
    }

    /// Waits for its first child, without losing a moment.
    pub fn has_child(&self) {
        while children_of(self.pid()).is_empty() {
            assert!(lives(self.pid()), "it ended before it had a child");
        }
    }

    /// Waits until it has children.
    pub fn children(&self) -> Vec<i32> {
        wait_for("a child", || Some(children_of(self.pid())).filter(|pids| !pids.is_empty()))
    }

    fn log(&self) -> String {
        self.stderr.as_ref().map(Printed::text).unwrap_or_default()
    }

    #[track_caller]
    pub fn end(mut self) -> End {
        drop(self.stdin.take());
        let status = process::wait(&mut self.child, || {
            self.stderr.as_ref().map(Printed::text).unwrap_or_default()
        });
        let rest = |printed: &Option<Printed>| {
            let bytes = printed.as_ref().map(Printed::to_end).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        End {
            code: status.code(),
            killed: status.signal(),
            lines: rest(&self.stdout).lines().map(str::to_owned).collect(),
            stderr: rest(&self.stderr),
        }
    }
}

/// A test that fails leaves no process behind.
impl Drop for Run {
    fn drop(&mut self) {
        process::kill_family(&mut self.child);
    }
}

impl End {
    /// The only line of standard output, read as JSON.
    pub fn report(&self) -> serde_json::Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        serde_json::from_str(&self.lines[0]).unwrap()
    }
}

pub fn kill(pid: i32, signal: i32) {
    // SAFETY: numbers.
    unsafe { libc::kill(pid, signal) };
}

/// A line of `/proc/PID/status`: `field(pid, "State")`.
pub fn status(pid: i32, field: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

/// Whether the process is there, and no zombie.
pub fn lives(pid: i32) -> bool {
    status(pid, "State").is_some_and(|state| !state.starts_with(['Z', 'X']))
}

//! Child processes: started with default signals, and waited for no longer than [`PATIENCE`].

use std::fs;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A test waits for facts. No fact takes this long, however busy the machine is.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// Asks until the fact is there.
#[track_caller]
pub fn wait_for<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    poll(ask).unwrap_or_else(|| panic!("{what}: not within {PATIENCE:?}"))
}

fn poll<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    loop {
        if let Some(fact) = ask() {
            return Some(fact);
        }
        let elapsed = started.elapsed();
        if elapsed > PATIENCE {
            return None;
        }
        // Most facts are there within milliseconds.
        let soon = elapsed < Duration::from_millis(50);
        std::thread::sleep(if soon {
            Duration::from_micros(200)
        } else {
            Duration::from_millis(5)
        });
    }
}

/// Runs a program to its end.
#[track_caller]
pub fn output(command: &mut Command) -> Output {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stdout = Printed::by(child.stdout.take().unwrap());
    let stderr = Printed::by(child.stderr.take().unwrap());
    let what = || format!("{command:?} printed\n{}\n{}", stdout.text(), stderr.text());
    let status = wait(&mut child, what);
    Output { status, stdout: stdout.to_end(), stderr: stderr.to_end() }
}

/// Waits for the child's exit. A child that hangs is killed with all its descendants, and the test
/// fails with what `describe` says.
#[track_caller]
pub fn wait(child: &mut Child, describe: impl FnOnce() -> String) -> ExitStatus {
    wait_or_kill(child).unwrap_or_else(|| panic!("it hangs: {}", describe()))
}

/// Waits for the child's exit. `None`: it did not exit by itself, and was killed.
pub fn wait_or_kill(child: &mut Child) -> Option<ExitStatus> {
    let status = poll(|| child.try_wait().unwrap());
    if status.is_none() {
        kill_family(child);
    }
    status
}

/// Kills the child and its descendants, unless it has exited already.
pub fn kill_family(child: &mut Child) {
    if child.try_wait().is_ok_and(|status| status.is_some()) {
        return;
    }
    let family = descendants_of(child.id().cast_signed());
    let _ = child.kill();
    for pid in family {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let _ = poll(|| child.try_wait().ok().flatten());
}

pub fn children_of(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

fn descendants_of(pid: i32) -> Vec<i32> {
    let mut found = children_of(pid);
    let mut index = 0;
    while let Some(&pid) = found.get(index) {
        found.extend(children_of(pid));
        index += 1;
    }
    found
}

/// What a process prints, read in the background so that a full pipe never blocks it.
#[derive(Clone)]
pub struct Printed(Arc<(Mutex<Text>, Condvar)>);

#[derive(Default)]
struct Text {
    bytes: Vec<u8>,
    is_complete: bool,
}

impl Printed {
    pub fn by(mut source: impl Read + Send + 'static) -> Printed {
        let printed = Printed(Arc::default());
        let shared = printed.clone();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            // A terminal ends with an error once the last process that has it open is gone.
            while let Ok(length @ 1..) = source.read(&mut buffer) {
                shared.lock().bytes.extend(&buffer[..length]);
                shared.0.1.notify_all();
            }
            shared.lock().is_complete = true;
            shared.0.1.notify_all();
        });
        printed
    }

    fn lock(&self) -> MutexGuard<'_, Text> {
        self.0.0.lock().unwrap()
    }

    /// All that was printed until now.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.lock().bytes).into_owned()
    }

    /// Waits until `find` finds what it looks for. `None` if the output ends without it, or after `time`.
    fn wait<T>(&self, time: Duration, mut find: impl FnMut(&mut Text) -> Option<T>) -> Option<T> {
        let mut found = None;
        let goes_on = |text: &mut Text| {
            found = find(text);
            found.is_none() && !text.is_complete
        };
        drop(self.0.1.wait_timeout_while(self.lock(), time, goes_on).unwrap());
        found
    }

    /// Waits until this was printed; whether it was.
    pub fn contains(&self, text: &str) -> bool {
        let mut from = 0;
        let find = |printed: &mut Text| {
            let bytes = &printed.bytes[from..];
            let found = memchr::memmem::find(bytes, text.as_bytes()).is_some();
            from = printed.bytes.len().saturating_sub(text.len());
            found.then_some(())
        };
        self.wait(PATIENCE, find).is_some()
    }

    /// Takes the next line, without its end. `None` if the output ends before it, or after `time`.
    pub fn line_within(&self, time: Duration) -> Option<String> {
        self.wait(time, |text| {
            let length = match memchr::memchr(b'\n', &text.bytes) {
                Some(end) => end + 1,
                None if text.is_complete && !text.bytes.is_empty() => text.bytes.len(),
                None => return None,
            };
            let line: Vec<_> = text.bytes.drain(..length).collect();
            Some(String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned())
        })
    }

    /// All that was not taken as lines, once every process that could print more has closed the output.
    #[track_caller]
    pub fn to_end(&self) -> Vec<u8> {
        self.wait(PATIENCE, |text| text.is_complete.then_some(()));
        let mut text = self.lock();
        let lossy = String::from_utf8_lossy(&text.bytes);
        assert!(text.is_complete, "some process keeps the output open after {PATIENCE:?}: {lossy}");
        std::mem::take(&mut text.bytes)
    }
}

/// `exec` resets a handled signal to its default, but keeps an ignored one ignored. Tests may have been
/// started with signals ignored (`nohup`, some CI systems): a handler that does nothing keeps them alive
/// as before, and every child starts with defaults. (Rust unblocks all signals for a child itself.)
#[allow(unsafe_code, reason = "a signal's disposition is neither read nor changed without it")]
extern "C" fn handle_ignored_signals() {
    extern "C" fn ignore(_: i32) {}
    for signal in 1..=64 {
        // SAFETY: sigaction writes to a local; the handler does nothing.
        unsafe {
            let mut current: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(signal, std::ptr::null(), &raw mut current) == 0
                && current.sa_sigaction == libc::SIG_IGN
            {
                libc::signal(signal, ignore as *const () as libc::sighandler_t);
            }
        }
    }
}

/// Runs before the first test, whichever that is.
#[used]
#[allow(unsafe_code, reason = "the test harness has no hook before the first test")]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = handle_ignored_signals;

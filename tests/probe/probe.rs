//! The application of the init's tests: it reports what it inherits, and behaves as its arguments say.
//!
//! Without Rust's runtime, which would change some of what there is to report before `main`.

#![no_main]
#![allow(
    unsafe_code,
    missing_docs,
    clippy::pedantic,
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a program of the tests, which looks at what the kernel says"
)]

use std::ffi::{CString, c_int};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;

use serde_json::json;

#[unsafe(no_mangle)]
extern "C" fn main() -> c_int {
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["report", ..] => report(),
        ["listen"] => listen("", 0),
        ["listen", last] => listen("", number(last)),
        ["family"] => family(),
        ["regroup"] => regroup(),
        ["orphans", count] => orphans(number(count)),
        ["leave", how, status] => leave(how, number(status)),
        ["confined", program @ ..] => confined(program),
        other => panic!("the probe does not know {other:?}"),
    }
}

fn number(word: &str) -> c_int {
    word.parse().unwrap()
}

fn say(line: std::fmt::Arguments) {
    // One write a line: several processes share the pipe.
    std::io::stdout().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// One JSON object: everything that a process inherits.
fn report() -> c_int {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let args: Vec<_> = std::env::args_os().map(|word| text(word.as_bytes())).collect();
    let env: std::collections::BTreeMap<_, _> = std::env::vars_os()
        .map(|(name, value)| (text(name.as_bytes()), text(value.as_bytes())))
        .collect();
    let mut groups = [0; 64];
    // SAFETY: every call below gets numbers, or memory that it may write and that is long enough.
    let report = unsafe {
        let mut mask = std::mem::zeroed();
        libc::sigprocmask(libc::SIG_BLOCK, std::ptr::null(), &mut mask);
        let blocked: Vec<_> = (1..=64).filter(|&s| libc::sigismember(&mask, s) == 1).collect();
        let ignored: Vec<_> = (1..=64)
            .filter(|&signal| {
                let mut action: libc::sigaction = std::mem::zeroed();
                libc::sigaction(signal, std::ptr::null(), &mut action) == 0
                    && action.sa_sigaction == libc::SIG_IGN
            })
            .collect();
        let fds: Vec<_> = (0..1024).filter(|&fd| libc::fcntl(fd, libc::F_GETFD) != -1).collect();
        let umask = libc::umask(0);
        let count = libc::getgroups(groups.len() as c_int, groups.as_mut_ptr());
        let mut files: libc::rlimit = std::mem::zeroed();
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut files);
        json!({
            "pid": libc::getpid(), "ppid": libc::getppid(),
            "pgrp": libc::getpgrp(), "sid": libc::getsid(0), "foreground": libc::tcgetpgrp(0),
            "uid": libc::getuid(), "euid": libc::geteuid(), "gid": libc::getgid(),
            "egid": libc::getegid(), "groups": groups[..count as usize],
            "blocked": blocked, "ignored": ignored, "fds": fds, "umask": umask,
            "files": [files.rlim_cur, files.rlim_max],
            "dumpable": libc::prctl(libc::PR_GET_DUMPABLE),
            "cwd": std::env::current_dir().ok(), "args": args, "env": env,
        })
    };
    say(format_args!("{report}"));
    0
}

/// Says `ready`, then every signal that arrives, until the one it is to end at.
fn listen(who: &str, last: c_int) -> c_int {
    // SAFETY: the sets are initialised by `sigfillset` before they are used.
    unsafe {
        let mut all = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &all, std::ptr::null_mut());
        say(format_args!("{who}ready {}", libc::getpid()));
        loop {
            let signal = libc::sigwaitinfo(&all, std::ptr::null_mut());
            if signal == -1 {
                // It was stopped and continued meanwhile.
                continue;
            }
            say(format_args!("{who}got {signal}"));
            if signal == last {
                return 0;
            }
        }
    }
}

fn fork() -> bool {
    // SAFETY: the probe has one thread.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        pid => pid == 0,
    }
}

/// Two of one process group: both say what they get.
fn family() -> c_int {
    if fork() { listen("member ", libc::SIGTERM) } else { listen("app ", libc::SIGTERM) }
}

/// Leaves the process group that it leads, so that there is no group of its pid anymore.
fn regroup() -> c_int {
    // SAFETY: numbers only.
    unsafe {
        let helper = libc::fork();
        if helper == 0 {
            loop {
                libc::pause();
            }
        }
        assert_eq!(libc::setpgid(helper, helper), 0);
        assert_eq!(libc::setpgid(0, helper), 0);
    }
    listen("", libc::SIGTERM)
}

/// Has `count` orphans, which all end when a line is read from standard input; ends at its end.
fn orphans(count: c_int) -> c_int {
    let mut pipe = [0; 2];
    let mut byte = [0];
    // SAFETY: the arrays are as long as the calls expect; all descriptors are our own.
    unsafe {
        assert_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
        if fork() {
            for _ in 0..count {
                if fork() {
                    libc::close(pipe[1]);
                    libc::read(pipe[0], byte.as_mut_ptr().cast(), 1);
                    libc::_exit(0);
                }
            }
            libc::_exit(0);
        }
        libc::wait(std::ptr::null_mut());
        say(format_args!("orphaned"));
        std::io::stdin().read_exact(&mut byte).unwrap();
        libc::close(pipe[1]);
        say(format_args!("released"));
    }
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    0
}

/// Ends with `status` and leaves a process behind.
fn leave(how: &str, status: c_int) -> c_int {
    let mut pipe = [0; 2];
    // SAFETY: as above; the handler only touches what may be touched in one.
    unsafe {
        assert_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
        if !fork() {
            libc::read(pipe[0], [0_u8].as_mut_ptr().cast(), 1);
            if how == "stopped" {
                libc::waitpid(-1, std::ptr::null_mut(), libc::WUNTRACED);
            }
            return status;
        }
        let mut term = std::mem::zeroed();
        libc::sigemptyset(&mut term);
        libc::sigaddset(&mut term, libc::SIGTERM);
        libc::sigprocmask(libc::SIG_SETMASK, &term, std::ptr::null_mut());
        say(format_args!("left {}", libc::getpid()));
        libc::write(pipe[1], [0_u8].as_ptr().cast(), 1);
        match how {
            // One second to save its state.
            "saving" => {
                libc::sigwaitinfo(&term, std::ptr::null_mut());
                std::thread::sleep(std::time::Duration::from_secs(1));
                say(format_args!("saved"));
            }
            "stopped" => {
                libc::raise(libc::SIGSTOP);
                libc::sigwaitinfo(&term, std::ptr::null_mut());
                say(format_args!("saved"));
            }
            "stubborn" => loop {
                libc::pause();
            },
            other => panic!("how is {other:?}?"),
        }
    }
    0
}

/// Runs `program` under a filter that refuses what old filters and old kernels do not know.
fn confined(program: &[&str]) -> c_int {
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let is = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let answer = libc::BPF_RET | libc::BPF_K;
    let line = |code: u32, k: u32, jt, jf| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut filter = vec![line(load, 0, 0, 0)];
    for (call, error) in [
        (libc::SYS_close_range, libc::EPERM),
        (libc::SYS_clone3, libc::ENOSYS),
        (libc::SYS_pwritev2, libc::EPERM),
    ] {
        filter.push(line(is, call as u32, 0, 1));
        filter.push(line(answer, libc::SECCOMP_RET_ERRNO | error as u32, 0, 0));
    }
    filter.push(line(answer, libc::SECCOMP_RET_ALLOW, 0, 0));
    let program: Vec<_> = program.iter().map(|word| CString::new(*word).unwrap()).collect();
    let mut pointers: Vec<_> = program.iter().map(|word| word.as_ptr()).collect();
    pointers.push(std::ptr::null());
    // SAFETY: the filter outlives the call that copies it; the array ends with a null.
    unsafe {
        let filter = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &filter), 0);
        libc::execv(pointers[0], pointers.as_ptr());
    }
    panic!("{}", std::io::Error::last_os_error());
}

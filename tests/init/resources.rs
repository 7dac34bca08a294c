//! What an idle init costs, and that its log never blocks. Figures that need a release build and other
//! inits to compare with are measured in `benches/init`.

use std::process::Stdio;

use crate::harness::process::Printed;
use crate::harness::{Place, Setup, status, wait_for};

#[test]
fn an_idle_init_is_one_sleeping_thread() {
    for place in Place::BOTH {
        // The application says ten times that time goes by. It reaps its children itself.
        let script =
            "echo begin; for i in 0 1 2 3 4 5 6 7 8 9; do sleep 0.1; echo tick; done; read x";
        let mut run = Setup::new(place, &[], &["/bin/sh", "-c", script]).start();
        run.expect("begin");
        let asleep = || {
            // In this order: once it sleeps here, nothing else adds to the number.
            status(run.pid(), "State")?.starts_with('S').then_some(())?;
            status(run.pid(), "voluntary_ctxt_switches")
        };
        let before = wait_for("sleep", asleep);
        for _ in 0..10 {
            run.expect("tick");
        }
        assert_eq!(status(run.pid(), "voluntary_ctxt_switches").unwrap(), before, "it woke up");
        assert_eq!(status(run.pid(), "Threads").unwrap(), "1");
        assert_eq!(run.end().code, Some(1));
    }
}

#[test]
fn a_full_log_blocks_no_process() {
    for place in Place::BOTH {
        let (reader, writer) = std::io::pipe().unwrap();
        let full = writer.try_clone().unwrap();
        // Full to the last byte, without a reader.
        set_nonblocking(&full, true);
        let chunk = [b'x'; 4096];
        for size in [chunk.len(), 1] {
            while nix::unistd::write(&full, &chunk[..size]).is_ok() {}
        }
        set_nonblocking(&full, false);
        let mut run = Setup::probe(place, &["--log", "trace", "--grace", "0"], &["listen", "15"])
            .with(|command| {
                command.stderr(Stdio::from(writer));
            })
            .start();
        run.after("ready");
        for _ in 0..100 {
            run.signal(libc::SIGUSR1);
            run.expect("got 10");
        }
        assert!(!nonblocking(&full), "the application shares the descriptor's flags");
        run.signal(libc::SIGTERM);
        assert_eq!(run.end().code, Some(0));
        drop(full);
        let text = Printed::by(reader).to_end();
        assert!(text.iter().all(|&byte| byte == b'x'));
    }
}

#[test]
fn log_lines_are_whole_again_when_there_is_room() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut run = Setup::probe(Place::Pid1, &["--log", "debug"], &["listen", "15"])
        .with(|command| {
            command.stderr(Stdio::from(writer));
        })
        .start();
    run.after("ready");
    // Far more than the pipe holds, then a reader.
    for _ in 0..5000 {
        run.signal(libc::SIGUSR1);
        run.expect("got 10");
    }
    let log = Printed::by(reader);
    run.signal(libc::SIGTERM);
    assert_eq!(run.end().code, Some(0));
    for line in String::from_utf8(log.to_end()).unwrap().lines() {
        assert!(line.starts_with("premain: ") || line.is_empty(), "{line:?}");
    }
}

fn flags(fd: &std::io::PipeWriter) -> nix::fcntl::OFlag {
    let flags = nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_GETFL).unwrap();
    nix::fcntl::OFlag::from_bits_retain(flags)
}

fn nonblocking(fd: &std::io::PipeWriter) -> bool {
    flags(fd).contains(nix::fcntl::OFlag::O_NONBLOCK)
}

fn set_nonblocking(fd: &std::io::PipeWriter, on: bool) {
    let mut flags = flags(fd);
    flags.set(nix::fcntl::OFlag::O_NONBLOCK, on);
    nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_SETFL(flags)).unwrap();
}

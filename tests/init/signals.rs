//! No signal is lost, each reaches the right processes, and the application inherits the caller's mask and
//! dispositions.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::harness::{BOOTS, Place, Setup, status, wait_for};

/// All but KILL and STOP, CHLD, which the init uses itself, and two that the C library reserves.
fn catchable() -> impl Iterator<Item = i32> {
    (1..=64).filter(|signal| ![9, 17, 19, 32, 33].contains(signal))
}

#[test]
fn a_term_is_never_lost_once_the_child_exists() {
    for place in Place::BOTH {
        for target in ["child", "group"] {
            for boot in BOOTS {
                let options = [boot, &["--signal-target", target]].concat();
                for _ in 0..30 {
                    let run = Setup::new(place, &options, &["/bin/sleep", "1000"]).start();
                    run.has_child();
                    run.signal(libc::SIGTERM);
                    let end = run.end();
                    assert_eq!(
                        (end.code, end.stderr.as_str()),
                        (Some(143), ""),
                        "{place:?} {options:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_term_at_a_random_moment_ends_the_boot_or_the_application() {
    // Not as PID 1: until it has blocked its signals the kernel drops them, as for every init.
    for round in 0..400_u64 {
        let boot = BOOTS[round as usize % 2];
        let run = Setup::new(Place::Subreaper, boot, &["/bin/sleep", "1000"]).start();
        let moment = Duration::from_micros(round * 7919 % 3000);
        let began = Instant::now();
        while began.elapsed() < moment {}
        run.signal(libc::SIGTERM);
        let end = run.end();
        // Before `main` it is the system that ends premain, with the same number.
        let status = end.code.unwrap_or_else(|| 128 + end.killed.unwrap());
        assert_eq!(status, 143, "after {moment:?}, {boot:?}: {end:?}");
    }
}

#[test]
fn every_catchable_signal_is_forwarded() {
    for place in Place::BOTH {
        let mut run = Setup::probe(place, &["--grace", "0"], &["listen"]).start();
        run.after("ready");
        for signal in catchable() {
            run.signal(signal);
            run.expect(&format!("got {signal}"));
        }
        run.signal(libc::SIGKILL);
    }
}

#[test]
fn sigchld_is_not_forwarded() {
    let mut run = Setup::probe(Place::Pid1, &[], &["listen", "15"]).start();
    run.after("ready");
    run.signal(libc::SIGCHLD);
    run.signal(libc::SIGUSR1);
    run.expect("got 10");
    run.signal(libc::SIGTERM);
    assert_eq!(run.end().lines, ["got 15"]);
}

#[test]
fn the_application_gets_the_callers_mask_and_ignored_signals() {
    for place in Place::BOTH {
        for options in [BOOTS[0], BOOTS[1], &["--exec"]] {
            let report = Setup::probe(place, options, &["report"]).end().report();
            assert_eq!(report["blocked"], serde_json::json!([]), "{options:?}");
            assert_eq!(report["ignored"], serde_json::json!([]), "{options:?}");

            let setup = Setup::probe(place, options, &["report"]).before_exec(|| {
                // SAFETY: the set is initialised before it is used; nothing handles a signal.
                unsafe {
                    let mut mask = std::mem::zeroed();
                    libc::sigemptyset(&mut mask);
                    for signal in [libc::SIGUSR2, libc::SIGTTOU, 40] {
                        libc::sigaddset(&mut mask, signal);
                    }
                    libc::sigprocmask(libc::SIG_SETMASK, &mask, std::ptr::null_mut());
                    for signal in [libc::SIGHUP, libc::SIGPIPE, libc::SIGCHLD, libc::SIGTSTP, 41] {
                        libc::signal(signal, libc::SIG_IGN);
                    }
                }
                Ok(())
            });
            let report = setup.end().report();
            assert_eq!(report["blocked"], serde_json::json!([12, 22, 40]), "{options:?}");
            assert_eq!(report["ignored"], serde_json::json!([1, 13, 17, 20, 41]), "{options:?}");
        }
    }
}

#[test]
fn an_ignored_sigchld_does_not_lose_the_exit_status() {
    let setup = Setup::new(Place::Subreaper, &[], &["/bin/sh", "-c", "exit 7"]).before_exec(|| {
        // SAFETY: nothing handles the signal.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        Ok(())
    });
    assert_eq!(setup.end().code, Some(7));
}

#[test]
fn a_log_line_to_a_closed_pipe_does_not_kill_the_application() {
    for place in Place::BOTH {
        // Without a reader every line ends in EPIPE, and in SIGPIPE for the process that writes it.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut run =
            Setup::probe(place, &["--log", "trace", "--drop-env", "A"], &["listen", "15"])
                .env("PREMAIN_NONSENSE", "a warning in the boot")
                .with(|command| {
                    command.stderr(Stdio::from(writer));
                })
                .start();
        run.after("ready");
        run.signal(libc::SIGUSR1);
        run.expect("got 10");
        run.signal(libc::SIGTERM);
        let end = run.end();
        assert_eq!((end.code, end.lines), (Some(0), vec!["got 15".to_owned()]), "{place:?}");
    }
}

#[test]
fn a_sigpipe_from_another_process_is_forwarded() {
    let mut run = Setup::probe(Place::Pid1, &[], &["listen", "13"]).start();
    run.after("ready");
    run.signal(libc::SIGPIPE);
    assert_eq!(run.end().lines, ["got 13"]);
}

#[test]
fn signals_go_to_the_application_or_to_its_group() {
    for place in Place::BOTH {
        for target in ["child", "group"] {
            let mut run = Setup::probe(place, &["--signal-target", target], &["family"]).start();
            let mut ready = [run.line(), run.line()];
            ready.sort();
            assert!(ready[0].starts_with("app ready") && ready[1].starts_with("member ready"));
            run.signal(libc::SIGUSR1);
            let mut got = vec![run.line()];
            if target == "group" {
                got.push(run.line());
            }
            got.sort();
            let expected = ["app got 10", "member got 10"];
            assert_eq!(got, expected[..got.len()], "{place:?} {target}");
            run.signal(libc::SIGTERM);
            let end = run.end();
            // The member gets its TERM at the latest when the application has left it behind.
            assert_eq!(end.code, Some(0));
            assert!(!end.lines.iter().any(|line| line == "member got 10"), "{end:?}");
            assert!(end.lines.contains(&"member got 15".to_owned()), "{end:?}");
        }
    }
}

#[test]
fn signals_go_to_the_process_if_its_group_is_gone() {
    let mut run = Setup::probe(Place::Pid1, &["--signal-target", "group"], &["regroup"]).start();
    run.after("ready");
    run.signal(libc::SIGUSR2);
    run.expect("got 12");
    run.signal(libc::SIGTERM);
    assert_eq!(run.end().code, Some(0));
}

#[test]
fn signals_are_rewritten_and_dropped() {
    let rules =
        ["--rewrite", "TERM:QUIT", "--rewrite=HUP:0 RTMIN+3:USR2", "--rewrite", "USR1:SIGRTMAX"];
    let mut run = Setup::probe(Place::Pid1, &rules, &["listen", "3"]).start();
    run.after("ready");
    for (sent, got) in [(libc::SIGUSR1, 64), (37, 12), (libc::SIGUSR2, 12), (libc::SIGWINCH, 28)] {
        run.signal(libc::SIGHUP);
        run.signal(sent);
        run.expect(&format!("got {got}"));
    }
    run.signal(libc::SIGTERM);
    let end = run.end();
    assert_eq!((end.code, end.lines), (Some(0), vec!["got 3".to_owned()]));
}

#[test]
fn only_the_first_term_is_delayed() {
    let listening = |delay: &str| {
        let mut run =
            Setup::probe(Place::Pid1, &["--grace=0", "--term-delay", delay], &["listen", "15"])
                .start();
        run.after("ready");
        run
    };
    let mut run = listening("1h");
    run.signal(libc::SIGTERM);
    run.signal(libc::SIGUSR1);
    run.expect("got 10");
    run.signal(libc::SIGTERM);
    run.expect("got 15");
    assert_eq!(run.end().code, Some(0));

    let mut run = listening("700ms");
    let began = Instant::now();
    run.signal(libc::SIGTERM);
    run.expect("got 15");
    assert!(began.elapsed() >= Duration::from_millis(700));
    assert_eq!(run.end().code, Some(0));
}

#[test]
fn a_second_term_skips_the_delay() {
    let mut run =
        Setup::probe(Place::Pid1, &["--term-delay", "1h", "--grace", "2h"], &["listen", "15"])
            .start();
    run.after("ready");
    run.signal(libc::SIGTERM);
    // Once the first one has been taken: two that are pending at once are one.
    wait_for("the first TERM", || {
        let pending = status(run.pid(), "ShdPnd")?;
        (u64::from_str_radix(&pending, 16).ok()? == 0).then_some(())
    });
    run.signal(libc::SIGTERM);
    run.expect("got 15");
    assert_eq!(run.end().code, Some(0));
}

#[test]
fn a_stopped_init_loses_no_signals() {
    let mut run = Setup::probe(Place::Subreaper, &["--grace", "0"], &["listen", "15"]).start();
    run.after("ready");
    run.signal(libc::SIGSTOP);
    for signal in [libc::SIGHUP, libc::SIGUSR1, 40, 40, libc::SIGTERM] {
        run.signal(signal);
    }
    run.signal(libc::SIGCONT);
    let end = run.end();
    assert_eq!(end.code, Some(0));
    assert_eq!(end.lines, ["got 1", "got 10", "got 15"]);
}

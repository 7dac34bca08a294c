//! How the init ends: with the application's status, within the grace period, and not before every
//! remaining process was terminated.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::process::kill_family;
use crate::harness::{BOOTS, Place, Setup, children_of, kill, lives, premain, status, wait_for};

fn shell(place: Place, options: &[&str], script: &str) -> Setup {
    Setup::new(place, options, &["/bin/sh", "-c", script])
}

#[test]
fn the_exit_status_is_the_applications() {
    for place in Place::BOTH {
        for boot in BOOTS {
            for status in [0, 1, 7, 64, 126, 127, 137, 255] {
                let end = shell(place, boot, &format!("exit {status}")).end();
                assert_eq!(end.code, Some(status), "{end:?}");
            }
            let signals = [("TERM", 143), ("KILL", 137), ("HUP", 129), ("USR1", 138), ("34", 162)];
            for (signal, status) in signals {
                let end = shell(place, boot, &format!("kill -{signal} $$")).end();
                assert_eq!(end.code, Some(status), "{signal}");
            }
        }
    }
}

#[test]
fn exit_statuses_are_remapped() {
    for place in Place::BOTH {
        for boot in BOOTS {
            let rules = [boot, &["--remap-exit", "143:0", "--remap-exit=3:4 4:5"]].concat();
            for (script, status) in
                [("kill -TERM $$", 0), ("exit 143", 0), ("exit 3", 4), ("exit 5", 5)]
            {
                assert_eq!(shell(place, &rules, script).end().code, Some(status), "{script}");
            }
        }
    }
}

#[test]
fn only_an_applications_status_is_remapped() {
    // It never ran: this 127 is our own.
    for boot in BOOTS {
        let rules = [boot, &["--remap-exit", "127:0"]].concat();
        let end = Setup::new(Place::Pid1, &rules, &["no-such-program"]).end();
        assert_eq!(end.code, Some(127));
    }
}

#[test]
fn signals_that_dump_core_give_128_plus_n() {
    for (signal, status) in [("ABRT", 134), ("SEGV", 139), ("BUS", 135)] {
        let limit = || {
            // SAFETY: the limits are initialised.
            unsafe {
                let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
                libc::setrlimit(libc::RLIMIT_CORE, &none);
            }
            Ok(())
        };
        let end = shell(Place::Pid1, &[], &format!("kill -{signal} $$")).before_exec(limit).end();
        assert_eq!(end.code, Some(status));
    }
}

#[test]
fn the_grace_period_ends_with_kill_and_a_second_term_does_not_extend_it() {
    for (place, signal) in [(Place::Pid1, libc::SIGTERM), (Place::Subreaper, libc::SIGINT)] {
        let mut run = Setup::probe(place, &["--grace", "1s"], &["listen"]).start();
        run.after("ready");
        let began = Instant::now();
        run.signal(signal);
        run.expect(&format!("got {signal}"));
        // If each TERM restarted the grace period, this would never end.
        while lives(run.pid()) {
            run.signal(libc::SIGTERM);
            std::thread::sleep(Duration::from_millis(5));
        }
        let end = run.end();
        assert_eq!(end.code, Some(137));
        assert!(end.stderr.contains("grace"), "{end:?}");
        assert!(began.elapsed() >= Duration::from_secs(1));
    }
}

#[test]
fn remaining_processes_get_time_to_save_their_state() {
    for place in Place::BOTH {
        for how in ["saving", "stopped"] {
            let mut run = Setup::probe(place, &[], &["leave", how, "5"]).start();
            run.after("left");
            let end = run.end();
            assert_eq!(
                (end.code, end.lines),
                (Some(5), vec!["saved".to_owned()]),
                "{place:?} {how}"
            );
            assert_eq!(end.stderr, "");
        }
    }
}

#[test]
fn remaining_processes_get_time_even_if_the_grace_period_is_used_up() {
    // The application ignores TERM; what it left behind is told only when it was killed.
    let script = "trap '' TERM; (trap 'sleep 1; echo saved; exit' TERM; echo ready; \
                  while :; do sleep 0.01; done) & wait; while :; do sleep 1; done";
    let mut run = shell(Place::Pid1, &["--grace", "300ms"], script).start();
    run.expect("ready");
    run.signal(libc::SIGTERM);
    let end = run.end();
    assert_eq!((end.code, end.lines), (Some(137), vec!["saved".to_owned()]));
}

#[test]
fn processes_that_ignore_term_are_killed_after_at_least_four_seconds() {
    for place in Place::BOTH {
        let mut run = Setup::probe(place, &["--grace", "1s"], &["leave", "stubborn", "6"]).start();
        run.after("left");
        let began = Instant::now();
        let end = run.end();
        assert_eq!(end.code, Some(6));
        assert!(end.stderr.contains("did not end"), "{end:?}");
        assert!(began.elapsed() >= Duration::from_millis(3900), "{:?}", began.elapsed());
    }
}

#[test]
fn detached_descendants_are_terminated() {
    // A daemon of a session of its own, whose parent lives on beside it.
    let script = "setsid sh -c 'setsid sleep 1000 & echo $!; wait' & read line; exit 3";
    let mut run = shell(Place::Subreaper, &[], script).start();
    let sleeper: i32 = run.line().parse().unwrap();
    assert!(lives(sleeper));
    let end = run.end();
    assert_eq!(end.code, Some(3));
    assert!(!lives(sleeper));
}

#[test]
fn unrelated_processes_are_not_killed() {
    let mut stranger = Command::new("/bin/sleep").arg("1000").process_group(0).spawn().unwrap();
    let mut run = Setup::probe(Place::Subreaper, &[], &["leave", "saving", "0"]).start();
    run.after("left");
    assert_eq!(run.end().code, Some(0));
    assert!(lives(stranger.id() as i32));
    kill_family(&mut stranger);
}

#[test]
fn a_killed_descendant_is_logged() {
    let script = "(exec sleep 1000 & echo $!); echo orphaned; read line";
    let mut run = shell(Place::Subreaper, &[], script).start();
    let orphan: i32 = run.line().parse().unwrap();
    run.expect("orphaned");
    wait_for("the orphan", || children_of(run.pid()).contains(&orphan).then_some(()));
    kill(orphan, libc::SIGKILL);
    wait_for("its reaping", || (!children_of(run.pid()).contains(&orphan)).then_some(()));
    let end = run.end();
    assert!(
        end.stderr.contains("was killed") && end.stderr.contains(&format!("pid={orphan}")),
        "{end:?}"
    );
}

#[test]
fn a_killed_application_is_logged() {
    let run = Setup::new(Place::Pid1, &[], &["/bin/sleep", "1000"]).start();
    let application = run.children()[0];
    wait_for("exec", || (status(application, "Name")? == "sleep").then_some(()));
    kill(application, libc::SIGKILL);
    let end = run.end();
    assert_eq!(end.code, Some(137));
    assert!(end.stderr.contains("the application was killed"), "{end:?}");
}

#[test]
fn a_stopped_application_can_be_terminated() {
    // Stopped, it could not act on the TERM that it gets.
    for place in Place::BOTH {
        let mut run = Setup::probe(place, &[], &["listen", "15"]).start();
        run.after("ready");
        let application = run.children()[0];
        kill(application, libc::SIGSTOP);
        wait_for("the stop", || status(application, "State")?.starts_with('T').then_some(()));
        // Beside others, the init stops as well: it gets the TERM once it is continued.
        if place == Place::Subreaper {
            wait_for("its stop", || status(run.pid(), "State")?.starts_with('T').then_some(()));
        }
        run.signal(libc::SIGTERM);
        run.signal(libc::SIGCONT);
        let end = run.end();
        assert_eq!((end.code, end.stderr.as_str()), (Some(0), ""));
    }
}

#[test]
fn the_death_of_the_parent_sends_the_configured_signal() {
    // A shell starts premain in the background, tells its pid, and is killed.
    let script = format!("{} --pdeathsig TERM -- sleep 1000 & echo $!; wait", premain());
    let mut run = Setup::program(Place::Subreaper, "/bin/sh", &["-c", &script]).start();
    let init: i32 = run.line().parse().unwrap();
    let application = wait_for("the application", || children_of(init).first().copied());
    wait_for("exec", || (status(application, "Name")? == "sleep").then_some(()));
    run.signal(libc::SIGKILL);
    wait_for("the end of both", || (!lives(init) && !lives(application)).then_some(()));
    assert_eq!(run.end().killed, Some(libc::SIGKILL));
}

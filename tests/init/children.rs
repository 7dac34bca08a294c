//! Orphans are reaped, and the application is started as if the caller had started it directly.

use std::os::fd::AsRawFd;

use crate::harness::{BOOTS, Place, Setup, children_of, kill, lives, status, wait_for};

#[test]
fn thousands_of_orphans_are_reaped() {
    for place in Place::BOTH {
        let mut run = Setup::probe(place, &[], &["orphans", "2000"]).start();
        run.expect("orphaned");
        wait_for("2,000 orphans", || (children_of(run.pid()).len() == 2001).then_some(()));
        std::io::Write::write_all(run.stdin.as_mut().unwrap(), b"\n").unwrap();
        run.expect("released");
        wait_for("2,000 funerals", || (children_of(run.pid()).len() == 1).then_some(()));
        assert_eq!(run.end().code, Some(0));
    }
}

#[test]
fn a_stopped_child_is_not_taken_for_an_exited_one() {
    for place in Place::BOTH {
        let mut run = Setup::probe(place, &[], &["listen", "15"]).start();
        run.after("ready");
        let application = run.children()[0];
        kill(application, libc::SIGTSTP);
        kill(application, libc::SIGSTOP);
        wait_for("the stop", || status(application, "State")?.starts_with('T').then_some(()));
        assert!(lives(run.pid()));
        // Through the init, as `docker kill -s CONT` would.
        run.signal(libc::SIGCONT);
        wait_for("going on", || (!status(application, "State")?.starts_with('T')).then_some(()));
        run.signal(libc::SIGTERM);
        assert_eq!(run.end().code, Some(0));
    }
}

#[test]
fn the_application_inherits_the_state_of_the_caller() {
    for place in Place::BOTH {
        for options in [BOOTS[0], BOOTS[1], &["--exec"]] {
            let directory = tempfile::tempdir().unwrap();
            let file = std::fs::File::open("/etc/passwd").unwrap();
            let inherited = file.as_raw_fd();
            let report = Setup::probe(place, options, &["report", "", "two words", "-x", "--"])
                .env("PLAIN", "value")
                .env("EMPTY", "")
                .env("ODD", "a=b\nc")
                .with(|command| {
                    command.current_dir(directory.path());
                })
                .before_exec(move || {
                    // SAFETY: numbers, and initialised limits.
                    unsafe {
                        libc::umask(0o027);
                        libc::dup2(inherited, 100);
                        let files = libc::rlimit { rlim_cur: 200, rlim_max: 300 };
                        libc::setrlimit(libc::RLIMIT_NOFILE, &files);
                    }
                    Ok(())
                })
                .end()
                .report();
            assert_eq!(
                report["args"].as_array().unwrap()[1..],
                ["report", "", "two words", "-x", "--"].map(serde_json::Value::from)
            );
            let env = &report["env"];
            assert_eq!((&env["PLAIN"], &env["EMPTY"]), (&"value".into(), &"".into()));
            assert_eq!(env["ODD"], "a=b\nc");
            assert_eq!(report["cwd"], directory.path().to_str().unwrap());
            assert_eq!(report["umask"], 0o027);
            assert_eq!(report["files"], serde_json::json!([200, 300]));
            assert_eq!(report["fds"], serde_json::json!([0, 1, 2, 100]));
            assert_eq!(report["dumpable"], 1, "the application's core dumps are its own business");
        }
    }
}

#[test]
fn dropped_variables_do_not_reach_the_application() {
    let report = Setup::probe(Place::Pid1, &["--drop-env", "SECRET OTHER"], &["report"])
        .env("SECRET", "x")
        .env("OTHER", "x")
        .env("KEPT", "x")
        .end()
        .report();
    let env = &report["env"];
    assert!(env["SECRET"].is_null() && env["OTHER"].is_null() && env["KEPT"] == "x");
}

#[test]
fn passed_sockets_belong_to_the_application() {
    for place in Place::BOTH {
        let report = Setup::probe(place, &[], &["report"])
            .env("LISTEN_PID", "1")
            .env("LISTEN_FDS", "1")
            .env("LISTEN_PIDFDID", "12345")
            .end()
            .report();
        assert_eq!(report["env"]["LISTEN_PID"], report["pid"].to_string());
        assert_eq!(report["env"]["LISTEN_FDS"], "1");
        assert!(report["env"]["LISTEN_PIDFDID"].is_null());
    }
    let plain = Setup::probe(Place::Pid1, &[], &["report"]).end().report();
    assert!(plain["env"]["LISTEN_PID"].is_null());
}

#[test]
fn the_init_keeps_neither_descriptors_nor_the_working_directory() {
    for place in Place::BOTH {
        let directory = tempfile::tempdir().unwrap();
        let file = std::fs::File::open("/etc/passwd").unwrap();
        let inherited = file.as_raw_fd();
        let mut run = Setup::probe(place, &[], &["listen", "15"])
            .with(|command| {
                command.current_dir(directory.path());
            })
            .before_exec(move || {
                // SAFETY: numbers.
                unsafe { libc::dup2(inherited, 100) };
                Ok(())
            })
            .start();
        run.after("ready");
        let of = |what: &str| format!("/proc/{}/{what}", run.pid());
        // The parent does this while its child boots.
        wait_for("the init at rest", || {
            let cwd = std::fs::read_link(of("cwd")).ok()?;
            let fds = std::fs::read_dir(of("fd")).ok()?.count();
            (cwd == std::path::Path::new("/") && fds == 3).then_some(())
        });
        run.signal(libc::SIGTERM);
        assert_eq!(run.end().code, Some(0));
    }
}

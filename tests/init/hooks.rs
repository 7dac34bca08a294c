//! The container's own hooks, as the init sees them: `/docker-entrypoint.d`.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use nix::mount::{MsFlags, mount};

use crate::harness::{Place, Setup, children_of, executables, probe, wait_for};

fn with(directory: &Path, options: &[&str], place: Place, words: &[&str]) -> Setup {
    Setup::probe(place, options, words).env("PREMAIN_ENTRYPOINT_D", directory)
}

#[test]
fn a_hook_starts_in_the_same_state_as_the_application() {
    // Without a shell, which sets SIGCHLD as it likes.
    let report = format!("#!{} report", probe());
    let directory = executables(&[("1.sh", &report)]);
    for place in Place::BOTH {
        for options in [&[][..], &["--exec"]] {
            let end = with(directory.path(), options, place, &["report"])
                .before_exec(|| {
                    // SAFETY: numbers, and a set of our own.
                    unsafe {
                        for signal in [libc::SIGHUP, libc::SIGPIPE, libc::SIGCHLD, 41] {
                            libc::signal(signal, libc::SIG_IGN);
                        }
                        let mut set = std::mem::zeroed();
                        libc::sigemptyset(&mut set);
                        for signal in [libc::SIGUSR2, 40] {
                            libc::sigaddset(&mut set, signal);
                        }
                        libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
                    }
                    Ok(())
                })
                .end();
            let application = end.report();
            let line = end.stderr.lines().find_map(|line| line.strip_prefix("1.sh: ")).unwrap();
            let hook: serde_json::Value = serde_json::from_str(line).unwrap();
            for same in ["blocked", "ignored", "umask", "uid", "groups", "cwd", "fds", "sid"] {
                assert_eq!(hook[same], application[same], "{same}, {place:?}, {options:?}");
            }
            assert_eq!(hook["blocked"], serde_json::json!([12, 40]));
            assert_eq!(hook["ignored"], serde_json::json!([1, 13, 17, 41]));
            assert_eq!(hook["pgrp"], hook["pid"], "a group of its own");
            assert_eq!(hook["env"], application["env"]);
        }
    }
}

#[test]
fn a_hook_has_no_input_and_takes_none_from_the_application() {
    let directory = executables(&[("1.sh", "cat; echo done")]);
    for place in Place::BOTH {
        let mut run = Setup::new(place, &[], &["/bin/cat"])
            .env("PREMAIN_ENTRYPOINT_D", directory.path())
            .start();
        run.stdin.as_mut().unwrap().write_all(b"for the application\n").unwrap();
        run.expect("for the application");
        let end = run.end();
        assert_eq!(end.code, Some(0));
        assert!(end.stderr.contains("1.sh: done"), "{end:?}");
    }
}

#[test]
fn processes_left_by_hooks_are_reaped() {
    let script = "for i in 1 2 3 4 5 6 7 8 9; do (sleep 0.05 >/dev/null 2>&1 &); done";
    let directory = executables(&[("1.sh", script), ("2.sh", script)]);
    for place in Place::BOTH {
        let mut run = with(directory.path(), &[], place, &["listen", "15"]).start();
        run.after("ready");
        wait_for("18 funerals", || (children_of(run.pid()).len() == 1).then_some(()));
        run.signal(libc::SIGTERM);
        assert_eq!(run.end().code, Some(0));
    }
}

#[test]
fn docker_entrypoint_d_is_optional_and_any_content_is_handled() {
    const DIRECTORY: &str = "/docker-entrypoint.d";
    struct Mountpoint(bool);
    impl Drop for Mountpoint {
        fn drop(&mut self) {
            let _ = self.0.then(|| fs::remove_dir(DIRECTORY));
        }
    }
    // An empty directory changes nothing.
    let _own = Mountpoint(fs::create_dir(DIRECTORY).is_ok());
    let directory = executables(&[("20-b.sh", "echo b"), ("10-a.sh", "echo a")]);
    let source = directory.path().to_owned();
    let end = Setup::probe(Place::Pid1, &[], &["report"])
        .before_exec(move || {
            Ok(mount(Some(&source), DIRECTORY, None::<&str>, MsFlags::MS_BIND, None::<&str>)?)
        })
        .end();
    assert_eq!(end.code, Some(0), "{end:?}");
    assert_eq!(end.stderr, "10-a.sh: a\n20-b.sh: b\n");
}

#[test]
fn an_unread_log_does_not_block_a_hook() {
    let directory = executables(&[("1.sh", "exec yes")]);
    for place in Place::BOTH {
        let (reader, writer) = std::io::pipe().unwrap();
        let run = with(directory.path(), &[], place, &["report"])
            .with(|command| {
                command.stderr(writer);
            })
            .start();
        let boot = run.children()[0];
        wait_for("the hook", || (!children_of(boot).is_empty()).then_some(()));
        run.signal(libc::SIGTERM);
        assert_eq!(run.end().code, Some(143));
        drop(reader);
    }
}

//! Minimal containers: empty roots, no /proc, old seccomp filters, closed descriptors.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use nix::mount::{MsFlags, mount};

use crate::harness::{Place, Setup, children_of, debian, premain, probe, wait_for};

/// A root with premain, the probe, and nothing else.
fn bare_root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::copy(premain(), root.path().join("premain")).unwrap();
    fs::copy(probe(), root.path().join("probe")).unwrap();
    fs::set_permissions(root.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    root
}

/// premain inside of `root`, where there is no /proc, whatever its place.
fn inside(root: &Path, place: Place, words: &[&str]) -> Setup {
    let root = root.to_owned();
    let clear = |command: &mut Command| {
        command.env_clear();
    };
    Setup::program(place, "/premain", words).with(clear).before_exec(move || {
        nix::unistd::chroot(&root)?;
        Ok(nix::unistd::chdir("/")?)
    })
}

#[test]
fn the_binary_alone_is_enough() {
    let root = bare_root();
    for place in Place::BOTH {
        for options in [&[][..], &["--exec"]] {
            let words = [options, &["--", "/probe", "report", "x"]].concat();
            let report = inside(root.path(), place, &words).end().report();
            assert_eq!(report["args"], serde_json::json!(["/probe", "report", "x"]));
            assert_eq!(report["env"], serde_json::json!({}));
            assert_eq!(report["fds"], serde_json::json!([0, 1, 2]));
        }
    }
}

#[test]
fn a_script_without_an_interpreter_needs_a_shell() {
    let root = bare_root();
    let script = root.path().join("script");
    fs::write(&script, "echo hello\n").unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for boot in [&[][..], &["--wait-for", "tcp://127.0.0.1:1", "--wait-timeout", "1h"]] {
        let end = inside(root.path(), Place::Pid1, &[boot, &["--", "/script"]].concat()).end();
        assert_eq!(end.code, Some(126), "{end:?}");
        assert!(end.stderr.contains("there is no /bin/sh"), "{end:?}");
    }
}

#[test]
fn signals_and_orphans_are_handled_without_proc() {
    let root = bare_root();
    for place in Place::BOTH {
        let start = |words: &[&str]| {
            inside(root.path(), place, &[&["--", "/probe"], words].concat()).start()
        };
        let mut run = start(&["listen", "15"]);
        run.after("ready");
        for signal in [libc::SIGHUP, 50] {
            run.signal(signal);
            run.expect(&format!("got {signal}"));
        }
        run.signal(libc::SIGTERM);
        assert_eq!(run.end().code, Some(0));

        let mut run = start(&["orphans", "300"]);
        run.expect("orphaned");
        run.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        run.expect("released");
        wait_for("300 funerals", || (children_of(run.pid()).len() == 1).then_some(()));
        assert_eq!(run.end().code, Some(0));

        // Beside others, what is known to be left is at least the application's group.
        let mut run = start(&["leave", "saving", "5"]);
        run.after("left");
        let end = run.end();
        assert_eq!((end.code, end.lines), (Some(5), vec!["saved".to_owned()]));
    }
}

#[test]
fn users_are_numeric_without_a_passwd_file() {
    let root = bare_root();
    let words = ["--user", "1000:1000", "--", "/probe", "report"];
    let report = inside(root.path(), Place::Subreaper, &words).end().report();
    assert_eq!((&report["uid"], &report["env"]["HOME"]), (&1000.into(), &"/".into()));
    let end =
        inside(root.path(), Place::Subreaper, &["--user", "app", "--", "/probe", "report"]).end();
    assert_eq!(end.code, Some(64));
    assert!(end.stderr.contains("no such user in /etc/passwd; use a numeric uid"), "{end:?}");
}

#[test]
fn a_proc_of_another_namespace_is_not_used() {
    // Its numbers mean other processes: trusting it would kill strangers.
    let script = format!("{} -- {} leave saving 7", premain(), probe());
    let words = ["--pid", "--fork", "/bin/sh", "-c", &script];
    let mut run =
        Setup::program(Place::Subreaper, &debian("unshare", "util-linux"), &words).start();
    run.after("left");
    let end = run.end();
    assert_eq!((end.code, end.lines), (Some(7), vec!["saved".to_owned()]));
}

#[test]
fn seccomp_filters_that_reject_close_range_and_clone3_are_tolerated() {
    for place in Place::BOTH {
        let probe = probe();
        let words = ["confined", premain(), "--", &probe, "leave", "saving", "7"];
        let mut run = Setup::program(place, &probe, &words).start();
        run.after("left");
        let end = run.end();
        assert_eq!(
            (end.code, end.lines, end.stderr.as_str()),
            (Some(7), vec!["saved".to_owned()], "")
        );

        let words = ["confined", premain(), "--", &probe, "listen", "15"];
        let mut run = Setup::program(place, &probe, &words)
            .before_exec(|| {
                // SAFETY: numbers.
                unsafe { libc::dup2(0, 100) };
                Ok(())
            })
            .start();
        run.after("ready");
        let fds = format!("/proc/{}/fd", run.pid());
        wait_for("closing", || (fs::read_dir(&fds).ok()?.count() == 3).then_some(()));
        run.signal(libc::SIGTERM);
        assert_eq!(run.end().code, Some(0));
    }
}

#[test]
fn a_read_only_root_is_enough() {
    let script = "for directory in / /tmp /run /var/tmp; do \
                  touch $directory/file 2>/dev/null && echo $directory is writable; done; echo done";
    let end = Setup::new(Place::Pid1, &[], &["/bin/sh", "-c", script])
        .before_exec(|| {
            let again = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
            mount(None::<&str>, "/", None::<&str>, again, None::<&str>)?;
            // Where these are mounts of their own.
            for directory in ["/tmp", "/run", "/var/tmp"] {
                let _ = mount(None::<&str>, directory, None::<&str>, again, None::<&str>);
            }
            Ok(())
        })
        .end();
    assert_eq!((end.code, end.lines), (Some(0), vec!["done".to_owned()]), "{}", end.stderr);
}

#[test]
fn closed_descriptors_stay_closed() {
    let root = bare_root();
    for closed in [&[0][..], &[1], &[2], &[0, 2], &[0, 1, 2]] {
        for options in [&[][..], &["--exec"]] {
            let words = [options, &["--log", "trace", "--", "/probe", "report"]].concat();
            // Also where there is no /dev/null to put in their place.
            let probe = probe();
            let here = [options, &["--log", "trace", "--", &probe, "report"]].concat();
            for setup in [
                Setup::program(Place::Pid1, premain(), &here),
                inside(root.path(), Place::Subreaper, &words),
            ] {
                let end = setup
                    .before_exec(move || {
                        for fd in closed {
                            // SAFETY: numbers.
                            unsafe { libc::close(*fd) };
                        }
                        Ok(())
                    })
                    .end();
                if closed.contains(&1) {
                    // It could not say so.
                    assert!(end.lines.is_empty() && end.killed != Some(libc::SIGABRT), "{end:?}");
                    continue;
                }
                let fds: Vec<_> = (0..3).filter(|fd| !closed.contains(fd)).collect();
                assert_eq!(end.report()["fds"], serde_json::json!(fds), "{closed:?}");
            }
        }
    }
}

#[test]
fn unusual_standard_descriptors_are_accepted() {
    for strange in ["/", "/dev/null", "/dev/full", "/proc/self/mem"] {
        let end = Setup::new(Place::Pid1, &["--log", "trace"], &["/bin/sh", "-c", "exit 3"])
            .with(|command| {
                command.stdin(fs::File::open(strange).unwrap());
                command.stderr(fs::File::open(strange).unwrap());
            })
            .end();
        assert_eq!(end.code, Some(3), "{strange}");
    }
}

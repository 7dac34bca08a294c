//! The user that the application runs as, and the secrets that it cannot read.

use nix::mount::{MsFlags, mount};
use serde_json::json;

use crate::harness::{BOOTS, Place, Setup, executables, probe};

/// An init in an image whose `/etc/passwd` and `/etc/group` are these.
fn with_etc(passwd: &str, group: &str, options: &[&str], application: &[&str]) -> Setup {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("passwd"), passwd).unwrap();
    std::fs::write(directory.path().join("group"), group).unwrap();
    // Kept until the last process of this setup has mounted it.
    Setup::new(Place::Pid1, options, application).before_exec(move || {
        for file in ["passwd", "group"] {
            let (source, target) = (directory.path().join(file), format!("/etc/{file}"));
            mount(Some(&source), target.as_str(), None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        }
        Ok(())
    })
}

const PASSWD: &str = "root:x:0:0::/root:/bin/sh\napp:x:4242:4343::/srv/app:/bin/sh\n";
const GROUP: &str =
    "root:x:0:\napp:x:4343:\nvideo:x:44:app\nplugdev:x:46:other,app\nother:x:47:other\n";

#[test]
fn the_application_runs_as_its_user() {
    let probe = probe();
    for (user, uid, gid, groups, home) in [
        ("app", 4242, 4343, json!([44, 46, 4343]), "/srv/app"),
        ("4242", 4242, 4343, json!([44, 46, 4343]), "/srv/app"),
        ("app:video", 4242, 44, json!([44]), "/srv/app"),
        ("app:99", 4242, 99, json!([99]), "/srv/app"),
        ("5000:6000", 5000, 6000, json!([6000]), "/"),
        ("5000:other", 5000, 47, json!([47]), "/"),
        ("5000", 5000, 0, json!([0]), "/"),
    ] {
        for how in ["option", "variable", "exec"] {
            let options: &[&str] = match how {
                "option" => &["--user", user],
                "exec" => &["--exec", "--user", user],
                _ => &[],
            };
            let mut setup =
                with_etc(PASSWD, GROUP, options, &[&probe, "report"]).env("HOME", "/root");
            if how == "variable" {
                setup = setup.env("PREMAIN_USER", user);
            }
            let report = setup.end().report();
            assert_eq!((&report["uid"], &report["euid"]), (&json!(uid), &json!(uid)), "{user}");
            assert_eq!((&report["gid"], &report["egid"]), (&json!(gid), &json!(gid)), "{user}");
            assert_eq!(report["groups"], groups, "{user}");
            assert_eq!(report["env"]["HOME"], home, "{user}");
        }
    }
}

#[test]
fn the_application_cannot_become_root_again() {
    let script = "grep -E '^(Uid|Gid|CapEff|CapPrm)' /proc/self/status";
    let end = with_etc(PASSWD, GROUP, &["--user", "app"], &["/bin/sh", "-c", script]).end();
    let lines: Vec<_> = end.lines.iter().map(|line| line.replace('\t', " ")).collect();
    assert_eq!(
        lines,
        [
            "Uid: 4242 4242 4242 4242",
            "Gid: 4343 4343 4343 4343",
            "CapPrm: 0000000000000000",
            "CapEff: 0000000000000000"
        ]
    );
}

#[test]
fn ambient_capabilities_do_not_reach_the_application() {
    // A user who may become any other, as an orchestrator's capabilities for it arrange it.
    let with_capabilities = |setup: Setup| {
        setup.before_exec(|| {
            const SETGID_SETUID: u32 = 1 << 6 | 1 << 7;
            // SAFETY: numbers, and the layout of capget(2).
            unsafe {
                libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0);
                libc::setgroups(0, std::ptr::null());
                libc::setresgid(1234, 1234, 1234);
                libc::setresuid(1234, 1234, 1234);
                let header: [u32; 2] = [0x2008_0522, 0];
                let sets: [[u32; 3]; 2] = [[SETGID_SETUID; 3], [0; 3]];
                assert_eq!(libc::syscall(libc::SYS_capset, &header, &sets), 0);
                for capability in [6, 7] {
                    let raise = libc::PR_CAP_AMBIENT_RAISE;
                    assert_eq!(libc::prctl(libc::PR_CAP_AMBIENT, raise, capability, 0, 0), 0);
                }
            }
            Ok(())
        })
    };
    let script = "grep -E '^Cap(Inh|Prm|Eff|Amb)' /proc/self/status | sort -u; \
                  setpriv --reuid 0 id -u 2>/dev/null || echo denied";
    let application = ["/bin/sh", "-c", script];
    // Another user, the same one, and without --user, which leaves them alone.
    for (user, value, becomes) in [
        (&["--user", "4242:4242"][..], "0000000000000000", "denied"),
        (&["--user", "1234:1234"], "0000000000000000", "denied"),
        (&[], "00000000000000c0", "0"),
    ] {
        for boot in [BOOTS[0], BOOTS[1], &["--exec"]] {
            let setup = Setup::new(Place::Pid1, &[boot, user].concat(), &application);
            let end = with_capabilities(setup).end();
            let lines: Vec<_> = end.lines.iter().map(|line| line.replace('\t', " ")).collect();
            let of = |name: &str| format!("{name}: {value}");
            let expected = ["CapAmb", "CapEff", "CapInh", "CapPrm"].map(of);
            assert_eq!(lines[..4], expected, "{user:?} {boot:?} {}", end.stderr);
            assert_eq!(lines[4], becomes, "{user:?} {boot:?}");
        }
    }
}

#[test]
fn the_application_is_looked_for_with_its_users_permissions() {
    let directory = executables(&[("mine", "#!/bin/sh\necho mine")]);
    let path = format!("{}:/usr/bin:/bin", directory.path().display());
    let root_alone = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(directory.path(), root_alone).unwrap();
    for (options, status) in [(&[][..], 0), (&["--user", "4242:4242"], 127)] {
        let wait = ["--wait-for", "tcp://127.0.0.1:1", "--wait-timeout", "10ms", "--db-optional"];
        let end =
            Setup::new(Place::Pid1, &[&wait, options].concat(), &["mine"]).env("PATH", &path).end();
        assert_eq!(end.code, Some(status), "{options:?}: {end:?}");
        assert_eq!(end.stderr.contains("not ready"), status == 0, "{end:?}");
    }
}

#[test]
fn a_matching_user_is_left_as_it_is() {
    for user in ["app", "4242", "4242:4343"] {
        let report = with_etc(PASSWD, GROUP, &["--user", user], &[&probe(), "report"])
            .env("HOME", "/elsewhere")
            .run_by(4242, 4343, &[7, 4343])
            .end()
            .report();
        assert_eq!((&report["uid"], &report["groups"]), (&json!(4242), &json!([7, 4343])));
        assert_eq!(report["env"]["HOME"], "/elsewhere");
    }
}

#[test]
fn a_forbidden_change_of_user_is_rejected_first() {
    for options in [&["--user", "4242"][..], &["--exec", "--user", "0:0"]] {
        let end = Setup::new(Place::Pid1, options, &["/bin/echo", "started"])
            .run_by(1234, 1234, &[])
            .end();
        assert_eq!((end.code, end.lines.len()), (Some(78), 0), "{end:?}");
        assert!(end.stderr.contains("capabilities SETUID and SETGID"), "{end:?}");
    }
}

#[test]
fn arbitrary_uids_run_without_passwd_entry_privileges_or_home() {
    for place in Place::BOTH {
        for options in [&[][..], &["--exec"]] {
            let report = Setup::probe(place, options, &["report"])
                .with(|command| {
                    command.env_remove("HOME");
                })
                .run_by(1_000_650_000, 0, &[])
                .before_exec(|| {
                    // SAFETY: numbers.
                    unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
                    Ok(())
                })
                .end()
                .report();
            assert_eq!((&report["uid"], &report["gid"]), (&json!(1_000_650_000), &json!(0)));
            assert!(report["env"]["HOME"].is_null());
        }
    }
}

#[test]
fn an_application_of_another_user_gets_its_signals() {
    for place in Place::BOTH {
        let mut run = Setup::probe(place, &["--user", "4242:4242"], &["listen", "15"]).start();
        run.after("ready");
        run.signal(libc::SIGHUP);
        run.expect("got 1");
        run.signal(libc::SIGTERM);
        assert_eq!(run.end().code, Some(0));
    }
}

#[test]
fn the_migration_url_is_hidden_from_the_application() {
    // As root, which may read everything there is.
    let script = "cat /proc/1/environ /proc/1/cmdline /proc/self/environ | tr '\\0' '\n' | \
                  grep -ac hunte[r]2; grep -ac OTHER=visible /proc/1/environ";
    // No server listens; the application is started all the same.
    let (url, absent) =
        ("postgres://owner:hunter2@127.0.0.1:1/app", ["--wait-timeout", "50ms", "--db-optional"]);
    let target = "postgres://me:hunter2@127.0.0.1:1/app?password=hunter2";
    for further in [&[][..], &["--wait-for", target]] {
        let options = &[&absent[..], further].concat();
        let end = Setup::new(Place::Pid1, options, &["/bin/sh", "-c", script])
            .env("MIGRATION_DATABASE_URL", url)
            .env("OTHER", "visible")
            .end();
        assert_eq!(end.lines, ["0", "1"], "{end:?}");
    }
    // As the user that the init runs as, which is not root: nothing can be read at all.
    let script = "cat /proc/1/environ && echo readable || echo denied; cat /proc/self/environ | tr '\\0' '\\n' | grep -cx A=b";
    let end = Setup::new(Place::Pid1, &[], &["/bin/sh", "-c", script])
        .env("A", "b")
        .run_by(4242, 4242, &[])
        .end();
    assert_eq!(end.lines, ["denied", "1"], "{end:?}");
}

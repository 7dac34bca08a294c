//! The command line: the application's arguments are left alone, and errors are explained.

use crate::harness::{Place, Setup, premain, probe};

fn run(words: &[&str]) -> crate::harness::End {
    Setup::program(Place::Subreaper, premain(), words).end()
}

#[test]
fn options_end_at_the_first_word() {
    let probe = probe();
    for words in [
        vec![probe.as_str(), "report", "--grace", "nonsense", "--", "-x"],
        vec!["--", &probe, "report", "--grace", "nonsense", "--", "-x"],
        vec!["run", "--grace", "3s", &probe, "report", "--grace", "nonsense", "--", "-x"],
        vec!["run", "--grace=3s", "--", &probe, "report", "--grace", "nonsense", "--", "-x"],
    ] {
        let report = run(&words).report();
        let expected = ["report", "--grace", "nonsense", "--", "-x"].map(serde_json::Value::from);
        assert_eq!(report["args"].as_array().unwrap()[1..], expected, "{words:?}");
    }
}

#[test]
fn a_missing_command_is_wrong_usage() {
    for words in [&[][..], &["--"], &["run"], &["--grace", "3s"]] {
        let end = run(words);
        assert_eq!(end.code, Some(64), "{words:?}");
        assert!(end.stderr.contains("no command to run"), "{end:?}");
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    for words in [&["--help"][..], &["-h"], &["help"]] {
        let end = run(words);
        assert_eq!((end.code, end.stderr.as_str()), (Some(0), ""));
        assert!(end.lines.iter().any(|line| line.contains("--grace DURATION")), "{end:?}");
    }
    let end = run(&["--version"]);
    assert_eq!(end.code, Some(0));
    assert_eq!(end.lines, [format!("premain {}", env!("CARGO_PKG_VERSION"))]);
}

#[test]
fn an_invalid_value_is_rejected_with_what_is_allowed() {
    for (option, value, allowed) in [
        ("rewrite", "TERM:NOPE", "TO is not a signal"),
        ("rewrite", "TERM", "FROM:TO"),
        ("rewrite", "65:1", "FROM is not a signal"),
        ("remap-exit", "143:256", "0 to 255"),
        ("remap-exit", "143", "FROM:TO"),
        ("pdeathsig", "SIGNONE", "TERM, SIGHUP, 15 or RTMIN+3"),
        ("signal-target", "everyone", "child, group"),
        ("grace", "soon", "5s"),
        ("term-delay", "-1", "5s"),
        ("term-delay", "8s", "shorter than --grace"),
        ("user", "nobody-by-that-name", "/etc/passwd"),
        ("user", "root:no-such-group", "/etc/group"),
        ("log", "loud", "error, warn"),
    ] {
        let application = ["--", "/bin/echo", "started"];
        let end = run(&[&[format!("--{option}={value}").as_str()][..], &application].concat());
        assert_eq!((end.code, end.lines.len()), (Some(64), 0), "--{option} {value}: {end:?}");
        assert!(
            end.stderr.contains(allowed) && end.stderr.contains(&format!("--{option}")),
            "{end:?}"
        );

        let variable = format!("PREMAIN_{}", option.replace('-', "_").to_uppercase());
        let end =
            Setup::program(Place::Subreaper, premain(), &application).env(&variable, value).end();
        assert_eq!((end.code, end.lines.len()), (Some(78), 0), "{variable}={value}: {end:?}");
        assert!(end.stderr.contains(allowed) && end.stderr.contains(&variable), "{end:?}");
    }
}

#[test]
fn all_problems_are_reported_at_once_in_lines_that_name_premain() {
    let end = run(&["--grace", "soon", "--log", "loud", "--pdeathsig", "x", "--", "true"]);
    assert_eq!(end.code, Some(64));
    assert_eq!(end.stderr.lines().count(), 3, "{end:?}");
    assert!(end.stderr.lines().all(|line| line.starts_with("premain: ")), "{end:?}");
}

#[test]
fn an_application_that_cannot_be_started_is_explained() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8], mode: u32| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode))
            .unwrap();
        path.into_os_string().into_string().unwrap()
    };
    // An ELF header that is right but for the machine: the other of the two that matter.
    let mut foreign = std::fs::read(probe()).unwrap()[..64].to_vec();
    foreign[18] = if foreign[18] == 183 { 62 } else { 183 };
    for (program, status, says) in [
        ("no-such-program".to_owned(), 127, "no directory of PATH"),
        ("/no/such/program".to_owned(), 127, "no such file"),
        ("./no-such-program".to_owned(), 127, "working directory"),
        (file("plain.sh", b"#!/bin/sh\n", 0o644), 126, "chmod +x"),
        (directory.path().to_str().unwrap().to_owned(), 126, "directory"),
        (file("windows.sh", b"#!/bin/sh\r\necho\r\n", 0o755), 126, "CRLF"),
        (file("strange.sh", b"#!/no/such/interpreter -x\n", 0o755), 126, "/no/such/interpreter"),
        (file("bare.sh", b"echo hello\n", 0o755), 126, "#!/bin/sh"),
        (file("foreign", &foreign, 0o755), 126, "this machine is"),
        (file("empty", b"", 0o755), 126, "neither a program nor a script"),
    ] {
        for options in [&[][..], &["--exec"]] {
            let end = Setup::new(Place::Subreaper, options, &[&program]).end();
            assert_eq!(end.code, Some(status), "{program}: {end:?}");
            assert!(end.stderr.contains(says), "{program}: {end:?}");
        }
    }
}

#[test]
fn a_dynamic_program_without_its_loader_is_explained() {
    // glibc's loader under a name that is as long and not there.
    let mut program = std::fs::read("/bin/true").unwrap();
    let loader = b"/lib64/ld-linux";
    let at = program.windows(loader.len()).position(|bytes| bytes == loader);
    let at = at.expect("/bin/true is linked for glibc on x86_64");
    program[at..at + loader.len()].copy_from_slice(b"/lib64/ld-xxxxx");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("program");
    std::fs::write(&path, program).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let end = Setup::new(Place::Subreaper, &[], &[path.to_str().unwrap()]).end();
    assert_eq!(end.code, Some(126));
    assert!(
        end.stderr.contains("loader /lib64/ld-xxxxx") && end.stderr.contains("musl"),
        "{end:?}"
    );
}

#[test]
fn programs_are_searched_in_the_applications_path() {
    let directory = tempfile::tempdir().unwrap();
    for (name, mode) in [("first", 0o644), ("second", 0o755)] {
        let path = directory.path().join(name);
        std::fs::create_dir(&path).unwrap();
        let tool = path.join("tool");
        std::fs::write(&tool, format!("#!/bin/sh\necho {name}\n")).unwrap();
        std::fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(mode))
            .unwrap();
    }
    let path = format!("/nowhere:{0}/first:{0}/second", directory.path().display());
    let end = Setup::new(Place::Subreaper, &[], &["tool"]).env("PATH", path).end();
    assert_eq!((end.code, end.lines), (Some(0), vec!["second".to_owned()]));
    let end = Setup::new(Place::Subreaper, &[], &["tool"])
        .env("PATH", format!("{}/first", directory.path().display()))
        .end();
    assert_eq!(end.code, Some(126));
    let end = Setup::new(Place::Subreaper, &[], &["true"])
        .with(|c| {
            c.env_remove("PATH");
        })
        .end();
    assert_eq!(end.code, Some(0), "{end:?}");
}

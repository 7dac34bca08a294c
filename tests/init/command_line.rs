//! The command line: the application's arguments are left alone, and errors are explained.

use crate::harness::{BOOTS, Place, Setup, executables, premain, probe};

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
    let plain = file("plain.sh", b"#!/bin/sh\n", 0o644);
    let strange = file("strange.sh", b"#!/no/such/interpreter -x\n", 0o755);
    for (program, status, says) in [
        ("no-such-program".to_owned(), 127, "no directory of PATH"),
        ("/no/such/program".to_owned(), 127, "no such file"),
        ("./no-such-program".to_owned(), 127, "working directory"),
        (plain.clone(), 126, "chmod +x"),
        (directory.path().to_str().unwrap().to_owned(), 126, "directory"),
        (file("windows.sh", b"#!/bin/sh\r\necho\r\n", 0o755), 126, "CRLF"),
        (strange.clone(), 126, "/no/such/interpreter"),
        (file("nested.sh", format!("#!{strange}\n").as_bytes(), 0o755), 126, &strange),
        (file("denied.sh", format!("#!{plain}\n").as_bytes(), 0o755), 126, &plain),
        (file("foreign", &foreign, 0o755), 126, "this machine is"),
        (file("data", b"PK\x03\x04\0\0\n", 0o755), 126, "neither a program nor a script"),
        (file("empty", b"", 0o755), 126, "the file is empty"),
        ("/bin/echo hello".to_owned(), 127, "words of their own"),
    ] {
        // Nothing listens there: with the last ones it ends before anything is waited for.
        let wait = ["--wait-for", "tcp://127.0.0.1:1", "--wait-timeout", "1h"];
        let waits = [&["--exec"], &wait[..]].concat();
        let as_user = [&["--user", "4242"], &wait[..]].concat();
        for options in [&[][..], &["--exec"], &wait, &waits, &as_user] {
            let end = Setup::new(Place::Subreaper, options, &[&program]).end();
            assert_eq!(end.code, Some(status), "{program} {options:?}: {end:?}");
            assert!(end.stderr.contains(says), "{program} {options:?}: {end:?}");
            assert!(!end.stderr.contains("waiting"), "{program} {options:?}: {end:?}");
        }
    }
}

#[test]
fn a_script_without_an_interpreter_is_run_by_the_shell() {
    let directory = executables(&[("bare", "echo \"$0 $*\"; exit 3\n"), ("#", "# hello\n")]);
    let bare = directory.path().join("bare").into_os_string().into_string().unwrap();
    for boot in [BOOTS[0], BOOTS[1], &["--exec"]] {
        for program in ["bare", &bare] {
            let end = Setup::new(Place::Subreaper, boot, &[program, "two words", "-x"])
                .env("PATH", directory.path())
                .end();
            let lines = vec![format!("{bare} two words -x")];
            assert_eq!((end.code, end.lines), (Some(3), lines), "{boot:?} {program}");
        }
        let end = Setup::new(Place::Subreaper, boot, &["#"]).env("PATH", directory.path()).end();
        assert_eq!(end.code, Some(0), "{end:?}");
    }
}

#[test]
fn a_misspelled_subcommand_is_wrong_usage_and_one_behind_dashes_is_explained() {
    let wait = ["--wait-for", "tcp://127.0.0.1:1", "--wait-timeout", "1h"];
    // Not even a hook could be meant to create it.
    let hook = ["--entrypoint-d", "/usr/bin"];
    for options in [&[][..], &wait, &["--exec"], &[&wait[..], &hook].concat()] {
        let end = run(&[options, &["statsu", "--exit-code"]].concat());
        assert_eq!(end.code, Some(64), "{options:?}: {end:?}");
        assert!(end.stderr.contains("did you mean 'premain status'?"), "{end:?}");
        for word in ["run", "--"] {
            let end = run(&[options, &[word, "status"]].concat());
            assert_eq!(end.code, Some(127), "{options:?}: {end:?}");
            let said = [
                format!("'{} status'", premain()),
                format!("'docker compose run --entrypoint {} app status'", premain()),
                format!("'docker compose exec app {} status'", premain()),
            ];
            assert!(said.iter().all(|said| end.stderr.contains(said)), "{end:?}");
        }
    }
    // Behind dashes a program of that name is meant, and without them it is the subcommand.
    let directory = executables(&[("status", "#!/bin/sh\necho mine"), ("statsu", "echo so")]);
    let path = |words: &[&str]| {
        Setup::program(Place::Subreaper, premain(), words).env("PATH", directory.path()).end()
    };
    assert_eq!(path(&["--", "status"]).lines, ["mine"]);
    assert_eq!(path(&["statsu"]).lines, ["so"]);
    assert_eq!(path(&["status"]).code, Some(78));
}

#[test]
fn an_empty_command_is_named_as_such() {
    for words in [&["--", ""][..], &["run", " "], &["", "x"]] {
        let end = run(words);
        assert_eq!(end.code, Some(64), "{words:?}: {end:?}");
        assert!(end.stderr.contains("the command to run is empty"), "{end:?}");
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
    for boot in [&[][..], &["--wait-for", "tcp://127.0.0.1:1", "--wait-timeout", "1h"]] {
        let end = Setup::new(Place::Subreaper, boot, &[path.to_str().unwrap()]).end();
        assert_eq!(end.code, Some(126));
        assert!(
            end.stderr.contains("loader /lib64/ld-xxxxx") && end.stderr.contains("musl"),
            "{end:?}"
        );
    }
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
    // The first that can be executed: not one without permission, nor one without its interpreter.
    std::fs::create_dir(directory.path().join("tool")).unwrap();
    let broken = executables(&[("tool", "#!/no/such/interpreter\n")]);
    let path = format!(
        "/nowhere:{0}:{0}/first:{1}:{0}/second",
        directory.path().display(),
        broken.path().display()
    );
    for boot in BOOTS {
        let end = Setup::new(Place::Subreaper, boot, &["tool"]).env("PATH", &path).end();
        assert_eq!((end.code, end.lines), (Some(0), vec!["second".to_owned()]));
    }
    // An empty directory of PATH is the working directory.
    let end = Setup::new(Place::Subreaper, BOOTS[1], &["tool"])
        .env("PATH", "/nowhere:")
        .with(|command| {
            command.current_dir(directory.path().join("second"));
        })
        .end();
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

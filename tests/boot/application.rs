//! The application is found before anything is waited for or migrated.

use crate::support::postgres::Server;
use crate::support::premain::premain;
use crate::support::{directory, executables};

const FILES: [(&str, &str); 1] = [("V1__t.sql", "CREATE TABLE t ()")];

#[test]
fn nothing_is_migrated_for_an_application_that_cannot_be_executed() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    let plain = directory(&[("plain", "#!/bin/sh")]);
    let plain = plain.path().join("plain").display().to_string();
    let broken = executables(&[("broken", "#!/no/such/interpreter")]);
    let broken = broken.path().join("broken").display().to_string();
    for (words, status, says) in [
        (&["--", "no-such-program"][..], 127, "no directory of PATH contains it: /usr/bin:/bin"),
        (&["statsu"], 64, "did you mean 'premain status'?"),
        (&["--", "status"], 127, "docker compose run --entrypoint "),
        (&["--", "--help"], 127, "docker compose run --entrypoint "),
        (&["--", ""], 64, "the command to run is empty"),
        (&[&plain], 126, "chmod +x"),
        (&[&broken], 126, "/no/such/interpreter"),
        (&["--user", "4242", "--", "/root/no-such-program"], 126, "Permission denied"),
        (&["--exec", "--", "no-such-program"], 127, "no directory of PATH"),
    ] {
        let ended = premain(["--migrations"])
            .with(place.path())
            .words(words)
            .database(database.url())
            .run()
            .code(status);
        assert_eq!(ended.lines_with("migration"), 0, "{words:?}: {}", ended.log);
        ended.says(says);
        assert!(!database.has_table("t"), "{words:?}");
    }
}

#[test]
fn a_program_with_the_name_of_a_subcommand_is_started_behind_dashes() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    let programs = executables(&[("status", "#!/bin/sh\necho mine $1")]);
    let ended = premain(["--migrations"])
        .with(place.path())
        .words(["--", "status", "x"])
        .env("PATH", programs.path())
        .database(database.url())
        .run()
        .code(0);
    assert_eq!(ended.output, "mine x\n");
    assert!(database.has_table("t"));
}

#[test]
fn a_hook_may_create_the_application() {
    let server = Server::shared();
    let place = directory(&FILES);
    for hook in ["--generate", "--before-migrate", "--after-migrate", "--entrypoint-d"] {
        for creates in [true, false] {
            let database = server.database();
            let made = tempfile::tempdir().unwrap();
            let application = made.path().join("application");
            let shown = application.display();
            let script = match creates {
                true => format!("printf '#!/bin/sh\\necho made' > {shown}; chmod +x {shown}"),
                false => "true".to_owned(),
            };
            let scripts = executables(&[("1.sh", &script)]);
            let directory = scripts.path().display().to_string();
            let value = if hook == "--entrypoint-d" { directory } else { directory + "/1.sh" };
            let ended = premain(["--migrations"])
                .with(place.path())
                .words([hook, &value, "--"])
                .with(&application)
                .database(database.url())
                .run();
            if creates {
                let ended = ended.code(0).says_nothing_of("cannot find");
                assert_eq!(ended.output, "made\n", "{hook}");
                continue;
            }
            ended.code(127).says("there is no such file");
            // What runs after the migrations could still have created it.
            let migrated = ["--after-migrate", "--entrypoint-d"].contains(&hook);
            assert_eq!(database.has_table("t"), migrated, "{hook}");
        }
    }
}

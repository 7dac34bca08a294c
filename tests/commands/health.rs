//! `premain health`, in the PID namespace of a premain that boots or runs.

use std::io::Read as _;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::postgres::Server;
use crate::support::process::{Printed, children_of, kill_family};
use crate::support::{PATIENCE, directory, output, program, wait_for};

const PREMAIN: &str = env!("CARGO_BIN_EXE_premain");

/// premain as PID 1 of a namespace, as in a container.
struct Container {
    child: Child,
    output: Printed,
    /// PID 1, by its number outside of the namespace.
    init: i32,
    variables: Vec<(String, String)>,
}

/// What `premain health` said.
#[derive(Debug)]
struct Answer {
    code: i32,
    text: String,
}

impl Container {
    fn start(words: &[&str], variables: &[(&str, &str)]) -> Container {
        let variables: Vec<_> = variables
            .iter()
            .chain(&[("PATH", "/usr/bin:/bin")])
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let mut child = Command::new(program("unshare", "util-linux"))
            .args(["--pid", "--fork", "--mount-proc", "--kill-child", PREMAIN])
            .args(words)
            .env_clear()
            .envs(variables.clone())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = Printed::by(child.stdout.take().unwrap());
        let init = wait_for("PID 1", || {
            let pid = *children_of(child.id().cast_signed()).first()?;
            // Once unshare has executed premain.
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
            (name.trim() != "unshare").then_some(pid)
        });
        Container { child, output, init, variables }
    }

    fn inside(&self) -> Command {
        let mut command = Command::new(program("nsenter", "util-linux"));
        command.args(["--target", &self.init.to_string(), "--pid", "--mount", "--"]);
        command.env_clear().envs(self.variables.clone());
        command
    }

    /// Asks, as `docker exec` and HEALTHCHECK do.
    fn health(&self, options: &[&str]) -> Answer {
        let output = output(self.inside().args([PREMAIN, "health"]).args(options));
        let text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        Answer { code: output.status.code().unwrap(), text }
    }

    /// Waits until the application runs.
    fn runs(&mut self) {
        assert_eq!(self.output.line_within(PATIENCE).as_deref(), Some("started"));
    }

    /// Waits until the answer begins like this.
    fn says(&self, options: &[&str], text: &str) -> Answer {
        wait_for(text, || Some(self.health(options)).filter(|answer| answer.text.starts_with(text)))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        kill_family(&mut self.child);
    }
}

const APPLICATION: [&str; 3] = ["sh", "-c", "echo started; exec sleep 1000"];

#[test]
fn a_waiting_premain_is_starting() {
    let url = "postgres://x@127.0.0.1:1/x";
    let container = Container::start(&APPLICATION, &[("DATABASE_URL", url)]);
    let answer = container.says(&[], "waiting for the database");
    assert_eq!(answer.code, 3, "{answer:?}");
    // A liveness probe leaves it alone.
    assert_eq!(container.health(&["--boot-ok"]).code, 0);
    assert_eq!(container.health(&["--boot-ok", "--tcp", "127.0.0.1:1"]).code, 0);
}

#[test]
fn a_migrating_premain_is_not_healthy_but_alive() {
    let database = Server::shared().database();
    let place = directory(&[("V1__slow.sql", "SELECT pg_sleep(1000)")]);
    let migrations = place.path().display().to_string();
    let variables = [("DATABASE_URL", &*database.url()), ("PREMAIN_MIGRATIONS", &migrations)];
    let container = Container::start(&APPLICATION, &variables);
    let answer = container.says(&[], "migrating");
    assert_eq!((answer.code, &*answer.text), (4, "migrating"), "{answer:?}");
    assert_eq!(container.health(&["--boot-ok"]).code, 0);
    let json = container.health(&["--output", "json"]);
    let json: Value = serde_json::from_str(&json.text).unwrap();
    assert_eq!(json, serde_json::json!({"phase": "migrating", "healthy": false, "checks": []}));
    // `premain migrate`, a Job's only process, has no init.
    let words = ["migrate", "--lock-timeout", "0"];
    let job = Container::start(&words, &variables);
    assert_eq!(job.says(&[], "migrating").code, 4);
}

#[test]
fn a_running_hook_counts_as_starting_or_migrating() {
    let place = directory(&[]);
    let script = place.path().join("1.sh");
    std::fs::write(&script, "#!/bin/sh\nexec sleep 1000").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let directory = place.path().display().to_string();
    let container = Container::start(&APPLICATION, &[("PREMAIN_ENTRYPOINT_D", &directory)]);
    assert_eq!(container.says(&[], "starting").code, 3);
    let database = Server::shared().database();
    let variables = [
        ("DATABASE_URL", &*database.url()),
        ("PREMAIN_MIGRATIONS", "none"),
        ("PREMAIN_AFTER_MIGRATE", "sleep 1000"),
    ];
    let container = Container::start(&APPLICATION, &variables);
    assert_eq!(container.says(&[], "migrating").code, 4);
}

#[test]
fn a_running_application_is_healthy_only_with_its_database() {
    let mut server = Server::start(&[]);
    let url = server.database().url();
    let variables = [("DATABASE_URL", &*url), ("PREMAIN_MIGRATIONS", "none")];
    for options in [&[][..], &["--exec"]] {
        let mut container = Container::start(&[options, &APPLICATION].concat(), &variables);
        container.runs();
        let answer = container.health(&[]);
        let expected = (0, "running; PostgreSQL (DATABASE_URL) is ready");
        assert_eq!((answer.code, &*answer.text), expected, "{answer:?}");
    }
    let mut container = Container::start(&APPLICATION, &variables);
    container.runs();
    server.crash();
    let answer = container.health(&[]);
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(
        answer.text.starts_with("running; PostgreSQL (DATABASE_URL) is not ready: "),
        "{answer:?}"
    );
    let optional = container.health(&["--db-optional"]);
    assert_eq!(optional.code, 0);
    assert!(optional.text.ends_with("and optional (--db-optional)"), "{optional:?}");
    // An application is asked for itself, and answers for its database as it likes.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().to_string();
    assert_eq!(container.health(&["--tcp", &port]).code, 0);
}

#[test]
fn a_frozen_server_does_not_hang_the_check() {
    let server = Server::start(&[]);
    let url = server.database().url();
    let variables = [("DATABASE_URL", &*url), ("PREMAIN_MIGRATIONS", "none")];
    let mut container = Container::start(&APPLICATION, &variables);
    container.runs();
    server.freeze();
    let answer = container.health(&["--health-timeout", "200ms"]);
    server.thaw();
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(answer.text.ends_with("is not ready: no answer in time"), "{answer:?}");
}

#[test]
fn a_signal_ends_a_check_that_waits() {
    let mut container = Container::start(&APPLICATION, &[("DB_HOST_IS_NOT", "set")]);
    container.runs();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    silent.set_nonblocking(true).unwrap();
    let page = format!("http://{}/health", silent.local_addr().unwrap());
    let words = [PREMAIN, "health", "--health-timeout", "1h", "--http", &page];
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let mut health = container.inside().args(words).stderr(Stdio::piped()).spawn().unwrap();
        let _asked = wait_for("its question", || silent.accept().ok());
        // nsenter enters the namespace in a child, and exits as that does.
        let [pid] = children_of(health.id().cast_signed())[..] else { panic!("one child") };
        kill(Pid::from_raw(pid), signal).unwrap();
        assert_eq!(wait_for("its end", || health.try_wait().unwrap()).code(), Some(code));
    }
}

#[test]
fn http_and_tcp_checks_replace_the_database_check() {
    let mut container = Container::start(&APPLICATION, &[("DB_HOST_IS_NOT", "set")]);
    container.runs();
    assert_eq!(container.health(&[]).text, "running");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let page = format!("http://{address}/health");
    std::thread::spawn(move || {
        for (status, stream) in
            ["200 OK", "204 None", "503 No"].into_iter().zip(listener.incoming())
        {
            let mut stream = stream.unwrap();
            let mut request = [0; 16];
            stream.read_exact(&mut request).unwrap();
            assert!(request.starts_with(b"GET /health HTTP"));
            std::io::Write::write_all(&mut stream, format!("HTTP/1.1 {status}\r\n\r\n").as_bytes())
                .unwrap();
        }
    });
    for (code, said) in
        [(0, "is ready"), (0, "is ready"), (1, "is not ready: it answers with status 503")]
    {
        let answer = container.health(&["--http", &page]);
        assert_eq!(answer.code, code, "{answer:?}");
        assert_eq!(answer.text, format!("running; {page} {said}"));
    }
    let json = container.health(&["--output", "json", "--tcp", "127.0.0.1:1"]);
    assert_eq!(json.code, 1);
    let json: Value = serde_json::from_str(&json.text).unwrap();
    assert_eq!(json["phase"], "running");
    assert_eq!(json["checks"][0]["target"], "tcp://127.0.0.1:1");
    assert_eq!(json["checks"][0]["ready"], false);
    assert_eq!(container.health(&["--http", "db:80"]).code, 64);
    assert_eq!(container.health(&["--tcp", "8080"]).code, 64);
}

#[test]
fn any_user_may_run_the_check() {
    let mut container = Container::start(&APPLICATION, &[]);
    container.runs();
    let place = tempfile::tempdir().unwrap();
    // A user who may execute premain, and read of PID 1 only what every user may.
    let copy = place.path().join("premain");
    std::fs::copy(PREMAIN, &copy).unwrap();
    std::fs::set_permissions(place.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let ask = || {
        let mut command = container.inside();
        let words = ["--reuid=65534", "--regid=65534", "--clear-groups"];
        command.arg(program("setpriv", "util-linux")).args(words).arg(&copy).arg("health");
        // The container's setting, which this user may not apply.
        output(command.env("PREMAIN_USER", "1:1"))
    };
    assert_eq!(String::from_utf8_lossy(&ask().stdout), "running\n");
    let hide = ["mount", "-o", "remount,hidepid=invisible", "/proc"];
    assert!(output(container.inside().args(hide)).status.success());
    let blind = ask();
    assert_eq!(blind.status.code(), Some(71));
    assert!(String::from_utf8_lossy(&blind.stderr).contains("hidepid"), "{blind:?}");
}

#[test]
fn surplus_arguments_are_wrong_usage() {
    let output = output(Command::new(PREMAIN).args(["health", "now"]));
    assert_eq!(output.status.code(), Some(64));
}

//! What a boot costs beside the tools that users would pick instead, measured in turns, so that other
//! load on the machine affects all of them alike.
//!
//! `cargo bench --bench boot`; needs what `tests/run` installs. Ends with 1 if a goal is missed.

#![allow(
    missing_docs,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a measurement that cannot be made should say where"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use support::postgres::{Database, PASSWORD, Server};
use support::premain::migrate;
use support::{directory, program, wait_for};

/// The goal: premain notices within this time that a server has become ready.
const NOTICED: Duration = Duration::from_millis(60);

/// The goal: once the session of the migrating replica has ended, the next replica is done within this time.
const HANDED_OVER: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let mut server = Server::create(&["fsync=on", "synchronous_commit=on"]);
    server.hba("local all all trust\nhost all all all scram-sha-256\n");
    server.run();
    nothing_pending(&server);
    hundred_pending(&server);
    let (noticed, handed_over) = (ready_lag(), hand_over(&server));
    if noticed && handed_over { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A tool that migrates, or at least connects.
struct Tool {
    name: &'static str,
    command: fn(url: &str, directory: &Path) -> Command,
}

const PREMAIN: Tool = Tool {
    name: "premain",
    command: |url, directory| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_premain"));
        command.args(["migrate", "--migrations"]).arg(directory).env("DATABASE_URL", url);
        command
    },
};

/// What many a `docker-entrypoint.sh` does.
const SHELL: Tool = Tool {
    name: "sh and psql",
    command: |url, directory| {
        const SCRIPT: &str = r#"
            psql "$URL" -XqAtc 'CREATE TABLE IF NOT EXISTS history (file text PRIMARY KEY)'
            applied=$(psql "$URL" -XqAtc 'SELECT file FROM history')
            for path in "$1"/*.sql; do
                file=${path##*/}
                case $applied in *"$file"*) continue ;; esac
                psql "$URL" -Xq1 -v ON_ERROR_STOP=1 -f "$path" -c "INSERT INTO history VALUES ('$file')"
            done"#;
        program("psql", "postgresql-client");
        let mut command = Command::new("sh");
        command.args(["-ec", SCRIPT, "sh"]).arg(directory).env("URL", url);
        command
    },
};

/// The least that a script could do: one login, one query, no migration.
const PSQL: Tool = Tool {
    name: "psql, one query",
    command: |url, _| {
        let mut command = Command::new(program("psql", "postgresql-client"));
        command.args(["-XqAt", url, "-c", "SELECT 1"]);
        command
    },
};

fn url(database: &Database<'_>) -> String {
    database.url().replace("postgres@", &format!("postgres:{PASSWORD}@"))
}

fn hundred() -> tempfile::TempDir {
    let files: Vec<_> = (1..=100)
        .map(|n| (format!("V{n}__t{n}.sql"), format!("CREATE TABLE t{n} (a int)")))
        .collect();
    directory(&files.iter().map(|(name, sql)| (name.as_str(), sql.as_str())).collect::<Vec<_>>())
}

fn timed(command: &mut Command) -> Duration {
    let began = Instant::now();
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    let took = began.elapsed();
    assert!(status.success(), "{command:?}: {status}");
    took
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn print_rows(title: &str, tools: &[Tool], times: &mut [Vec<Duration>]) {
    println!("\n{title}");
    let ours = median(&mut times[0]);
    for (tool, times) in tools.iter().zip(times) {
        let median = median(times);
        let ratio = median.as_secs_f64() / ours.as_secs_f64();
        println!("  {:20} {:8.1} ms  {ratio:5.2}×", tool.name, median.as_secs_f64() * 1e3);
    }
}

fn nothing_pending(server: &Server) {
    let files = hundred();
    let tools = [PREMAIN, SHELL, PSQL];
    let databases: Vec<_> = tools.iter().map(|_| server.database()).collect();
    for (tool, database) in tools.iter().zip(&databases) {
        timed(&mut (tool.command)(&url(database), files.path()));
    }
    let mut times = vec![Vec::new(); tools.len()];
    for _ in 0..30 {
        for ((tool, times), database) in tools.iter().zip(&mut times).zip(&databases) {
            times.push(timed(&mut (tool.command)(&url(database), files.path())));
        }
    }
    print_rows("100 applied, nothing pending (SCRAM, loopback, median of 30)", &tools, &mut times);
}

fn hundred_pending(server: &Server) {
    let files = hundred();
    let tools = [PREMAIN, SHELL];
    let mut times = vec![Vec::new(); tools.len()];
    for _ in 0..7 {
        for (tool, times) in tools.iter().zip(&mut times) {
            let database = server.database();
            times.push(timed(&mut (tool.command)(&url(&database), files.path())));
        }
    }
    print_rows("100 pending (SCRAM, loopback, fsync on, median of 7)", &tools, &mut times);
}

/// From "ready to accept connections" to the application's first instruction.
fn ready_lag() -> bool {
    let mut lags: Vec<Duration> = (0..15).map(|_| one_lag()).collect();
    let median = median(&mut lags);
    println!("\nfrom ready to the application (a server that starts late, 15 times)");
    println!("  median {median:.0?}, worst {:.0?}, allowed {NOTICED:?}", lags[lags.len() - 1]);
    median <= NOTICED
}

/// Both times are of the kernel's clock: the server's log has the time at which it was ready, and the
/// application is `date`.
fn one_lag() -> Duration {
    let mut server = Server::create(&["log_line_prefix='%n '"]);
    let application = Command::new(env!("CARGO_BIN_EXE_premain"))
        .args(["--migrations", "none", "--", "date", "+%s.%N"])
        .env("DATABASE_URL", server.url("postgres"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    server.launch();
    let output = application.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", output.status);
    let seconds = |text: &str| Duration::from_secs_f64(text.trim().parse().unwrap());
    let started = seconds(&String::from_utf8(output.stdout).unwrap());
    let log = server.log();
    let ready = log.lines().find(|line| line.contains("ready to accept")).unwrap();
    started.saturating_sub(seconds(ready.split(' ').next().unwrap()))
}

/// From the end of the migrating session (terminated here; in production the server notices it by itself)
/// to the end of the migration that the next replica runs.
fn hand_over(server: &Server) -> bool {
    let mut times: Vec<Duration> = (0..15).map(|_| one_hand_over(server)).collect();
    let median = median(&mut times);
    let worst = times[times.len() - 1];
    println!("\nfrom the end of one replica's session to the next one's migration (15 times)");
    println!("  median {median:.0?}, worst {worst:.0?}, allowed {HANDED_OVER:?}");
    worst <= HANDED_OVER
}

fn one_hand_over(server: &Server) -> Duration {
    let database = server.database();
    database.psql(
        "CREATE SCHEMA site CREATE TABLE gate (seconds int); INSERT INTO site.gate VALUES (1000)",
    );
    let sql = "SELECT pg_sleep(coalesce(sum(seconds), 0)) FROM site.gate; CREATE TABLE t (a int)";
    let files = directory(&[("V1__slow.sql", sql)]);
    let url = database.url().replace("postgres@", &format!("postgres:{PASSWORD}@"));
    let replica = || migrate(files.path()).database(&url).start();
    let first = replica();
    let sleeper = "SELECT pid FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event = 'PgSleep'";
    let pid = wait_for("the first migrates", || {
        let pid = database.psql(sleeper);
        (!pid.is_empty()).then_some(pid)
    });
    let mut second = replica();
    second.wait_for("waiting for the migration lock");
    database.psql("DELETE FROM site.gate");
    first.signal(Signal::SIGKILL);
    let told = Instant::now();
    database.psql(&format!("SELECT pg_terminate_backend({pid})"));
    second.end().code(0).says("migration V1__slow applied");
    let took = told.elapsed();
    first.end().code(137);
    took
}

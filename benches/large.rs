//! A migration of 200 MB, applied by premain and by psql: how long it takes, and the peak memory of the
//! client and of its server process.
//!
//! `cargo bench --bench large`; needs what `tests/run` installs. Ends with 1 if a goal is missed.

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

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use support::postgres::{Database, Server};
use support::program;

const SIZE: usize = 200 << 20;

/// The goal for the memory of each side, in kilobytes.
const MEMORY: usize = 32 << 10;

/// The duration, and the peak memory of both sides in kilobytes.
struct Cost {
    took: Duration,
    client: usize,
    server: usize,
}

fn main() -> ExitCode {
    let server = Server::start(&["max_wal_size=4GB"]);
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("1_large.sql");
    let rows = write(&file);
    println!("{} MB, {rows} statements", SIZE >> 20);
    let tools = ["premain", "psql -1 -f"];
    let costs = tools.map(|tool| {
        let database = server.database();
        database.psql("CREATE SCHEMA site CREATE TABLE t (a int, b text)");
        let command = match tool {
            "premain" => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_premain"));
                command.args(["migrate", "--log", "error", "--migrations"]).arg(place.path());
                command.env("DATABASE_URL", database.url());
                command
            }
            _ => {
                let mut command = Command::new(program("psql", "postgresql-client"));
                command.args(["-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-f"]).arg(&file);
                command.arg(database.url());
                command
            }
        };
        let cost = cost(command, &database);
        assert_eq!(database.psql("SELECT count(*) FROM site.t"), rows.to_string());
        cost
    });
    for (tool, Cost { took, client, server }) in tools.iter().zip(&costs) {
        let ratio = took.as_secs_f64() / costs[0].took.as_secs_f64();
        println!(
            "  {tool:10} {:6.1} s  {ratio:4.2}×, client {:.1} MB, server {:.1} MB",
            took.as_secs_f64(),
            *client as f64 / 1024.0,
            *server as f64 / 1024.0
        );
    }
    let small = costs[0].client <= MEMORY && costs[0].server <= MEMORY;
    println!("  allowed: {} MB on either side", MEMORY >> 10);
    if small { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Writes the file; returns the number of rows that it inserts.
fn write(file: &Path) -> usize {
    let mut sql = String::with_capacity(SIZE + 1000);
    let mut rows = 0;
    while sql.len() < SIZE {
        let text = "größe; it''s 🦀 ".repeat(6);
        let _ = writeln!(sql, "INSERT INTO site.t VALUES ({rows}, '{text}');");
        rows += 1;
    }
    fs::write(file, sql).unwrap();
    rows
}

fn cost(mut command: Command, database: &Database<'_>) -> Cost {
    let began = Instant::now();
    let mut child = command.spawn().unwrap();
    let backend = support::wait_for("it works", || {
        let working = "SELECT min(pid) FROM pg_stat_activity \
                       WHERE datname = current_database() AND query LIKE 'INSERT%'";
        database.psql(working).parse::<u32>().ok()
    });
    let (mut client, mut server) = (0, 0);
    loop {
        client = client.max(own_memory(child.id()));
        server = server.max(own_memory(backend));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return Cost { took: began.elapsed(), client, server };
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The private memory of a process in kilobytes, that is, without shared buffers.
fn own_memory(pid: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.map_or(0, |line| line.trim().trim_end_matches(" kB").parse().unwrap())
}

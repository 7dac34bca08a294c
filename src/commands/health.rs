//! `premain health`: is the application up? For HEALTHCHECK and probes in images without a shell.
//!
//! The names of processes show how far the start has come ([`Phase`]). Once the application runs,
//! the database or the named targets are asked. Nothing is written anywhere.

use std::fmt::Write as _;
use std::fs;
use std::io;

use futures_util::future::join_all;
use serde::Serialize;

use super::output;
use crate::boot;
use crate::config::Config;
use crate::error::Error;
use crate::exit::Exit;
use crate::phase::{self, Phase};
use crate::sys::Inherited;
use crate::wait::{self, Target};

/// The whole answer; JSON is exactly this.
#[derive(Debug, Serialize)]
struct Health {
    phase: Stage,
    healthy: bool,
    checks: Vec<Check>,
}

/// How far the start has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Stage {
    /// The start failed, or the application has ended, and the container is about to.
    Failed,
    Starting,
    Waiting,
    Migrating,
    Running,
}

impl From<Phase> for Stage {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Starting => Stage::Starting,
            Phase::Waiting => Stage::Waiting,
            Phase::Migrating => Stage::Migrating,
        }
    }
}

impl Stage {
    fn text(self) -> &'static str {
        match self {
            Stage::Failed => "failed: the start did not succeed, or the application has ended",
            Stage::Starting => "starting",
            Stage::Waiting => "waiting for the database, or for another target",
            Stage::Migrating => "migrating",
            Stage::Running => "running",
        }
    }
}

/// One target, and whether it is ready.
#[derive(Debug, Serialize)]
struct Check {
    target: String,
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Whether the application runs without it, too (`--db-optional`).
    optional: bool,
}

pub(super) fn run(config: &Config, inherited: &Inherited) -> Result<Exit, Error> {
    let what = "list the processes";
    let phase = stage(&processes().map_err(|source| Error::System { what, source })?);
    let checks = match phase {
        Stage::Running => checks(config, inherited)?,
        // There is no application yet.
        _ => Vec::new(),
    };
    let exit = verdict(phase, &checks, config.health.boot_ok);
    let health = Health { phase, healthy: exit == Exit::Success, checks };
    output::print(&match config.status.json {
        true => format!("{}\n", serde_json::to_string(&health).unwrap_or_default()),
        false => sentence(&health),
    });
    Ok(exit)
}

fn verdict(phase: Stage, checks: &[Check], boot_ok: bool) -> Exit {
    match phase {
        Stage::Starting | Stage::Waiting | Stage::Migrating if boot_ok => Exit::Success,
        Stage::Starting | Stage::Waiting => Exit::Booting,
        Stage::Migrating => Exit::Migrating,
        Stage::Running if checks.iter().all(|check| check.ready || check.optional) => Exit::Success,
        Stage::Running | Stage::Failed => Exit::Unhealthy,
    }
}

/// `running; PostgreSQL (DATABASE_URL) is ready`: what `docker inspect` shows.
fn sentence(health: &Health) -> String {
    let mut text = health.phase.text().to_owned();
    for Check { target, reason, optional, .. } in &health.checks {
        // Writing to a string cannot fail.
        let _ = match reason {
            None => write!(text, "; {target} is ready"),
            Some(reason) => write!(text, "; {target} is not ready: {reason}"),
        };
        if *optional && reason.is_some() {
            text.push_str(", and optional (--db-optional)");
        }
    }
    text + "\n"
}

/// Asks the named targets, otherwise the database, all at once and within the timeout.
fn checks(config: &Config, inherited: &Inherited) -> Result<Vec<Check>, Error> {
    let database = config.database.clone().map(|database| Target::Postgres(Box::new(database)));
    let (targets, optional) = match config.health.targets.as_slice() {
        [] => (database.into_iter().collect(), config.wait.db_optional),
        named => (named.to_vec(), false),
    };
    if targets.is_empty() {
        // Without a target no runtime is needed.
        return Ok(Vec::new());
    }
    boot::in_runtime(config, inherited, async |context| {
        let answers = targets.iter().map(async |target| {
            let asked = tokio::time::timeout(config.health.timeout, wait::check_once(target));
            let reason = match asked.await {
                Ok(answer) => answer.err().map(|failure| failure.reason),
                Err(_) => Some("no answer in time".to_owned()),
            };
            let target = wait::name(target);
            Check { target, ready: reason.is_none(), reason, optional }
        });
        Ok(context.shutdown.race("asking", join_all(answers)).await?)
    })
}

/// A process, as every user may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    pid: i32,
    parent: i32,
    name: Vec<u8>,
}

impl Process {
    /// From `/proc/PID/stat`: `7 (premain:wait) S 1 …`; `None` if it has ended.
    fn parse(line: &[u8]) -> Option<Process> {
        let opens = line.iter().position(|&byte| byte == b'(')?;
        let closes = line.iter().rposition(|&byte| byte == b')')?;
        let text = |bytes| std::str::from_utf8(bytes).ok();
        let pid = text(line.get(..opens)?)?.trim().parse().ok()?;
        let mut rest = text(line.get(closes + 1..)?)?.split_ascii_whitespace();
        let state = rest.next()?;
        let parent = rest.next()?.parse().ok()?;
        let name = line.get(opens + 1..closes)?.to_vec();
        (!matches!(state, "Z" | "X")).then_some(Process { pid, parent, name })
    }

    fn is_init(&self) -> bool {
        self.name == phase::INIT.to_bytes()
    }
}

fn processes() -> io::Result<Vec<Process>> {
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().parse::<i32>().is_err() {
            continue;
        }
        // It may have ended meanwhile.
        processes
            .extend(fs::read(entry.path().join("stat")).ok().as_deref().and_then(Process::parse));
    }
    if processes.iter().all(|process| process.pid != 1) {
        return Err(io::Error::other(
            "PID 1 is not visible, because /proc is mounted with hidepid; run this as premain's user",
        ));
    }
    Ok(processes)
}

/// How far PID 1 has come with its start. If PID 1 is not premain, the least advanced premain
/// counts. With `--exec` the application replaces premain, and there is none.
fn stage(processes: &[Process]) -> Stage {
    let of = |candidate: &Process| of_start(candidate, processes);
    let first = processes.iter().find(|process| process.pid == 1).and_then(of);
    first.or_else(|| processes.iter().filter_map(of).min()).unwrap_or(Stage::Running)
}

/// How far this process has come with its start; `None` if it is not premain.
fn of_start(candidate: &Process, all: &[Process]) -> Option<Stage> {
    if !candidate.is_init() {
        return Phase::from_process_name(&candidate.name).map(Stage::from);
    }
    let children = || all.iter().filter(|process| process.parent == candidate.pid);
    if let Some(phase) = children().find_map(|child| Phase::from_process_name(&child.name)) {
        return Some(phase.into());
    }
    Some(match children().count() {
        0 => Stage::Failed,
        // It has just forked, and the child still has its name.
        1 if children().all(Process::is_init) => Stage::Starting,
        _ => Stage::Running,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, name: &str) -> Process {
        Process { pid, parent, name: name.as_bytes().to_vec() }
    }

    #[test]
    fn a_process_is_parsed_whatever_its_name() {
        let read = |line: &[u8]| Process::parse(line);
        assert_eq!(read(b"7 (premain:wait) S 1 7"), Some(process(7, 1, "premain:wait")));
        assert_eq!(read(b"8 (a) b (c)) R 7 8"), Some(process(8, 7, "a) b (c)")));
        for none in [&b"9 (gone) Z 1 9"[..], b"", b"x", b"9 (", b"9 )(", b"9 (a)"] {
            assert_eq!(read(none), None);
        }
    }

    #[test]
    fn the_phase_is_that_of_the_boot_until_it_is_the_application() {
        let init = process(1, 0, "premain:init");
        let with = |name: &str| vec![init.clone(), process(7, 1, name), process(9, 7, "x")];
        assert_eq!(stage(&with("premain:init")), Stage::Starting);
        assert_eq!(stage(&with("premain:start")), Stage::Starting);
        assert_eq!(stage(&with("premain:wait")), Stage::Waiting);
        assert_eq!(stage(&with("premain:migrate")), Stage::Migrating);
        assert_eq!(stage(&with("node")), Stage::Running);
        assert_eq!(stage(&[init]), Stage::Failed);
    }

    #[test]
    fn without_an_init_the_boot_may_be_any_process() {
        assert_eq!(stage(&[process(1, 0, "premain:wait")]), Stage::Waiting);
        assert_eq!(stage(&[process(1, 0, "node")]), Stage::Running);
        let beside = [
            process(1, 0, "pause"),
            process(7, 0, "premain:init"),
            process(8, 7, "node"),
            process(9, 0, "premain:init"),
            process(10, 9, "premain:migrate"),
        ];
        assert_eq!(stage(&beside), Stage::Migrating);
        assert_eq!(stage(&beside[..3]), Stage::Running);
    }
}

//! Replicas of ten applications, one for each format, migrate on one server while everything goes wrong
//! that can; afterwards no migration was lost, none was repeated, and every history table says so.
//!
//! `cargo bench --bench soak -- [SECONDS [SEED]]`, 600 by default; needs what `tests/run` installs.
//! The seed decides what is done, not how the machine interleaves it. Ends with 1 and a list if an
//! invariant was violated.

#![allow(
    missing_docs,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a soak that cannot go on should say where"
)]

#[path = "../../tests/support/mod.rs"]
mod support;
mod world;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::layout::FORMATS;
use support::postgres::Server;
use support::premain::{Running, premain};
use support::proxy::{Fault, Kind, Proxy, Speaker};
use support::wait_for;
use world::{Action, World};

const REPLICAS: u64 = 6;

/// The exit status of the replicas' application.
const APPLICATION: i32 = 7;

fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let seconds = numbers.first().copied().unwrap_or(600);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let seed = numbers.get(1).copied().unwrap_or(now);
    println!("soak: {seconds} seconds, seed {seed}");

    // A crash must not lose what a client was told is committed.
    let mut server =
        Server::start(&["synchronous_commit=on", "max_wal_size=64MB", "max_connections=200"]);
    let worlds = FORMATS.map(|format| World::new(format, &server));
    let soak = Soak {
        proxy: Proxy::to(&server),
        worlds,
        over: AtomicBool::new(false),
        findings: Findings::default(),
    };
    std::thread::scope(|scope| {
        for replica in 0..REPLICAS {
            let (soak, dice) = (&soak, Dice(seed ^ (replica + 1) << 32));
            scope.spawn(move || soak.replica(dice));
        }
        // Also after a panic, so that the replicas end.
        let _over = Over(&soak.over);
        soak.torment(&mut server, Dice(seed), Duration::from_secs(seconds));
    });
    soak.check()
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// What all threads share.
struct Soak {
    proxy: Proxy,
    worlds: [World; 10],
    over: AtomicBool,
    findings: Findings,
}

/// What was seen.
#[derive(Default)]
struct Findings {
    tally: Mutex<BTreeMap<String, usize>>,
    violations: Mutex<Vec<String>>,
}

impl Findings {
    fn count(&self, what: impl Into<String>) {
        *self.tally.lock().unwrap().entry(what.into()).or_default() += 1;
    }

    fn violated(&self, what: String) {
        println!("soak: violated: {what}");
        self.violations.lock().unwrap().push(what);
    }

    /// So many violations have one cause, and it is in the first of them.
    fn are_enough(&self) -> bool {
        self.violations.lock().unwrap().len() >= 20
    }
}

impl Soak {
    /// Starts premain for one application after the other, and ends it in every possible way.
    fn replica(&self, mut dice: Dice) {
        while !self.over.load(Ordering::SeqCst) && !self.findings.are_enough() {
            let world = &self.worlds[dice.below(10) as usize];
            let action = match dice.below(10) {
                0 if world.has_down() => Action::RollBack,
                0..6 => Action::Launch,
                _ => Action::Migrate,
            };
            let url = match dice.one_in(2) {
                true => world.url.clone(),
                false => self.proxy.url(&world.database),
            };
            let premain = premain(["--wait-timeout", "20s", "--lock-timeout", "20s"])
                .words(["--ddl-lock-timeout", "200ms", "--log", "debug"])
                .words(world.migrations())
                .database(url);
            let exit = format!("exit {APPLICATION}");
            let mut running = match action {
                Action::Launch => premain.words(["--", "sh", "-c", &exit]).start(),
                Action::Migrate => premain.with("migrate").start(),
                Action::RollBack => premain.words(["rollback", "--yes"]).start(),
            };
            self.findings.count(format!("runs: {action:?}"));
            let launches = action == Action::Launch;
            let sent =
                if dice.one_in(3) { self.signal(&mut running, launches, &mut dice) } else { None };
            let ended = running.end();
            world.judge(&ended, action, sent, &self.findings);
            if ended.code == 65 {
                world.operate(&mut dice, &self.findings);
            }
        }
    }

    /// Sends it a random signal at a random time, if it still runs then.
    fn signal(&self, running: &mut Running, launches: bool, dice: &mut Dice) -> Option<Signal> {
        const SIGNALS: [Signal; 6] = [
            Signal::SIGKILL,
            Signal::SIGKILL,
            Signal::SIGTERM,
            Signal::SIGINT,
            Signal::SIGHUP,
            Signal::SIGSTOP,
        ];
        let signal = SIGNALS[dice.below(6) as usize];
        std::thread::sleep(Duration::from_millis(dice.below(300)));
        if running.has_ended() {
            return None;
        }
        let pid = running.pid();
        // The kernel ends a container with its init. Here the child of a killed init must be killed, too.
        let pid = match launches && signal == Signal::SIGKILL {
            true => children_of(pid).first().copied()?,
            false => pid,
        };
        let send = |signal| kill(Pid::from_raw(pid.try_into().unwrap()), signal);
        send(signal).ok()?;
        self.findings.count(format!("sent {signal}"));
        if signal == Signal::SIGSTOP {
            std::thread::sleep(Duration::from_millis(dice.below(1000)));
            let _ = send(Signal::SIGCONT);
            return None;
        }
        Some(signal)
    }

    /// One fault after the other, and a new migration now and then.
    fn torment(&self, server: &mut Server, mut dice: Dice, time: Duration) {
        let began = Instant::now();
        let mut holders: Vec<Child> = Vec::new();
        while began.elapsed() < time && !self.findings.are_enough() {
            std::thread::sleep(Duration::from_millis(dice.below(300)));
            let world = &self.worlds[dice.below(10) as usize];
            let what = match dice.below(48) {
                0..24 => {
                    world.add_migration(&mut dice);
                    continue;
                }
                24..30 => {
                    let victim = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                                  WHERE application_name = 'premain' ORDER BY random() LIMIT 1";
                    let _ = world.psql(victim);
                    "a backend terminated"
                }
                30..34 => {
                    self.proxy.cut();
                    "every connection through the proxy cut"
                }
                34..40 => {
                    let kinds = [Kind::Close, Kind::Reset, Kind::Truncate, Kind::Stall];
                    let speaker = if dice.one_in(2) { Speaker::Client } else { Speaker::Server };
                    let (message, kind) = (dice.below(60) as usize, kinds[dice.below(4) as usize]);
                    self.proxy.set(Fault { speaker, message, kind, stays_away: dice.one_in(8) });
                    "a fault set in the proxy"
                }
                40..44 => {
                    let time = dice.below(1500);
                    holders.push(world.hold(&format!(
                        "BEGIN; LOCK TABLE busy; SELECT pg_sleep({time} / 1000.0); COMMIT"
                    )));
                    "a table locked"
                }
                44..46 => {
                    holders.push(
                        world.hold("SELECT pg_advisory_lock(31650977343957358), pg_sleep(1)"),
                    );
                    "the migration lock held"
                }
                46 => {
                    server.freeze();
                    std::thread::sleep(Duration::from_millis(dice.below(1000)));
                    server.thaw();
                    "the server frozen for a moment"
                }
                _ => {
                    server.crash();
                    std::thread::sleep(Duration::from_millis(dice.below(1000)));
                    server.run();
                    "the server crashed, and started again"
                }
            };
            self.findings.count(format!("fault: {what}"));
            // Nothing else ends stalled connections.
            if dice.one_in(20) {
                self.proxy.heal();
                self.proxy.cut();
            }
        }
        self.over.store(true, Ordering::SeqCst);
        for mut holder in holders {
            let _ = holder.wait();
        }
        self.proxy.heal();
        wait_for("every replica has ended", || {
            self.proxy.cut();
            let running = self.worlds.iter().any(|world| !premains(world.root()).is_empty());
            (!running).then_some(())
        });
    }

    /// Checks the invariants.
    fn check(&self) -> ExitCode {
        let migrations: usize = self.worlds.iter().map(|world| world.check(&self.findings)).sum();
        for world in &self.worlds {
            let left = premains(world.root());
            if !left.is_empty() {
                self.findings.violated(format!("processes are left: {left:?}"));
            }
        }
        for (what, count) in self.findings.tally.lock().unwrap().iter() {
            println!("{count:7}  {what}");
        }
        let violations = self.findings.violations.lock().unwrap().len();
        println!("soak: {migrations} migrations in 10 formats, {violations} violations");
        ExitCode::from(u8::from(violations > 0))
    }
}

/// Every process, zombies too, that migrates below this directory or was started by this one to do so.
fn premains(directory: &Path) -> Vec<u32> {
    let directory = directory.to_str().unwrap();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let read = |file| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let status = read("stat");
        let zombie = status.contains("(premain) Z");
        let ours = || status.split(' ').nth(3) == Some(&std::process::id().to_string());
        read("cmdline").contains(directory) || zombie && ours()
    })
    .collect()
}

fn children_of(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    children.unwrap_or_default().split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Numbers that a seed decides: splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

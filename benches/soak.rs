//! Five replicas migrate against one server while everything goes wrong that can; afterwards every
//! migration must have been applied once and in order.
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

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::layout::recorded;
use support::postgres::Server;
use support::premain::{Ended, Running, premain};
use support::proxy::{Fault, Kind, Proxy, Speaker};
use support::{PATIENCE, program, wait_for};

const REPLICAS: u64 = 5;

/// The exit status of the replicas' application.
const APPLICATION: i32 = 7;

fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let seconds = numbers.first().copied().unwrap_or(600);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let seed = numbers.get(1).copied().unwrap_or(now);
    println!("soak: {seconds} seconds, seed {seed}");

    // A crash must not lose what a client was told is committed.
    let mut server = Server::start(&["synchronous_commit=on", "max_wal_size=64MB"]);
    let name = server.database().name;
    let world = World {
        proxy: Proxy::to(&server),
        directory: tempfile::tempdir().unwrap(),
        direct: server.url(&name),
        name,
        migrations: AtomicUsize::new(0),
        over: AtomicBool::new(false),
        tally: Mutex::default(),
        violations: Mutex::default(),
    };
    world.add_migration();
    std::thread::scope(|scope| {
        for replica in 0..REPLICAS {
            let (world, dice) = (&world, Dice(seed ^ (replica + 1) << 32));
            scope.spawn(move || world.replica(dice));
        }
        // Also after a panic, so that the replicas end.
        let _over = Over(&world.over);
        world.torment(&mut server, Dice(seed), Duration::from_secs(seconds));
    });
    world.check(&server)
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// What all threads share.
struct World {
    proxy: Proxy,
    directory: tempfile::TempDir,
    /// The URL of the database without the proxy.
    direct: String,
    name: String,
    migrations: AtomicUsize,
    over: AtomicBool,
    tally: Mutex<BTreeMap<String, usize>>,
    violations: Mutex<Vec<String>>,
}

impl World {
    fn count(&self, what: impl Into<String>) {
        *self.tally.lock().unwrap().entry(what.into()).or_default() += 1;
    }

    fn violated(&self, what: String) {
        println!("soak: violated: {what}");
        self.violations.lock().unwrap().push(what);
    }

    /// Adds the next file, atomically, as in an image.
    fn add_migration(&self) {
        let n = self.migrations.fetch_add(1, Ordering::SeqCst) + 1;
        let sql = match n {
            1 => "CREATE TABLE log (id serial, n int); CREATE TABLE busy (a int)".to_owned(),
            n if n % 7 == 0 => format!("ALTER TABLE busy ADD b{n} int; ALTER TABLE busy DROP b{n}"),
            n if n % 5 == 0 => "SELECT pg_sleep(0.3)".to_owned(),
            _ => "SELECT 1".to_owned(),
        };
        let part = self.directory.path().join("part");
        fs::write(&part, format!("{sql}; INSERT INTO log (n) VALUES ({n})")).unwrap();
        fs::rename(part, self.directory.path().join(format!("{n}_t{n}.sql"))).unwrap();
    }

    /// Starts premain again and again, and ends it in every possible way.
    fn replica(&self, mut dice: Dice) {
        while !self.over.load(Ordering::SeqCst) {
            let launches = dice.one_in(2);
            let url = if dice.one_in(2) { self.direct.clone() } else { self.proxy.url(&self.name) };
            let premain = premain(["--wait-timeout", "20s", "--lock-timeout", "20s"])
                .words(["--ddl-lock-timeout", "200ms", "--log", "debug", "--migrations"])
                .with(self.directory.path())
                .database(url);
            let exit = format!("exit {APPLICATION}");
            let mut running = match launches {
                true => premain.words(["--", "sh", "-c", &exit]).start(),
                false => premain.with("migrate").start(),
            };
            self.count("runs");
            let sent =
                if dice.one_in(3) { self.signal(&mut running, launches, &mut dice) } else { None };
            let ended = running.end();
            self.judge(&ended, launches, sent);
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
        self.count(format!("sent {signal}"));
        if signal == Signal::SIGSTOP {
            std::thread::sleep(Duration::from_millis(dice.below(1000)));
            let _ = send(Signal::SIGCONT);
            return None;
        }
        Some(signal)
    }

    /// Whether it ended as the table of exit codes has it.
    fn judge(&self, ended: &Ended, launches: bool, sent: Option<Signal>) {
        let success = if launches { APPLICATION } else { 0 };
        let stopped = sent.map(|signal| 128 + signal as i32);
        let fine = [success, 69, 75].contains(&ended.code) || Some(ended.code) == stopped;
        if !fine {
            self.violated(format!("exit {} after {sent:?}:\n{}", ended.code, ended.log));
        }
        self.count(format!("exit {}", ended.code));
        let counted = [
            ("connecting again", "connections taken up again"),
            ("it was committed", "found committed"),
            ("it was rolled back", "found rolled back"),
            ("trying again in", "waited for table locks"),
        ];
        for line in ended.log.lines() {
            for (_, what) in counted.iter().filter(|(text, _)| line.contains(text)) {
                self.count(*what);
            }
            let applied = line.strip_prefix("premain: migration ");
            if let Some((migration, _)) = applied.and_then(|line| line.split_once(" applied in")) {
                self.count("migrations applied");
                self.count(format!("claim: {migration}"));
            }
        }
    }

    /// One fault after the other, and a new migration now and then.
    fn torment(&self, server: &mut Server, mut dice: Dice, time: Duration) {
        let began = Instant::now();
        let mut holders: Vec<Child> = Vec::new();
        while began.elapsed() < time {
            std::thread::sleep(Duration::from_millis(dice.below(300)));
            let what = match dice.below(40) {
                0..16 => {
                    self.add_migration();
                    continue;
                }
                16..22 => {
                    let victim = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                                  WHERE application_name = 'premain' ORDER BY random() LIMIT 1";
                    let _ = server.try_psql(&self.name, victim);
                    "a backend terminated"
                }
                22..26 => {
                    self.proxy.cut();
                    "every connection through the proxy cut"
                }
                26..32 => {
                    let kinds = [Kind::Close, Kind::Reset, Kind::Truncate, Kind::Stall];
                    let speaker = if dice.one_in(2) { Speaker::Client } else { Speaker::Server };
                    let (message, kind) = (dice.below(60) as usize, kinds[dice.below(4) as usize]);
                    self.proxy.set(Fault { speaker, message, kind, stays_away: dice.one_in(8) });
                    "a fault set in the proxy"
                }
                32..36 => {
                    let time = dice.below(1500);
                    let hold =
                        format!("BEGIN; LOCK TABLE busy; SELECT pg_sleep({time} / 1000.0); COMMIT");
                    holders.push(holder(server, &self.name, &hold));
                    "a table locked"
                }
                36..38 => {
                    let hold = "SELECT pg_advisory_lock(31650977343957358), pg_sleep(1)";
                    holders.push(holder(server, &self.name, hold));
                    "the migration lock held"
                }
                38 => {
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
            self.count(format!("fault: {what}"));
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
            premains(self.directory.path()).is_empty().then_some(())
        });
    }

    /// Checks the invariants.
    fn check(&self, server: &Server) -> ExitCode {
        let directory = self.directory.path();
        let last =
            premain(["--migrations"]).with(directory).with("migrate").database(&self.direct).run();
        self.judge(&last, false, None);
        let ask = |sql: &str| server.psql(&self.name, sql);
        let total = self.migrations.load(Ordering::SeqCst);
        let every: Vec<_> = (1..=total).map(|n| n.to_string()).collect();
        for (what, sql) in
            [("ran", "SELECT n FROM log ORDER BY id"), ("is recorded", recorded("sql"))]
        {
            let found = ask(sql);
            if found.lines().collect::<Vec<_>>() != every {
                self.violated(format!("what {what} is not 1 to {total}, once each: {found}"));
            }
        }
        let none = |what: &str, sql: &str| {
            let began = Instant::now();
            while ask(sql) != "0" {
                if began.elapsed() > PATIENCE {
                    return self.violated(format!("{what}: {}", ask(sql)));
                }
            }
        };
        none("advisory locks", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'");
        none(
            "backends",
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'premain'",
        );
        let left = premains(directory);
        if !left.is_empty() {
            self.violated(format!("processes are left: {left:?}"));
        }
        for (what, count) in self.tally.lock().unwrap().iter() {
            match what.strip_prefix("claim: ") {
                Some(what) if *count > 1 => {
                    self.violated(format!("{count} said '{what} applied'"));
                }
                Some(_) => {}
                None => println!("{count:7}  {what}"),
            }
        }
        let violations = self.violations.lock().unwrap().len();
        println!("soak: {total} migrations, {violations} violations");
        ExitCode::from(u8::from(violations > 0))
    }
}

/// A session that holds locks for as long as its statements take.
fn holder(server: &Server, database: &str, sql: &str) -> Child {
    Command::new(program("psql", "postgresql-client"))
        .env_clear()
        .args(["-XqAt", "-U", "postgres", "-h"])
        .arg(server.socket())
        .args(["-p", &server.port().to_string(), "-d", database, "-c", sql])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Every process, zombies too, that migrates this directory or was started by this one to do so.
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

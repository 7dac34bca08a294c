//! premain's init beside tini, dumb-init and catatonit, measured in turns, so that other load on the
//! machine affects all of them alike.
//!
//! `cargo bench --bench init` as root; ends with 1 if a goal is missed.

#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a measurement that cannot be made has to say so and end"
)]
#![allow(
    unsafe_code,
    clippy::undocumented_unsafe_blocks,
    reason = "the applications of this comparison are made of system calls"
)]

#[allow(dead_code, reason = "the tests use what this does not")]
#[path = "../tests/init/harness.rs"]
mod harness;

use std::io::{Read, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use harness::{Place, Run, Setup, children_of, debian, lives, premain, status, wait_for};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["application", "stamp"] => application::stamp(),
        ["application", "orphans", count] => application::orphans(count.parse().unwrap()),
        ["application", "herd", count] => application::herd(count.parse().unwrap()),
        _ => return compare(),
    }
    ExitCode::SUCCESS
}

/// An init that is measured.
struct Init {
    name: &'static str,
    program: String,
    options: &'static [&'static str],
    group: Option<&'static [&'static str]>,
}

impl Init {
    fn all() -> Vec<Init> {
        let group: &[&str] = &["--signal-target", "group"];
        vec![
            Init {
                name: "premain",
                program: premain().into(),
                options: &["--grace", "0"],
                group: Some(group),
            },
            // -s: without it tini warns of not being PID 1, which would cost it a write.
            Init {
                name: "tini-static",
                program: debian("tini-static", "tini"),
                options: &["-s"],
                group: Some(&["-g"]),
            },
            Init {
                name: "dumb-init",
                program: debian("dumb-init", "dumb-init"),
                options: &["-c"],
                group: Some(&[]),
            },
            Init {
                name: "catatonit",
                program: debian("catatonit", "catatonit"),
                options: &[],
                group: Some(&["-g"]),
            },
        ]
    }

    fn words<'a>(&'a self, application: &[&'a str]) -> Vec<&'a str> {
        [self.options, &["--"], application].concat()
    }

    /// As PID 1, with this program as its application, in one of the roles of `mod applications`.
    fn start(&self, application: &[&str]) -> Run {
        let this = std::env::current_exe().unwrap().into_os_string().into_string().unwrap();
        let application = [&[this.as_str(), "application"], application].concat();
        Setup::program(Place::Pid1, &self.program, &self.words(&application)).start()
    }
}

/// Figures of each init in the order of [`Init::all`]; `None` where it has no such mode.
type Figures = Vec<Option<f64>>;

fn compare() -> ExitCode {
    let inits = Init::all();
    // Pages of a file that was just written count as dirty.
    nix::unistd::sync();
    let mut table = Table { inits: &inits, missed: 0 };
    table.head();
    table.row("start-up of /bin/true, µs", &start_up(&inits), Goal::Over(1, 1.15));
    table.row("TERM to handler, µs", &latency(&inits), Goal::Over(1, 1.1));
    table.row("early TERMs lost, child, %", &lost(&inits, false), Goal::AtMost(0.0));
    table.row("early TERMs lost, group, %", &lost(&inits, true), Goal::AtMost(0.0));
    let (left, peak) = orphans(&inits);
    table.row("of 20,000 orphans left", &left, Goal::AtMost(0.0));
    table.row("of 20,000 orphans unreaped at most", &peak, Goal::AtMost(100.0));
    table.row("4,000 orphans at once, ms", &drain(&inits), Goal::Over(1, 1.0));
    let [dirty, threads, wakeups] = rest(&inits);
    table.row("Private_Dirty, kB", &dirty, Goal::AtMost(100.0));
    table.row("threads", &threads, Goal::AtMost(1.0));
    table.row("wake-ups in 5 idle seconds", &wakeups, Goal::AtMost(0.0));
    ExitCode::from(u8::from(table.missed > 0))
}

/// The goal of a figure of premain's.
enum Goal {
    /// At most this number.
    AtMost(f64),
    /// At most this multiple of the figure of that init.
    Over(usize, f64),
}

struct Table<'a> {
    inits: &'a [Init],
    missed: usize,
}

impl Table<'_> {
    fn head(&self) {
        let names: Vec<_> = self.inits.iter().map(|init| init.name).collect();
        println!(
            "| | {} | goal | |\n|---|{}---|---|",
            names.join(" | "),
            "---:|".repeat(names.len())
        );
    }

    fn row(&mut self, what: &str, figures: &Figures, goal: Goal) {
        let number = |figure: &Option<f64>| match figure {
            None => "–".to_owned(),
            Some(figure) if figure.fract() == 0.0 || *figure >= 100.0 => format!("{figure:.0}"),
            Some(figure) => format!("{figure:.1}"),
        };
        let ours = figures[0].unwrap();
        let (met, goal) = match goal {
            Goal::AtMost(limit) => (ours <= limit, format!("≤ {limit}")),
            Goal::Over(other, limit) => {
                let ratio = ours / figures[other].unwrap();
                let name = self.inits[other].name;
                (ratio <= limit, format!("{ratio:.2} × {name} ≤ {limit}"))
            }
        };
        self.missed += usize::from(!met);
        let figures: Vec<_> = figures.iter().map(number).collect();
        println!(
            "| {what} | {} | {goal} | {} |",
            figures.join(" | "),
            if met { "met" } else { "MISSED" }
        );
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// From `fork` to the end of `/bin/true`.
fn start_up(inits: &[Init]) -> Figures {
    let mut times = vec![Vec::new(); inits.len()];
    for round in 0..3000 {
        // So that no init always runs after the same one.
        for turn in 0..inits.len() {
            let which = (turn + round) % inits.len();
            let init = &inits[which];
            let mut command = Command::new(&init.program);
            command.args(init.words(&["/bin/true"]));
            command.stdin(Stdio::null()).stderr(Stdio::null());
            // The environment of a container whose image sets nothing.
            command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
            command.env("HOME", "/root").env("HOSTNAME", "container");
            let began = Instant::now();
            assert!(command.status().unwrap().success());
            times[which].push(microseconds(began.elapsed()));
        }
    }
    times.into_iter().map(|times| Some(median(times))).collect()
}

/// From `kill` to the moment that the application's handler takes.
fn latency(inits: &[Init]) -> Figures {
    let mut runs: Vec<_> = inits.iter().map(|init| init.start(&["stamp"])).collect();
    runs.iter_mut().for_each(|run| run.expect("ready"));
    let mut times = vec![Vec::new(); inits.len()];
    for _ in 0..2000 {
        for (run, times) in runs.iter_mut().zip(&mut times) {
            let began = application::now();
            run.signal(libc::SIGTERM);
            let handled: i64 = run.line().parse().unwrap();
            times.push((handled - began) as f64 / 1e3);
        }
    }
    runs.iter().for_each(|run| run.signal(libc::SIGKILL));
    times.into_iter().map(|times| Some(median(times))).collect()
}

/// How many TERMs get lost that are sent as soon as the init has a child.
fn lost(inits: &[Init], group: bool) -> Figures {
    let one = |init: &Init| {
        let options = if group { init.group? } else { &[] };
        let rounds = if init.name == "premain" { 1000 } else { 100 };
        let mut lost = 0;
        for _ in 0..rounds {
            let own = if group && init.name == "dumb-init" { &[][..] } else { init.options };
            let words = [own, options, &["--", "/bin/sleep", "1000"]].concat();
            let run = Setup::program(Place::Pid1, &init.program, &words).start();
            run.has_child();
            run.signal(libc::SIGTERM);
            let began = Instant::now();
            while lives(run.pid()) && began.elapsed() < Duration::from_millis(500) {
                std::thread::sleep(Duration::from_micros(200));
            }
            lost += usize::from(lives(run.pid()));
            run.signal(libc::SIGKILL);
            run.end();
        }
        Some(lost as f64 * 100.0 / rounds as f64)
    };
    inits.iter().map(one).collect()
}

/// 20,000 orphans one after the other: how many are left, and how many there were at most.
fn orphans(inits: &[Init]) -> (Figures, Figures) {
    let one = |init: &Init| {
        let mut run = init.start(&["orphans", "20000"]);
        run.expect("ready");
        run.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        let mut peak = 0;
        loop {
            peak = peak.max(children_of(run.pid()).len() - 1);
            if run.line_within(Duration::ZERO).is_some() {
                break;
            }
        }
        let mut left = 0;
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(1) {
            left = children_of(run.pid()).len() - 1;
            if left == 0 {
                break;
            }
        }
        run.signal(libc::SIGKILL);
        (Some(left as f64), Some(peak as f64))
    };
    inits.iter().map(one).unzip()
}

/// From the end of 4,000 orphans at one moment until the last one is reaped.
fn drain(inits: &[Init]) -> Figures {
    let mut times = vec![Vec::new(); inits.len()];
    for round in 0..20 {
        for turn in 0..inits.len() {
            let which = (turn + round) % inits.len();
            let (init, times) = (&inits[which], &mut times[which]);
            let mut run = init.start(&["herd", "4000"]);
            run.expect("ready");
            wait_for("4,000 orphans", || (children_of(run.pid()).len() == 4001).then_some(()));
            let began = Instant::now();
            run.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
            while children_of(run.pid()).len() > 1 {
                std::thread::sleep(Duration::from_millis(1));
            }
            times.push(microseconds(began.elapsed()) / 1e3);
            run.signal(libc::SIGKILL);
            run.end();
        }
    }
    times.into_iter().map(|times| Some(median(times))).collect()
}

/// Memory, threads and wake-ups of idle inits.
fn rest(inits: &[Init]) -> [Figures; 3] {
    let start = |init: &Init| {
        let words = init.words(&["/bin/sleep", "1000"]);
        Setup::program(Place::Pid1, &init.program, &words).start()
    };
    let runs: Vec<_> = inits.iter().map(start).collect();
    let sleeps = |run: &Run| {
        let application = *run.children().first()?;
        let executed = status(application, "Name")? == "sleep";
        (executed && status(run.pid(), "State")?.starts_with('S')).then_some(())
    };
    runs.iter().for_each(|run| wait_for("rest", || sleeps(run)));
    let count =
        |run: &Run, field: &str| -> f64 { status(run.pid(), field).unwrap().parse().unwrap() };
    let switches = || runs.iter().map(|run| count(run, "voluntary_ctxt_switches"));
    let before: Vec<_> = switches().collect();
    std::thread::sleep(Duration::from_secs(5));
    let wakeups =
        before.iter().zip(switches()).map(|(before, after)| Some(after - before)).collect();
    let dirty = |run: &Run| {
        let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", run.pid())).unwrap();
        let line = text.lines().find(|line| line.starts_with("Private_Dirty:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().ok()
    };
    let figures = [
        runs.iter().map(dirty).collect(),
        runs.iter().map(|run| Some(count(run, "Threads"))).collect(),
        wakeups,
    ];
    runs.iter().for_each(|run| run.signal(libc::SIGKILL));
    figures
}

/// The applications of the inits: this program again.
mod application {
    use super::*;

    /// The monotonic clock, which all processes share, in nanoseconds.
    pub fn now() -> i64 {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is writable.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
        time.tv_sec * 1_000_000_000 + time.tv_nsec
    }

    fn say(line: &str) {
        std::io::stdout().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Says when it gets a TERM.
    pub fn stamp() {
        // SAFETY: the set is initialised before it is used.
        unsafe {
            let mut term = std::mem::zeroed();
            libc::sigemptyset(&mut term);
            libc::sigaddset(&mut term, libc::SIGTERM);
            libc::sigprocmask(libc::SIG_BLOCK, &term, std::ptr::null_mut());
            say("ready");
            loop {
                libc::sigwaitinfo(&term, std::ptr::null_mut());
                say(&now().to_string());
            }
        }
    }

    fn wait_for_a_line() {
        std::io::stdin().read_exact(&mut [0]).unwrap();
    }

    fn forked() -> bool {
        // SAFETY: this program has one thread.
        match unsafe { libc::fork() } {
            -1 => panic!("{}", std::io::Error::last_os_error()),
            pid => pid == 0,
        }
    }

    fn exit() -> ! {
        // SAFETY: ends this process.
        unsafe { libc::_exit(0) }
    }

    /// Has orphans, one after the other, each of which ends at once.
    pub fn orphans(count: usize) {
        say("ready");
        wait_for_a_line();
        for _ in 0..count {
            if forked() {
                if forked() {
                    exit();
                }
                exit();
            }
            // SAFETY: no status is written.
            unsafe { libc::wait(std::ptr::null_mut()) };
        }
        say("done");
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    }

    /// Has orphans that all end at the same moment.
    pub fn herd(count: usize) {
        let (mut reader, writer) = std::io::pipe().unwrap();
        if forked() {
            drop(writer);
            for _ in 0..count {
                if forked() {
                    let _ = reader.read(&mut [0]);
                    exit();
                }
            }
            exit();
        }
        // SAFETY: no status is written.
        unsafe { libc::wait(std::ptr::null_mut()) };
        say("ready");
        wait_for_a_line();
        drop(writer);
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    }
}

//! The same cases against other inits. The comparison table in `docs/init.md` is the result.
//!
//! `UPDATE_README=1 cargo test --test init other_inits` writes it.

use std::fs;
use std::io::Write;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use crate::harness::{
    End, Place, Run, Setup, children_of, debian, kill, lives, premain, probe, status, wait_for,
};

struct Init {
    name: &'static str,
    program: String,
}

impl Init {
    fn all() -> Vec<Init> {
        let peer = |name, package| Init { name, program: debian(name, package) };
        vec![
            Init { name: "premain", program: premain().to_owned() },
            peer("tini", "tini"),
            peer("dumb-init", "dumb-init"),
            peer("catatonit", "catatonit"),
        ]
    }

    /// As PID 1, without options: what people get who write it into their ENTRYPOINT.
    fn setup(&self, application: &[&str]) -> Setup {
        Setup::program(Place::Pid1, &self.program, &[&["--"], application].concat())
    }

    fn probe(&self, words: &[&str]) -> Setup {
        let probe = probe();
        self.setup(&[&[probe.as_str()], words].concat())
    }

    fn listener(&self) -> Run {
        let mut run = self.probe(&["listen", "15"]).start();
        run.after("ready");
        run
    }
}

/// What is asked, and how it is found out.
type Case = (&'static str, fn(&Init) -> bool);

const CASES: &[Case] = &[
    ("the status is the application's, 128 + n for a signal", |init| {
        let end = |script| init.setup(&["/bin/sh", "-c", script]).end().code;
        end("exit 7") == Some(7) && end("kill -TERM $$") == Some(143)
    }),
    ("orphans are reaped", |init| {
        let mut run = init.probe(&["orphans", "50"]).start();
        run.expect("orphaned");
        run.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        run.expect("released");
        settles(&run, || children_of(run.pid()).len() == 1)
    }),
    ("a stop signal of SIGRTMIN+3 reaches the application", |init| forwards(init, 37)),
    ("so do SIGHUP, SIGUSR1, SIGWINCH and SIGPIPE", |init| {
        [1, 10, 28, 13].into_iter().all(|signal| forwards(init, signal))
    }),
    ("so does a SIGSEGV sent by another process", |init| forwards(init, libc::SIGSEGV)),
    ("the application's signal mask is the caller's", |init| {
        let setup = init.probe(&["report"]).before_exec(|| {
            // SAFETY: the set is initialised before it is used.
            unsafe {
                let mut mask = std::mem::zeroed();
                libc::sigemptyset(&mut mask);
                libc::sigaddset(&mut mask, libc::SIGUSR2);
                libc::sigprocmask(libc::SIG_SETMASK, &mask, std::ptr::null_mut());
            }
            Ok(())
        });
        reported(setup.end())["blocked"] == serde_json::json!([libc::SIGUSR2])
    }),
    ("so are the signals it ignores", |init| {
        let setup = init.probe(&["report"]).before_exec(|| {
            for signal in [libc::SIGHUP, libc::SIGPIPE, libc::SIGTTOU] {
                // SAFETY: nothing handles a signal.
                unsafe { libc::signal(signal, libc::SIG_IGN) };
            }
            Ok(())
        });
        reported(setup.end())["ignored"] == serde_json::json!([1, 13, 22])
    }),
    ("a caller that ignores SIGCHLD does not cost the status", |init| {
        let setup = init.setup(&["/bin/sh", "-c", "exit 7"]).before_exec(|| {
            // SAFETY: nothing handles a signal.
            unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
            Ok(())
        });
        finishes(setup.start()).is_some_and(|end| end.code == Some(7))
    }),
    (
        "an application that ignores SIGTERM is killed before Docker's ten seconds are over",
        |init| {
            let mut run = init.probe(&["listen"]).start();
            run.after("ready");
            run.signal(libc::SIGTERM);
            finishes(run).is_some_and(|end| end.code == Some(137))
        },
    ),
    ("a stopped application hears that it is to end", |init| {
        let run = init.listener();
        let application = children_of(run.pid())[0];
        kill(application, libc::SIGSTOP);
        wait_for("the stop", || status(application, "State")?.starts_with('T').then_some(()));
        run.signal(libc::SIGTERM);
        let heard = settles(&run, || !lives(application));
        kill(application, libc::SIGKILL);
        heard
    }),
    ("what the application leaves behind gets a SIGTERM and one second for it", |init| {
        let mut run = init.probe(&["leave", "saving", "5"]).start();
        run.after("left");
        let end = run.end();
        end.code == Some(5) && end.lines == ["saved"]
    }),
    ("descriptors that were passed on are the application's alone", |init| {
        let mut run = init
            .probe(&["listen", "15"])
            .before_exec(|| {
                // SAFETY: numbers.
                unsafe { libc::dup2(0, 100) };
                Ok(())
            })
            .start();
        run.after("ready");
        settles(&run, || !fs::exists(format!("/proc/{}/fd/100", run.pid())).unwrap())
    }),
    ("the working directory can be unmounted", |init| {
        let mut run = init
            .probe(&["listen", "15"])
            .with(|command| {
                command.current_dir("/usr");
            })
            .start();
        run.after("ready");
        settles(&run, || fs::read_link(format!("/proc/{}/cwd", run.pid())).unwrap() == *"/")
    }),
    ("passed sockets work: LISTEN_PID is the application's", |init| {
        let end = init.probe(&["report"]).env("LISTEN_PID", "1").env("LISTEN_FDS", "1").end();
        let report = reported(end);
        report["env"]["LISTEN_PID"].as_str() == Some(&report["pid"].to_string())
    }),
    ("no wake-up in three idle seconds", |init| {
        let script = "echo begin; sleep 3; echo end; read line";
        let mut run = init.setup(&["/bin/sh", "-c", script]).start();
        run.expect("begin");
        let switches = || status(run.pid(), "voluntary_ctxt_switches");
        let asleep = || status(run.pid(), "State")?.starts_with('S').then(switches)?;
        let before = wait_for("sleep", asleep);
        run.expect("end");
        let quiet = status(run.pid(), "voluntary_ctxt_switches").unwrap() == before;
        run.end();
        quiet
    }),
];

fn forwards(init: &Init, signal: i32) -> bool {
    let mut run = init.listener();
    run.signal(signal);
    let got = run.line_within(SOON) == Some(format!("got {signal}"));
    run.signal(libc::SIGKILL);
    got
}

/// What an init has not done by then it does not do. As long as [`finishes`] waits anyway, beside which
/// this is waited for, so that a busy machine makes no "no" of a "yes".
const SOON: Duration = Duration::from_secs(10);

fn reported(end: End) -> serde_json::Value {
    end.lines.first().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default()
}

/// Its end, if that comes within ten seconds.
fn finishes(run: Run) -> Option<End> {
    let began = Instant::now();
    while lives(run.pid()) {
        if began.elapsed() > Duration::from_secs(10) {
            run.signal(libc::SIGKILL);
            run.end();
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Some(run.end())
}

/// Whether it becomes true soon. The init is ended afterwards.
fn settles(run: &Run, fact: impl Fn() -> bool) -> bool {
    let began = Instant::now();
    let mut holds = fact();
    while !holds && began.elapsed() < SOON {
        std::thread::sleep(Duration::from_millis(1));
        holds = fact();
    }
    run.signal(libc::SIGKILL);
    holds
}

fn join(asked: ScopedJoinHandle<bool>) -> bool {
    asked.join().unwrap()
}

#[test]
fn the_table_in_the_docs_is_current() {
    let inits = Init::all();
    // Some wait for what never comes: side by side they wait together.
    let rows: Vec<Vec<bool>> = std::thread::scope(|scope| {
        let ask = |&(_, case): &Case| -> Vec<_> {
            inits.iter().map(|init| scope.spawn(move || case(init))).collect()
        };
        let asked: Vec<_> = CASES.iter().map(ask).collect();
        let answers = |row: Vec<_>| row.into_iter().map(join).collect();
        asked.into_iter().map(answers).collect()
    });
    let names: Vec<_> = inits.iter().map(|init| init.name).collect();
    let mut table = format!("| as PID 1, without options | {} |\n", names.join(" | "));
    table.push_str(&format!("|---|{}\n", "---|".repeat(names.len())));
    for ((what, _), answers) in CASES.iter().zip(&rows) {
        let words: Vec<_> = answers.iter().map(|&yes| if yes { "yes" } else { "no" }).collect();
        table.push_str(&format!("| {what} | {} |\n", words.join(" | ")));
    }
    assert!(rows.iter().all(|answers| answers[0]), "premain does not:\n{table}");

    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/init.md");
    let docs = fs::read_to_string(path).unwrap();
    let (before, rest) = docs.split_once("<!-- who does what -->\n").unwrap();
    let (current, after) = rest.split_once("<!-- end -->").unwrap();
    if std::env::var_os("UPDATE_README").is_some() {
        let docs = format!("{before}<!-- who does what -->\n{table}<!-- end -->{after}");
        fs::write(path, docs).unwrap();
    } else {
        assert_eq!(current, table, "UPDATE_README=1 cargo test --test init other_inits writes it");
    }
}

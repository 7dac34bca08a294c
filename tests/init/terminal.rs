//! Real terminals: one ^C is one SIGINT, ^Z and `fg` work, and only the right processes stop.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::process::Stdio;

use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use nix::unistd::{Pid, tcgetpgrp};

use crate::harness::process::Printed;
use crate::harness::{
    PATIENCE, Place, Run, Setup, children_of, debian, kill, premain, probe, status, wait_for,
};

/// The keyboard and the screen.
struct Terminal {
    keyboard: File,
    screen: Printed,
}

/// Starts this at a terminal of its own, as the leader of a session, as `docker run -it` does; the
/// terminal's other end.
fn at_a_terminal(setup: Setup) -> (Run, File) {
    let size = Winsize { ws_row: 33, ws_col: 77, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(Some(&size), None).unwrap();
    // Without echo, so that every line that appears is output.
    let mut modes = tcgetattr(&pty.slave).unwrap();
    modes.local_flags.remove(LocalFlags::ECHO);
    tcsetattr(&pty.slave, SetArg::TCSANOW, &modes).unwrap();
    let stdio = || Stdio::from(pty.slave.try_clone().unwrap());
    let run = setup
        .with(|command| {
            command.stdin(stdio()).stdout(stdio()).stderr(stdio());
        })
        .before_exec(|| {
            nix::unistd::setsid()?;
            // SAFETY: standard input is the terminal.
            unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) };
            Ok(())
        })
        .start();
    (run, File::from(pty.master))
}

impl Terminal {
    fn start(setup: Setup) -> (Run, Terminal) {
        let (run, keyboard) = at_a_terminal(setup);
        let screen = Printed::by(keyboard.try_clone().unwrap());
        (run, Terminal { keyboard, screen })
    }

    /// Waits until it is this process's turn.
    fn is_for(&self, pid: i32) {
        let pid = Some(Pid::from_raw(pid));
        wait_for("the foreground", || (tcgetpgrp(&self.keyboard).ok() == pid).then_some(()));
    }

    fn type_in(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for a line with this in it; the line.
    fn shows(&mut self, part: &str) -> String {
        let mut seen = Vec::new();
        loop {
            match self.line() {
                Some(line) if line.contains(part) => return line,
                Some(line) => seen.push(line),
                None => panic!("no {part:?}; instead: {seen:?}"),
            }
        }
    }

    fn line(&mut self) -> Option<String> {
        self.screen.line_within(PATIENCE).map(|line| line.trim_end().to_owned())
    }
}

/// An interactive shell at a terminal.
fn shell() -> (Run, Terminal) {
    let bash = debian("bash", "bash");
    let words = ["--norc", "--noprofile", "--noediting", "-i"];
    let setup =
        Setup::program(Place::Subreaper, &bash, &words).env("PS1", "").env("PROMPT_COMMAND", "");
    let (run, mut terminal) = Terminal::start(setup);
    terminal.type_in(&format!("alias premain={}\n", premain()));
    terminal.type_in("stty -echo; echo here\n");
    terminal.shows("here");
    (run, terminal)
}

const CTRL_C: &str = "\x03";
const CTRL_Z: &str = "\x1a";
const CTRL_BACKSLASH: &str = "\x1c";

#[test]
fn the_foreground_application_gets_one_signal_per_key() {
    for place in Place::BOTH {
        let (run, mut terminal) = Terminal::start(Setup::probe(place, &[], &["listen", "15"]));
        terminal.shows("ready");
        for (key, signal) in [(CTRL_C, 2), (CTRL_Z, 20), (CTRL_BACKSLASH, 3), (CTRL_C, 2)] {
            terminal.type_in(key);
            assert_eq!(terminal.line(), Some(format!("got {signal}")));
            // Nothing came in between: the init had nothing to forward.
            run.signal(libc::SIGUSR1);
            assert_eq!(terminal.line().as_deref(), Some("got 10"));
        }
        run.signal(libc::SIGTERM);
        assert_eq!(run.end().code, Some(0));
    }
}

#[test]
fn control_c_ends_with_130() {
    for place in Place::BOTH {
        let (run, mut terminal) = Terminal::start(Setup::new(place, &[], &["/bin/cat"]));
        terminal.type_in("hello\n");
        terminal.shows("hello");
        terminal.type_in(CTRL_C);
        assert_eq!(run.end().code, Some(130));
    }
}

#[test]
fn the_application_has_its_own_foreground_group() {
    for place in Place::BOTH {
        let (run, mut terminal) = Terminal::start(Setup::probe(place, &[], &["report"]));
        let report: serde_json::Value = serde_json::from_str(&terminal.shows("{")).unwrap();
        assert_eq!(report["foreground"], report["pid"]);
        assert_eq!(report["pgrp"], report["pid"]);
        assert_eq!(run.end().code, Some(0));
    }
}

#[test]
fn window_resizes_reach_the_application() {
    let stty = debian("stty", "coreutils");
    let (run, mut terminal) = Terminal::start(Setup::new(Place::Pid1, &[], &[&stty, "size"]));
    terminal.shows("33 77");
    assert_eq!(run.end().code, Some(0));
    let (run, mut terminal) = Terminal::start(Setup::probe(Place::Pid1, &[], &["listen", "28"]));
    terminal.shows("ready");
    let size = Winsize { ws_row: 11, ws_col: 22, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the size outlives the call.
    unsafe {
        libc::ioctl(
            std::os::fd::AsRawFd::as_raw_fd(&terminal.keyboard.as_fd()),
            libc::TIOCSWINSZ,
            &size,
        )
    };
    terminal.shows("got 28");
    assert_eq!(run.end().code, Some(0));
}

#[test]
fn a_lost_terminal_is_a_hangup() {
    for place in Place::BOTH {
        let (run, terminal) = at_a_terminal(Setup::new(place, &[], &["/bin/sleep", "1000"]));
        let application = run.children()[0];
        wait_for("exec", || (status(application, "Name")? == "sleep").then_some(()));
        drop(terminal);
        assert_eq!(run.end().code, Some(129), "{place:?}");
    }
}

#[test]
fn an_init_in_the_background_may_write_despite_tostop() {
    let script =
        "stty tostop; exec \"$0\" --log debug -- /bin/sh -c 'echo ready; read line; exit 3'";
    let setup = Setup::program(Place::Pid1, "/bin/sh", &["-c", script, premain()]);
    let (run, mut terminal) = Terminal::start(setup);
    terminal.shows("ready");
    run.signal(libc::SIGWINCH);
    terminal.shows("forwarded SIGWINCH");
    terminal.type_in("\n");
    assert_eq!(run.end().code, Some(3));
}

#[test]
fn a_shell_can_stop_and_continue_its_job() {
    let (run, mut terminal) = shell();
    terminal.type_in("premain -- cat\nhello\n");
    terminal.shows("hello");
    for round in ["once", "twice"] {
        terminal.type_in(CTRL_Z);
        terminal.shows("Stopped");
        terminal.type_in("echo the shell is $((40 + 2))\n");
        terminal.shows("the shell is 42");
        terminal.type_in(&format!("fg\n{round} more\n"));
        terminal.shows(&format!("{round} more"));
    }
    terminal.type_in(CTRL_C);
    terminal.is_for(run.pid());
    terminal.type_in("echo status $?\n");
    terminal.shows("status 130");
    terminal.type_in("exit 0\n");
    assert_eq!(run.end().code, Some(0));
}

/// A process and the only child that it has.
fn both(init: i32) -> [i32; 2] {
    [init, wait_for("the application", || children_of(init).first().copied())]
}

fn are_stopped(pids: [i32; 2], stopped: bool) {
    for pid in pids {
        let state = || Some(status(pid, "State")?.starts_with('T') == stopped);
        wait_for("a stop or its end", || state()?.then_some(()));
    }
}

#[test]
fn an_init_stops_by_the_signal_that_stopped_its_application() {
    // A shell that says how its job stopped. It is one with job control, at a terminal.
    let signals = [
        (libc::SIGTSTP, "Stopped(SIGTSTP)"),
        (libc::SIGSTOP, "Stopped(SIGSTOP)"),
        (libc::SIGTTIN, "Stopped(SIGTTIN)"),
        (libc::SIGTTOU, "Stopped(SIGTTOU)"),
    ];
    let (run, mut terminal) = shell();
    terminal.type_in("set -o posix\n");
    for (signal, word) in signals {
        for target in ["the application", "the init"] {
            if (signal, target) == (libc::SIGSTOP, "the init") {
                continue;
            }
            terminal.type_in("premain -- sleep 1000 & echo pid $!\n");
            let line = terminal.shows("pid ");
            let init: i32 = line.rsplit(' ').next().unwrap().parse().unwrap();
            let pids = both(init);
            wait_for("exec", || (status(pids[1], "Name")? == "sleep").then_some(()));
            kill(if target == "the init" { init } else { pids[1] }, signal);
            are_stopped(pids, true);
            terminal.type_in("jobs\n");
            let line = terminal.shows("sleep 1000");
            assert!(line.contains(&format!(" {word} ")), "{target}, {signal}: {line}");
            terminal.type_in("bg\n");
            are_stopped(pids, false);
            terminal.type_in("kill %%; wait; echo over\n");
            terminal.shows("over");
        }
    }
    terminal.type_in("exit 0\n");
    assert_eq!(run.end().code, Some(0));
}

#[test]
fn an_init_stops_without_a_terminal_and_by_a_rewritten_stop_signal() {
    let rewrite = ["--rewrite", "TSTP:USR1", "--rewrite=TTIN:TERM USR2:STOP TTOU:0"];
    for (options, signal, got) in [
        (&[][..], libc::SIGSTOP, None),
        (&rewrite, libc::SIGTSTP, Some(libc::SIGUSR1)),
        (&rewrite, libc::SIGTTIN, Some(libc::SIGTERM)),
        (&rewrite, libc::SIGUSR2, None),
    ] {
        let setup = Setup::probe(Place::Subreaper, options, &["listen", "3"]);
        let mut run = setup.start();
        run.after("ready");
        let pids = both(run.pid());
        if signal == libc::SIGSTOP {
            kill(pids[1], signal);
        } else {
            run.signal(signal);
        }
        if let Some(got) = got {
            run.expect(&format!("got {got}"));
            are_stopped([pids[0]; 2], true);
        } else {
            are_stopped(pids, true);
        }
        run.signal(libc::SIGCONT);
        run.expect("got 18");
        are_stopped(pids, false);
        // Neither a signal that is dropped nor one that the application handles stops anything.
        if options.is_empty() {
            run.signal(libc::SIGTSTP);
            run.expect("got 20");
        }
        run.signal(libc::SIGTTOU);
        if options.is_empty() {
            run.expect("got 22");
        }
        run.signal(libc::SIGQUIT);
        let end = run.end();
        assert_eq!((end.code, end.lines), (Some(0), vec!["got 3".to_owned()]));
    }
}

#[test]
fn a_stopped_job_of_several_processes_stops_as_a_whole() {
    for line in ["premain -- cat | cat", "sh -c '\"$1\" -- cat; exit' sh premain"] {
        let (run, mut terminal) = shell();
        let line = line.replace("sh premain", &format!("sh {}", premain()));
        terminal.type_in(&format!("{line}\nhello\n"));
        terminal.shows("hello");
        terminal.type_in(CTRL_Z);
        terminal.shows("Stopped");
        terminal.type_in("echo the shell is $((40 + 2))\n");
        terminal.shows("the shell is 42");
        terminal.type_in("fg\nagain\n");
        terminal.shows("again");
        terminal.type_in("\x04");
        terminal.is_for(run.pid());
        terminal.type_in("exit 0\n");
        assert_eq!(run.end().code, Some(0), "{line}");
    }
}

#[test]
fn control_z_without_job_control_changes_nothing() {
    // The shell that leads the session has no job control: nothing could continue what stops.
    let script = "\"$0\" -- cat; exit 4";
    let setup = Setup::program(Place::Subreaper, "/bin/sh", &["-c", script, premain()]);
    let (run, mut terminal) = Terminal::start(setup);
    terminal.type_in("hello\n");
    terminal.shows("hello");
    terminal.type_in(CTRL_Z);
    terminal.type_in("again\n");
    terminal.shows("again");
    terminal.type_in("\x04");
    assert_eq!(run.end().code, Some(4));
}

#[test]
fn an_init_that_is_pid_1_never_stops() {
    for signal in [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU, libc::SIGSTOP] {
        let run = Setup::new(Place::Pid1, &[], &["/bin/sleep", "1000"]).start();
        let pids = both(run.pid());
        wait_for("exec", || (status(pids[1], "Name")? == "sleep").then_some(()));
        kill(pids[1], signal);
        are_stopped([pids[1]; 2], true);
        run.signal(libc::SIGTERM);
        assert_eq!(run.end().code, Some(143));
    }
}

#[test]
fn a_background_job_gets_the_terminal_with_fg() {
    let (run, mut terminal) = shell();
    terminal.type_in(&format!("{0} report; premain -- {0} report & wait\n", probe()));
    let plain: serde_json::Value = serde_json::from_str(&terminal.shows("{")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&terminal.shows("{")).unwrap();
    assert_eq!(plain["foreground"], plain["pgrp"]);
    assert_ne!(report["foreground"], report["pgrp"], "it was not ours to give");

    // Reading stops it, the shell is told, and `fg` lets it read.
    terminal.type_in("premain -- cat &\n");
    terminal.type_in("while ! jobs | grep -q Stopped; do sleep 0.05; done; echo it stopped\n");
    terminal.shows("it stopped");
    terminal.type_in("fg\nhello\n");
    terminal.shows("hello");
    terminal.type_in(CTRL_C);
    terminal.is_for(run.pid());
    terminal.type_in("exit 0\n");
    assert_eq!(run.end().code, Some(0));
}

#[test]
fn a_script_gets_its_terminal_back() {
    let script = "\"$0\" -- /bin/true; read line; echo \"got $line\"";
    let setup = Setup::program(Place::Subreaper, "/bin/sh", &["-c", script, premain()]);
    let (run, mut terminal) = Terminal::start(setup);
    terminal.type_in("a line\n");
    terminal.shows("got a line");
    assert_eq!(run.end().code, Some(0));
}

#[test]
fn control_z_without_a_shell_can_be_continued() {
    // PID 1 has no shell behind it: the application stops, the init does not, and a CONT goes on.
    let (run, mut terminal) = Terminal::start(Setup::new(Place::Pid1, &[], &["/bin/cat"]));
    terminal.type_in("hello\n");
    terminal.shows("hello");
    terminal.type_in(CTRL_Z);
    let application = children_of(run.pid())[0];
    wait_for("the stop", || status(application, "State")?.starts_with('T').then_some(()));
    wait_for("sleep", || status(run.pid(), "State")?.starts_with('S').then_some(()));
    run.signal(libc::SIGCONT);
    terminal.type_in("again\n");
    terminal.shows("again");
    terminal.type_in(CTRL_C);
    assert_eq!(run.end().code, Some(130));
}

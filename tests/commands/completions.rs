//! `premain completions SHELL`, tested in the real shells.

use std::process::Command;

use crate::support::premain::premain;
use crate::support::{output, program};

fn script(shell: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), premain(["completions", shell]).run().code(0).output).unwrap();
    file
}

fn run(shell: &str, package: &str, words: &[&str]) -> String {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(program(shell, package));
    command
        .args(words)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", home.path())
        .current_dir(home.path());
    let output = output(&mut command);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{words:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn bash_offers_completions() {
    let script = script("bash");
    let ask = |line: &str| {
        let code = format!(
            "source {}; COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _premain; echo \" ${{COMPREPLY[*]}} \"",
            script.path().display()
        );
        run("bash", "bash", &["--norc", "-c", &code])
    };
    for (line, offered, others) in [
        ("premain sta", " status ", " wait "),
        ("premain --log ''", " debug ", " status "),
        ("premain rollback --", " --to ", " --applied "),
        ("premain rollback --", " --lock-timeout ", " --rolled-back "),
        ("premain --on-edited = w", " warn ", " fail "),
        ("premain --format dri", " drizzle1 ", " prisma "),
        ("premain completions ''", " zsh ", " status "),
        ("premain --log warn reset --y", " --yes ", " --to "),
    ] {
        let found = ask(line);
        assert!(found.contains(offered) && !found.contains(others), "{line}: {found}");
    }
}

#[test]
fn fish_offers_completions() {
    let script = script("fish");
    let ask = |line: &str| {
        let code = format!("source {}; complete -C '{line}'", script.path().display());
        run("fish", "fish", &["--no-config", "-c", &code])
    };
    for (line, offered, others) in [
        ("premain sta", "status", "baseline"),
        ("premain rollback --t", "--to", "--rolled-back"),
        ("premain --on-edited ", "ignore", "status"),
        ("premain completions ", "fish", "status"),
    ] {
        let found = ask(line);
        assert!(found.contains(offered) && !found.contains(others), "{line}: {found}");
    }
}

#[test]
fn zsh_loads_the_script() {
    let script = script("zsh");
    let code = format!(
        "autoload -Uz compinit; compinit -D -u; source {}; print $_comps[premain]; functions _premain | grep -c rollback",
        script.path().display()
    );
    let said = run("zsh", "zsh", &["-f", "-c", &code]);
    assert!(said.starts_with("_premain\n"), "{said}");
}

//! The tools in Rust and Go whose history tables premain writes too.

use std::path::Path;
use std::process::Command;

use super::output;
use super::postgres::Database;

/// `sqlx migrate WORDS…` on this directory. `Err` is what it printed.
pub fn sqlx(database: &Database<'_>, directory: &Path, words: &[&str]) -> Result<String, String> {
    let tool = installed("target/tools/bin/sqlx", "install_sqlx_cli");
    let mut command = Command::new(tool);
    command.arg("migrate").args(words).arg("--source").arg(directory);
    run(command.args(["--no-dotenv", "--database-url", &database.url()]))
}

/// `dbmate COMMAND` on this directory. `Err` is what it printed.
pub fn dbmate(database: &Database<'_>, directory: &Path, word: &str) -> Result<String, String> {
    let tool = installed("target/tools/node/node_modules/.bin/dbmate", "install_node_packages");
    let url = format!("{}?sslmode=disable", database.url());
    run(Command::new(tool).args(["--no-dump-schema", "-u", &url, "-d"]).arg(directory).arg(word))
}

fn installed(path: &str, by: &str) -> std::path::PathBuf {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    assert!(tool.exists(), "{path} is missing: see {by} in tests/run, which does it");
    tool
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = output(command);
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { Ok(text) } else { Err(text) }
}

//! What the commands print to standard output.

use serde::Serialize;

use crate::exit::Exit;
use crate::migrate::{Settings, Source};

/// Prints to standard output. A reader that has exited (`premain --help | head -1`) is no error.
pub(super) fn print(text: &str) -> Exit {
    use std::io::Write as _;
    let _ = std::io::stdout().write_all(text.as_bytes());
    Exit::Success
}

/// The answer of a command that found no migrations.
pub(super) fn no_migrations(settings: &Settings) -> Exit {
    print(&format!("{}\n", Source::explain_none(settings)))
}

/// `value` as indented JSON and a line end.
pub(super) fn json(value: &impl Serialize) -> String {
    format!("{}\n", serde_json::to_string_pretty(value).unwrap_or_default())
}

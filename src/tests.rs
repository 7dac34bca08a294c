//! The tables in README and docs that state what the code does are made from the code.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use time::UtcDateTime;

use crate::config::command::COMMANDS;
use crate::config::option::{OPTIONS, Section};
use crate::migrate::drift::{OutOfOrder, Policy};
use crate::migrate::formats::scaffold::Existing;
use crate::migrate::formats::{Format, KnownBy, Tool};
use crate::migrate::{Migration, Recorded};

/// What stands at the end of the line before each table.
const UPDATE: &str = "UPDATE_README=1 cargo test --lib readme";

#[test]
fn readme_and_docs_state_what_the_code_does() {
    for (file, name, expected) in [
        ("README.md", "commands", commands()),
        ("README.md", "settings", settings()),
        ("README.md", "formats", formats()),
        ("docs/formats.md", "formats", formats_and_what_tells_them()),
        ("docs/formats.md", "drift", drift()),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let text = fs::read_to_string(&path).unwrap();
        let (begin, end) = (format!("<!-- {name}: "), format!("<!-- /{name} -->"));
        let (before, rest) = text.split_once(&begin).unwrap();
        let (origin, rest) = rest.split_once(&format!("{UPDATE} -->\n")).unwrap();
        let (table, after) = rest.split_once(&end).unwrap();
        if env::var_os("UPDATE_README").is_some() {
            let text = format!("{before}{begin}{origin}{UPDATE} -->\n{expected}\n{end}{after}");
            fs::write(path, text).unwrap();
        } else {
            assert_eq!(table, expected + "\n", "{file}, table {name}: run {UPDATE}");
        }
    }
}

#[test]
fn every_format_has_a_section_in_the_docs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/formats.md");
    let docs = fs::read_to_string(path).unwrap().to_lowercase().replace(' ', "-");
    for tool in tools() {
        assert!(docs.contains(&format!("\n##-{}\n", section(tool))), "{}", tool.name);
    }
}

fn commands() -> String {
    table("| | |", COMMANDS, |command| format!("`{}` | {}", escaped(&command.line()), command.help))
}

fn settings() -> String {
    let mut text = String::new();
    for section in Section::ALL {
        writeln!(text, "\n**{}**", section.title()).unwrap();
        let options = OPTIONS.iter().filter(|option| option.section == section);
        text += &table("| option | variable | |", options, |option| {
            let (usage, help) = (escaped(&option.usage()), escaped(&option.help()));
            format!("`{usage}` | `{}` | {help}", option.variable())
        });
    }
    text
}

fn formats() -> String {
    table("| `--format` | tool | one migration | history table |", tools(), |tool| {
        let Tool { name, origin, migration, table, .. } = tool;
        format!("`{name}` | {origin} | {migration} | {table}")
    })
}

fn formats_and_what_tells_them() -> String {
    table("| `--format` | one migration | history table | known by |", tools(), |tool| {
        let Tool { name, migration, table, .. } = tool;
        let known_by = match tool.known_by {
            KnownBy::Layout => "its layout".to_owned(),
            KnownBy::FileNames => "the names of its files".to_owned(),
            KnownBy::Markers(markers) => {
                let markers: Vec<_> = markers.iter().map(|text| format!("`-- {text}`")).collect();
                format!("{} in its files", markers.join(", "))
            }
            KnownBy::Numbers => "numbers, in files without another tool's markers".to_owned(),
            KnownBy::Nothing => format!("nothing: give `--format {name}`"),
        };
        format!("[`{name}`](#{}) | {migration} | {table} | {known_by}", section(tool))
    })
}

fn drift() -> String {
    const HEAD: &str = "| | edited | missing | out of order | ahead | failed halfway | exception |";
    table(HEAD, Format::all(), |format| {
        let policy = |policy| match policy {
            Policy::Fail => "stops",
            Policy::Warn => "warns",
            Policy::Ignore => "goes on",
        };
        let Tool { name, rules, exception, .. } = format.tool();
        let history_table = (format.tool().history_table)(None);
        let (migration, recorded) = example(format);
        let edited = match history_table.is_unchanged(&migration, &recorded) {
            true => "not recorded",
            false => policy(rules.edited),
        };
        let out_of_order = match rules.out_of_order {
            OutOfOrder::Fail => "stops",
            OutOfOrder::Apply => "warns, and applies it",
            OutOfOrder::ApplySilently => "applies it",
            OutOfOrder::Skip => "warns, and never applies it",
        };
        let (missing, ahead) = (policy(rules.missing), policy(rules.ahead));
        format!("`{name}` | {edited} | {missing} | {out_of_order} | {ahead} | stops | {exception}")
    })
}

/// A new migration of this format, and a record of it with another checksum.
fn example(format: Format) -> (Migration, Recorded) {
    let directory = tempfile::tempdir().unwrap();
    let existing = Existing {
        directory: directory.path(),
        migrations: &[],
        title: "init",
        now: UtcDateTime::now(),
    };
    (format.tool().scaffold)(&existing).unwrap().write().unwrap();
    let migration = format.read(directory.path()).unwrap().remove(0);
    let recorded = Recorded {
        version: migration.version.clone(),
        name: migration.name.clone(),
        title: migration.title.clone(),
        checksum: "another".to_owned(),
        applied_on: None,
        failure: None,
    };
    (migration, recorded)
}

fn tools() -> impl Iterator<Item = &'static Tool> {
    Format::all().map(Format::tool)
}

/// The anchor of a format's section in docs/formats.md.
fn section(tool: &Tool) -> String {
    match tool.name == Format::PLAIN.name() {
        true => "plain-sql".to_owned(),
        false => tool.title.to_lowercase(),
    }
}

/// Text for a cell of a table.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}

/// A Markdown table, with an empty line before it.
fn table<T>(head: &str, rows: impl IntoIterator<Item = T>, cells: impl Fn(T) -> String) -> String {
    let rule = "|---".repeat(head.matches('|').count() - 1);
    let mut text = format!("\n{head}\n{rule}|\n");
    for row in rows {
        writeln!(text, "| {} |", cells(row)).unwrap();
    }
    text
}

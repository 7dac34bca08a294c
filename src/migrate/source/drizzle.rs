//! Folders of Drizzle's. Before 1.0 `meta/_journal.json` names the files, in order; since then every
//! migration is a folder.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{
    Key, Migration, Order, Script, SourceError, is_file, is_plain, read_note,
    read_sql_as_javascript, sql_files, subfolders,
};
use crate::migrate::Name;

/// Drizzle parts statements by this, wherever it stands.
pub(super) const BREAKPOINT: &str = "--> statement-breakpoint";

/// What the native migrator reads of the journal. `idx`, `version` and `breakpoints` mean nothing.
#[derive(Deserialize)]
struct Journal {
    dialect: Option<String>,
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
pub(in crate::migrate) struct Entry {
    /// The name of the file, without `.sql`.
    pub(in crate::migrate) tag: String,
    /// Milliseconds since 1970, which is what the history table knows it by.
    pub(in crate::migrate) when: i64,
}

/// Where the journal stands.
pub(super) fn journal(folder: &Path) -> PathBuf {
    folder.join("meta/_journal.json")
}

/// Every migration that the journal names, in its order; none without a journal.
pub(super) fn read(folder: &Path) -> Result<Vec<Migration>, SourceError> {
    let path = journal(folder);
    if !is_file(&path)? {
        return Ok(Vec::new());
    }
    let text = read_note(&path)?;
    let malformed = |why: String| SourceError::Malformed { path: path.clone(), why };
    let mut migrations = Vec::new();
    for Entry { tag, when } in parse(&text).map_err(malformed)? {
        if !is_plain(&tag) {
            return Err(malformed(format!("it names {tag:?}, which holds a control character")));
        }
        let file = folder.join(format!("{tag}.sql"));
        if !is_file(&file)? {
            return Err(malformed(format!(
                "it names {tag}, and there is no {tag}.sql beside it; restore the file, or take out the entry"
            )));
        }
        migrations.push(Migration {
            key: Key::When(when),
            name: tag,
            order: Order::Strict,
            up: Script::split(file.clone(), read_sql_as_javascript(&file)?, BREAKPOINT)?,
            down: None,
        });
    }
    warn_of_others(folder, &migrations)?;
    Ok(migrations)
}

/// The entries of a journal, in its order.
///
/// # Errors
/// Why it is none for PostgreSQL.
pub(in crate::migrate) fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let journal: Journal = serde_json::from_str(text)
        .map_err(|error| format!("it is not the journal that drizzle-kit writes: {error}"))?;
    match journal.dialect.as_deref() {
        // "pg" until version 6 of the journal.
        None | Some("postgresql" | "pg") => Ok(journal.entries),
        Some(other) => Err(format!("its migrations are for {other}, not for postgresql")),
    }
}

/// Every migration of a folder of Drizzle's from 1.0 on, in no particular order: a folder each, with
/// `migration.sql` in it. Others are nothing to Drizzle.
pub(super) fn read_folders(folder: &Path) -> Result<Vec<Migration>, SourceError> {
    let path = journal(folder);
    if is_file(&path)? {
        let why = "Drizzle 1.0 refuses a folder with a journal; run 'drizzle-kit up', or give --format drizzle";
        return Err(SourceError::Malformed { path, why: why.to_owned() });
    }
    let mut migrations = Vec::new();
    for (name, path) in subfolders(folder)? {
        let file = path.join("migration.sql");
        if is_file(&file)? {
            migrations.push(Migration {
                key: Key::Name(Name(name.clone())),
                name,
                order: Order::Strict,
                up: Script::split(file.clone(), read_sql_as_javascript(&file)?, BREAKPOINT)?,
                down: None,
            });
        }
    }
    Ok(migrations)
}

/// Drizzle says nothing of the files that its journal does not name.
fn warn_of_others(folder: &Path, migrations: &[Migration]) -> Result<(), SourceError> {
    let named: HashSet<&Path> =
        migrations.iter().map(|migration| migration.up.file.as_path()).collect();
    for (_, path) in sql_files(folder, 1)? {
        if !named.contains(path.as_path()) {
            tracing::warn!(
                "{} is no migration: meta/_journal.json does not name it, so neither Drizzle nor premain applies it",
                path.display()
            );
        }
    }
    Ok(())
}

//! Folders of Drizzle's. Before 1.0 `meta/_journal.json` names the files, in order; since then every
//! migration is a folder.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Key, Migration, Order, Script, SourceError, read_sql_as_javascript, subfolders};
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
struct Entry {
    /// The name of the file, without `.sql`.
    tag: String,
    /// Milliseconds since 1970, which is what the history table knows it by.
    when: i64,
}

/// Where the journal stands.
pub(super) fn journal(folder: &Path) -> PathBuf {
    folder.join("meta/_journal.json")
}

/// Every migration that the journal names, in its order; none without a journal.
pub(super) fn read(folder: &Path) -> Result<Vec<Migration>, SourceError> {
    let path = journal(folder);
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(&path)
        .map_err(|source| SourceError::Unreadable { path: path.clone(), source })?;
    let malformed = |why: String| SourceError::Malformed { path: path.clone(), why };
    let journal: Journal = serde_json::from_str(&text).map_err(|error| {
        malformed(format!("it is not the journal that drizzle-kit writes: {error}"))
    })?;
    match journal.dialect.as_deref() {
        // "pg" until version 6 of the journal.
        None | Some("postgresql" | "pg") => {}
        Some(other) => {
            return Err(malformed(format!("its migrations are for {other}, not for postgresql")));
        }
    }
    let mut migrations = Vec::new();
    for Entry { tag, when } in journal.entries {
        let file = folder.join(format!("{tag}.sql"));
        if !file.is_file() {
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

/// Every migration of a folder of Drizzle's from 1.0 on, in no particular order: a folder each, with
/// `migration.sql` in it. Others are nothing to Drizzle.
pub(super) fn read_folders(folder: &Path) -> Result<Vec<Migration>, SourceError> {
    let path = journal(folder);
    if path.is_file() {
        let why = "Drizzle 1.0 refuses a folder with a journal; run 'drizzle-kit up', or give --format drizzle";
        return Err(SourceError::Malformed { path, why: why.to_owned() });
    }
    let mut migrations = Vec::new();
    for (name, path) in subfolders(folder)? {
        let file = path.join("migration.sql");
        if file.is_file() {
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
    let unreadable = |source| SourceError::Unreadable { path: folder.to_owned(), source };
    let named: HashSet<&Path> =
        migrations.iter().map(|migration| migration.up.file.as_path()).collect();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let is_sql = path.extension().is_some_and(|extension| extension == "sql");
        if is_sql && !named.contains(path.as_path()) {
            tracing::warn!(
                "{} is no migration: meta/_journal.json does not name it, so neither Drizzle nor premain applies it",
                path.display()
            );
        }
    }
    Ok(())
}

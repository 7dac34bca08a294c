//! Which tool's folder this is, told from its files.

use std::path::Path;

use super::{
    SourceError, Text, dbmate, drizzle, flyway, goose, is_file, prisma, read_sql, refinery, sql,
    sql_files, subfolders,
};
use crate::migrate::settings::Format;

/// The format that the folder's files are in; refinery's where nothing tells, for what it says of
/// files that are none.
pub(super) fn format(folder: &Path) -> Result<Format, SourceError> {
    let mut found = Vec::new();
    if is_file(&drizzle::journal(folder))? {
        found.push(Format::Drizzle);
    }
    let mut folders = Vec::new();
    for (_, path) in subfolders(folder)? {
        if is_file(&path.join("migration.sql"))? {
            folders.push(path);
        }
    }
    let has_lock_file = is_file(&folder.join(prisma::LOCK_FILE))?;
    let has_snapshot = folders.iter().any(|folder| folder.join("snapshot.json").is_file());
    // Neither tool needs more than migration.sql, and images are made small.
    let is_drizzle = has_snapshot
        || !has_lock_file
            && (folder.ends_with("drizzle") || folders.iter().any(|folder| has_breakpoint(folder)));
    if is_drizzle && !folders.is_empty() {
        found.push(Format::Drizzle1);
    }
    if has_lock_file || (!folders.is_empty() && !is_drizzle) {
        found.push(Format::Prisma);
    }
    // All the others may have files with numbers too.
    if found.is_empty() {
        if flyway::has_migration(folder)? {
            found.push(Format::Flyway);
        } else if refinery::has_migration(folder)? {
            found.push(Format::Refinery);
        }
        let numbered = numbered(folder)?;
        found.extend(numbered);
    }
    match found.as_slice() {
        [] => Ok(Format::Refinery),
        [format] => Ok(*format),
        [one, other, ..] => {
            Err(SourceError::Mixed { folder: folder.to_owned(), formats: [*one, *other] })
        }
    }
}

/// The format of files that begin with numbers: dbmate's and goose's lines are told, all else is
/// plain SQL. Nothing tells sqlx's and golang-migrate's from that but their history tables.
fn numbered(folder: &Path) -> Result<Vec<Format>, SourceError> {
    let mut found = Vec::new();
    let mut add = |format| {
        if !found.contains(&format) {
            found.push(format);
        }
    };
    for (name, path) in sql_files(folder, 1)? {
        if !name.starts_with(|first: char| first.is_ascii_digit()) {
            continue;
        }
        // What is wrong with it, its format will say.
        let text = read_sql(&path).unwrap_or_else(|_| Text::from(String::new()));
        let marked = text.lines(|_, line| match line {
            line if dbmate::is_marker(line) => Some(Format::Dbmate),
            line if goose::is_marker(line) => Some(Format::Goose),
            _ => None,
        });
        if let Ok(Some(format)) = marked {
            add(format);
        } else if sql::is_migration(&name) {
            add(Format::Sql);
        }
    }
    Ok(found)
}

fn has_breakpoint(folder: &Path) -> bool {
    read_sql(&folder.join("migration.sql"))
        .is_ok_and(|sql| sql.find_all(drizzle::BREAKPOINT).is_ok_and(|found| !found.is_empty()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn each_tool_by_its_files() {
        let both = "of two formats";
        for (files, expected) in [
            (&["meta/_journal.json", "0000_init.sql"][..], "drizzle"),
            (&["20240101000000_a/migration.sql", "20240101000000_a/snapshot.json"], "drizzle1"),
            (&["20240101000000_a/migration.sql"], "prisma"),
            (&["migration_lock.toml"], "prisma"),
            (&["V1__a.sql", "deep/V2__b.sql"], "refinery"),
            (&["deep/V2__b.sql"], "refinery"),
            (&["V1__a.sql", "V1_2__b.sql"], "flyway"),
            (&["deep/V1.2__b.sql"], "flyway"),
            (&["V1__a.sql", "R__views.sql"], "flyway"),
            (&["V1__a.sql", "V1__a.sql.conf"], "flyway"),
            (&["001_a.sql", "seeds/data.sql"], "sql"),
            (&["20240101000000_a.up.sql", "20240101000000_a.down.sql"], "sql"),
            (&["readme.txt"], "refinery"),
            (&["V1__a.sql", "002_b.sql"], both),
            (&["meta/_journal.json", "a/migration.sql"], both),
            (&["a/migration.sql", "a/snapshot.json", "migration_lock.toml"], both),
        ] {
            let folder = tempfile::tempdir().unwrap();
            for file in files {
                let path = folder.path().join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "").unwrap();
            }
            let found = match format(folder.path()) {
                Ok(format) => format.to_string(),
                Err(error) => error.to_string(),
            };
            assert!(found.contains(expected), "{files:?} {found}");
        }
    }

    #[test]
    fn numbered_files_by_what_they_hold() {
        for (files, expected) in [
            (&[("1_a.sql", "-- migrate:up"), ("readme.sql", "")][..], "dbmate"),
            (&[("1_a.sql", "-- why\r\n-- +goose Up\r\n")], "goose"),
            (&[("1.sql", "--migrate:up transaction:false")], "dbmate"),
            (&[("1_a.sql", "SELECT '-- migrate:up'")], "sql"),
            (&[("1_a.up.sql", ""), ("1_a.down.sql", "")], "sql"),
            (&[("1_a.sql", "-- migrate:up"), ("2_b.sql", "")], "formats, dbmate and sql"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            for (name, sql) in files {
                fs::write(folder.path().join(name), sql).unwrap();
            }
            let found = match format(folder.path()) {
                Ok(format) => format.to_string(),
                Err(error) => error.to_string(),
            };
            assert!(found.contains(expected), "{files:?} {found}");
        }
    }

    #[test]
    fn drizzle_s_folders_without_their_snapshots() {
        let place = tempfile::tempdir().unwrap();
        let told = |path: &str, sql: &str| {
            let migration = place.path().join(path).join("20240101000000_a");
            fs::create_dir_all(&migration).unwrap();
            fs::write(migration.join("migration.sql"), sql).unwrap();
            format(&place.path().join(path)).unwrap()
        };
        assert_eq!(told("drizzle", "SELECT 1"), Format::Drizzle1);
        assert_eq!(told("one", "SELECT 1;--> statement-breakpoint\nSELECT 2"), Format::Drizzle1);
        assert_eq!(told("other", "SELECT 1"), Format::Prisma);
    }
}

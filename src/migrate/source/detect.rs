//! Which tool's folder this is, told from its files.

use std::path::Path;

use super::{SourceError, drizzle, is_file, prisma, read_sql, refinery, sql, subfolders};
use crate::config::Format;

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
        found.extend(refinery::has_migration(folder)?.then_some(Format::Refinery));
        found.extend(sql::has_migration(folder)?.then_some(Format::Sql));
    }
    match found.as_slice() {
        [] => Ok(Format::Refinery),
        [format] => Ok(*format),
        [one, other, ..] => {
            Err(SourceError::Mixed { folder: folder.to_owned(), formats: [*one, *other] })
        }
    }
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

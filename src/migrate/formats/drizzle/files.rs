//! Directories of Drizzle before 1.0: `0000_init.sql`, in the order of `meta/_journal.json`.

use std::path::Path;

use super::journal::{Entry, Journal};
use super::snapshot;
use crate::migrate::finding::{Finding, Severity, line_and_column};
use crate::migrate::formats::directory::{
    is_file, is_plain, read_metadata, read_sql_as_javascript, sql_files,
};
use crate::migrate::formats::scaffold::{Existing, NewFiles, number_after};
use crate::migrate::migration::{Migration, Order};
use crate::migrate::source::error::SourceError;
use crate::migrate::sql::{Script, Text};
use crate::migrate::version::Version;

/// Drizzle splits statements at this marker, wherever it is.
pub(crate) const BREAKPOINT: &str = "--> statement-breakpoint";

/// What drizzle-kit writes into a migration that its user fills in.
pub(crate) const CUSTOM: &str = "-- Custom SQL migration file, put your code below! --";

/// Every migration that the journal names, in its order; none without a journal.
pub(super) fn read(directory: &Path) -> Result<Vec<Migration>, SourceError> {
    let path = Journal::path(directory);
    if !is_file(&path)? {
        return match sql_files(directory, 1)?.is_empty() {
            true => Ok(Vec::new()),
            false => Err(no_journal(directory)),
        };
    }
    let text = read_metadata(&path)?;
    let malformed = |why: String| SourceError::malformed(&path, why);
    let mut migrations = Vec::new();
    for Entry { tag, when, .. } in Journal::parse(&text).map_err(malformed)?.entries {
        if !is_plain(&tag) {
            return Err(malformed(format!("it names {tag:?}, which contains a control character")));
        }
        let file = directory.join(format!("{tag}.sql"));
        if !is_file(&file)? {
            return Err(malformed(format!(
                "it names {tag}, and there is no file {tag}.sql; restore the file, or remove the entry"
            )));
        }
        migrations.push(Migration {
            version: Version::When(when),
            name: tag.clone(),
            title: tag,
            order: Order::Strict,
            up: Script::split(file.clone(), read_sql_as_javascript(&file)?, BREAKPOINT)?,
            down: None,
        });
    }
    Ok(migrations)
}

/// Whether Drizzle wrote `sql`, a numbered file of `directory`, which has no journal.
pub(crate) fn wrote(directory: &Path, sql: &Text) -> Result<bool, SourceError> {
    let breakpoints = || sql.find_all(BREAKPOINT).map_err(SourceError::unreadable(directory));
    Ok(directory.ends_with("drizzle")
        || directory.join("meta").is_dir()
        || !breakpoints()?.is_empty())
}

/// The error for a directory without a journal.
pub(crate) fn no_journal(directory: &Path) -> SourceError {
    SourceError::malformed(
        &Journal::path(directory),
        "Drizzle's migrations need this file, and it is missing: restore it, and check that .dockerignore does not exclude it; \
         if the files are not Drizzle's, give --format sql",
    )
}

/// Finds entries that Drizzle would never apply (it applies an entry only if its `when` is above that of the last applied one),
/// and entries that are written twice.
pub(super) fn lint(directory: &Path, migrations: &[Migration]) -> Vec<Finding> {
    let path = Journal::path(directory);
    let text = read_metadata(&path).unwrap_or_default();
    let mut findings = Vec::new();
    let mut warn = |tag: &str, message: String| {
        let location =
            text.find(&format!("\"{tag}\"")).map(|offset| line_and_column(&text, offset));
        let file = path.clone();
        findings.push(Finding { severity: Severity::Warning, file, location, message });
    };
    let mut latest: Option<&Migration> = None;
    for migration in migrations {
        let name = &migration.name;
        match latest {
            Some(before) if migration.version == before.version => warn(
                name,
                format!(
                    "{name} has the 'when' of {}: once one of them is applied, Drizzle never applies the other; give it a higher one",
                    before.name
                ),
            ),
            Some(before) if migration.version < before.version => warn(
                name,
                format!(
                    "{name} has a 'when' before that of {}, which comes before it in the journal: if {} is applied, Drizzle never \
                     applies {name}; give it a higher one",
                    before.name, before.name
                ),
            ),
            _ => latest = Some(migration),
        }
    }
    let entries = Journal::parse(&text).map(|journal| journal.entries).unwrap_or_default();
    for (at, Entry { tag, idx, .. }) in entries.iter().enumerate() {
        let before = &entries[..at];
        if before.iter().any(|other| other.tag == *tag) {
            warn(tag, format!("{tag} is named twice, so it is applied twice; remove one entry"));
        } else if let Some(other) = before.iter().find(|other| idx.is_some() && other.idx == *idx) {
            let other = &other.tag;
            warn(
                tag,
                format!(
                    "{tag} has the idx of {other}, which drizzle-kit treats as a conflict; number the entries in their order"
                ),
            );
        }
    }
    findings
}

/// As `drizzle-kit generate --custom`: an entry, a file, and a copy of the last snapshot.
pub(super) fn scaffold(existing: &Existing<'_>) -> Result<NewFiles, SourceError> {
    let Existing { directory, title, now, .. } = *existing;
    let path = Journal::path(directory);
    let mut journal = match path.exists() {
        false => Journal::empty(),
        true => Journal::parse(&read_metadata(&path)?)
            .map_err(|why| SourceError::malformed(&path, why))?,
    };
    let last = journal.entries.last();
    let idx = last.map_or(0, |entry| entry.idx.unwrap_or_default() + 1);
    // Which prefix a name has is configured in drizzle-kit; the last name shows it.
    let prefix = last.map_or("0000", |entry| entry.tag.as_str());
    let width = prefix.find(|c: char| !c.is_ascii_digit()).unwrap_or(prefix.len());
    let prefix = match width {
        14 => number_after(prefix, now, ""),
        10 => now.unix_timestamp().to_string(),
        0 => String::new(),
        _ => format!("{idx:04}"),
    };
    let tag = if prefix.is_empty() { title.to_owned() } else { format!("{prefix}_{title}") };
    // Drizzle skips an entry that is not later than all others.
    let latest = journal.entries.iter().map(|entry| entry.when).max();
    let milliseconds = i64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
    let entry = Entry {
        idx: Some(idx),
        version: last.map_or_else(|| Some("7".to_owned()), |entry| entry.version.clone()),
        when: latest.map_or(milliseconds, |latest| milliseconds.max(latest + 1)),
        tag: tag.clone(),
        breakpoints: last.map_or(Some(true), |entry| entry.breakpoints),
    };
    let mut files = vec![(directory.join(format!("{tag}.sql")), CUSTOM.to_owned())];
    let snapshot = |tag: &str| {
        let end = tag.find('_').filter(|_| width > 0).unwrap_or(tag.len());
        directory.join(format!("meta/{}_snapshot.json", &tag[..end]))
    };
    let before: Vec<_> = last.iter().map(|entry| snapshot(&entry.tag)).collect();
    if let Some(text) = snapshot::continued(&before)? {
        files.push((snapshot(&tag), text));
    }
    journal.entries.push(entry);
    let text = serde_json::to_string_pretty(&journal).unwrap_or_default();
    if !path.exists() {
        files.push((path, text));
        return Ok(NewFiles { files, journal: None });
    }
    Ok(NewFiles { files, journal: Some((path, text)) })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use time::UtcDateTime;

    use super::*;

    #[test]
    fn a_new_entry_is_later_than_all_others() {
        let directory = tempfile::tempdir().unwrap();
        let meta = directory.path().join("meta");
        fs::create_dir(&meta).unwrap();
        let journal = |when: i64| {
            format!(
                "{{\n  \"version\": \"7\",\n  \"dialect\": \"postgresql\",\n  \"entries\": [\n    {{\n      \"idx\": 4,\n      \
                 \"version\": \"6\",\n      \"when\": {when},\n      \"tag\": \"0004_x\",\n      \"breakpoints\": true\n    }}"
            )
        };
        let before = journal(9_000_000_000_000);
        fs::write(meta.join("_journal.json"), format!("{before}\n  ]\n}}")).unwrap();
        let snapshot =
            "{\n  \"id\": \"aaaa\",\n  \"prevId\": \"bbbb\",\n  \"z\": 1,\n  \"a\": 2\n}";
        fs::write(meta.join("0004_snapshot.json"), snapshot).unwrap();
        let now = UtcDateTime::from_unix_timestamp(1_795_230_000).unwrap();
        let existing =
            Existing { directory: directory.path(), migrations: &[], title: "more", now };
        let next = scaffold(&existing).unwrap();
        let (_, text) = next.journal.unwrap();
        assert!(text.starts_with(&before), "{text}");
        assert!(text.contains("\"idx\": 5") && text.contains("\"when\": 9000000000001"), "{text}");
        assert_eq!(next.files[0].0, directory.path().join("0005_more.sql"));
        let (path, text) = &next.files[1];
        assert_eq!(path, &meta.join("0005_snapshot.json"));
        assert!(text.ends_with("\"prevId\": \"aaaa\",\n  \"z\": 1,\n  \"a\": 2\n}"), "{text}");
        assert!(!text.contains("\"id\": \"aaaa\"") && !text.contains("bbbb"), "{text}");
    }
}

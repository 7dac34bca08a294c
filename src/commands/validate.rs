//! `premain validate`: mistakes in the migrations, found without a database.

use std::path::PathBuf;

use super::output;
use crate::config::Config;
use crate::error::Error;
use crate::exit::Exit;
use crate::migrate::finding::{Finding, Severity};
use crate::migrate::lint::{all, encoding};
use crate::migrate::settings::SourceChoice;
use crate::migrate::source::USUAL_DIRECTORIES;
use crate::migrate::source::error::SourceError;
use crate::migrate::{self, Source};
use crate::text;

pub(super) fn run(config: &Config) -> Result<Exit, Error> {
    let (source, mut findings) = match Source::find(&config.migrate) {
        Ok(None) => return Ok(output::no_migrations(&config.migrate)),
        Ok(Some(source)) => (source.to_string(), all(&source).map_err(migrate::Error::from)?),
        Err(error) => {
            let directories = directories(&config.migrate.source);
            let mut findings: Vec<_> =
                directories.iter().flat_map(|directory| encoding(directory)).collect();
            // The reader stops at the first of them.
            match finding(&error) {
                Some(finding) if findings.iter().any(|other| other.file == finding.file) => {}
                Some(finding) => findings.push(finding),
                None => return Err(migrate::Error::from(error).into()),
            }
            let directories: Vec<_> =
                directories.iter().map(|path| path.display().to_string()).collect();
            (directories.join(", "), findings)
        }
    };
    findings.sort_by(|one, other| (&one.file, one.location).cmp(&(&other.file, other.location)));
    for finding in &findings {
        output::print(&format!("{finding}\n"));
    }
    let count = |severity| {
        findings.iter().filter(|finding: &&Finding| finding.severity == severity).count()
    };
    let errors = count(Severity::Error);
    tracing::info!(
        "migrations: {source}: {}, {}",
        text::count(errors, "error"),
        text::count(count(Severity::Warning), "warning")
    );
    Ok(if errors > 0 { Exit::Migrations } else { Exit::Success })
}

/// Where the files are, readable or not.
fn directories(choice: &SourceChoice) -> Vec<PathBuf> {
    match choice {
        SourceChoice::Directory(directory) => vec![directory.clone()],
        SourceChoice::Auto => {
            let usual = USUAL_DIRECTORIES.map(PathBuf::from).into_iter();
            usual.filter(|directory| directory.is_dir()).collect()
        }
        SourceChoice::Embedded | SourceChoice::None => Vec::new(),
    }
}

/// The error of a file, as a finding.
fn finding(error: &SourceError) -> Option<Finding> {
    match error {
        SourceError::Malformed { path, why } => {
            Some(Finding::about_file(Severity::Error, path, why))
        }
        SourceError::Duplicate { files, .. } => {
            Some(Finding::about_file(Severity::Error, &files[1], error.to_string()))
        }
        _ => None,
    }
}

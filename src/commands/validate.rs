//! `premain validate`: mistakes in the migrations, found without a database.

use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::error::Error;
use crate::exit::Exit;
use crate::migrate::settings::SourceChoice;
use crate::migrate::source::{SourceError, USUAL_FOLDERS};
use crate::migrate::validate::{Finding, Severity, all, encoding};
use crate::migrate::{self, Source};
use crate::text;

pub(super) fn run(config: &Config) -> Result<Exit, Error> {
    let (source, mut findings) = match Source::find(&config.migrate) {
        Ok(None) => return Ok(super::no_migrations()),
        Ok(Some(source)) => (source.to_string(), all(&source).map_err(migrate::Error::from)?),
        Err(error) => {
            let folders = folders(&config.migrate.source);
            let mut findings: Vec<_> = folders.iter().flat_map(|folder| encoding(folder)).collect();
            let stopped_at = finding(&error);
            // The reader stops at the first of them.
            match stopped_at {
                Some(finding) if findings.iter().any(|other| other.file == finding.file) => {}
                Some(finding) => findings.push(finding),
                None => return Err(migrate::Error::from(error).into()),
            }
            let folders: Vec<_> = folders.iter().map(|path| path.display().to_string()).collect();
            (folders.join(", "), findings)
        }
    };
    findings.sort_by(|one, other| (&one.file, one.place).cmp(&(&other.file, other.place)));
    for finding in &findings {
        super::print(&format!("{finding}\n"));
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
fn folders(choice: &SourceChoice) -> Vec<PathBuf> {
    match choice {
        SourceChoice::Folder(folder) => vec![folder.clone()],
        SourceChoice::Auto => {
            let usual = USUAL_FOLDERS.map(Path::new).into_iter().filter(|folder| folder.is_dir());
            usual.map(Path::to_owned).collect()
        }
        SourceChoice::Embedded | SourceChoice::None => Vec::new(),
    }
}

/// The error of a file, as a finding.
fn finding(error: &SourceError) -> Option<Finding> {
    match error {
        SourceError::Malformed { path, why } => Some(Finding::file(Severity::Error, path, why)),
        SourceError::Duplicate { files, .. } => {
            Some(Finding::file(Severity::Error, &files[1], error.to_string()))
        }
        _ => None,
    }
}

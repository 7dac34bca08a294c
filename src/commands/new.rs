//! `premain new NAME`: writes the next migration's files as the directory's own tool does.

use std::io;
use std::path::{Path, PathBuf};

use time::UtcDateTime;

use super::output;
use crate::config::Config;
use crate::error::Error;
use crate::exit::Exit;
use crate::migrate::formats::Format;
use crate::migrate::formats::scaffold::{Existing, sanitised};
use crate::migrate::settings::SourceChoice;
use crate::migrate::source::USUAL_DIRECTORIES;
use crate::migrate::source::error::SourceError;
use crate::migrate::{self, Migration, Source};

pub(super) fn run(config: &Config, title: &str) -> Result<Exit, Error> {
    let name = sanitised(title);
    if name.is_empty() {
        return Err(Error::Usage(format!(
            "'{title}' cannot name a migration; give a name with letters, as in 'premain new add_orders'"
        )));
    }
    let (directory, format, migrations) = directory(config)?;
    let existing = Existing {
        directory: &directory,
        migrations: &migrations,
        title: &name,
        now: UtcDateTime::now(),
    };
    let new = (format.tool().scaffold)(&existing).map_err(migrate::Error::from)?;
    new.write().map_err(|(path, source)| match source.kind() {
        io::ErrorKind::AlreadyExists => migrate::Error::from(SourceError::Malformed {
            path,
            why: "it already exists, and was not changed; choose another name".to_owned(),
        }),
        _ => SourceError::Unreadable { path, source }.into(),
    })?;
    for (path, _) in &new.files {
        output::print(&format!("{}\n", path.display()));
    }
    if let Some((path, _)) = &new.journal {
        tracing::info!("migration {name}: added to {}", path.display());
    }
    Ok(Exit::Success)
}

/// The directory to add to, its format and its migrations: the directory that migrations come from,
/// else one of the usual directories, else `./migrations`.
fn directory(config: &Config) -> Result<(PathBuf, Format, Vec<Migration>), Error> {
    let settings = &config.migrate;
    let path = match &settings.source {
        SourceChoice::Directory(path) => path.clone(),
        SourceChoice::Auto => {
            let found = Source::find(settings).map_err(migrate::Error::from)?;
            let usual = || USUAL_DIRECTORIES.map(Path::new).into_iter().find(|path| path.is_dir());
            match found.and_then(|source| source.directory) {
                Some(path) => path,
                None => usual().unwrap_or(Path::new("./migrations")).to_owned(),
            }
        }
        SourceChoice::Embedded | SourceChoice::None => {
            return Err(Error::Usage(
                "'premain new' needs a directory to write into; name it with --migrations"
                    .to_owned(),
            ));
        }
    };
    if !path.is_dir() {
        return Ok((path, settings.format.unwrap_or(Format::PLAIN), Vec::new()));
    }
    let Source { format, migrations, .. } =
        Source::read(&path, settings.format).map_err(migrate::Error::from)?;
    // An empty directory belongs to no tool yet.
    let format = match migrations.is_empty() && format == Format::REFINERY {
        true => settings.format.unwrap_or(Format::PLAIN),
        false => format,
    };
    Ok((path, format, migrations))
}

//! `premain new NAME`: the next migration's file, in the folder's own layout.

use std::io;
use std::path::{Path, PathBuf};

use time::UtcDateTime;

use crate::config::Config;
use crate::error::Error;
use crate::exit::Exit;
use crate::migrate;
use crate::migrate::settings::{Format, SourceChoice};
use crate::migrate::source::next::{Next, sanitised};
use crate::migrate::source::{Source, SourceError, USUAL_FOLDERS};

pub(super) fn run(config: &Config, title: &str) -> Result<Exit, Error> {
    let name = sanitised(title);
    if name.is_empty() {
        return Err(Error::Usage(format!(
            "'{title}' names no migration; give a name with letters, as in 'premain new add_orders'"
        )));
    }
    let source = source(config)?;
    let next = Next::after(&source, &name, UtcDateTime::now()).map_err(migrate::Error::from)?;
    next.write().map_err(|(path, source)| match source.kind() {
        io::ErrorKind::AlreadyExists => migrate::Error::from(SourceError::Malformed {
            path,
            why: "it is there already, and was not touched; choose another name".to_owned(),
        }),
        _ => SourceError::Unreadable { path, source }.into(),
    })?;
    for (path, _) in &next.files {
        super::print(&format!("{}\n", path.display()));
    }
    if let Some((path, _)) = &next.journal {
        tracing::info!("migration {name}: named in {}", path.display());
    }
    Ok(Exit::Success)
}

/// The folder to add to, with what is in it: the one that migrations would come from, else an empty
/// one of the usual, else `./migrations`.
fn source(config: &Config) -> Result<Source, Error> {
    let folder = match &config.migrate.source {
        SourceChoice::Folder(folder) => folder.clone(),
        SourceChoice::Auto => {
            let found = Source::find(&config.migrate).map_err(migrate::Error::from)?;
            let usual = || USUAL_FOLDERS.map(Path::new).into_iter().find(|folder| folder.is_dir());
            match found.and_then(|source| source.folder) {
                Some(folder) => folder,
                None => usual().unwrap_or(Path::new("./migrations")).to_owned(),
            }
        }
        SourceChoice::Embedded | SourceChoice::None => {
            return Err(Error::Usage(
                "'premain new' needs a folder to write into; name it with --migrations".to_owned(),
            ));
        }
    };
    if !folder.is_dir() {
        return Ok(empty(folder, config.migrate.format.unwrap_or(Format::Sql)));
    }
    let source = Source::folder(&folder, config.migrate.format).map_err(migrate::Error::from)?;
    // Nothing tells, and refinery would be as good as any.
    if source.migrations.is_empty()
        && source.format == Format::Refinery
        && config.migrate.format.is_none()
    {
        return Ok(empty(folder, Format::Sql));
    }
    Ok(source)
}

fn empty(folder: PathBuf, format: Format) -> Source {
    Source { folder: Some(folder), format, migrations: Vec::new() }
}

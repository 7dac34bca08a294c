//! Reads directories and files that should be migrations. Reading always ends soon: a pipe or a device is not opened, and a
//! file that cannot be a migration is not read to its end.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::tool::{Layout, Tool};
use super::unread::{self, Unread};
use crate::migrate::migration::Migration;
use crate::migrate::source::error::SourceError;
use crate::migrate::sql::Text;

/// How many entries a directory of migrations may have: far more than any project has, and far fewer than there are below `/`,
/// if that is named by mistake.
const MOST_ENTRIES: usize = 100_000;

/// How large a journal or lock file may be, in bytes; a journal of 100,000 migrations is smaller.
const LARGEST_METADATA: u64 = 16 << 20;

/// The names and paths of the directories in `directory`, except hidden ones.
pub(super) fn subdirectories(directory: &Path) -> Result<Vec<(String, PathBuf)>, SourceError> {
    let mut subdirectories = Vec::new();
    for entry in entries(directory, 1)? {
        let path = entry?.into_path();
        if path.is_dir() {
            subdirectories.push((name_of(&path)?.to_owned(), path));
        }
    }
    subdirectories.sort();
    Ok(subdirectories)
}

/// The names and paths of the SQL files in `directory`, down to `depth`, except hidden ones.
pub(super) fn sql_files(
    directory: &Path,
    depth: usize,
) -> Result<Vec<(String, PathBuf)>, SourceError> {
    let mut files = Vec::new();
    for entry in entries(directory, depth)? {
        let path = entry?.into_path();
        if path.extension().is_none_or(|extension| extension != "sql") {
            continue;
        }
        let name = name_of(&path)?.to_owned();
        if is_file(&path)? {
            files.push((name, path));
        }
    }
    files.sort_by(|(_, one), (_, other)| one.cmp(other));
    Ok(files)
}

/// Rejects what looks like a migration in `directory` and is none of these, the migrations that `tool` has read: it would be
/// skipped. Other SQL files are a warning.
pub(super) fn reject_unread(
    directory: &Path,
    tool: &Tool,
    migrations: &[Migration],
) -> Result<(), SourceError> {
    let scripts = migrations.iter().flat_map(|one| [Some(&one.up), one.down.as_ref()]).flatten();
    let mut read: HashSet<&Path> = scripts.map(|script| script.file.as_path()).collect();
    if tool.layout == Layout::Directories {
        read.extend(migrations.iter().filter_map(|migration| migration.up.file.parent()));
    }
    let is_deep = tool.layout == Layout::FilesAtAnyDepth;
    let why_not_read = match migrations.is_empty() {
        // Its tool is not known then.
        true => {
            "its name is not like 001_create_users.sql or V1__create_users.sql; rename it, or name the right directory \
             with --migrations"
        }
        false => tool.why_not_read,
    };
    // A file that the journal never named, because a merge kept it, comes before the newest that it names.
    let newest = migrations.iter().map(|migration| migration.name.as_str()).max();
    let is_left_over =
        |name: &str| tool.layout == Layout::Journal && newest.is_some_and(|newest| name < newest);
    let mut rejected = Vec::new();
    for entry in entries(directory, if is_deep { usize::MAX } else { 1 })? {
        let entry = entry?;
        let path = entry.path();
        let harmless = |path: &Path| {
            path.file_name()
                .is_some_and(|name| unread::is_harmless_directory(&name.to_string_lossy()))
        };
        let mut parents = path.ancestors().take(entry.depth()).skip(1);
        if read.contains(path) || is_deep && entry.file_type().is_dir() || parents.any(harmless) {
            continue;
        }
        let name = entry.file_name().to_string_lossy();
        let found = match path.is_dir() {
            false => unread::file(&name, why_not_read),
            true if harmless(path) => Unread::Harmless,
            true if is_deep => Unread::Migration(
                "it is a link to a directory, which is not followed; put the directory itself in its place".to_owned(),
            ),
            true => {
                let mut files = Vec::new();
                for entry in entries(path, 4)? {
                    let entry = entry?;
                    let mut parents = entry.path().ancestors().take(entry.depth()).skip(1);
                    if !entry.path().is_dir() && !parents.any(harmless) {
                        files.push(entry.file_name().to_string_lossy().into_owned());
                    }
                }
                files.sort();
                unread::directory(&name, &files)
            }
        };
        match found {
            Unread::Migration(why) if !is_left_over(&name) => rejected.push((path.to_owned(), why)),
            Unread::Migration(_) | Unread::Sql => {
                tracing::warn!("{} is not a migration: {why_not_read}", path.display());
            }
            Unread::Harmless | Unread::Other => {}
        }
    }
    rejected.sort();
    match rejected.as_slice() {
        [] => Ok(()),
        [(path, why)] => Err(SourceError::malformed(path, why)),
        [(path, why), others @ ..] => {
            Err(SourceError::malformed(path, format!("{why} (and {} like it)", others.len())))
        }
    }
}

/// Everything in `directory`, down to `depth`, except hidden entries. Links are not followed, because they may lead
/// in a circle.
fn entries(
    directory: &Path,
    depth: usize,
) -> Result<impl Iterator<Item = Result<DirEntry, SourceError>>, SourceError> {
    let unreadable = SourceError::unreadable(directory);
    fs::read_dir(directory).map_err(unreadable)?;
    // A mounted Kubernetes ConfigMap holds each file twice, once below a hidden directory.
    let visible = |entry: &DirEntry| {
        entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".")
    };
    let walk =
        WalkDir::new(directory).min_depth(1).max_depth(depth).into_iter().filter_entry(visible);
    let directory = directory.to_owned();
    Ok(walk.enumerate().map(move |(count, entry)| match entry {
        Ok(_) if count == MOST_ENTRIES => Err(SourceError::malformed(&directory, format!(
                "it contains more than {MOST_ENTRIES} files, so it cannot be the directory of migrations; name the right one with --migrations"
            ))),
        Ok(entry) => Ok(entry),
        Err(error) => Err(SourceError::Unreadable {
            path: error.path().unwrap_or(&directory).to_owned(),
            source: error.into(),
        }),
    }))
}

/// The last part of a path, if messages and history tables can show it.
fn name_of(path: &Path) -> Result<&str, SourceError> {
    let name = path.file_name().unwrap_or_default();
    let why = match name.to_str() {
        Some(name) if is_plain(name) => return Ok(name),
        Some(_) => "contains a control character",
        None => "is not UTF-8",
    };
    Err(SourceError::Malformed {
        path: path.parent().unwrap_or(path).to_owned(),
        why: format!("the name {:?} {why}; rename it", name.to_string_lossy()),
    })
}

/// Whether a name can be shown: a name with line ends could forge lines of the log.
pub(super) fn is_plain(name: &str) -> bool {
    !name.contains(char::is_control)
}

/// Whether `path` is a file, or a link to one. A pipe or a link to nowhere is an error: otherwise a migration would be skipped
/// silently.
pub(crate) fn is_file(path: &Path) -> Result<bool, SourceError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(true),
        Ok(metadata) if metadata.is_dir() => Ok(false),
        Ok(_) => Err(SourceError::malformed(
            path,
            "it is a device, a pipe or a socket, not a file; remove it",
        )),
        Err(error)
            if error.kind() == io::ErrorKind::NotFound && path.symlink_metadata().is_err() =>
        {
            Ok(false)
        }
        Err(error) => Err(SourceError::unreadable(path)(error)),
    }
}

/// Reads the text of a migration: UTF-8 without NUL, because the server accepts nothing else.
pub(super) fn read_sql(path: &Path) -> Result<Text, SourceError> {
    if let Some(large) = Text::large(path)? {
        return Ok(large);
    }
    String::from_utf8(read_bytes(path)?).map(Text::InMemory).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let line = line_of(error.as_bytes(), offset);
        let why = format!("line {line} is not UTF-8 (byte {}); save the file as UTF-8", offset + 1);
        SourceError::malformed(path, why)
    })
}

/// Reads the text of a migration as JavaScript does, with U+FFFD for bytes that are not UTF-8.
pub(super) fn read_sql_as_javascript(path: &Path) -> Result<Text, SourceError> {
    if let Some(large) = Text::large(path)? {
        return Ok(large);
    }
    String::from_utf8(read_bytes(path)?).map(Text::InMemory).or_else(|error| {
        tracing::warn!(
            "{}: line {} is not UTF-8, which Drizzle reads as \u{fffd}; save the file as UTF-8",
            path.display(),
            line_of(error.as_bytes(), error.utf8_error().valid_up_to())
        );
        Ok(Text::InMemory(String::from_utf8_lossy(error.as_bytes()).into_owned()))
    })
}

/// Reads a file that is not a migration: a journal or a lock file.
pub(super) fn read_metadata(path: &Path) -> Result<String, SourceError> {
    let unreadable = SourceError::unreadable(path);
    let malformed = |why: &str| SourceError::malformed(path, why);
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(LARGEST_METADATA + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST_METADATA {
        return Err(malformed("it is larger than 16 MB, which no tool writes; restore it"));
    }
    String::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8; save it as UTF-8"))
}

/// Reads up to the first NUL: a sparse file of gigabytes is not read to its end.
fn read_bytes(path: &Path) -> Result<Vec<u8>, SourceError> {
    let unreadable = SourceError::unreadable(path);
    let mut file = File::open(path).map_err(unreadable)?;
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        let length = file.read(&mut buffer).map_err(unreadable)?;
        let (begin, chunk) = (bytes.len(), &buffer[..length]);
        bytes.extend_from_slice(chunk);
        if let Some(offset) = chunk.iter().position(|byte| *byte == 0) {
            let line = line_of(&bytes, begin + offset);
            let why = format!("line {line} contains a NUL byte, which SQL cannot contain");
            return Err(SourceError::malformed(path, why));
        }
        if length == 0 {
            return Ok(bytes);
        }
    }
}

fn line_of(bytes: &[u8], offset: usize) -> usize {
    bytes[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Sorts migrations by version, and rejects two of the same version.
pub(super) fn sorted(mut migrations: Vec<Migration>) -> Result<Vec<Migration>, SourceError> {
    migrations.sort_by(|one, other| one.version.cmp(&other.version));
    for pair in migrations.windows(2) {
        if pair[0].version == pair[1].version {
            return Err(SourceError::Duplicate {
                version: pair[0].version.clone(),
                files: Box::new([pair[0].up.file.clone(), pair[1].up.file.clone()]),
            });
        }
    }
    Ok(migrations)
}

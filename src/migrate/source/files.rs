//! Files and folders as migrations are read from them. Whatever lies there, reading it ends, and
//! soon: what is no file is not opened, and what no migration can be is not read to its end.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::{SourceError, Text};

/// How many entries a folder of migrations may have: far more than anybody writes, and far fewer than
/// there are below `/`, should that be the folder by mistake.
const MOST_ENTRIES: usize = 100_000;

/// How large a file may be that only says something about migrations: a journal of 100,000 is smaller.
const LARGEST_NOTE: u64 = 16 << 20;

/// The folders in `folder`, hidden ones aside.
pub(super) fn subfolders(folder: &Path) -> Result<Vec<(String, PathBuf)>, SourceError> {
    let mut subfolders = Vec::new();
    for path in entries(folder, 1)? {
        let path = path?;
        if path.is_dir() {
            subfolders.push((name_of(&path)?.to_owned(), path));
        }
    }
    subfolders.sort();
    Ok(subfolders)
}

/// The SQL files in `folder`, or also below it, by name; hidden ones aside.
pub(super) fn sql_files(
    folder: &Path,
    depth: usize,
) -> Result<Vec<(String, PathBuf)>, SourceError> {
    let mut files = Vec::new();
    for path in entries(folder, depth)? {
        let path = path?;
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

/// Says of a file that its name makes it no migration.
pub(super) fn warn_of_name(file: &Path, right: &str) {
    tracing::warn!("{} is no migration: its name is not like {right}", file.display());
}

/// Everything in `folder`, or also below it, but what is hidden. Links are not followed: they may
/// lead around in a circle.
pub(super) fn entries(
    folder: &Path,
    depth: usize,
) -> Result<impl Iterator<Item = Result<PathBuf, SourceError>>, SourceError> {
    let unreadable = |source| SourceError::Unreadable { path: folder.to_owned(), source };
    fs::read_dir(folder).map_err(unreadable)?;
    // A mounted Kubernetes ConfigMap holds each file twice, once below a hidden folder.
    let visible = |entry: &walkdir::DirEntry| {
        entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".")
    };
    let walk = WalkDir::new(folder).min_depth(1).max_depth(depth).into_iter().filter_entry(visible);
    let folder = folder.to_owned();
    Ok(walk.enumerate().map(move |(count, entry)| match entry {
        Ok(_) if count == MOST_ENTRIES => Err(SourceError::Malformed {
            path: folder.clone(),
            why: format!(
                "it holds more than {MOST_ENTRIES} files, and cannot be meant; name the folder of the migrations with --migrations"
            ),
        }),
        Ok(entry) => Ok(entry.into_path()),
        Err(error) => Err(SourceError::Unreadable {
            path: error.path().unwrap_or(&folder).to_owned(),
            source: error.into(),
        }),
    }))
}

/// The last part of a path, where messages and history tables can show it.
fn name_of(path: &Path) -> Result<&str, SourceError> {
    let name = path.file_name().unwrap_or_default();
    let why = match name.to_str() {
        Some(name) if is_plain(name) => return Ok(name),
        Some(_) => "a line end or another control character",
        None => "what is not UTF-8",
    };
    Err(SourceError::Malformed {
        path: path.parent().unwrap_or(path).to_owned(),
        why: format!("the name {:?} holds {why}; rename it", name.to_string_lossy()),
    })
}

/// Whether a name may be shown: with line ends it would forge lines of the log.
pub(super) fn is_plain(name: &str) -> bool {
    !name.contains(char::is_control)
}

/// Whether a file is there, or a link to one. Where something else is that has a file's name, a pipe
/// or a link to nowhere, the migration would be missed in silence: that is an error.
pub(super) fn is_file(path: &Path) -> Result<bool, SourceError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(true),
        Ok(metadata) if metadata.is_dir() => Ok(false),
        Ok(_) => Err(SourceError::Malformed {
            path: path.to_owned(),
            why: "it is a device, a pipe or a socket, not a file; remove it".to_owned(),
        }),
        Err(error)
            if error.kind() == io::ErrorKind::NotFound && path.symlink_metadata().is_err() =>
        {
            Ok(false)
        }
        Err(source) => Err(SourceError::Unreadable { path: path.to_owned(), source }),
    }
}

/// Reads one migration's text: UTF-8 without NUL, because the server takes nothing else.
pub(super) fn read_sql(path: &Path) -> Result<Text, SourceError> {
    if let Some(large) = Text::large(path)? {
        return Ok(large);
    }
    String::from_utf8(read_bytes(path)?).map(Text::Here).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let line = line_of(error.as_bytes(), offset);
        let why = format!("line {line} is not UTF-8 (byte {}); save the file as UTF-8", offset + 1);
        SourceError::Malformed { path: path.to_owned(), why }
    })
}

/// Reads one migration's text as JavaScript does, with U+FFFD for what is not UTF-8.
pub(super) fn read_sql_as_javascript(path: &Path) -> Result<Text, SourceError> {
    if let Some(large) = Text::large(path)? {
        return Ok(large);
    }
    String::from_utf8(read_bytes(path)?).map(Text::Here).or_else(|error| {
        tracing::warn!(
            "{}: line {} is not UTF-8, and reads \u{fffd} to Drizzle; save the file as UTF-8",
            path.display(),
            line_of(error.as_bytes(), error.utf8_error().valid_up_to())
        );
        Ok(Text::Here(String::from_utf8_lossy(error.as_bytes()).into_owned()))
    })
}

/// Reads a file that is no migration: a journal, a lock file.
pub(super) fn read_note(path: &Path) -> Result<String, SourceError> {
    let unreadable = |source| SourceError::Unreadable { path: path.to_owned(), source };
    let malformed =
        |why: &str| SourceError::Malformed { path: path.to_owned(), why: why.to_owned() };
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(LARGEST_NOTE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST_NOTE {
        return Err(malformed("it is larger than 16 MB, which no tool writes; restore it"));
    }
    String::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8; save it as UTF-8"))
}

/// Stops at the first NUL: a file with a hole of gigabytes is not read through.
fn read_bytes(path: &Path) -> Result<Vec<u8>, SourceError> {
    let unreadable = |source| SourceError::Unreadable { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    let (mut bytes, mut piece) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        let length = file.read(&mut piece).map_err(unreadable)?;
        let (begin, piece) = (bytes.len(), &piece[..length]);
        bytes.extend_from_slice(piece);
        if let Some(offset) = piece.iter().position(|byte| *byte == 0) {
            let line = line_of(&bytes, begin + offset);
            let why = format!("line {line} holds a NUL byte, which SQL cannot");
            return Err(SourceError::Malformed { path: path.to_owned(), why });
        }
        if length == 0 {
            return Ok(bytes);
        }
    }
}

fn line_of(bytes: &[u8], offset: usize) -> usize {
    bytes[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
}

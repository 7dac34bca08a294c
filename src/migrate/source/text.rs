//! A script's text: in memory, or left on the disk where it is large.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use memchr::{memchr, memchr_iter};
use sha2::{Digest, Sha256};

use super::SourceError;

/// From this size on a file is never held as a whole: the server would need three times its size of
/// memory for it in one message, and this much is nothing to either side.
const LARGE: u64 = 16 << 20;

/// How much of a large file is read at once.
const PIECE: usize = 1 << 20;

/// A text, always UTF-8 without NUL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    /// In memory.
    Here(String),
    /// On the disk.
    There(Large),
}

/// A file that was read once, from the beginning to the end, and was sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Large {
    path: PathBuf,
    length: usize,
    /// What tells whether it is still the same.
    sha256: String,
    begins: String,
}

impl From<String> for Text {
    fn from(text: String) -> Text {
        Text::Here(text)
    }
}

impl Text {
    /// Reads a file if it is large; `None` where it is not.
    ///
    /// # Errors
    /// Where it cannot be read, or is no text.
    pub(crate) fn large(path: &Path) -> Result<Option<Text>, SourceError> {
        let unreadable = |source| SourceError::Unreadable { path: path.to_owned(), source };
        let length = path.metadata().map_err(unreadable)?.len();
        if length < LARGE {
            return Ok(None);
        }
        let mut large = Large {
            path: path.to_owned(),
            length: usize::try_from(length).unwrap_or(usize::MAX),
            sha256: String::new(),
            begins: String::new(),
        };
        let mut pieces = Pieces::open(&large).map_err(unreadable)?.hashed();
        let mut line = 1;
        loop {
            let piece = match pieces.next() {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    let line = line + pieces.sound_lines();
                    let why = format!("line {line} is not UTF-8; save the file as UTF-8");
                    return Err(SourceError::Malformed { path: path.to_owned(), why });
                }
                Err(error) => return Err(unreadable(error)),
            };
            if let Some(nul) = memchr(b'\0', piece.as_bytes()) {
                let line = line + line_ends(&piece.as_bytes()[..nul]);
                let why = format!("line {line} holds a NUL byte, which SQL cannot");
                return Err(SourceError::Malformed { path: path.to_owned(), why });
            }
            line += line_ends(piece.as_bytes());
            if large.begins.is_empty() {
                large.begins = piece.chars().take(100).collect();
            }
        }
        (large.length, large.sha256) = pieces.end();
        Ok(Some(Text::There(large)))
    }

    /// In bytes.
    pub fn len(&self) -> usize {
        match self {
            Text::Here(text) => text.len(),
            Text::There(large) => large.length,
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of it, unless it is large.
    pub fn here(&self) -> Option<&str> {
        match self {
            Text::Here(text) => Some(text),
            Text::There(_) => None,
        }
    }

    /// Its first 100 characters at least, or all of it.
    pub fn beginning(&self) -> &str {
        match self {
            Text::Here(text) => text,
            Text::There(large) => &large.begins,
        }
    }

    /// All of it, piece by piece.
    ///
    /// # Errors
    /// The file's, where it is one.
    pub fn pieces(&self, mut each: impl FnMut(&str)) -> io::Result<()> {
        let mut pieces = Pieces::of(self)?;
        while let Some(piece) = pieces.next()? {
            each(piece);
        }
        Ok(())
    }

    /// About these bytes of it.
    pub(crate) fn stretch(&self, range: Range<usize>) -> io::Result<String> {
        match self {
            Text::Here(text) => Ok(String::from_utf8_lossy(&text.as_bytes()[range]).into_owned()),
            Text::There(large) => {
                let mut file = File::open(&large.path)?;
                file.seek(SeekFrom::Start(range.start as u64))?;
                let mut bytes = Vec::new();
                file.take(range.len() as u64).read_to_end(&mut bytes)?;
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            }
        }
    }

    /// Where `marker` stands, each time.
    ///
    /// # Errors
    /// The file's, where it is one.
    pub(super) fn find_all(&self, marker: &str) -> io::Result<Vec<usize>> {
        let mut found = Vec::new();
        // What the last piece ended with, which the marker may have begun in.
        let (mut rest, mut at) = (String::new(), 0);
        self.pieces(|piece| {
            rest.push_str(piece);
            let mut from = 0;
            while let Some(offset) = rest[from..].find(marker) {
                found.push(at + from + offset);
                from += offset + marker.len();
            }
            let mut keep = rest.len().saturating_sub(marker.len()).max(from);
            while !rest.is_char_boundary(keep) {
                keep -= 1;
            }
            rest.drain(..keep);
            at += keep;
        })?;
        Ok(found)
    }

    /// Its lines, with where each begins in bytes, until `each` has an answer; a byte order mark is no
    /// part of the first. A line of a large file is cut after a while.
    ///
    /// # Errors
    /// The file's, where it is one.
    pub fn lines<T>(
        &self,
        mut each: impl FnMut(usize, &str) -> Option<T>,
    ) -> io::Result<Option<T>> {
        const LONGEST: usize = 4096;
        let (mut line, mut at, mut begins, mut answer) = (String::new(), 0, 0, None);
        let mut each = |begins: usize, line: &str| match line.strip_prefix('\u{feff}') {
            Some(text) if begins == 0 => each(line.len() - text.len(), text),
            _ => each(begins, line),
        };
        self.pieces(|piece| {
            for part in piece.split_inclusive('\n') {
                if answer.is_some() {
                    return;
                }
                if line.is_empty() {
                    begins = at;
                }
                at += part.len();
                if line.len() < LONGEST {
                    line.push_str(part);
                }
                if part.ends_with('\n') {
                    answer = each(begins, line.trim_end_matches(['\r', '\n']));
                    line.clear();
                }
            }
        })?;
        if answer.is_none() && !line.is_empty() {
            answer = each(begins, &line);
        }
        Ok(answer)
    }

    /// Lower-case hexadecimal SHA-256, as most tools record it.
    pub fn sha256(&self) -> String {
        match self {
            Text::Here(text) => hexadecimal(&Sha256::digest(text.as_bytes())),
            Text::There(large) => large.sha256.clone(),
        }
    }

    /// Lower-case hexadecimal, by another algorithm.
    ///
    /// # Errors
    /// The file's, where it is one.
    pub fn digest<D: Digest>(&self) -> io::Result<String> {
        let mut hasher = D::new();
        self.pieces(|piece| hasher.update(piece))?;
        Ok(hexadecimal(&hasher.finalize()))
    }

    /// The same, had every line end been this one.
    ///
    /// # Errors
    /// The file's, where it is one.
    pub fn digest_with<D: Digest>(&self, line_end: &str) -> io::Result<String> {
        let mut hasher = D::new();
        // A carriage return that may begin a line end.
        let mut held = false;
        self.pieces(|piece| {
            for part in piece.split_inclusive('\n') {
                let (mut body, ends) = match part.strip_suffix('\n') {
                    Some(body) => (body, true),
                    None => (part, false),
                };
                if held && !(ends && body.is_empty()) {
                    hasher.update("\r");
                }
                held = false;
                if let Some(rest) = body.strip_suffix('\r') {
                    body = rest;
                    held = !ends;
                }
                hasher.update(body);
                if ends {
                    hasher.update(line_end);
                }
            }
        })?;
        if held {
            hasher.update("\r");
        }
        Ok(hexadecimal(&hasher.finalize()))
    }

    /// Whether `sha256` is that of the file as it was when it was read first.
    pub(crate) fn is_still(&self, sha256: &str) -> bool {
        match self {
            Text::Here(_) => true,
            Text::There(large) => large.sha256 == sha256,
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A text from its beginning to its end, in pieces that are text themselves.
pub(crate) struct Pieces<'a> {
    here: Option<&'a str>,
    file: Option<File>,
    buffer: Vec<u8>,
    /// How much of the buffer was handed out.
    sound: usize,
    /// Of all that was read, where somebody will ask.
    hasher: Option<Sha256>,
    read: usize,
}

impl<'a> Pieces<'a> {
    pub(crate) fn of(text: &'a Text) -> io::Result<Pieces<'a>> {
        match text {
            Text::Here(text) => Ok(Pieces { here: Some(text), ..Pieces::new(None) }),
            Text::There(large) => Pieces::open(large),
        }
    }

    fn open(large: &Large) -> io::Result<Pieces<'a>> {
        Ok(Pieces::new(Some(File::open(&large.path)?)))
    }

    /// From here on the SHA-256 is taken.
    pub(crate) fn hashed(self) -> Pieces<'a> {
        Pieces { hasher: Some(Sha256::new()), ..self }
    }

    fn new(file: Option<File>) -> Pieces<'a> {
        Pieces { here: None, file, buffer: Vec::new(), sound: 0, hasher: None, read: 0 }
    }

    pub(crate) fn next(&mut self) -> io::Result<Option<&str>> {
        let Some(file) = &mut self.file else { return Ok(self.here.take()) };
        self.buffer.drain(..self.sound);
        self.sound = 0;
        let begin = self.buffer.len();
        file.take((PIECE - begin) as u64).read_to_end(&mut self.buffer)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&self.buffer[begin..]);
        }
        self.read += self.buffer.len() - begin;
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let at_the_end = self.buffer.len() == begin;
        self.sound = match std::str::from_utf8(&self.buffer) {
            Ok(_) => self.buffer.len(),
            Err(error) => {
                let cut = error.error_len().is_none() && !at_the_end;
                self.sound = error.valid_up_to();
                if !cut {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"));
                }
                self.sound
            }
        };
        std::str::from_utf8(&self.buffer[..self.sound]).map(Some).map_err(io::Error::other)
    }

    /// How many lines end in what is sound of the piece that is not.
    fn sound_lines(&self) -> usize {
        line_ends(&self.buffer[..self.sound])
    }

    /// How much there was, and its SHA-256 if that was taken.
    pub(crate) fn end(self) -> (usize, String) {
        let sha256 = self.hasher.map(|hasher| hexadecimal(&hasher.finalize()));
        (self.read, sha256.unwrap_or_default())
    }
}

fn line_ends(text: &[u8]) -> usize {
    memchr_iter(b'\n', text).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As a file, as if it was large.
    fn there(text: &str) -> (tempfile::TempDir, Text) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sql");
        std::fs::write(&path, text).unwrap();
        let sha256 = Text::Here(text.to_owned()).sha256();
        let begins = text.chars().take(100).collect();
        (folder, Text::There(Large { path, length: text.len(), sha256, begins }))
    }

    #[test]
    fn pieces_end_between_characters() {
        let text = "ä🦀\n".repeat(PIECE / 3);
        let (_folder, there) = there(&text);
        let (mut all, mut count) = (String::new(), 0);
        there.pieces(|piece| (count += 1, all.push_str(piece)).1).unwrap();
        assert!(all == text && count > 2);
        assert_eq!(there.find_all("🦀").unwrap().len(), PIECE / 3);
    }

    proptest! {
        #[test]
        fn a_file_is_what_it_is_in_memory(text in "([a-zä\r\n]|\r\n|--> x){0,30}") {
            let (_folder, there) = there(&text);
            let here = Text::Here(text.clone());
            let unix = text.replace("\r\n", "\n");
            let windows = unix.replace('\n', "\r\n");
            for text in [&there, &here] {
                prop_assert_eq!(text.digest_with::<Sha256>("\n").unwrap(), Text::Here(unix.clone()).sha256());
                prop_assert_eq!(text.digest_with::<Sha256>("\r\n").unwrap(), Text::Here(windows.clone()).sha256());
                let found: Vec<_> = here.here().unwrap().match_indices("--> x").map(|(at, _)| at).collect();
                prop_assert_eq!(text.find_all("--> x").unwrap(), found);
                let mut lines = Vec::new();
                let none: Option<()> = text.lines(|_, line| { lines.push(line.to_owned()); None }).unwrap();
                prop_assert_eq!(none, None);
                prop_assert_eq!(lines.len(), here.here().unwrap().lines().count());
            }
        }
    }
}

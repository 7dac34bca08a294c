//! The text of a script: held in memory, or left on disk if the file is large.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use memchr::{memchr, memchr_iter};
use sha2::{Digest, Sha256};

use crate::migrate::source::error::SourceError;

/// A file of this size (in bytes) or more is never held in memory as a whole: sent as one message, it
/// would cost the server three times its size.
const LARGE: u64 = 16 << 20;

/// How many bytes of a large file are read at once.
const CHUNK: usize = 1 << 20;

/// A text. Always UTF-8 without NUL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Text {
    /// The whole text.
    InMemory(String),
    /// A file of 16 MiB or more.
    OnDisk(LargeFile),
}

/// A large file that was read once from beginning to end and found valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LargeFile {
    path: PathBuf,
    length: usize,
    /// The digest of the file as it was first read, to notice changes.
    sha256: String,
    /// Its first 100 characters.
    beginning: String,
}

impl From<String> for Text {
    fn from(text: String) -> Text {
        Text::InMemory(text)
    }
}

impl Text {
    /// Reads and validates a large file; `None` if the file is not large.
    ///
    /// # Errors
    /// It cannot be read, is not UTF-8, or holds a NUL byte.
    pub(crate) fn large(path: &Path) -> Result<Option<Text>, SourceError> {
        let unreadable = SourceError::unreadable(path);
        let length = path.metadata().map_err(unreadable)?.len();
        if length < LARGE {
            return Ok(None);
        }
        let mut large = LargeFile {
            path: path.to_owned(),
            length: usize::try_from(length).unwrap_or(usize::MAX),
            sha256: String::new(),
            beginning: String::new(),
        };
        let mut chunks = Chunks::open(&large).map_err(unreadable)?.hashed();
        let mut line = 1;
        loop {
            let chunk = match chunks.next() {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    let line = line + chunks.valid_lines();
                    let why = format!("line {line} is not UTF-8; save the file as UTF-8");
                    return Err(SourceError::malformed(path, why));
                }
                Err(error) => return Err(unreadable(error)),
            };
            if let Some(nul) = memchr(b'\0', chunk.as_bytes()) {
                let line = line + line_ends(&chunk.as_bytes()[..nul]);
                let why = format!("line {line} contains a NUL byte, which SQL cannot contain");
                return Err(SourceError::malformed(path, why));
            }
            line += line_ends(chunk.as_bytes());
            if large.beginning.is_empty() {
                large.beginning = chunk.chars().take(100).collect();
            }
        }
        (large.length, large.sha256) = chunks.end();
        Ok(Some(Text::OnDisk(large)))
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Text::InMemory(text) => text.len(),
            Text::OnDisk(large) => large.length,
        }
    }

    /// The whole text, unless it is a large file.
    pub(crate) fn in_memory(&self) -> Option<&str> {
        match self {
            Text::InMemory(text) => Some(text),
            Text::OnDisk(_) => None,
        }
    }

    /// At least its first 100 characters.
    pub(crate) fn beginning(&self) -> &str {
        match self {
            Text::InMemory(text) => text,
            Text::OnDisk(large) => &large.beginning,
        }
    }

    /// Calls `each` with the whole text in chunks, each of them valid UTF-8.
    ///
    /// # Errors
    /// The large file can no longer be read.
    pub(crate) fn chunks(&self, mut each: impl FnMut(&str)) -> io::Result<()> {
        let mut chunks = Chunks::of(self)?;
        while let Some(chunk) = chunks.next()? {
            each(chunk);
        }
        Ok(())
    }

    /// A range of bytes as text; a character that is cut at either end becomes U+FFFD.
    pub(crate) fn slice(&self, range: Range<usize>) -> io::Result<String> {
        match self {
            Text::InMemory(text) => {
                Ok(String::from_utf8_lossy(&text.as_bytes()[range]).into_owned())
            }
            Text::OnDisk(large) => {
                let mut file = File::open(&large.path)?;
                file.seek(SeekFrom::Start(range.start as u64))?;
                let mut bytes = Vec::new();
                file.take(range.len() as u64).read_to_end(&mut bytes)?;
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            }
        }
    }

    /// The offsets of `marker`, in bytes.
    ///
    /// # Errors
    /// The large file can no longer be read.
    pub(crate) fn find_all(&self, marker: &str) -> io::Result<Vec<usize>> {
        let mut found = Vec::new();
        // The end of the last chunk, because a marker may have begun in it.
        let (mut rest, mut at) = (String::new(), 0);
        self.chunks(|chunk| {
            rest.push_str(chunk);
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

    /// Calls `each` with every line and the offset of its first byte, until `each` returns an answer. The
    /// first line has no byte order mark; a line is cut after 4 kB.
    ///
    /// # Errors
    /// The large file can no longer be read.
    pub(crate) fn lines<T>(
        &self,
        mut each: impl FnMut(usize, &str) -> Option<T>,
    ) -> io::Result<Option<T>> {
        const LONGEST: usize = 4096;
        let (mut line, mut at, mut begins, mut answer) = (String::new(), 0, 0, None);
        let mut each = |begins: usize, line: &str| match line.strip_prefix('\u{feff}') {
            Some(text) if begins == 0 => each(line.len() - text.len(), text),
            _ => each(begins, line),
        };
        self.chunks(|chunk| {
            for part in chunk.split_inclusive('\n') {
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

    /// Its SHA-256 in lower-case hexadecimal, as most tools record it.
    pub(crate) fn sha256(&self) -> String {
        match self {
            Text::InMemory(text) => hexadecimal(&Sha256::digest(text.as_bytes())),
            Text::OnDisk(large) => large.sha256.clone(),
        }
    }

    /// Its digest by the algorithm `D`, in lower-case hexadecimal.
    ///
    /// # Errors
    /// The large file can no longer be read.
    pub(crate) fn digest<D: Digest>(&self) -> io::Result<String> {
        let mut hasher = D::new();
        self.chunks(|chunk| hasher.update(chunk))?;
        Ok(hexadecimal(&hasher.finalize()))
    }

    /// The digest that it would have if every line ended in `line_end`.
    ///
    /// # Errors
    /// The large file can no longer be read.
    pub(crate) fn digest_with<D: Digest>(&self, line_end: &str) -> io::Result<String> {
        let mut hasher = D::new();
        // A carriage return that may begin a line end.
        let mut held = false;
        self.chunks(|chunk| {
            for part in chunk.split_inclusive('\n') {
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

    /// Whether `sha256` is the digest of the file as it was first read.
    pub(crate) fn is_still(&self, sha256: &str) -> bool {
        match self {
            Text::InMemory(_) => true,
            Text::OnDisk(large) => large.sha256 == sha256,
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

/// Reads a text from beginning to end, in chunks that are valid UTF-8.
pub(crate) struct Chunks<'a> {
    in_memory: Option<&'a str>,
    file: Option<File>,
    buffer: Vec<u8>,
    /// How many bytes of the buffer the last chunk had.
    valid: usize,
    /// The digest of all that was read, if the caller wants it.
    hasher: Option<Sha256>,
    /// How many bytes were read.
    read: usize,
}

impl<'a> Chunks<'a> {
    pub(crate) fn of(text: &'a Text) -> io::Result<Chunks<'a>> {
        match text {
            Text::InMemory(text) => Ok(Chunks { in_memory: Some(text), ..Chunks::new(None) }),
            Text::OnDisk(large) => Chunks::open(large),
        }
    }

    fn open(large: &LargeFile) -> io::Result<Chunks<'a>> {
        Ok(Chunks::new(Some(File::open(&large.path)?)))
    }

    /// Also computes the SHA-256, for [`Chunks::end`].
    pub(crate) fn hashed(self) -> Chunks<'a> {
        Chunks { hasher: Some(Sha256::new()), ..self }
    }

    fn new(file: Option<File>) -> Chunks<'a> {
        Chunks { in_memory: None, file, buffer: Vec::new(), valid: 0, hasher: None, read: 0 }
    }

    pub(crate) fn next(&mut self) -> io::Result<Option<&str>> {
        let Some(file) = &mut self.file else { return Ok(self.in_memory.take()) };
        self.buffer.drain(..self.valid);
        self.valid = 0;
        let begin = self.buffer.len();
        file.take((CHUNK - begin) as u64).read_to_end(&mut self.buffer)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&self.buffer[begin..]);
        }
        self.read += self.buffer.len() - begin;
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let at_the_end = self.buffer.len() == begin;
        self.valid = match std::str::from_utf8(&self.buffer) {
            Ok(_) => self.buffer.len(),
            Err(error) => {
                let cut = error.error_len().is_none() && !at_the_end;
                self.valid = error.valid_up_to();
                if !cut {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"));
                }
                self.valid
            }
        };
        std::str::from_utf8(&self.buffer[..self.valid]).map(Some).map_err(io::Error::other)
    }

    /// How many lines end before the first invalid byte.
    fn valid_lines(&self) -> usize {
        line_ends(&self.buffer[..self.valid])
    }

    /// How many bytes were read, and their SHA-256 if it was computed.
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

    /// The text as a file that counts as large.
    fn on_disk(text: &str) -> (tempfile::TempDir, Text) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.sql");
        std::fs::write(&path, text).unwrap();
        let sha256 = Text::InMemory(text.to_owned()).sha256();
        let beginning = text.chars().take(100).collect();
        (directory, Text::OnDisk(LargeFile { path, length: text.len(), sha256, beginning }))
    }

    #[test]
    fn chunks_end_between_characters() {
        let text = "ä🦀\n".repeat(CHUNK / 3);
        let (_directory, on_disk) = on_disk(&text);
        let (mut all, mut count) = (String::new(), 0);
        on_disk.chunks(|chunk| (count += 1, all.push_str(chunk)).1).unwrap();
        assert!(all == text && count > 2);
        assert_eq!(on_disk.find_all("🦀").unwrap().len(), CHUNK / 3);
    }

    proptest! {
        #[test]
        fn a_text_on_disk_reads_as_it_does_in_memory(text in "([a-zä\r\n]|\r\n|--> x){0,30}") {
            let (_directory, on_disk) = on_disk(&text);
            let in_memory = Text::InMemory(text.clone());
            let unix = text.replace("\r\n", "\n");
            let windows = unix.replace('\n', "\r\n");
            for text in [&on_disk, &in_memory] {
                prop_assert_eq!(text.digest_with::<Sha256>("\n").unwrap(), Text::InMemory(unix.clone()).sha256());
                prop_assert_eq!(text.digest_with::<Sha256>("\r\n").unwrap(), Text::InMemory(windows.clone()).sha256());
                let found: Vec<_> = in_memory.in_memory().unwrap().match_indices("--> x").map(|(at, _)| at).collect();
                prop_assert_eq!(text.find_all("--> x").unwrap(), found);
                let mut lines = Vec::new();
                let none: Option<()> = text.lines(|_, line| { lines.push(line.to_owned()); None }).unwrap();
                prop_assert_eq!(none, None);
                prop_assert_eq!(lines.len(), in_memory.in_memory().unwrap().lines().count());
            }
        }
    }
}

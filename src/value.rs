//! What parsers of settings share: problems, choices, and reading the files that settings name.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// What a value should have been: the end of the sentence "… is 'x', not …".
pub(crate) type Allowed = String;

/// One invalid setting.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    /// The option (`--grace`) or variable (`DATABASE_URL`).
    pub name: String,
    /// What is wrong with it, and what is allowed; without secrets.
    pub what: String,
}

/// Finds the value of a word.
///
/// # Errors
/// The list of the words that are allowed.
pub(crate) fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, Allowed> {
    choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        format!("one of {}", words.join(", "))
    })
}

/// In bytes, far more than any secret or bundle of certificates.
const LARGEST_FILE: u64 = 16 << 20;

/// Reads the file that a setting names.
///
/// # Errors
/// The end of a sentence: "which cannot be read: …".
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(format!("which cannot be read: {error}")),
        Ok(length) if length as u64 > LARGEST_FILE => Err("which is larger than 16 MB".to_owned()),
        Ok(_) => Ok(bytes),
    }
}

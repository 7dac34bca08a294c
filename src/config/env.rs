//! The environment: the variables that premain reads, `_FILE` variables, and what the application
//! gets.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::database_variables::{self, PRIVATE, secrets};
use super::nearest::nearest;
use super::option::{OPTIONS, OptionInfo, Options, PREFIX};
use crate::value::{Problem, read_file};

/// The suffix of a variable that names the file with the value.
const FILE: &str = "_FILE";

/// The process environment: for the application as it was, for premain with the content of files
/// and without empty variables.
pub struct Environment {
    /// Every variable, in the order of the process environment.
    variables: Vec<(OsString, OsString)>,
    /// What premain reads, with the content of `_FILE` variables under the plain name.
    known: BTreeMap<String, Value>,
    /// What is wrong with the variables themselves.
    problems: Vec<Problem>,
}

/// The value of a variable that premain reads.
struct Value {
    text: String,
    /// The path of the file with the value, if it is in one.
    file: Option<String>,
}

impl Environment {
    /// Reads the variables that premain knows, and the files that `_FILE` variables name.
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Environment {
            variables: variables.into_iter().collect(),
            known: BTreeMap::new(),
            problems: Vec::new(),
        };
        for (name, value) in &environment.variables {
            let Some(name) = name.to_str().filter(|name| is_known(name)) else { continue };
            // Of two variables of one name every C library sees the first.
            if is_unset(name, value) || environment.known.contains_key(name) {
                continue;
            }
            match value.to_str() {
                Some(text) => {
                    let value = Value { text: text.to_owned(), file: None };
                    environment.known.insert(name.to_owned(), value);
                }
                None => environment.problems.push(problem(name, "is not UTF-8")),
            }
        }
        for name in secrets() {
            environment.resolve(name);
        }
        environment
    }

    /// Puts the content of the file that `NAME_FILE` names under `NAME`.
    fn resolve(&mut self, name: &str) {
        let variable = format!("{name}{FILE}");
        let Some(Value { text: path, .. }) = self.known.remove(&variable) else { return };
        if self.known.contains_key(name) {
            self.problems.push(problem(&variable, &format!("and {name} are both set; keep one")));
            return;
        }
        match read_secret(&path) {
            Ok(text) => {
                self.known.insert(name.to_owned(), Value { text, file: Some(path) });
            }
            Err(why) => self.problems.push(problem(&variable, &format!("is '{path}', {why}"))),
        }
    }

    /// The value of a variable that premain reads; `None` if it is unset or empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.known.get(name).map(|value| value.text.as_str())
    }

    /// Every variable that is not empty, in text, except for those that premain reads.
    pub(super) fn others(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        let texts = self.variables.iter().filter_map(|(name, value)| {
            Some((name.to_str()?, value.to_str().filter(|value| !value.is_empty())?))
        });
        texts.filter(|(name, _)| !is_known(name))
    }

    /// The options as premain's own variables set them. Adds a warning for each unknown variable.
    pub(super) fn options(&self, warnings: &mut Vec<String>) -> Options {
        let own = self.known.iter().filter(|(name, _)| name.starts_with(PREFIX));
        let (known, unknown): (Vec<_>, Vec<_>) =
            own.partition(|(name, _)| OptionInfo::of_variable(name).is_some());
        let unknown = unknown.into_iter().filter(|(name, _)| !NOT_OPTIONS.contains(&name.as_str()));
        warnings.extend(unknown.map(|(name, _)| unknown_variable(name)));
        let known = known.into_iter().map(|(name, value)| (name.clone(), value.text.clone()));
        // An invalid value is kept with its option, so this cannot fail.
        envy::prefixed(PREFIX).from_iter(known).unwrap_or_default()
    }

    /// Moves what is wrong with the variables themselves to `problems`.
    pub(super) fn take_problems(&mut self, problems: &mut Vec<Problem>) {
        problems.append(&mut self.problems);
    }

    /// How messages call a variable: `DATABASE_URL`, or `DATABASE_URL_FILE=/run/secrets/url`.
    pub(super) fn called(&self, name: &str) -> String {
        match self.known.get(name).and_then(|value| value.file.as_deref()) {
            Some(path) => format!("{name}{FILE}={path}"),
            None => name.to_owned(),
        }
    }

    /// The application's environment, in the order it came: `_FILE` variables resolved, without
    /// `MIGRATION_DATABASE_URL` and what is `dropped`.
    pub fn for_application(self, dropped: &[String]) -> Vec<(OsString, OsString)> {
        let known = &self.known;
        let from_file = |name: &str| known.get(name).filter(|value| value.file.is_some());
        let is_dropped = |name: &OsStr| {
            name == PRIVATE || dropped.iter().any(|dropped| name == OsStr::new(dropped))
        };
        let mut resolved = Vec::new();
        self.variables
            .into_iter()
            .filter_map(|(name, value)| {
                let plain = name.to_str().and_then(plain_name);
                if is_dropped(&name) || plain.is_some_and(|plain| is_dropped(plain.as_ref())) {
                    return None;
                }
                if let Some(plain) = plain {
                    // Only the first of two variables of one name was read.
                    let value = from_file(plain).filter(|_| !resolved.contains(&plain))?;
                    resolved.push(plain);
                    return Some((plain.into(), value.text.clone().into()));
                }
                // The empty variable that its file has a value for.
                let replaced = name.to_str().is_some_and(|name| from_file(name).is_some());
                (!replaced).then_some((name, value))
            })
            .collect()
    }
}

/// An empty variable counts as unset, and so does one of premain's own that has only blanks, unless
/// the option's default would be less safe than any value.
fn is_unset(name: &str, value: &OsStr) -> bool {
    match name.starts_with(PREFIX) {
        true => {
            value.as_bytes().trim_ascii().is_empty()
                && !OptionInfo::of_variable(name).is_some_and(|option| option.rejects_empty)
        }
        false => value.is_empty(),
    }
}

/// Variables with the prefix of options that are none: the directory to embed at build time, which
/// an image may keep; what `premain reset` checks; and what hooks get, which may run premain.
const NOT_OPTIONS: [&str; 4] =
    ["PREMAIN_EMBED", "PREMAIN_ENV", "PREMAIN_PENDING", "PREMAIN_APPLIED"];

fn unknown_variable(name: &str) -> String {
    let option = name.trim_start_matches(PREFIX).to_lowercase().replace('_', "-");
    let names: Vec<_> = OPTIONS.iter().map(OptionInfo::name).collect();
    let hint = nearest(&option, names.iter().map(String::as_str))
        .and_then(OptionInfo::find)
        .map(|near| format!("; did you mean {}?", near.variable()))
        .unwrap_or_default();
    format!("unknown variable {name} is ignored{hint}")
}

/// Whether premain reads the variable of this name.
fn is_known(name: &str) -> bool {
    name.starts_with(PREFIX)
        || database_variables::all().any(|known| known == name)
        || plain_name(name).is_some()
}

/// `DATABASE_URL` of `DATABASE_URL_FILE`, if premain reads that variable.
fn plain_name(name: &str) -> Option<&'static str> {
    let plain = name.strip_suffix(FILE)?;
    secrets().find(|secret| *secret == plain)
}

fn problem(name: &str, what: &str) -> Problem {
    Problem { name: name.to_owned(), what: what.to_owned() }
}

/// The content of a file without the line ends at its end.
fn read_secret(path: &str) -> Result<String, String> {
    let bytes = read_file(Path::new(path))?;
    let text = String::from_utf8(bytes).map_err(|_| "which is not UTF-8".to_owned())?;
    let text = text.trim_end_matches(['\n', '\r']);
    match text {
        "" => Err("which is empty".to_owned()),
        text if text.contains('\0') => Err("which holds a null byte".to_owned()),
        text => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests;

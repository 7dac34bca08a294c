//! The environment: what premain reads of it, `_FILE`, and what the application gets.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::family::{self, Found, NAMES};
use super::option::PREFIX;
use crate::value::{Problem, read_file};

/// The suffix of a variable that names the file its value stands in.
const FILE: &str = "_FILE";

/// For premain alone: the application never gets it.
const PRIVATE: &str = "MIGRATION_DATABASE_URL";

/// The variables that may hold a secret, and so may stand in a file.
const SECRETS: [&str; 13] = [
    "MIGRATION_DATABASE_URL",
    "DIRECT_URL",
    "DATABASE_URL",
    "POSTGRES_USER",
    "POSTGRES_PASSWORD",
    "POSTGRES_DB",
    "DB_USER",
    "DB_PASSWORD",
    "DB_NAME",
    "PGUSER",
    "PGPASSWORD",
    "PGDATABASE",
    "PREMAIN_WAIT_FOR",
];

/// The process environment: as it was for the application, resolved and without empty variables
/// for premain.
pub struct Environment {
    /// Everything, in the order it came.
    variables: Vec<(OsString, OsString)>,
    /// What premain reads, `_FILE` variables under the plain name, never empty.
    known: BTreeMap<String, Value>,
    /// What was wrong with it so far.
    problems: Vec<Problem>,
}

/// The value of a variable that premain reads.
struct Value {
    text: String,
    /// The file it stood in.
    file: Option<String>,
}

impl Environment {
    /// Reads what premain knows, and the files that `_FILE` variables name.
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Environment {
            variables: variables.into_iter().collect(),
            known: BTreeMap::new(),
            problems: Vec::new(),
        };
        for (name, value) in &environment.variables {
            let Some(name) = name.to_str().filter(|name| is_known(name)) else {
                continue;
            };
            // Of two variables of one name every C library sees the first.
            if value.is_empty() || environment.known.contains_key(name) {
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
        for name in SECRETS {
            environment.resolve(name);
        }
        environment
    }

    /// Puts the content of the file that `NAME_FILE` names under `NAME`.
    fn resolve(&mut self, name: &str) {
        let variable = format!("{name}{FILE}");
        let Some(Value { text: path, .. }) = self.known.remove(&variable) else {
            return;
        };
        if self.known.contains_key(name) {
            self.problems.push(problem(&variable, &format!("and {name} are both set: keep one")));
            return;
        }
        match read_secret(&path) {
            Ok(text) => {
                self.known.insert(name.to_owned(), Value { text, file: Some(path) });
            }
            Err(why) => self.problems.push(problem(&variable, &format!("is '{path}', {why}"))),
        }
    }

    /// Names and values of what begins with `prefix`, of variables that premain reads.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.known
            .iter()
            .filter(move |(name, _)| name.starts_with(prefix))
            .map(|(name, value)| (name.as_str(), value.text.as_str()))
    }

    /// Which database, and which server besides, the environment names. What is wrong with that,
    /// and with everything else that was read, is added to `problems`.
    pub fn databases(&mut self, problems: &mut Vec<Problem>, warnings: &mut Vec<String>) -> Found {
        problems.append(&mut self.problems);
        family::find(self, problems, warnings)
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

/// Whether premain reads the variable of this name.
fn is_known(name: &str) -> bool {
    name.starts_with(PREFIX) || NAMES.contains(&name) || plain_name(name).is_some()
}

/// `DATABASE_URL` of `DATABASE_URL_FILE`, if that is a variable of ours.
fn plain_name(name: &str) -> Option<&'static str> {
    let plain = name.strip_suffix(FILE)?;
    SECRETS.into_iter().find(|secret| *secret == plain)
}

fn problem(name: &str, what: &str) -> Problem {
    Problem { name: name.to_owned(), what: what.to_owned() }
}

/// A file's content without the line ends at its end.
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

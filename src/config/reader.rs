//! One option at a time: how it was given, what it means, and what is wrong with it.

use std::collections::BTreeMap;

use super::option::{OPTIONS, OptionInfo, PREFIX, Raw};
use super::{Environment, cli, value};
use crate::database::connection_string::url;
use crate::value::{Allowed, Problem, choice};

/// Judges raw values one by one and keeps every complaint.
pub(super) struct Reader<'a> {
    pub(super) line: &'a cli::CommandLine,
    merged: BTreeMap<String, String>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(line: &'a cli::CommandLine, environment: &Environment) -> Self {
        let mut merged = BTreeMap::new();
        let mut warnings = Vec::new();
        for (name, value) in environment.with_prefix(PREFIX) {
            if OPTIONS.iter().any(|option| option.variable() == name) {
                merged.insert(name.to_owned(), value.to_owned());
            } else if !SAID_ELSEWHERE.contains(&name) {
                warnings.push(unknown_variable(name));
            }
        }
        for (name, value) in &line.options {
            if let Some(info) = OptionInfo::find(name) {
                merged.insert(info.variable(), value.clone());
            }
        }
        Reader { line, merged, problems: Vec::new(), warnings }
    }

    pub(super) fn raw(&mut self) -> Raw {
        // A map of strings: there is nothing for envy to refuse.
        let values: BTreeMap<String, String> =
            envy::prefixed(PREFIX).from_iter(std::mem::take(&mut self.merged)).unwrap_or_default();
        Raw::from(values)
    }

    /// How the user named this option: as an option or as a variable.
    pub(super) fn name(&self, option: &str) -> String {
        if self.line.options.contains_key(option) {
            format!("--{option}")
        } else {
            OptionInfo::find(option).map(OptionInfo::variable).unwrap_or_default()
        }
    }

    pub(super) fn complain(&mut self, option: &str, found: &str, allowed: &str) {
        let what = format!("is '{}', not {allowed}", url::redact(found));
        self.problems.push(Problem { name: self.name(option), what });
    }

    pub(super) fn read<T>(
        &mut self,
        option: &str,
        raw: Option<&str>,
        parse: impl Fn(&str) -> Result<T, Allowed>,
    ) -> Option<T> {
        // An option given twice: the last one counts.
        let text = raw?.lines().last()?.trim();
        match parse(text) {
            Ok(value) => Some(value),
            Err(allowed) => {
                self.complain(option, text, &allowed);
                None
            }
        }
    }

    pub(super) fn choice<T: Copy>(
        &mut self,
        option: &str,
        raw: Option<&str>,
        choices: &[(&str, T)],
    ) -> Option<T> {
        self.read(option, raw, |text| choice(text, choices))
    }

    pub(super) fn flag(&mut self, option: &str, raw: Option<&str>) -> bool {
        self.read(option, raw, value::flag).unwrap_or_default()
    }

    pub(super) fn each<T>(
        &mut self,
        option: &str,
        raw: Option<&str>,
        mut parse: impl FnMut(&str) -> Result<T, Allowed>,
    ) -> Vec<T> {
        let mut values = Vec::new();
        for word in value::words(raw.unwrap_or_default()) {
            match parse(word) {
                Ok(value) => values.push(value),
                Err(allowed) => self.complain(option, word, &allowed),
            }
        }
        values
    }
}

/// The folder to embed when premain is built, which an image may carry on; what `premain reset` asks
/// where it is; and what premain tells its hooks, which may call it.
const SAID_ELSEWHERE: [&str; 4] =
    ["PREMAIN_EMBED", "PREMAIN_ENV", "PREMAIN_PENDING", "PREMAIN_APPLIED"];

fn unknown_variable(name: &str) -> String {
    let option = name.trim_start_matches(PREFIX).to_lowercase().replace('_', "-");
    let hint = cli::nearest(&option, OPTIONS.iter().map(|option| option.name))
        .and_then(OptionInfo::find)
        .map(|near| format!("; did you mean {}?", near.variable()))
        .unwrap_or_default();
    format!("{name} is no variable of premain's and has no effect{hint}")
}

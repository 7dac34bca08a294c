//! The value of one option as it was given, or what is wrong with it.

use super::value::{Invalid, Value};
use crate::database::connection_string::url::redact;

/// What one option was given: a value, or an invalid one, or nothing.
pub(super) struct Given<T> {
    value: Option<T>,
    /// Boxed, because there are dozens of options, most of them not given.
    notes: Option<Box<Notes>>,
}

/// What messages say about a value.
#[derive(Default)]
pub(super) struct Notes {
    /// The option or variable that gave the value: `--grace`, `PREMAIN_GRACE`. Empty without one.
    pub name: String,
    /// The value as it was given, which may hold a secret.
    pub text: String,
    /// Predicates of which `name` is the subject; they show no secret.
    pub faults: Vec<String>,
    /// Sentences about what looks doubtful.
    pub warnings: Vec<String>,
}

impl Notes {
    fn add(&mut self, text: &str, invalid: Invalid) {
        self.faults.push(match invalid {
            Invalid::Expected(allowed) => is_not(text, &allowed),
            Invalid::Fault(fault) => fault,
        });
    }
}

fn is_not(text: &str, allowed: &str) -> String {
    format!("is '{}', not {allowed}", redact(text))
}

impl<T> Default for Given<T> {
    fn default() -> Self {
        Given { value: None, notes: None }
    }
}

impl<T> Given<T> {
    /// The value, if one was given.
    pub(super) fn get(&self) -> Option<&T> {
        self.value.as_ref()
    }

    /// Takes the value, if one was given.
    pub(super) fn value(&mut self) -> Option<T> {
        self.value.take()
    }

    /// Takes the value, or `default`.
    pub(super) fn or(&mut self, default: T) -> T {
        self.value().unwrap_or(default)
    }

    /// The option or variable that gave the value.
    pub(super) fn name(&self) -> &str {
        self.notes.as_deref().map_or("", |notes| &notes.name)
    }

    /// Adds that the value is not what is allowed.
    pub(super) fn complain(&mut self, allowed: &str) {
        let notes = self.notes.get_or_insert_default();
        notes.faults.push(is_not(&notes.text, allowed));
    }
}

impl<T> Given<Vec<T>> {
    /// Takes every value, as `map` changes it.
    pub(super) fn each<U>(&mut self, map: fn(T) -> U) -> impl Iterator<Item = U> {
        self.value().unwrap_or_default().into_iter().map(map)
    }
}

/// The value of an option, one or several.
pub(super) trait Field: Sized {
    /// Whether the option may be repeated.
    const REPEATED: bool;
    /// What is known about one value.
    type One: Value;

    /// Parses `text` and adds its value to what was given before.
    fn add(slot: &mut Option<Self>, text: &str, notes: &mut Notes);
}

impl<T: Value> Field for T {
    const REPEATED: bool = false;
    type One = T;

    fn add(slot: &mut Option<Self>, text: &str, notes: &mut Notes) {
        match T::parse(text, &notes.name, &mut notes.warnings) {
            Ok(value) => *slot = Some(value),
            Err(invalid) => notes.add(text, invalid),
        }
    }
}

impl<T: Value> Field for Vec<T> {
    const REPEATED: bool = true;
    type One = T;

    /// Several values in one text have blanks or line ends between them.
    fn add(slot: &mut Option<Self>, text: &str, notes: &mut Notes) {
        for word in text.split_whitespace() {
            let mut one = None;
            T::add(&mut one, word, notes);
            slot.get_or_insert_default().extend(one);
        }
    }
}

/// A [`Given`] of any type.
pub(super) trait Slot {
    /// Parses `text` and adds its value.
    fn read(&mut self, text: &str);

    /// Forgets the value and everything about it.
    fn clear(&mut self);

    /// What messages say about it.
    fn notes(&mut self) -> &mut Notes;
}

impl<T: Field> Slot for Given<T> {
    fn read(&mut self, text: &str) {
        T::add(&mut self.value, text, self.notes.get_or_insert_default());
    }

    fn clear(&mut self) {
        *self = Given::default();
    }

    fn notes(&mut self) -> &mut Notes {
        self.notes.get_or_insert_default()
    }
}

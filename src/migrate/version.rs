//! The version of a migration, which is its key in the history table, and the order of versions.

use std::cmp::Ordering;
use std::fmt;

/// The identity of a migration, on disk and in its history table. All versions of a directory and its
/// history table are of one kind, except Flyway's two. "Older" and "newer" mean this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    /// A number: refinery's `3`, or a time such as `20240101120000`.
    Number(i64),
    /// Milliseconds since 1970: `when` in Drizzle's journal.
    When(i64),
    /// The whole name of a directory: Prisma, and Drizzle from 1.0 on.
    Name(LocaleName),
    /// The digits that a file name begins with, leading zeros included: dbmate.
    Digits(Digits),
    /// A version of several parts: Flyway's `1.10`.
    Dotted(Dotted),
    /// The description of a migration that is applied after all versions, and again whenever it changes:
    /// Flyway's `R__views.sql`.
    Repeatable(String),
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Version::Number(number) => number.fmt(f),
            Version::When(milliseconds) => milliseconds.fmt(f),
            Version::Name(LocaleName(name)) => name.fmt(f),
            Version::Digits(Digits(digits)) => digits.fmt(f),
            Version::Dotted(version) => version.text.fmt(f),
            Version::Repeatable(description) => write!(f, "R__{}", description.replace(' ', "_")),
        }
    }
}

impl Version {
    /// The number, if these migrations are numbered.
    pub(crate) fn number(&self) -> Option<i64> {
        match self {
            Version::Number(number) => Some(*number),
            Version::Digits(Digits(digits)) => digits.parse().ok(),
            Version::When(_) | Version::Name(_) | Version::Dotted(_) | Version::Repeatable(_) => {
                None
            }
        }
    }

    /// Whether it has no place in the order of versions.
    pub(crate) fn is_repeatable(&self) -> bool {
        matches!(self, Version::Repeatable(_))
    }
}

/// A name, ordered as JavaScript's `localeCompare` orders it, by which the tools written in JavaScript sort.
///
/// For printable ASCII the order is the same: signs, digits, letters; case decides only between names that are equal
/// without it. All other characters come after those, by code point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocaleName(pub(crate) String);

/// Every printable ASCII sign, without letters and digits, in the order of the Unicode collation.
const SIGNS: &str = " _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$";

fn weight(character: char) -> (usize, char) {
    match SIGNS.find(character) {
        Some(place) => (0, char::from(u8::try_from(place).unwrap_or_default())),
        None if character.is_ascii_digit() => (1, character),
        None if character.is_ascii() => (2, character.to_ascii_lowercase()),
        None => (3, character),
    }
}

impl Ord for LocaleName {
    fn cmp(&self, other: &Self) -> Ordering {
        // What both begin with is equal in every respect, and long: a date.
        let (one, other) = (self.0.as_str(), other.0.as_str());
        let same = one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
        let same = one.floor_char_boundary(same);
        let (one, other) = (&one[same..], &other[same..]);
        // Lower case comes first, unlike in ASCII.
        let is_upper = |character: char| character.is_ascii_uppercase();
        one.chars()
            .map(weight)
            .cmp(other.chars().map(weight))
            .then_with(|| one.chars().map(is_upper).cmp(other.chars().map(is_upper)))
            .then_with(|| one.cmp(other))
    }
}

impl PartialOrd for LocaleName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Digits, ordered as the file names that begin with them: `10_b.sql` comes before `1_a.sql`, because `0` comes
/// before `_`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Digits(pub(crate) String);

impl Ord for Digits {
    fn cmp(&self, other: &Self) -> Ordering {
        let as_file_name = |Digits(digits): &Self| format!("{digits}_");
        as_file_name(self).cmp(&as_file_name(other))
    }
}

impl PartialOrd for Digits {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A version of several numbers, ordered by them: `1.2` comes before `1.10`, and `1` equals `1.0`.
#[derive(Debug, Clone)]
pub(crate) struct Dotted {
    /// As it is written.
    pub(crate) text: String,
    /// The numbers, each with the count of its digits before it, because it may be larger than any integer type.
    key: String,
}

impl Dotted {
    /// Parses `1.2` or `1_2`; `None` if `text` is not a version.
    pub(crate) fn parse(text: &str) -> Option<Dotted> {
        let text = text.replace('_', ".");
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !text.split('.').all(is_number) {
            return None;
        }
        let mut numbers: Vec<_> =
            text.split('.').map(|part| part.trim_start_matches('0')).collect();
        while numbers.last().is_some_and(|number| number.is_empty()) {
            numbers.pop();
        }
        let key: Vec<_> =
            numbers.iter().map(|number| format!("{:05}{number}", number.len())).collect();
        Some(Dotted { key: key.concat(), text })
    }
}

impl Ord for Dotted {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl PartialOrd for Dotted {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Dotted {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Dotted {}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use proptest::prelude::*;
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;

    use super::*;

    /// The result of `localeCompare` in Node.js for each pair: -1, 0 or 1.
    fn node(pairs: &[(String, String)]) -> Vec<i8> {
        let script = "process.stdout.write(JSON.stringify(JSON.parse(require('fs').readFileSync(0)).map(([a, b]) => Math.sign(a.localeCompare(b)))))";
        let mut child = Command::new("node")
            .args(["-e", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node is missing: apt-get install -y nodejs");
        let pairs = serde_json::to_string(pairs).unwrap();
        child.stdin.take().unwrap().write_all(pairs.as_bytes()).unwrap();
        serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap()
    }

    fn sign(ordering: Ordering) -> i8 {
        ordering as i8
    }

    #[test]
    fn names_are_in_the_order_of_locale_compare() {
        let names = [
            "[0-9]{1,14}[_-][a-z_]{0,8}",
            "[0-9]{14}_[A-Za-z0-9_.-]{0,12}",
            "[aAbB_1-]{0,6}",
            "[ -~]{0,12}",
        ];
        let mut runner = TestRunner::deterministic();
        let mut pairs = Vec::new();
        for one in names {
            for other in [one, names[0], names[2]] {
                let pair = (one.prop_map(|name| name), other.prop_map(|name| name));
                for _ in 0..1000 {
                    pairs.push(pair.new_tree(&mut runner).unwrap().current());
                }
            }
        }
        for ((one, other), theirs) in pairs.iter().zip(node(&pairs)) {
            let ours = sign(LocaleName(one.clone()).cmp(&LocaleName(other.clone())));
            assert_eq!(ours, theirs, "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_time_at_the_beginning_decides_whatever_follows() {
        let pairs: Vec<_> = [("ä", "zoë"), ("日本", "a"), ("é", "e"), ("🦀", "Ω")]
            .map(|(one, other)| {
                (format!("20240101000000_{one}"), format!("20240102000000_{other}"))
            })
            .into();
        for ((one, other), theirs) in pairs.iter().zip(node(&pairs)) {
            assert_eq!(sign(LocaleName(one.clone()).cmp(&LocaleName(other.clone()))), theirs);
        }
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        let version = |text| Dotted::parse(text).unwrap();
        for (one, other) in [("1", "1.0"), ("01_02", "1.2.0.0"), ("0", "0.0")] {
            assert_eq!(version(one), version(other));
        }
        let ascending = [
            "0",
            "0.1",
            "1",
            "1.0.1",
            "1.2",
            "1.10",
            "2",
            "10",
            "20240101120000",
            "99999999999999999999",
        ];
        for pair in ascending.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
        for none in ["", "1.", ".1", "1..2", "1a", "v1", "1__2"] {
            assert_eq!(Dotted::parse(none), None, "{none}");
        }
        assert!(Version::Dotted(version("9")) < Version::Repeatable("a".to_owned()));
    }

    proptest! {
        #[test]
        fn versions_are_in_the_order_of_their_numbers(one in prop::collection::vec(0..30_u8, 1..4), other in prop::collection::vec(0..30_u8, 1..4), width in 1..3_usize) {
            let version = |parts: &[u8], width: usize| Dotted::parse(&parts.iter().map(|part| format!("{part:0width$}")).collect::<Vec<_>>().join(".")).unwrap();
            let numbers = |parts: &[u8]| parts.iter().copied().chain(std::iter::repeat(0)).take(4).collect::<Vec<_>>();
            prop_assert_eq!(version(&one, 1).cmp(&version(&other, width)), numbers(&one).cmp(&numbers(&other)));
        }

        #[test]
        fn names_have_a_total_order(mut names in prop::collection::vec("\\PC{0,4}", 3)) {
            let order = |a: usize, b: usize| LocaleName(names[a].clone()).cmp(&LocaleName(names[b].clone()));
            prop_assert_eq!(order(0, 1), order(1, 0).reverse());
            prop_assert_eq!(order(0, 1).is_eq(), names[0] == names[1]);
            names.sort_by_key(|name| LocaleName(name.clone()));
            let name = |at: usize| LocaleName(names[at].clone());
            prop_assert!(name(0) <= name(1) && name(1) <= name(2) && name(0) <= name(2));
        }
    }
}

//! refinery's file names: `V1__create_users.sql`, `U7__reseed.sql`.
//!
//! It uses nothing but the standard library: build.rs includes this file.

/// The parts of a file name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FileName {
    /// Whether it may be applied although a newer one is already applied: `U7__reseed.sql`.
    pub(crate) free: bool,
    pub(crate) version: i64,
    pub(crate) name: String,
}

impl FileName {
    /// `None` if refinery ignores the name. Names that it accepts and then fails on (a literal `|`
    /// instead of the letter, a decimal version) are errors.
    pub(crate) fn parse(file_name: &str) -> Result<Option<FileName>, &'static str> {
        let Some((head, tail)) = file_name.split_once("__") else { return Ok(None) };
        let mut letters = head.chars();
        let free = match letters.next() {
            Some('V') => false,
            Some('U') => true,
            Some('|') => return Err("the name begins with '|'; begin it with V or U"),
            _ => return Ok(None),
        };
        let version = letters.as_str();
        let name = tail.strip_suffix(".sql").unwrap_or(tail);
        let word = |c: char| c.is_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(word) || version.is_empty() {
            return Ok(None);
        }
        if !version.chars().all(|c| c.is_ascii_digit()) {
            return match version.split_once('.') {
                Some((whole, part)) if digits(whole) && digits(part) => Err(
                    "refinery has no decimal versions; use a whole number, as in V12__name.sql, or give --format flyway if it is Flyway's",
                ),
                _ => Ok(None),
            };
        }
        let version = version.parse().map_err(|_| "the version is too large")?;
        Ok(Some(FileName { free, version, name: name.to_owned() }))
    }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_refinery_accepts_are_parsed() {
        for (file_name, free, version, title) in [
            ("V1__init.sql", false, 1, "init"),
            ("U03__late.sql", true, 3, "late"),
            ("V10__näme_2.sql", false, 10, "näme_2"),
            ("V1___x.sql", false, 1, "_x"),
            ("V1__a__b.sql", false, 1, "a__b"),
        ] {
            let expected = FileName { free, version, name: title.to_owned() };
            assert_eq!(FileName::parse(file_name), Ok(Some(expected)), "{file_name}");
        }
    }

    #[test]
    fn names_that_refinery_ignores_are_ignored() {
        for file_name in [
            "init.sql",
            "V1_init.sql",
            "v1__init.sql",
            "V__x.sql",
            "V1__.sql",
            "V1__a-b.sql",
            "V1a__x.sql",
        ] {
            assert_eq!(FileName::parse(file_name), Ok(None), "{file_name}");
        }
    }

    #[test]
    fn names_that_refinery_fails_on_are_rejected() {
        for file_name in ["|1__init.sql", "V1.5__init.sql", "V99999999999999999999__x.sql"] {
            assert!(FileName::parse(file_name).is_err(), "{file_name}");
        }
    }
}

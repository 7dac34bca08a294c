//! The command of one hook, and how it is parsed.

use std::ffi::OsString;
use std::fmt;

/// The command of one hook.
#[derive(Clone, PartialEq, Eq)]
pub struct Hook {
    /// What it is called in messages: its option (`--before-migrate`) or its file.
    pub name: String,
    /// The program and its arguments; never empty.
    pub words: Vec<OsString>,
}

/// Parses a command: words separated by white space, with a shell's quotes, or a JSON array of
/// strings. It is never given to a shell.
///
/// # Errors
/// What is wrong with it, without the text itself, which may contain a password.
pub(crate) fn parse(text: &str) -> Result<Vec<OsString>, String> {
    let words = match text.starts_with('[') {
        true => serde_json::from_str(text).map_err(|_| {
            "begins with '[' but is no JSON array of strings, such as [\"node\", \"seed.js\"]"
                .to_owned()
        })?,
        false => split(text)?,
    };
    match words.first().is_none_or(String::is_empty) {
        true => Err("names no program".to_owned()),
        false => Ok(words.into_iter().map(OsString::from).collect()),
    }
}

impl Hook {
    /// What the lines of its output are prefixed with: `before-migrate`, `10-config.sh`.
    pub fn label(&self) -> &str {
        match self.name.strip_prefix("--") {
            Some(option) => option,
            None => self.name.rsplit('/').next().unwrap_or_default(),
        }
    }
}

impl fmt::Display for Hook {
    /// `--before-migrate (pg_dump)`, without the arguments, which may contain a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.words.first() {
            Some(program) if self.name.starts_with("--") => {
                write!(f, "{} ({})", self.name, program.display())
            }
            _ => f.write_str(&self.name),
        }
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hook({self})")
    }
}

/// Splits `text` into words as a POSIX shell does; an error if a shell would do more than that.
fn split(text: &str) -> Result<Vec<String>, String> {
    let open = || "ends within a quote".to_owned();
    let shell = |what: char| {
        let remedy = "write sh -c '…', or quote the character if it is meant literally";
        format!(
            "contains '{what}', which needs a shell, but premain starts programs without one: {remedy}"
        )
    };
    let mut words = Vec::new();
    // A word may be empty: ''.
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character.is_whitespace() {
            words.extend(word.take());
            continue;
        }
        let word = word.get_or_insert_default();
        match character {
            '\'' => loop {
                match characters.next().ok_or_else(open)? {
                    '\'' => break,
                    other => word.push(other),
                }
            },
            '"' => loop {
                match characters.next().ok_or_else(open)? {
                    '"' => break,
                    '\\' => match characters.next().ok_or_else(open)? {
                        kept @ ('"' | '\\' | '$' | '`') => word.push(kept),
                        other => word.extend(['\\', other]),
                    },
                    expands @ ('$' | '`') => return Err(shell(expands)),
                    other => word.push(other),
                }
            },
            '\\' => word.push(characters.next().ok_or_else(open)?),
            '|' | '&' | ';' | '<' | '>' | '(' | ')' | '$' | '`' => return Err(shell(character)),
            other => word.push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Result<Vec<String>, String> {
        Ok(parse(text)?.into_iter().map(|word| word.into_string().unwrap()).collect())
    }

    #[test]
    fn a_command_is_split_like_a_shell_does() {
        for (text, expected) in [
            ("npx drizzle-kit  generate", &["npx", "drizzle-kit", "generate"][..]),
            ("node -e 'console.log(1 | 2)'", &["node", "-e", "console.log(1 | 2)"]),
            (r#"a "b c" d\ e"#, &["a", "b c", "d e"]),
            (r#"a "say \"hi\" for \$1 \n""#, &["a", r#"say "hi" for $1 \n"#]),
            ("a '' --b='c d'", &["a", "", "--b=c d"]),
            ("sh -c 'pg_dump > $HOME/x && true'", &["sh", "-c", "pg_dump > $HOME/x && true"]),
            (r#"["node", "seed.js", "$1 | x"]"#, &["node", "seed.js", "$1 | x"]),
        ] {
            assert_eq!(words(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn characters_that_need_a_shell_are_rejected() {
        for (text, what) in [
            ("pg_dump | gzip", "'|'"),
            ("a && b", "'&'"),
            ("a;b", "';'"),
            ("pg_dump > x", "'>'"),
            ("a $HOME", "'$'"),
            (r#"a "$HOME""#, "'$'"),
            ("a `b`", "'`'"),
            ("(a)", "'('"),
        ] {
            let said = words(text).unwrap_err();
            assert!(said.contains(what) && said.contains("sh -c '…'"), "{text}: {said}");
        }
    }

    #[test]
    fn invalid_commands_are_explained_without_being_shown() {
        for (text, why) in [
            ("node 'secret", "ends within a quote"),
            ("node \"secret", "ends within a quote"),
            ("node secret\\", "ends within a quote"),
            ("['secret']", "no JSON array of strings"),
            ("[\"secret\", 1]", "no JSON array of strings"),
            ("[]", "names no program"),
            ("''", "names no program"),
            ("", "names no program"),
        ] {
            let said = words(text).unwrap_err();
            assert!(said.contains(why) && !said.contains("secret"), "{text}: {said}");
        }
    }

    #[test]
    fn a_hook_is_shown_without_its_arguments() {
        let words = parse("pg_dump --password=secret").unwrap();
        let hook = Hook { name: "--before-migrate".to_owned(), words };
        assert_eq!(hook.to_string(), "--before-migrate (pg_dump)");
        assert_eq!(hook.label(), "before-migrate");
        assert!(!format!("{hook:?}").contains("secret"));
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in ".*") {
            let _ = words(&text);
        }

        #[test]
        fn quoted_words_are_preserved(list in proptest::collection::vec("[^\0]+", 1..4)) {
            let quoted: Vec<_> =
                list.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
            prop_assert_eq!(words(&quoted.join(" ")), Ok(list));
        }
    }
}

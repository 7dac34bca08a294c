//! One hook's program and arguments, and how a user writes them.

use std::ffi::OsString;
use std::fmt;

/// One program with its arguments.
#[derive(Clone, PartialEq, Eq)]
pub struct Hook {
    /// Who asked for it: `--before-migrate`, or its file.
    pub name: String,
    /// The program and its arguments; never empty.
    pub words: Vec<OsString>,
}

impl Hook {
    /// A command as `text` has it: words parted by blanks, with a shell's quotes, or a JSON array of
    /// strings. No shell ever sees it.
    ///
    /// # Errors
    /// What is wrong with it, without the text itself, which may hold a password.
    pub fn parse(option: &str, text: &str) -> Result<Hook, String> {
        let words = match text.starts_with('[') {
            true => serde_json::from_str(text).map_err(|_| {
                "begins with '[' and is no JSON array of strings such as [\"node\", \"seed.js\"]"
                    .to_owned()
            })?,
            false => split(text)?,
        };
        if words.first().is_none_or(String::is_empty) {
            return Err("names no program".to_owned());
        }
        let words = words.into_iter().map(OsString::from).collect();
        Ok(Hook { name: format!("--{option}"), words })
    }

    /// What the lines that it prints begin with: `before-migrate`, `10-config.sh`.
    pub fn label(&self) -> &str {
        match self.name.strip_prefix("--") {
            Some(option) => option,
            None => self.name.rsplit('/').next().unwrap_or_default(),
        }
    }
}

impl fmt::Display for Hook {
    /// `--before-migrate (pg_dump)`; its arguments may hold a password.
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

/// Words as a POSIX shell parts them, as long as parting is all there is to do.
fn split(text: &str) -> Result<Vec<String>, String> {
    let open = || "ends within a quote".to_owned();
    let shell = |what: char| {
        let remedy = "write sh -c '…', or quote it if it is meant as it stands";
        format!(
            "has a '{what}' that takes a shell, and premain starts programs without one: {remedy}"
        )
    };
    let mut words = Vec::new();
    // A word that has begun may still be empty: ''.
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
        let hook = Hook::parse("generate", text)?;
        Ok(hook.words.into_iter().map(|word| word.into_string().unwrap()).collect())
    }

    #[test]
    fn a_command_is_words_and_a_shells_quotes() {
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
    fn what_takes_a_shell_says_so() {
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
    fn what_is_no_command_says_why_and_not_what_it_is() {
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
        let hook = Hook::parse("before-migrate", "pg_dump --password=secret").unwrap();
        assert_eq!(hook.to_string(), "--before-migrate (pg_dump)");
        assert_eq!(hook.label(), "before-migrate");
        assert!(!format!("{hook:?}").contains("secret"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = words(&text);
        }

        #[test]
        fn quoted_words_come_back(list in proptest::collection::vec("[^\0]+", 1..4)) {
            let quoted: Vec<_> =
                list.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
            prop_assert_eq!(words(&quoted.join(" ")), Ok(list));
        }
    }
}

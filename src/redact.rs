//! Hides secrets: in every text that is logged, and from other processes that look at this one.
//!
//! A message may contain text that is not premain's own (what a server says, a line of a
//! migration), so everything that looks like a password or a token is overwritten, except
//! [`LOGIN`] and [`OMITTED`], which premain's own text has in such a place.

#![forbid(unsafe_code)]

use crate::sys;

/// What premain's own messages write for a login in a URL.
const LOGIN: &[u8] = b"USER:PASSWORD";

/// What premain's own messages write for a value that they leave out.
const OMITTED: &[u8] = "…".as_bytes();

/// The application never gets this variable, so other processes must not find it in premain either.
const HIDDEN_VARIABLE: &str = "MIGRATION_DATABASE_URL=";

/// Hides premain's own secrets from `/proc/PID/environ`, `/proc/PID/cmdline` and debuggers. Must be
/// called after the configuration was read and before anything else is done.
pub fn protect_process() {
    sys::edit_visible_strings(mask, |variable| {
        if variable.starts_with(HIDDEN_VARIABLE.as_bytes()) {
            variable[HIDDEN_VARIABLE.len()..].fill(0);
        }
    });
    // The application may run as the same user; `execve` makes it dumpable again.
    let _ = nix::sys::prctl::set_dumpable(false);
}

/// Overwrites everything in `text` that looks like a secret with `*`. The length stays the same.
pub(crate) fn masked(text: String) -> String {
    let mut bytes = text.into_bytes();
    mask(&mut bytes);
    String::from_utf8(bytes).unwrap_or_default()
}

/// Overwrites what is between `://user:` and `@`, the query of an `http(s)://` URL, and the value
/// after `password`, in connection strings (`password=…`) and in SQL (`PASSWORD '…'`): the line of
/// a migration that fails is shown, and may create a role.
fn mask(text: &mut [u8]) {
    let mut from = 0;
    while let Some(found) = position(&text[from..], b"://") {
        let (before, after) = text[from..].split_at_mut(found + b"://".len());
        from += before.len();
        mask_login(after);
        if before.ends_with(b"http://") || before.ends_with(b"https://") {
            mask_query(after);
        }
    }
    let mut from = 0;
    while let Some(found) = position(&text[from..], b"password") {
        from += found + b"password".len();
        mask_value(&mut text[from..]);
    }
}

/// The password of `user:password@host/…`.
fn mask_login(url: &mut [u8]) {
    let authority = until(url, b"/?# \t\n\"'");
    if let Some(at) = authority.iter().rposition(|&byte| byte == b'@')
        && let Some(colon) = authority[..at].iter().position(|&byte| byte == b':')
        && authority[..at] != *LOGIN
    {
        authority[colon + 1..at].fill(b'*');
    }
}

/// The query of a URL, which may hold a token.
fn mask_query(url: &mut [u8]) {
    let url = until(url, b" \t\n\"'");
    if let Some(query) = url.iter().position(|&byte| byte == b'?') {
        url[query + 1..].fill(b'*');
    }
}

/// The value at the start of `text`: a string, or after `=` a word. Prose has neither.
fn mask_value(text: &mut [u8]) {
    let blanks = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let mut start = blanks(text);
    let equals = text.get(start) == Some(&b'=');
    if equals {
        start += 1 + blanks(&text[start + 1..]);
    }
    let text = &mut text[start..];
    match text {
        // E'…', in which a backslash escapes.
        [b'e' | b'E', b'\'', string @ ..] => mask_string(string, true),
        // A string within a string: a function that builds a statement.
        [b'\'', b'\'', nested @ ..] => {
            let end = position(nested, b"''").unwrap_or(nested.len());
            until(&mut nested[..end], b"\n").fill(b'*');
        }
        [b'\'', string @ ..] => mask_string(string, equals),
        [b'$', rest @ ..] => {
            let Some(tag) = rest.iter().position(|&byte| byte == b'$') else { return };
            let (tag, string) = rest.split_at_mut(tag + 1);
            let end = string.windows(tag.len() + 1).position(|part| {
                part.split_first().is_some_and(|(first, rest)| *first == b'$' && rest == tag)
            });
            let end = end.unwrap_or(string.len());
            string[..end].fill(b'*');
        }
        _ if equals => {
            let word = until(text, b"& \t\n\"';,)");
            if *word != *OMITTED {
                word.fill(b'*');
            }
        }
        _ => {}
    }
}

/// Up to the closing quote, which is neither doubled nor (with `backslashes`) escaped.
fn mask_string(string: &mut [u8], backslashes: bool) {
    let after = string.strip_prefix(OMITTED).and_then(|rest| rest.strip_prefix(b"'"));
    if after.is_some_and(|after| !after.starts_with(b"'")) {
        return;
    }
    let mut at = 0;
    while at < string.len() {
        let skip = match (string[at], string.get(at + 1)) {
            (b'\'', Some(b'\'')) => 2,
            (b'\\', Some(_)) if backslashes => 2,
            (b'\'', _) => return,
            _ => 1,
        };
        string[at..at + skip].fill(b'*');
        at += skip;
    }
}

/// The start of `text`, up to the first of these bytes.
fn until<'a>(text: &'a mut [u8], ends: &[u8]) -> &'a mut [u8] {
    let end = text.iter().position(|byte| ends.contains(byte)).unwrap_or(text.len());
    &mut text[..end]
}

/// Finds `needle`, which must be lower case, in any case.
fn position(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        // Comparing one byte first rules out most positions.
        from += haystack[from..].iter().position(|byte| byte.to_ascii_lowercase() == needle[0])?;
        let here = haystack.get(from..from + needle.len())?;
        if here.eq_ignore_ascii_case(needle) {
            return Some(from);
        }
        from += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> String {
        masked(text.to_owned())
    }

    #[test]
    fn passwords_in_arguments_are_masked_and_nothing_else() {
        for (text, expected) in [
            ("--wait-for=postgres://u:p:w@h/d?a=@b", "--wait-for=postgres://u:***@h/d?a=@b"),
            (
                "postgres://h/d?user=u&password=abc&x=y&sslpassword=z",
                "postgres://h/d?user=u&password=***&x=y&sslpassword=*",
            ),
            ("a://u:p@h b://u:q@h", "a://u:*@h b://u:*@h"),
            ("https://h/health?token=abc", "https://h/health?*********"),
            ("host=h password = 'a \\' b' dbname=d", "host=h password = '******' dbname=d"),
        ] {
            assert_eq!(of(text), expected);
        }
        for same in [
            "",
            "://",
            "tcp://db:5432",
            "http://h/a:b@c",
            "postgres://u@h",
            "serve",
            "user:pw@h",
            "password authentication failed for user \"app\" (28P01)",
            "percent-encode the password: '#' is %23",
        ] {
            assert_eq!(of(same), same);
        }
    }

    #[test]
    fn passwords_in_sql_are_masked() {
        for (text, expected) in [
            ("ALTER ROLE a PASSWORD 'it''s' LOGIN", "ALTER ROLE a PASSWORD '*****' LOGIN"),
            ("create user a password\n E'a\\'b' x", "create user a password\n E'****' x"),
            ("PASSWORD $q$ab$q$ VALID", "PASSWORD $q$**$q$ VALID"),
            ("PASSWORD $$ab", "PASSWORD $$**"),
            ("CONNECTION 'host=h password=abc'", "CONNECTION 'host=h password=***'"),
            ("OPTIONS (user 'a', password 'abc')", "OPTIONS (user 'a', password '***')"),
            ("PASSWORD 'größe'", "PASSWORD '*******'"),
            (
                "EXECUTE 'ALTER ROLE a PASSWORD ''abc'' LOGIN'",
                "EXECUTE 'ALTER ROLE a PASSWORD ''***'' LOGIN'",
            ),
            ("PASSWORD 'no end", "PASSWORD '******"),
            (
                "PASSWORD NULL, password text, passwords 'x'",
                "PASSWORD NULL, password text, passwords 'x'",
            ),
        ] {
            assert_eq!(of(text), expected);
        }
    }

    #[test]
    fn placeholders_stay_readable_and_secrets_beside_them_do_not() {
        for (text, expected) in [
            ("postgres://USER:PASSWORD@HOST/DATABASE", "postgres://USER:PASSWORD@HOST/DATABASE"),
            ("ALTER ROLE app PASSWORD '…'", "ALTER ROLE app PASSWORD '…'"),
            ("a://USER:PASSWORD@h a://u:PASSWORD@h", "a://USER:PASSWORD@h a://u:********@h"),
            ("a://USER:PASSWORDS@h", "a://USER:*********@h"),
            ("a://USER:PASSWORD@x@h", "a://USER:**********@h"),
            ("a://user:PASSWORD@h", "a://user:********@h"),
            ("PASSWORD 'x…'", "PASSWORD '****'"),
            ("password=… password=…x", "password=… password=****"),
            ("PASSWORD '…''x'", "PASSWORD '******'"),
        ] {
            assert_eq!(of(text), expected);
        }
    }

    /// The string literals of a source file, roughly: without comments, tests, escaped quotes.
    fn literals(source: &str) -> Vec<String> {
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        let code: String = lines.filter_map(|line| line.split(" // ").next()).collect();
        let code = code.replace("\\\"", "").replace("'\"'", "");
        code.split('"').skip(1).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn premain_s_own_words_are_never_masked() {
        let files = walkdir::WalkDir::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).into_iter();
        let files = files.map(|file| file.unwrap().into_path());
        let files = files.filter(|file| {
            file.extension().is_some_and(|extension| extension == "rs")
                && !file.ends_with("tests.rs")
        });
        let literals: Vec<_> =
            files.flat_map(|file| literals(&std::fs::read_to_string(file).unwrap())).collect();
        assert!(literals.iter().any(|literal| literal.contains("USER:PASSWORD@")));
        for literal in literals {
            assert_eq!(of(&literal), literal);
        }
    }

    proptest! {
        #[test]
        fn any_text_keeps_its_length(text in "(\\PC|password ?=?|'|\\$|://|@|\n)*") {
            prop_assert_eq!(of(&text).len(), text.len());
        }
    }
}

//! What others can see of this process or read in its log, and should not: passwords, tokens, and a
//! URL that is for migrations alone.

#![forbid(unsafe_code)]

use crate::sys;

/// The variable that the application does not get, so that nobody else may find it here either.
const CONCEALED: &str = "MIGRATION_DATABASE_URL=";

/// Hides premain's own secrets from `/proc/PID/environ`, `/proc/PID/cmdline` and debuggers. To be
/// called when the configuration has been read and nothing else has been done.
pub fn secrets() {
    sys::edit_visible_strings(mask, |variable| {
        if variable.starts_with(CONCEALED.as_bytes()) {
            variable[CONCEALED.len()..].fill(0);
        }
    });
    // The application may run as the same user; `execve` makes it dumpable again.
    let _ = nix::sys::prctl::set_dumpable(false);
}

/// `text` without whatever looks like a secret in it; no longer and no shorter.
pub fn masked(text: String) -> String {
    let mut bytes = text.into_bytes();
    mask(&mut bytes);
    String::from_utf8(bytes).unwrap_or_default()
}

/// Overwrites what stands between `://user:` and `@`, the query of a web page's URL, and the value
/// behind `password`, as connection strings have it (`password=…`) and as SQL has it (`PASSWORD '…'`).
/// A migration that fails is shown, and may have been about to create a role.
fn mask(text: &mut [u8]) {
    let mut from = 0;
    while let Some(found) = position(&text[from..], b"://") {
        let (before, behind) = text[from..].split_at_mut(found + b"://".len());
        from += before.len();
        mask_login(behind);
        if before.ends_with(b"http://") || before.ends_with(b"https://") {
            mask_query(behind);
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
    {
        authority[colon + 1..at].fill(b'*');
    }
}

fn mask_query(url: &mut [u8]) {
    let url = until(url, b" \t\n\"'");
    if let Some(query) = url.iter().position(|&byte| byte == b'?') {
        url[query + 1..].fill(b'*');
    }
}

/// The word or the string at the start of `text`. Prose has no `=` and no string there.
fn mask_value(text: &mut [u8]) {
    let blanks = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let mut start = blanks(text);
    let equals = text.get(start) == Some(&b'=');
    if equals {
        start += 1 + blanks(&text[start + 1..]);
    }
    let text = &mut text[start..];
    match text {
        // E'…', and what may stand in it.
        [b'e' | b'E', b'\'', string @ ..] => mask_string(string, true),
        // A string within a string, of a statement that a function puts together.
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
        _ if equals => until(text, b"& \t\n\"';,)").fill(b'*'),
        _ => {}
    }
}

/// Up to the quote that ends it: not a doubled one, nor one behind a backslash where that counts.
fn mask_string(string: &mut [u8], backslashes: bool) {
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

fn until<'a>(text: &'a mut [u8], ends: &[u8]) -> &'a mut [u8] {
    let end = text.iter().position(|byte| ends.contains(byte)).unwrap_or(text.len());
    &mut text[..end]
}

/// `needle` is in small letters.
fn position(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        // Most of a text is ruled out by one byte.
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

    proptest! {
        #[test]
        fn any_text_keeps_its_length(text in "(\\PC|password ?=?|'|\\$|://|@|\n)*") {
            prop_assert_eq!(of(&text).len(), text.len());
        }
    }
}

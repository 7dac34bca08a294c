//! What others can see of this process, and should not: a URL that is for migrations alone.

#![forbid(unsafe_code)]

use crate::sys;

/// The variable that the application does not get, so that nobody else may find it here either.
const CONCEALED: &str = "MIGRATION_DATABASE_URL=";

/// Hides premain's own secrets from `/proc/PID/environ`, `/proc/PID/cmdline` and debuggers. To be
/// called when the configuration has been read and nothing else has been done.
pub fn secrets() {
    sys::edit_visible_strings(mask_passwords, |variable| {
        if variable.starts_with(CONCEALED.as_bytes()) {
            variable[CONCEALED.len()..].fill(0);
        }
    });
    // The application may run as the same user; `execve` makes it dumpable again.
    let _ = nix::sys::prctl::set_dumpable(false);
}

/// Overwrites what stands between `://user:` and `@`, and behind `password=`.
fn mask_passwords(argument: &mut [u8]) {
    let ends = |byte: &u8| b"/?#".contains(byte);
    if let Some(scheme) = position(argument, b"://") {
        let authority = &mut argument[scheme + 3..];
        let end = authority.iter().position(ends).unwrap_or(authority.len());
        let authority = &mut authority[..end];
        if let Some(at) = authority.iter().rposition(|&byte| byte == b'@')
            && let Some(colon) = authority[..at].iter().position(|&byte| byte == b':')
        {
            authority[colon + 1..at].fill(b'*');
        }
    }
    if let Some(parameter) = position(argument, b"password=") {
        let value = &mut argument[parameter + b"password=".len()..];
        let end = value.iter().position(|byte| b"& ".contains(byte)).unwrap_or(value.len());
        value[..end].fill(b'*');
    }
}

fn position(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        mask_passwords(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn passwords_in_arguments_are_masked_and_nothing_else() {
        assert_eq!(
            masked("--wait-for=postgres://u:p:w@h/d?a=@b"),
            "--wait-for=postgres://u:***@h/d?a=@b"
        );
        assert_eq!(
            masked("postgres://h/d?user=u&password=abc&x=y"),
            "postgres://h/d?user=u&password=***&x=y"
        );
        for same in
            ["", "://", "tcp://db:5432", "http://h/a:b@c", "postgres://u@h", "serve", "user:pw@h"]
        {
            assert_eq!(masked(same), same);
        }
    }
}

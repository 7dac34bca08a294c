//! `DATABASE_URL` with any text: no message about it contains the password.

#![no_main]

use libfuzzer_sys::fuzz_target;
use premain::config::{Environment, family};
use premain::database::connection_string::url::redact;

/// The password in the inputs; no message may contain it.
const CANARY: &str = "hunter2";

fuzz_target!(|text: &str| {
    if text.matches(CANARY).count() != 1 {
        return;
    }
    let mut environment = Environment::new([("DATABASE_URL".into(), text.into())]);
    let (mut problems, mut said) = (Vec::new(), Vec::new());
    let found = family::find(&mut environment, &mut problems, &mut said);
    said.extend(problems.into_iter().map(|problem| problem.what));
    said.extend(found.database.iter().map(ToString::to_string));
    let debug = format!("{found:?}");
    let password = found.database.and_then(|database| database.password);
    let is_password = password.is_some_and(|password| password.expose().contains(CANARY));
    said.extend(is_password.then_some(debug));
    if is_password || may_be_password(text) {
        said.push(redact(text));
        for line in said {
            assert!(!line.contains(CANARY), "{line}");
        }
    }
});

/// Whether the canary is where a URL has its password, although the rest may be invalid.
fn may_be_password(text: &str) -> bool {
    let Some((before, after)) = text.split_once(CANARY) else { return false };
    let Some(before) = before.strip_prefix("postgres://") else { return false };
    let of_login = before.contains(':') && !before.contains(['/', '?', '#', '@', '[', ',']);
    let of_parameter = before.ends_with("?password=") || before.ends_with("&password=");
    // In front of another '@' it may be part of anything.
    of_login || of_parameter && !after.contains('@')
}

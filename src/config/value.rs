//! The values of options: durations, flags, signals, pairs. Each parser's error is the sentence's
//! end that says what is allowed: "… is 'x', which is not a duration: …".

use std::time::Duration;

use crate::value::Allowed;

/// `5s`, `500ms`, `1m 30s`, or a bare number of seconds.
///
/// # Errors
/// What a duration looks like.
pub fn duration(text: &str) -> Result<Duration, Allowed> {
    let number = text.parse::<u32>().map(|seconds| Duration::from_secs(seconds.into()));
    number
        .or_else(|_| humantime::parse_duration(text))
        .map_err(|_| "a duration such as 5s, 500ms, 2m or 1m 30s".to_owned())
}

/// A duration of which 0 means "no limit".
///
/// # Errors
/// What a duration looks like.
pub fn limit(text: &str) -> Result<Option<Duration>, Allowed> {
    duration(text).map(|limit| Some(limit).filter(|limit| !limit.is_zero()))
}

/// `true` or `false`, in the words that people use in environment variables.
///
/// # Errors
/// Those words.
pub fn flag(text: &str) -> Result<bool, Allowed> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("true or false (also 1, 0, yes, no, on, off)".to_owned()),
    }
}

/// A whole number.
///
/// # Errors
/// Its range.
pub fn count(text: &str) -> Result<u32, Allowed> {
    text.parse().map_err(|_| format!("a whole number from 0 to {}", u32::MAX))
}

/// The single values of an option that may stand several times: split at blanks and line ends.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_people_write_them() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(limit("0"), Ok(None));
        assert_eq!(limit("0s"), Ok(None));
        for wrong in ["", "-1", "5 parsecs", "1.5.1s", "ten"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }
}

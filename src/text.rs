//! Formats durations and counts for messages.

#![forbid(unsafe_code)]

use std::time::Duration;

/// `240ms`, `1.2s`, `45s`, `2m 05s`, `3h 04m`.
pub(crate) fn duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{milliseconds}ms"),
        1..10 if milliseconds % 1000 >= 100 => {
            format!("{}.{}s", seconds, milliseconds % 1000 / 100)
        }
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// `1 migration`, `4 migrations`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// How many items a message lists before it only counts the rest.
pub(crate) const LISTED: usize = 20;

/// `a, b, c`; of many only the first, and how many more there are.
pub(crate) fn list(items: &[impl AsRef<str>]) -> String {
    let mut shown: Vec<_> = items.iter().take(LISTED).map(AsRef::as_ref).collect();
    let more = format!("and {} more", items.len().saturating_sub(LISTED));
    if items.len() > LISTED {
        shown.push(&more);
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_ends_with_a_count() {
        assert_eq!(list(&["a", "b"]), "a, b");
        assert!(list(&["a"; 1000]).ends_with(", a, and 980 more"));
    }

    #[test]
    fn durations_show_at_most_two_units() {
        for (milliseconds, text) in [
            (0, "0ms"),
            (240, "240ms"),
            (1000, "1s"),
            (1249, "1.2s"),
            (12_900, "12s"),
            (125_000, "2m 05s"),
            (11_040_000, "3h 04m"),
        ] {
            assert_eq!(duration(Duration::from_millis(milliseconds)), text);
        }
    }
}

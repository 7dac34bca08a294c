//! The order of names, which must be a total order, and the names of history tables, which must parse to themselves.

#![no_main]

use libfuzzer_sys::fuzz_target;
use premain::fuzzing::{compare_names, history_table_name};

fuzz_target!(|text: &str| {
    let mut names: Vec<_> = text.lines().collect();
    // The standard library panics if an order is not total.
    names.sort_by(|one, other| compare_names(one, other));
    for pair in names.windows(2) {
        assert!(compare_names(pair[0], pair[1]).is_le());
        assert_eq!(compare_names(pair[0], pair[1]).is_eq(), pair[0] == pair[1]);
    }
    if let [first, .., last] = names.as_slice() {
        assert!(compare_names(first, last).is_le());
    }

    if let Ok(parts) = history_table_name(text) {
        let quote = |part: &String| format!("\"{}\"", part.replace('"', "\"\""));
        let quoted: Vec<_> = parts.iter().map(quote).collect();
        assert_eq!(history_table_name(&quoted.join(".")), Ok(parts));
    }
});

//! The order of names, which must be one, and the names of history tables, which must come back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use premain::migrate::settings::HistoryTableName;
use premain::migrate::Name;

fuzz_target!(|text: &str| {
    let mut names: Vec<_> = text.lines().map(|line| Name(line.to_owned())).collect();
    // The standard library panics where it meets an order that is none.
    names.sort();
    for pair in names.windows(2) {
        assert!(pair[0] <= pair[1]);
        assert_eq!(pair[0].cmp(&pair[1]).is_eq(), pair[0] == pair[1]);
    }
    if let [first, .., last] = names.as_slice() {
        assert!(first <= last);
    }

    if let Ok(name) = HistoryTableName::parse(text) {
        let quote = |part: &String| format!("\"{}\"", part.replace('"', "\"\""));
        let quoted: Vec<_> = name.schema.iter().chain([&name.table]).map(quote).collect();
        assert_eq!(HistoryTableName::parse(&quoted.join(".")), Ok(name));
    }
});

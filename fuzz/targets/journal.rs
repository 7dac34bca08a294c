//! Drizzle's journal: whatever is taken for one says what any reader of JSON finds in it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use premain::migrate::fuzzing::journal;
use serde_json::Value;

fuzz_target!(|text: &str| {
    let Ok(entries) = journal(text) else { return };
    // An array is read as an object's fields; and a number of no size, where nobody reads it, is JSON
    // to some and not to others.
    let Ok(Value::Object(fields)) = serde_json::from_str(text) else { return };
    let known = fields["entries"].as_array().expect("entries are an array");
    assert_eq!(entries.len(), known.len());
    for ((when, tag), entry) in entries.into_iter().zip(known) {
        if let Value::Object(entry) = entry {
            assert_eq!(entry["when"].as_i64(), Some(when));
            assert_eq!(entry["tag"].as_str(), Some(tag.as_str()));
        }
    }
});

//! Drizzle's journal: what is accepted as one says what any JSON reader finds in it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use premain::fuzzing::journal;
use serde_json::Value;

fuzz_target!(|text: &str| {
    let Ok(entries) = journal(text) else { return };
    // serde also reads an array as the fields of an object; and a number such as 1e999 in a field that is ignored is
    // valid to one reader and invalid to another.
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

//! The splitter of SQL: between two statements there are only blanks, comments and semicolons, a
//! statement alone is that statement, and the chunks in which a text is read make no difference.

#![no_main]

use libfuzzer_sys::fuzz_target;
use premain::fuzzing::{statements, statements_of_chunks, unrunnable};

fuzz_target!(|sql: &str| {
    let found = statements(sql);
    let mut end = 0;
    for (range, kind) in &found {
        assert!(end <= range.start && range.start < range.end);
        assert!(statements(&sql[end..range.start]).is_empty());
        // With its semicolon, if it has one.
        let alone = &sql[range.start..sql.len().min(range.end + 1)];
        assert_eq!(statements(alone), [(0..range.len(), kind.clone())]);
        end = range.end;
    }
    assert!(statements(&sql[end..]).is_empty());
    assert!(unrunnable(sql).is_none_or(|at| sql.is_char_boundary(at) && at < sql.len()));

    // An arbitrary cut, always the same for the same text.
    let cut = sql.bytes().map(usize::from).sum::<usize>() * 31 % (sql.len() + 1);
    if sql.is_char_boundary(cut) {
        assert_eq!(statements_of_chunks(sql, cut), found);
    }

    // What is hidden in a comment or a string is no statement.
    for (begin, end) in [("SELECT $q$", "$q$"), ("SELECT 1 /* ", " */"), ("SELECT '", "'")] {
        if !["$q$", "/*", "*/", "'"].iter().any(|mark| sql.contains(mark)) {
            // Blanks, so that its first and last sign make no mark with what is put around it.
            let hidden = format!("{begin} {sql} {end};");
            let whole = [(0..hidden.len() - 1, "Ordinary".to_owned())];
            assert_eq!(statements(&hidden), whole);
        }
    }
});

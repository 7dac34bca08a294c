//! The splitter of SQL: nothing but blanks, comments and semicolons stands between two statements, a
//! statement alone is that statement, and it does not matter in which pieces a text comes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use premain::migrate::fuzzing::{statements, statements_of_pieces, unrunnable};

fuzz_target!(|sql: &str| {
    let found = statements(sql);
    let mut end = 0;
    for (range, kind) in &found {
        assert!(end <= range.start && range.start < range.end);
        assert!(statements(&sql[end..range.start]).is_empty());
        // With its semicolon, where it has one.
        let alone = &sql[range.start..sql.len().min(range.end + 1)];
        assert_eq!(statements(alone), [(0..range.len(), kind.clone())]);
        end = range.end;
    }
    assert!(statements(&sql[end..]).is_empty());
    assert!(unrunnable(sql).is_none_or(|at| sql.is_char_boundary(at) && at < sql.len()));

    // Anywhere, and always in the same place.
    let cut = sql.bytes().map(usize::from).sum::<usize>() * 31 % (sql.len() + 1);
    if sql.is_char_boundary(cut) {
        assert_eq!(statements_of_pieces(sql, cut), found);
    }

    // What is hidden in a comment or a string is no statement.
    for (begin, end) in [("SELECT $q$", "$q$"), ("SELECT 1 /* ", " */"), ("SELECT '", "'")] {
        if !["$q$", "/*", "*/", "'"].iter().any(|mark| sql.contains(mark)) {
            // Blanks, lest its first or last sign makes a mark with what is put around it.
            let hidden = format!("{begin} {sql} {end};");
            let whole = [(0..hidden.len() - 1, "Ordinary".to_owned())];
            assert_eq!(statements(&hidden), whole);
        }
    }
});

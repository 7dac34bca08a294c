//! Checksums as the tools record them.

use sha2::Digest;

use crate::migrate::sql::Text;

/// Whether `recorded` is the checksum of this text, or of the same text with other line ends: git may have converted them, and
/// that is not an edit.
pub(super) fn matches_with_any_line_ends<D: Digest>(
    sql: &Text,
    recorded: &str,
    checksum: fn(&Text) -> String,
) -> bool {
    let with = |line_end| sql.digest_with::<D>(line_end).is_ok_and(|digest| digest == recorded);
    recorded == checksum(sql) || with("\n") || with("\r\n")
}

/// A random UUID, version 4.
///
/// # Errors
/// The operating system has no random bytes.
pub(super) fn uuid() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    let number = u128::from_be_bytes(bytes);
    let number = number & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let digits = format!("{number:032x}");
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    Ok(parts.join("-"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::Sha256;

    use super::*;

    #[test]
    fn ids_are_random_uuids_of_version_4() {
        let id = uuid().unwrap();
        let lengths: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
        assert!(id.as_bytes()[14] == b'4' && b"89ab".contains(&id.as_bytes()[19]), "{id}");
        assert_ne!(id, uuid().unwrap());
    }

    proptest! {
        #[test]
        fn other_line_ends_match_and_all_else_does_not(lines in prop::collection::vec("[a-z ]{0,5}", 1..6)) {
            let text = |sql: String| Text::InMemory(sql);
            let (unix, windows) = (text(lines.join("\n")), text(lines.join("\r\n")));
            let matches = |recorded: &Text, now: &Text| {
                matches_with_any_line_ends::<Sha256>(now, &recorded.sha256(), Text::sha256)
            };
            for (recorded, now) in [(&unix, &windows), (&windows, &unix), (&unix, &unix)] {
                prop_assert!(matches(recorded, now));
                let edited = text(now.in_memory().unwrap().to_owned() + " ");
                prop_assert!(!matches(recorded, &edited));
            }
        }
    }
}

//! The keys of the tools' own advisory locks. Some are checksums of names that only the server knows reliably (the database,
//! the schema), so they are SQL expressions, evaluated by the statement that takes the lock.

/// The CRC-32 of an SQL expression of type `bytea`, as a `bigint`. It works bit by bit: PostgreSQL's `get_bit` counts
/// from the right within a byte, as CRC-32 does.
pub(super) fn crc32(bytes: &str) -> String {
    format!(
        "(WITH RECURSIVE text (bytes) AS (SELECT {bytes}), crc (at, value) AS (\
         SELECT 0, 4294967295 UNION ALL \
         SELECT at + 1, (value >> 1) # ((value # pg_catalog.get_bit(bytes, at)) & 1) * 3988292384 \
         FROM crc, text WHERE at < 8 * pg_catalog.length(bytes)) \
         SELECT value # 4294967295 FROM crc ORDER BY at DESC LIMIT 1)"
    )
}

//! Names and texts as SQL writes them.

/// `'text'`, or `E'a \\ text'`: the same text whatever `standard_conforming_strings` is.
pub(crate) fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    match quoted.contains('\\') {
        true => format!("E'{}'", quoted.replace('\\', "\\\\")),
        false => format!("'{quoted}'"),
    }
}

/// `"name"`, with quotes inside doubled.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `name`, or `"My name"` if it needs quotes. Names that begin with a digit need them: PostgreSQL 16 and later read an
/// unquoted number as an object id.
pub(crate) fn quote_if_needed(name: &str) -> String {
    let simple = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let is_plain = name.chars().all(simple) && !name.starts_with(|c: char| c.is_ascii_digit());
    if is_plain { name.to_owned() } else { quote(name) }
}

/// The statement that creates `schema` unless it exists. Unlike `CREATE SCHEMA IF NOT EXISTS`, it needs no
/// privilege if the schema exists.
pub(crate) fn create_schema(schema: &str) -> String {
    let statement = format!("CREATE SCHEMA {}", quote(schema));
    format!(
        "DO $premain$ BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = {}) \
         THEN EXECUTE {}; END IF; END $premain$",
        literal(schema),
        literal(&statement)
    )
}

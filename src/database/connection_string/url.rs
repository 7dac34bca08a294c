//! Splits PostgreSQL connection strings, as users of libpq, node-postgres, Prisma and Drizzle write
//! them, into parameters. What these mean is decided in [`super::settings`].
//!
//! The grammar is libpq's. node-postgres and Prisma follow the WHATWG rules instead. Where the two
//! read a text differently and only one reading can work, that one is taken, with a warning. Where
//! both could work, or neither, the URL is rejected with the spelling that all of them understand.

use percent_encoding::percent_decode_str;

use super::parameters::{Meaning, meaning};

/// The parameters of a connection string.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    /// The names of libpq's parameters and their values, percent-decoded; a later one overrides an
    /// earlier one.
    pub parameters: Vec<(String, String)>,
    /// What other programs may read differently: predicates of which the variable is the subject.
    pub doubts: Vec<String>,
}

/// The URL schemes of other databases.
const FOREIGN: [&str; 14] = [
    "mysql",
    "mysql2",
    "mariadb",
    "sqlite",
    "sqlite3",
    "file",
    "libsql",
    "mongodb",
    "mongodb+srv",
    "redis",
    "rediss",
    "sqlserver",
    "mssql",
    "oracle",
];

/// The scheme of another database's URL, if `text` is one.
pub(crate) fn foreign(text: &str) -> Option<&'static str> {
    let text = text.trim();
    let (scheme, _) = text.strip_prefix("jdbc:").unwrap_or(text).split_once(':')?;
    // SQLAlchemy has dialect+driver.
    let dialect = scheme.split_once('+').map_or(scheme, |(dialect, _)| dialect);
    FOREIGN.into_iter().find(|known| dialect.eq_ignore_ascii_case(known))
}

/// Whether `text` begins as a PostgreSQL URL does: `postgres://`, `postgresql://`, with a driver as
/// `SQLAlchemy` has it (`postgresql+asyncpg://`) or with JDBC's prefix.
pub(crate) fn is_postgres(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| is_postgres_scheme(scheme))
}

fn is_postgres_scheme(scheme: &str) -> bool {
    let scheme = scheme.to_ascii_lowercase();
    let scheme = scheme.strip_prefix("jdbc:").unwrap_or(&scheme);
    let dialect = scheme.split_once('+').map_or(scheme, |(dialect, _)| dialect);
    matches!(dialect, "postgres" | "postgresql")
}

/// Parses a URL or a `host=… user=…` string.
///
/// # Errors
/// What is wrong, and how to write it: a predicate of which the variable is the subject; without
/// secrets.
pub(crate) fn parse(text: &str) -> Result<Parts, String> {
    let text = text.trim();
    if text.starts_with(['"', '\'', '`']) {
        return Err(
            "begins with a quote; write it without quotes, which Docker's env files do not remove"
                .into(),
        );
    }
    let mut parts = match text.split_once("://") {
        Some((scheme, rest)) if is_postgres_scheme(scheme) => parse_url(rest)?,
        Some(("prisma" | "prisma+postgres", _)) => {
            return Err(
                "is a URL of Prisma's own protocol; set DIRECT_URL to a postgres:// URL".into()
            );
        }
        _ if keyword_values(text) => parse_keyword_values(text)?,
        _ if text.starts_with("jdbc:") && !text.contains("://") => {
            return Err("is a URL of JDBC without a host; write \
                        postgres://USER:PASSWORD@HOST:PORT/DATABASE"
                .into());
        }
        Some((scheme, _)) if is_scheme(scheme) => {
            return Err(format!("begins with {scheme}://, not postgres:// or postgresql://"));
        }
        _ => return Err("is not postgres://USER:PASSWORD@HOST:PORT/DATABASE".into()),
    };
    if text.contains("${") || text.contains("$(") {
        parts.doubts.push("contains ${ or $(, as if a variable had not been replaced".into());
    }
    Ok(parts)
}

fn is_scheme(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | ':'))
}

/// The characters that separate the parts of a URL, and how to write them within a part.
const ENCODED: [(char, &str); 4] = [('@', "%40"), ('/', "%2F"), ('?', "%3F"), ('#', "%23")];

/// `percent-encode the password: '#' is %23, '/' is %2F`, for those that `text` holds.
fn percent_encode(what: &str, text: &str) -> String {
    let spellings: Vec<_> = ENCODED
        .iter()
        .filter(|(raw, _)| text.contains(*raw))
        .map(|(raw, encoded)| format!("'{raw}' is {encoded}"))
        .collect();
    format!("percent-encode the {what}: {}", spellings.join(", "))
}

/// Parses what follows `postgres://`.
fn parse_url(rest: &str) -> Result<Parts, String> {
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(authority_end);
    let (login, hosts) =
        authority.rsplit_once('@').map_or((None, authority), |(login, hosts)| (Some(login), hosts));
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    // An unencoded '/' or '?' in the password splits it into host and path.
    if path.contains('@') || query_holds_host(query) {
        let before = rest.rsplit_once('@').map_or(rest, |(before, _)| before);
        let secret = before.split_once(':').map_or(before, |(_, password)| password);
        return Err(format!(
            "has an '@' after the first '/' or '?': {}",
            percent_encode("password", secret)
        ));
    }
    if [hosts, path].iter().any(|part| part.contains('=') && first_secret_word(part).is_some()) {
        return Err("has a password in its host or database name: parameters begin with a '?'; \
             in a name '=' is %3D"
            .into());
    }
    // libpq has no fragments, the other parsers cut them off. Only before an '@' is it certainly
    // not a fragment, because cutting it off would leave no host.
    if hosts.contains('#') || tail.contains('#') {
        return Err("has a '#' after the login, where most programs stop reading; write %23".into());
    }

    let mut reader = Decoder::default();
    if let Some(login) = login {
        reader.login(login)?;
    }
    reader.hosts(hosts)?;
    if let Some(name) = path.strip_prefix('/').filter(|name| !name.is_empty()) {
        reader.take("dbname", name)?;
    }
    let of_query = reader.parts.parameters.len();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let key = decode("a parameter's name", key)?;
        // Only libpq does not read '+' as a space; in `options` nothing else makes sense.
        let value = if key == "options" { value.replace('+', " ") } else { value.to_owned() };
        // After a '?' or a blank instead of an '&', a parameter is part of the value before it,
        // which messages show.
        let is_plain = match &*key {
            "options" => value.contains('?'), // `password_encryption=…` is a setting, not a secret.
            key => first_secret_word(key).is_none(),
        };
        if is_plain && value.contains('=') && first_secret_word(&value).is_some() {
            return Err("has a password in another parameter: parameters are joined by '&'; \
                 in a value '=' is %3D"
                .into());
        }
        reader.take(&key, &value)?;
    }
    one_value_each(&reader.parts.parameters[of_query..])?;
    Ok(reader.parts)
}

/// Programs differ in which of two values of one parameter they take.
fn one_value_each(parameters: &[(String, String)]) -> Result<(), String> {
    for (index, (key, value)) in parameters.iter().enumerate() {
        if parameters[..index].iter().any(|(before, other)| before == key && other != value) {
            return Err(format!("has two values for {key}; keep one"));
        }
    }
    Ok(())
}

/// Whether a query is the rest of a password with a host: `ss@host/db` of `u:pa?ss@host/db`. An '@'
/// is allowed only in the values of known parameters.
fn query_holds_host(query: &str) -> bool {
    query.split('&').any(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        key.contains('@') || value.contains('@') && meaning(key) == Meaning::Unknown
    })
}

/// Percent-decodes parts and keeps them.
#[derive(Default)]
struct Decoder {
    parts: Parts,
}

impl Decoder {
    /// `USER[:PASSWORD]`, in which separators need not be encoded.
    fn login(&mut self, login: &str) -> Result<(), String> {
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        if login.contains(['@', '#']) {
            let what = if user.contains(['@', '#']) { "user" } else { "password" };
            let advice = percent_encode(what, login);
            self.parts.doubts.push(format!("is read differently by other programs; {advice}"));
        }
        if !user.is_empty() {
            self.take("user", user)?;
        }
        if !password.is_empty() {
            self.take("password", password)?;
        }
        Ok(())
    }

    /// `HOST[:PORT][,…]`, each of which may be empty.
    fn hosts(&mut self, hosts: &str) -> Result<(), String> {
        let mut names = Vec::new();
        let mut ports = Vec::new();
        for host in hosts.split(',') {
            let (name, port) = split_host(host)?;
            names.push(name);
            ports.push(port);
        }
        for (key, list) in [("host", names), ("port", ports)] {
            if list.iter().any(|item| !item.is_empty()) {
                self.take(key, &list.join(","))?;
            }
        }
        Ok(())
    }

    fn take(&mut self, key: &str, value: &str) -> Result<(), String> {
        if broken_percent(value) {
            let doubt =
                format!("has a '%' in its {key} without two hexadecimal digits; write it as %25");
            self.parts.doubts.push(doubt);
        }
        let value = decode(key, value)?;
        self.parts.parameters.push((key.to_owned(), value));
        Ok(())
    }
}

/// `HOST[:PORT]` or `[IPV6][:PORT]`: name and port, either of which may be empty.
///
/// # Errors
/// What an address looks like. The text itself may be a misplaced password and is not shown.
pub(crate) fn split_host(text: &str) -> Result<(&str, &str), String> {
    let (name, rest) = match text.strip_prefix('[') {
        Some(inside) => inside.split_once(']').ok_or("has a host whose bracket is not closed")?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    match rest.strip_prefix(':') {
        None if rest.is_empty() => Ok((name, "")),
        Some(port) if !port.contains(':') => Ok((name, port)),
        _ => Err("has a host that is not NAME:PORT or, for IPv6, [ADDRESS]:PORT".into()),
    }
}

fn decode(what: &str, text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| format!("has a {what} that is not UTF-8 after percent-decoding"))?;
    if decoded.contains('\0') {
        return Err(format!("has a %00 in its {what}, which PostgreSQL cannot take"));
    }
    Ok(decoded.into_owned())
}

/// Whether there is a '%' without two digits, which is taken literally, as node-postgres does.
fn broken_percent(text: &str) -> bool {
    text.match_indices('%').any(|(at, _)| {
        let digits = text.as_bytes().get(at + 1..at + 3);
        !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// Keywords of .NET, ODBC and others, which are none of libpq's.
const FOREIGN_KEYWORDS: [&str; 8] =
    ["Server", "Data Source", "Database", "Username", "User Id", "Uid", "Pwd", "Initial Catalog"];

/// Whether `text` begins as libpq's other form does: `keyword = value`.
fn keyword_values(text: &str) -> bool {
    // `Data Source=…` is recognized, too, to be rejected.
    text.split_once('=')
        .is_some_and(|(keyword, _)| is_keyword(&keyword.trim_end().replace(' ', "_")))
}

fn is_keyword(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !text.is_empty() && text.chars().all(letter)
}

/// Parses libpq's `keyword = value` pairs. Values with blanks are in single quotes; a character
/// after a backslash is literal.
fn parse_keyword_values(text: &str) -> Result<Parts, String> {
    let keywords: Vec<&str> = text
        .split(';')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, _)| name.trim())
        .collect();
    let is_foreign =
        |keyword: &&str| FOREIGN_KEYWORDS.iter().any(|k| k.eq_ignore_ascii_case(keyword));
    if let Some(keyword) = keywords.iter().find(|keyword| is_foreign(keyword)) {
        return Err(format!(
            "has '{keyword}=', as .NET and ODBC write it; write \
             postgres://USER:PASSWORD@HOST:PORT/DATABASE, or host=… user=… password=… dbname=…"
        ));
    }
    let mut parts = Parts::default();
    let mut rest = text;
    while !rest.is_empty() {
        let (keyword, after) = rest
            .split_once('=')
            .ok_or("ends with a word without '='; put values with blanks in single quotes")?;
        let keyword = keyword.trim();
        if keyword.contains(char::is_whitespace) {
            return Err("has a word without '='; put values with blanks in single quotes".into());
        }
        if !is_keyword(keyword) {
            return Err(
                "has an '=' without a keyword; put values with blanks in single quotes".into()
            );
        }
        let (value, after) = keyword_value(after.trim_start())
            .ok_or_else(|| format!("has a {keyword} whose quote is not closed"))?;
        parts.parameters.push((keyword.to_owned(), value));
        rest = after.trim_start();
    }
    one_value_each(&parts.parameters)?;
    const NAMING: [&str; 5] = ["host", "hostaddr", "user", "dbname", "service"];
    if !parts.parameters.iter().any(|(key, _)| NAMING.contains(&key.as_str())) {
        return Err("has none of host=, user= and dbname=; write \
                    postgres://USER:PASSWORD@HOST:PORT/DATABASE"
            .into());
    }
    Ok(parts)
}

/// One value and what follows it; `None` if its quote stays open.
fn keyword_value(text: &str) -> Option<(String, &str)> {
    let (quoted, text) = text.strip_prefix('\'').map_or((false, text), |inside| (true, inside));
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, literal)| literal)),
            '\'' if quoted => return Some((value, &text[at + 1..])),
            blank if !quoted && blank.is_whitespace() => return Some((value, &text[at..])),
            other => value.push(other),
        }
    }
    (!quoted).then_some((value, ""))
}

/// Words in the names of parameters that hold secrets.
const SECRET_WORDS: [&str; 5] = ["pass", "pwd", "secret", "token", "scram"];

/// Replaces whatever may be a password in `text` with `***`.
///
/// Nothing is parsed here, because what is shown is mostly what could not be parsed: everything
/// between the first ':' and the last '@' counts as the password.
pub fn redact(text: &str) -> String {
    match text.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('=') => {
            return format!("{scheme}://{}", redact_url(rest));
        }
        _ => {}
    }
    if let Some(at) = first_secret_word(text).filter(|_| text.contains('=')) {
        // The value may be quoted and contain anything: everything after it may belong to it.
        return format!("{}***", &text[..at]);
    }
    match text.rsplit_once('@') {
        Some((_, rest)) => format!("***@{rest}"),
        None => text.to_owned(),
    }
}

fn redact_url(rest: &str) -> String {
    let (login, rest) =
        rest.rsplit_once('@').map_or((None, rest), |(login, rest)| (Some(login), rest));
    if login.and_then(first_secret_word).is_some() {
        // The '@' may be in the value of a parameter, or after a login: that cannot be decided.
        return "***".to_owned();
    }
    let (address, query) =
        rest.split_once('?').map_or((rest, None), |(address, query)| (address, Some(query)));
    if address.contains('=') && first_secret_word(address).is_some() {
        // A parameter without its '?': everything around it may be a secret.
        return "***".to_owned();
    }
    let mut shown = match login.map(|login| login.split_once(':').ok_or(login)) {
        Some(Ok((user, _))) => format!("{user}:***@{address}"),
        Some(Err(user)) => format!("{user}@{address}"),
        // Without an '@', what follows the ':' may be a password whose host is missing.
        None => match address.split_once(':') {
            Some((name, rest)) if !is_port(rest) => format!("{name}:***"),
            _ => address.to_owned(),
        },
    };
    if let Some(query) = query {
        let pairs: Vec<_> = query.split('&').map(redact_pair).collect();
        shown.push('?');
        shown.push_str(&pairs.join("&"));
    }
    shown
}

fn redact_pair(pair: &str) -> String {
    // The value as well: after a blank instead of an '&' it contains another parameter.
    match first_secret_word(&percent_decode_str(pair).decode_utf8_lossy()) {
        Some(_) => match pair.split_once('=') {
            Some((key, _)) if !key.contains(char::is_whitespace) => format!("{key}=***"),
            _ => "***".to_owned(),
        },
        None => pair.to_owned(),
    }
}

/// The position of the first word that announces a secret.
fn first_secret_word(text: &str) -> Option<usize> {
    // Lower case in ASCII only, which keeps every position.
    let lower = text.to_ascii_lowercase();
    SECRET_WORDS.iter().filter_map(|word| lower.find(word)).min()
}

/// `5432`, `5432/name`, `5432,h2:5433/name`: what may follow a host's colon.
fn is_port(text: &str) -> bool {
    let after = text.trim_start_matches(|c: char| c.is_ascii_digit());
    after.is_empty() || after.starts_with(['/', ','])
}

#[cfg(test)]
mod tests;

//! Finds the user that the application runs as in `/etc/passwd` and `/etc/group`.
//!
//! They are read directly: a static binary cannot load the C library's plugins for other sources,
//! and images do not use them.

use std::ffi::OsString;
use std::fs;

use crate::value::Allowed;

/// A user and its groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// As it was given, for messages.
    pub name: String,
    /// The number of the user.
    pub uid: u32,
    /// The number of the user's main group.
    pub gid: u32,
    /// The supplementary groups, including the main one.
    pub groups: Vec<u32>,
    /// The value of HOME.
    pub home: OsString,
}

impl User {
    /// Parses `NAME|UID[:GROUP|GID]` and looks it up.
    ///
    /// # Errors
    /// Whether the user or the group is unknown, and which names exist; without `text`.
    pub fn parse(text: &str) -> Result<User, Allowed> {
        let read = |path| fs::read(path).unwrap_or_default();
        let (passwd, group) = (read("/etc/passwd"), read("/etc/group"));
        User::find(text, &String::from_utf8_lossy(&passwd), &String::from_utf8_lossy(&group))
    }

    /// As `docker run --user` and gosu understand it: a number needs no entry, and with a group
    /// there are no supplementary groups.
    fn find(text: &str, passwd: &str, group: &str) -> Result<User, Allowed> {
        let (wanted, wanted_group) =
            text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
        let known = named(passwd, wanted).or_else(|| numbered(passwd, wanted));
        let number = |field: Option<&&str>| field.and_then(|text| text.parse::<u32>().ok());
        let (uid, primary) = match &known {
            Some(entry) => (number(entry.get(2)), number(entry.get(3))),
            None => (wanted.parse().ok(), None),
        };
        let uid = uid.ok_or_else(|| unknown("user", "/etc/passwd", passwd))?;
        let gid = match wanted_group {
            None => primary.unwrap_or_else(|| nix::unistd::getgid().as_raw()),
            Some(wanted) => number(named(group, wanted).as_deref().and_then(|entry| entry.get(2)))
                .or_else(|| wanted.parse().ok())
                .ok_or_else(|| unknown("group", "/etc/group", group))?,
        };
        let mut groups = vec![gid];
        if let (Some(entry), None) = (&known, wanted_group) {
            let member = |fields: &Vec<&str>| {
                fields.get(3).is_some_and(|members| members.split(',').any(|name| name == entry[0]))
            };
            groups.extend(entries(group).filter(member).filter_map(|fields| number(fields.get(2))));
            groups.sort_unstable();
            groups.dedup();
        }
        let home = known.and_then(|entry| entry.get(5).copied()).filter(|home| !home.is_empty());
        Ok(User { name: text.to_owned(), uid, gid, groups, home: home.unwrap_or("/").into() })
    }
}

/// The name of the user that this process runs as: libpq's default for the role.
pub(crate) fn own_name() -> Option<String> {
    let uid = nix::unistd::geteuid().to_string();
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let entry = numbered(&passwd, &uid)?;
    entry.first().map(|name| (*name).to_owned())
}

fn entries(file: &str) -> impl Iterator<Item = Vec<&str>> {
    file.lines().map(|line| line.split(':').collect())
}

fn named<'a>(file: &'a str, name: &str) -> Option<Vec<&'a str>> {
    entries(file).find(|fields| fields.len() > 2 && fields[0] == name)
}

fn numbered<'a>(file: &'a str, number: &str) -> Option<Vec<&'a str>> {
    let number: u32 = number.parse().ok()?;
    entries(file).find(|fields| fields.len() > 2 && fields[2].parse() == Ok(number))
}

/// What is wrong, with names that a user is likely to mean: root, and those that are neither the
/// system's nor `nobody`.
fn unknown(what: &str, file: &str, content: &str) -> Allowed {
    let names: Vec<_> = entries(content)
        .filter(|fields| {
            let number = fields.get(2).and_then(|number| number.parse::<u32>().ok());
            number.is_some_and(|number| number == 0 || (1000..65_534).contains(&number))
        })
        .map(|fields| fields[0])
        .take(10)
        .collect();
    let id = if what == "user" { "uid" } else { "gid" };
    match names.as_slice() {
        [] => format!("no such {what} in {file}; use a numeric {id}"),
        names => format!(
            "no such {what} in {file}; use a name that is there ({}), or a numeric {id}",
            names.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
        www-data:x:33:33::/var/www:/usr/sbin/nologin\n\
        node:x:1000:1000::/home/node:/bin/sh\n\
        broken\n\
        1001:x:42:42::/odd:\n\
        homeless:x:7:7:::\n";
    const GROUP: &str =
        "root:x:0:\nvideo:x:44:node,other\nnode:x:1000:\naudio:x:29:other,node\nbroken\n";

    fn find(text: &str) -> Result<(u32, u32, Vec<u32>, String), Allowed> {
        User::find(text, PASSWD, GROUP)
            .map(|user| (user.uid, user.gid, user.groups, user.home.into_string().unwrap()))
    }

    #[test]
    fn names_and_numbers_mean_the_same_user() {
        let node = (1000, 1000, vec![29, 44, 1000], "/home/node".to_owned());
        assert_eq!(find("node"), Ok(node.clone()));
        assert_eq!(find("1000"), Ok(node));
    }

    #[test]
    fn a_named_group_replaces_the_supplementary_groups() {
        assert_eq!(find("node:video"), Ok((1000, 44, vec![44], "/home/node".to_owned())));
        assert_eq!(find("node:7"), Ok((1000, 7, vec![7], "/home/node".to_owned())));
        assert_eq!(find("5000:6000"), Ok((5000, 6000, vec![6000], "/".to_owned())));
    }

    #[test]
    fn a_name_that_looks_like_a_number_is_a_name() {
        assert_eq!(find("1001"), Ok((42, 42, vec![42], "/odd".to_owned())));
        assert_eq!(find("homeless").unwrap().3, "/");
    }

    #[test]
    fn an_unknown_user_is_rejected_with_those_that_exist() {
        assert!(find("nobody-here").unwrap_err().contains("root, node"));
        assert!(find("node:nogroup").unwrap_err().contains("/etc/group"));
        for wrong in ["", ":", "node:", "-1", "4294967296", "broken"] {
            assert!(find(wrong).is_err(), "{wrong:?}");
        }
        assert!(User::find("x", "", "").unwrap_err().contains("; use a numeric uid"));
    }
}

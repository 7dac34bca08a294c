//! The processes that an application leaves behind.

use std::collections::BTreeMap;
use std::fs;

use nix::errno::Errno;
use nix::unistd::Pid;

use crate::signal::Signal;
use crate::sys::{self, Recipient};

/// Sends `signal` to everything that is left of the application that was `application`.
pub(super) fn signal(signal: Signal, application: Pid) {
    // The namespace is ours: nobody else lives in it.
    if Pid::this() == Pid::from_raw(1) {
        send(signal, Recipient::Everyone);
        return;
    }
    // Elsewhere others do, and each process of theirs is one that we must not touch.
    match descendants() {
        Some(pids) => pids.into_iter().for_each(|pid| send(signal, Recipient::Process(pid))),
        // Without /proc it is known of nobody but the application's group whose they are.
        None => send(signal, Recipient::Group(application)),
    }
}

fn send(signal: Signal, to: Recipient) {
    match sys::send(signal, to) {
        // Whoever is gone has done what we want of him.
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => tracing::debug!("sending {signal} to {to:?}: {error}"),
    }
}

/// Every descendant of this process; `None` where there is no /proc of this PID namespace.
fn descendants() -> Option<Vec<Pid>> {
    let this = Pid::this().as_raw();
    let shown = fs::read_link("/proc/self").ok()?;
    if shown.to_str()?.parse() != Ok(this) {
        return None;
    }
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        let parent = pid.and_then(|pid| parent_in(&fs::read(format!("/proc/{pid}/stat")).ok()?));
        if let (Some(pid), Some(parent)) = (pid, parent) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = children.remove(&this).unwrap_or_default();
    let mut looked_into = 0;
    while let Some(pid) = found.get(looked_into) {
        found.extend(children.remove(pid).unwrap_or_default());
        looked_into += 1;
    }
    Some(found.into_iter().map(Pid::from_raw).collect())
}

/// The parent in a line of `/proc/PID/stat`: `7 (name) S 1 …`. The name may hold anything, also
/// `) S 1`, so that the last parenthesis is the one that counts.
fn parent_in(stat: &[u8]) -> Option<i32> {
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let mut fields = stat[end + 1..].split(u8::is_ascii_whitespace).filter(|f| !f.is_empty());
    str::from_utf8(fields.nth(1)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_call_itself_what_it_wants() {
        assert_eq!(parent_in(b"7 (node) S 1 7 7 0 -1"), Some(1));
        assert_eq!(parent_in(b"7 (a) S 99 (b \xff) R 12 7 7"), Some(12));
        assert_eq!(parent_in(b""), None);
        assert_eq!(parent_in(b"7 (node)"), None);
    }

    #[test]
    fn descendants_are_found_and_nobody_else() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let found = descendants().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.contains(&Pid::from_raw(child.id().cast_signed())));
        assert!(!found.contains(&Pid::parent()) && !found.contains(&Pid::this()));
    }
}

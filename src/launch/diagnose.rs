//! Explains in a sentence why a program that exists cannot be executed.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::error::Error;

/// The message for `program`, for which `execve` failed with `error`.
pub(super) fn cannot_execute(program: &Path, error: Errno) -> Error {
    let reason = match error {
        Errno::EACCES => not_allowed(program),
        Errno::ENOENT | Errno::ENOEXEC | Errno::ENOTDIR | Errno::ELIBBAD => wrong_kind(program),
        Errno::E2BIG => Some("its arguments and variables together are too long".to_owned()),
        Errno::ETXTBSY => Some("a process still has it open for writing".to_owned()),
        _ => None,
    };
    let why = match reason {
        Some(reason) => format!("{}: {reason}", error.desc()),
        None => error.desc().to_owned(),
    };
    Error::CannotExecute { program: program.to_owned(), why }
}

fn not_allowed(program: &Path) -> Option<String> {
    let metadata = fs::metadata(program).ok()?;
    Some(if metadata.is_dir() {
        "it is a directory".to_owned()
    } else if metadata.permissions().mode() & 0o111 == 0 {
        format!("it lacks the permission to execute: chmod +x {}", program.display())
    } else {
        let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
        format!("user {uid}, group {gid} may not execute it, or its file system is mounted noexec")
    })
}

/// The kernel cannot load the file, or its interpreter or loader is missing.
fn wrong_kind(program: &Path) -> Option<String> {
    let mut start = Vec::new();
    File::open(program).ok()?.take(64 * 1024).read_to_end(&mut start).ok()?;
    if let Some(rest) = start.strip_prefix(b"#!") {
        let line = rest.split(|&byte| byte == b'\n').next().unwrap_or_default();
        return Some(broken_script(&String::from_utf8_lossy(line)));
    }
    if start.starts_with(b"\x7fELF") {
        return broken_binary(&start);
    }
    Some("it is neither a program nor a script that begins with #!, such as #!/bin/sh".to_owned())
}

fn broken_script(line: &str) -> String {
    let interpreter = line.split_whitespace().next().unwrap_or_default();
    if line.ends_with('\r') {
        return format!(
            "it has Windows line ends (CRLF), so that its interpreter is '{interpreter}\\r'; \
             convert it with dos2unix, and put 'text eol=lf' for it into .gitattributes"
        );
    }
    format!(
        "its first line names the interpreter {interpreter}, which is missing or cannot be executed"
    )
}

/// Reads what is needed of an ELF header (elf(5)): little-endian and 64-bit, as on every platform
/// that premain is built for.
fn broken_binary(file: &[u8]) -> Option<String> {
    let half = |at: usize| Some(u16::from_le_bytes(file.get(at..at + 2)?.try_into().ok()?));
    let word = |at: usize| {
        usize::try_from(u64::from_le_bytes(file.get(at..at.checked_add(8)?)?.try_into().ok()?)).ok()
    };
    let own = fs::read("/proc/self/exe").ok();
    let own =
        own.as_deref().and_then(|own| Some(u16::from_le_bytes(own.get(18..20)?.try_into().ok()?)));
    let machine = half(18)?;
    if own.is_some_and(|own| own != machine) {
        return Some(format!(
            "it is built for {}, but this machine is {}: build or pull the image for this \
             platform (docker build --platform)",
            machine_name(machine),
            std::env::consts::ARCH
        ));
    }
    let (table, size, count) = (word(32)?, half(54)? as usize, half(56)? as usize);
    let interpreter = (0..count).find_map(|index| {
        let header = table.checked_add(index * size)?;
        const PT_INTERP: [u8; 4] = 3_u32.to_le_bytes();
        (file.get(header..header.checked_add(4)?)? == PT_INTERP).then_some(())?;
        let (from, length) = (word(header + 8)?, word(header + 32)?);
        let path = file.get(from..from.checked_add(length)?)?.strip_suffix(b"\0")?;
        Some(PathBuf::from(String::from_utf8_lossy(path).into_owned()))
    })?;
    (!interpreter.exists()).then(|| {
        format!(
            "it needs the loader {}, which is missing in this image: it was linked for another C \
             library (glibc or musl) than that of the image; link it statically, or use the base \
             image that it was built on",
            interpreter.display()
        )
    })
}

fn machine_name(machine: u16) -> String {
    match machine {
        3 => "x86 (32-bit)".to_owned(),
        40 => "arm (32-bit)".to_owned(),
        62 => "x86_64".to_owned(),
        183 => "aarch64".to_owned(),
        243 => "riscv64".to_owned(),
        other => format!("machine {other} (see elf.h)"),
    }
}

//! What `execve` says to a file: foreseen before the boot, and explained once it has failed.

use std::ffi::{CStr, OsStr};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};

use super::error::Error;

/// The shell that runs a script without a `#!` line, as execvp(3) has it.
pub(super) const SHELL: &CStr = c"/bin/sh";

/// How many interpreters may be scripts themselves; the kernel's limit (execve(2)).
const NESTED: u8 = 4;

/// Finds out whether `execve` will execute `program`, as far as its file and this process's
/// permissions show it. A handler of the kernel's `binfmt_misc` is not known here.
///
/// # Errors
/// What `execve` would fail with.
pub(super) fn foresee(program: &Path) -> nix::Result<()> {
    foresee_nested(program, NESTED)
}

fn foresee_nested(program: &Path, nested: u8) -> nix::Result<()> {
    access(program, AccessFlags::X_OK)?;
    if !program.is_file() {
        return Err(Errno::EACCES);
    }
    match Kind::of(program) {
        Some(Kind::Script(interpreter)) if nested > 0 => foresee_nested(&interpreter, nested - 1),
        Some(Kind::Text) => access(SHELL, AccessFlags::X_OK).map_err(|_| Errno::ENOEXEC),
        Some(Kind::Elf(file)) if is_foreign(&file) => Err(Errno::ENOEXEC),
        Some(Kind::Elf(file)) if missing_loader(&file).is_some() => Err(Errno::ENOENT),
        Some(Kind::Empty | Kind::Data) => Err(Errno::ENOEXEC),
        // It may be executed, but not read, or nothing is wrong with it.
        None | Some(Kind::Script(_) | Kind::Elf(_)) => Ok(()),
    }
}

/// Whether `program`, which the kernel cannot load, is a script for [`SHELL`].
pub(super) fn is_for_shell(program: &Path) -> bool {
    matches!(Kind::of(program), Some(Kind::Text | Kind::Script(_)))
}

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
    if metadata.is_dir() {
        return Some("it is a directory".to_owned());
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Some(format!("it lacks the permission to execute: chmod +x {}", program.display()));
    }
    // If it is not the file itself, it is its interpreter.
    if access(program, AccessFlags::X_OK).is_ok()
        && let Some(Kind::Script(interpreter)) = Kind::of(program)
    {
        return Some(broken_script(&interpreter));
    }
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    Some(format!(
        "user {uid}, group {gid} may not execute it, or its file system is mounted noexec"
    ))
}

/// The kernel cannot load the file, or its interpreter or loader is missing.
fn wrong_kind(program: &Path) -> Option<String> {
    Some(match Kind::of(program)? {
        Kind::Script(interpreter) => broken_script(&interpreter),
        Kind::Elf(file) => return broken_binary(&file),
        Kind::Empty => "the file is empty".to_owned(),
        Kind::Text => "it does not begin with #! and an interpreter, such as #!/bin/sh, and there \
                       is no /bin/sh to run it without"
            .to_owned(),
        Kind::Data => "it is neither a program nor a script".to_owned(),
    })
}

/// What a file begins with, as the kernel and shells tell programs apart.
enum Kind {
    Empty,
    /// `#!`, and this interpreter.
    Script(PathBuf),
    /// A program, or the beginning of one that is larger than 64 kB.
    Elf(Vec<u8>),
    /// A first line without a NUL, by which shells recognise a script.
    Text,
    Data,
}

impl Kind {
    /// `None` if the file cannot be read.
    fn of(program: &Path) -> Option<Kind> {
        let mut start = Vec::new();
        File::open(program).ok()?.take(64 * 1024).read_to_end(&mut start).ok()?;
        let line = start.split(|&byte| byte == b'\n').next().unwrap_or_default();
        Some(if start.is_empty() {
            Kind::Empty
        } else if start.starts_with(b"\x7fELF") {
            Kind::Elf(start)
        } else if let Some(interpreter) = line.strip_prefix(b"#!").and_then(interpreter) {
            Kind::Script(interpreter)
        } else if line.contains(&0) {
            Kind::Data
        } else {
            Kind::Text
        })
    }
}

/// The first word behind `#!`. Nothing but a blank ends it: with a Windows line end it has a `\r`.
fn interpreter(line: &[u8]) -> Option<PathBuf> {
    let word = line.split(|byte| b" \t\0".contains(byte)).find(|word| !word.is_empty())?;
    Some(OsStr::from_bytes(word).into())
}

fn broken_script(interpreter: &Path) -> String {
    let shown = interpreter.to_string_lossy();
    if let Some(shown) = shown.strip_suffix('\r') {
        return format!(
            "it has Windows line ends (CRLF), so that its interpreter is '{shown}\\r'; \
             convert it with dos2unix, and put 'text eol=lf' for it into .gitattributes"
        );
    }
    format!("its first line names the interpreter {shown}, which is missing or cannot be executed")
}

/// Explains why the kernel does not load an ELF file.
fn broken_binary(file: &[u8]) -> Option<String> {
    if let Some(machine) = machine(file).filter(|_| is_foreign(file)) {
        return Some(format!(
            "it is built for {}, but this machine is {}: build or pull the image for this \
             platform (docker build --platform)",
            machine_name(machine),
            std::env::consts::ARCH
        ));
    }
    missing_loader(file).map(|loader| {
        format!(
            "it needs the loader {}, which is missing in this image: it was linked for another C \
             library (glibc or musl) than that of the image; link it statically, or use the base \
             image that it was built on",
            loader.display()
        )
    })
}

/// Whether the file is for a machine whose programs this one does not run: neither premain's own
/// nor its 32-bit variant. Not by asking the kernel, which may emulate premain's machine.
fn is_foreign(file: &[u8]) -> bool {
    let runs: &[u16] = match std::env::consts::ARCH {
        "x86_64" => &[62, 3],
        "aarch64" => &[183, 40],
        "riscv64" => &[243],
        _ => return false,
    };
    machine(file).is_some_and(|machine| !runs.contains(&machine))
}

/// The machine in an ELF header (elf(5)), little-endian as on every platform that premain is built
/// for.
fn machine(file: &[u8]) -> Option<u16> {
    Some(u16::from_le_bytes(file.get(18..20)?.try_into().ok()?))
}

/// The loader that a 64-bit ELF file (elf(5)) names, if it is missing.
fn missing_loader(file: &[u8]) -> Option<PathBuf> {
    const ELFCLASS64: u8 = 2;
    const PT_INTERP: [u8; 4] = 3_u32.to_le_bytes();
    let half = |at: usize| Some(u16::from_le_bytes(file.get(at..at + 2)?.try_into().ok()?));
    let word = |at: usize| {
        usize::try_from(u64::from_le_bytes(file.get(at..at.checked_add(8)?)?.try_into().ok()?)).ok()
    };
    file.get(4).filter(|&&class| class == ELFCLASS64)?;
    let (table, size, count) = (word(32)?, half(54)? as usize, half(56)? as usize);
    let loader = (0..count).find_map(|index| {
        let header = table.checked_add(index * size)?;
        (file.get(header..header.checked_add(4)?)? == PT_INTERP).then_some(())?;
        let (from, length) = (word(header + 8)?, word(header + 32)?);
        let path = file.get(from..from.checked_add(length)?)?.strip_suffix(b"\0")?;
        Some(PathBuf::from(OsStr::from_bytes(path)))
    })?;
    (!loader.exists()).then_some(loader)
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

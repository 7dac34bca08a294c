//! Chooses what is embedded: `migrations/`, or what `PREMAIN_EMBED` says: `none`, or a folder.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-env-changed=PREMAIN_EMBED");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let folder = match env::var("PREMAIN_EMBED") {
        Ok(choice) if choice == "none" => None,
        Ok(choice) if !choice.is_empty() => Some(root.join(choice)),
        _ => Some(root.join("migrations")),
    };
    let code = match folder {
        None => "pub fn embedded() -> Vec<refinery::Migration> { Vec::new() }".to_owned(),
        Some(folder) => {
            // Cargo looks into a folder for new files only if it is told to.
            println!("cargo:rerun-if-changed={}", folder.display());
            reject_names_that_panic(&folder);
            let folder = folder.to_string_lossy();
            format!(
                "refinery::embed_migrations!({folder:?});
                 pub fn embedded() -> Vec<refinery::Migration> {{
                     migrations::runner().get_migrations().clone()
                 }}"
            )
        }
    };
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("embedded.rs");
    if let Err(error) = fs::write(&out, code) {
        stop(&format!("{}: {error}", out.display()));
    }
}

/// refinery's macro takes `|1__x.sql` and `V1.5__x.sql` in, and its code panics on them at run time.
fn reject_names_that_panic(folder: &Path) {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => stop(&format!("PREMAIN_EMBED: {}: {error}", folder.display())),
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let version = name.split("__").next().unwrap_or_default();
        if name.ends_with(".sql") && (version.starts_with('|') || version.contains('.')) {
            stop(&format!("{}: name it like V1__create_users.sql", entry.path().display()));
        }
    }
}

fn stop(why: &str) -> ! {
    println!("cargo::error={why}");
    std::process::exit(1)
}

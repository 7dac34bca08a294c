//! No file of `src` imports one that imports it, however indirectly.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

type Module = Vec<String>;

/// Every module of `src` that has a file of its own, with its code: no comments, no strings, no tests.
fn modules() -> BTreeMap<Module, String> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut modules = BTreeMap::new();
    let mut directories = vec![(src, Module::new())];
    while let Some((directory, module)) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let mut child = module.clone();
            if path.is_dir() {
                child.push(stem);
                directories.push((path, child));
            } else if !["tests", "main"].contains(&stem.as_str()) {
                if !["lib", "mod"].contains(&stem.as_str()) {
                    child.push(stem);
                }
                modules.insert(child, code(&fs::read_to_string(&path).unwrap()));
            }
        }
    }
    modules
}

fn code(text: &str) -> String {
    let text = text.split("\n#[cfg(test)]\nmod tests").next().unwrap();
    let lines = text.lines().map(|line| line.split("//").next().unwrap());
    let text = lines.collect::<Vec<_>>().join("\n");
    // Every other part is a string; escaped quotes do not matter, because paths are searched only.
    let text = text.split('"').step_by(2).collect::<Vec<_>>().join("\"");
    // `pub(in crate::migrate)` and `pub(super)` import nothing.
    let parts = text.split("pub(").enumerate().map(|(at, part)| match at {
        0 => part,
        _ => part.split_once(')').map_or("", |(_, rest)| rest),
    });
    parts.collect::<Vec<_>>().join("pub ")
}

/// The paths in `text` that begin with `crate::`, `super::` or `self::`, or with a child module, as absolute paths.
fn paths(module: &Module, is_mod_file: bool, text: &str, children: &BTreeSet<&str>) -> Vec<Module> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_alphabetic() || c == '_') {
        rest = &rest[start..];
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        rest = behind;
        let mut parts: Vec<&str> = word.split("::").collect();
        let relative_to_file = if is_mod_file { module.clone() } else { parent(module) };
        let mut base = match parts[0] {
            "crate" => Module::new(),
            "self" if parts.len() > 1 => module.clone(),
            "super" => parent(module),
            first if children.contains(first) && word.contains("::") => {
                parts.insert(0, "");
                relative_to_file
            }
            _ => continue,
        };
        parts.remove(0);
        while parts.first() == Some(&"super") {
            base = parent(&base);
            parts.remove(0);
        }
        if parts.last() == Some(&"") && rest.starts_with('{') {
            parts.pop();
            let (group, behind) = group(rest);
            rest = behind;
            base.extend(parts.iter().map(|part| (*part).to_owned()));
            found.extend(leaves(group).into_iter().map(|leaf| [base.clone(), leaf].concat()));
        } else {
            base.extend(parts.iter().map(|part| (*part).to_owned()));
            found.push(base);
        }
    }
    found
}

fn parent(module: &Module) -> Module {
    module[..module.len().saturating_sub(1)].to_vec()
}

/// What is between the braces that `text` begins with, and what follows them.
fn group(text: &str) -> (&str, &str) {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return (&text[1..at], &text[at + 1..]),
            '}' => depth -= 1,
            _ => {}
        }
    }
    (text, "")
}

/// The paths in a group: `a, b::{c, d}` is `a`, `b::c`, `b::d`.
fn leaves(group: &str) -> Vec<Module> {
    let (mut found, mut depth, mut start) = (Vec::new(), 0, 0);
    let mut parts = Vec::new();
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&group[start..]);
    for part in parts.into_iter().map(str::trim).filter(|part| !part.is_empty()) {
        let path = |text: &str| -> Module {
            text.split("::")
                .filter(|part| !part.is_empty() && *part != "self")
                .map(str::to_owned)
                .collect()
        };
        match part.split_once('{') {
            Some((before, after)) => {
                let inner = leaves(after.trim_end().trim_end_matches('}'));
                found.extend(inner.into_iter().map(|leaf| [path(before), leaf].concat()));
            }
            None => found.push(path(part.split_whitespace().next().unwrap())),
        }
    }
    found
}

/// Which modules each module imports from.
fn imports() -> BTreeMap<Module, BTreeSet<Module>> {
    let modules = modules();
    let known: BTreeSet<&Module> = modules.keys().collect();
    let resolve = |mut path: Module| -> Option<Module> {
        while !path.is_empty() && !known.contains(&path) {
            path.pop();
        }
        // `lib.rs` itself is a list of modules.
        Some(path).filter(|path| !path.is_empty())
    };
    let mut imports = BTreeMap::new();
    for (module, text) in &modules {
        let children: BTreeSet<&str> = known
            .iter()
            .filter(|child| child.len() == module.len() + 1 && child.starts_with(module))
            .map(|child| child.last().unwrap().as_str())
            .collect();
        let found = paths(module, !children.is_empty(), text, &children);
        let found: BTreeSet<Module> =
            found.into_iter().filter_map(resolve).filter(|other| other != module).collect();
        imports.insert(module.clone(), found);
    }
    imports
}

#[test]
fn imports_make_no_circles() {
    let imports = imports();
    assert!(imports.len() > 100, "{} modules are too few to be all", imports.len());
    let mut circles = Vec::new();
    for (module, imported) in &imports {
        let back: Vec<_> = imported
            .iter()
            .filter(|other| reachable(&imports, other).contains(module))
            .map(|other| other.join("::"))
            .collect();
        if !back.is_empty() {
            circles.push(format!("{} imports {}", module.join("::"), back.join(", ")));
        }
    }
    assert!(circles.is_empty(), "circles:\n{}", circles.join("\n"));
}

/// Everything that `module` imports, however indirectly, and itself.
fn reachable<'a>(
    imports: &'a BTreeMap<Module, BTreeSet<Module>>,
    module: &'a Module,
) -> BTreeSet<&'a Module> {
    let (mut reached, mut next) = (BTreeSet::from([module]), vec![module]);
    while let Some(module) = next.pop() {
        next.extend(imports[module].iter().filter(|other| reached.insert(other)));
    }
    reached
}

#[test]
fn the_lower_parts_import_nothing_from_above() {
    let imports = imports();
    let allowed = |module: &str, parts: &[&str]| {
        for (importer, imported) in &imports {
            if importer.first().map(String::as_str) != Some(module) {
                continue;
            }
            for other in imported {
                let part = other.first().map(String::as_str).unwrap_or_default();
                assert!(
                    part == module || parts.contains(&part),
                    "{} imports {}",
                    importer.join("::"),
                    other.join("::")
                );
            }
        }
    };
    allowed("signal", &["value"]);
    allowed("sys", &["signal", "exit"]);
    allowed("init", &["exit", "log", "phase", "signal", "sys", "text", "value"]);
}

//! The tools in JavaScript whose history tables premain writes too, from npm.

use std::path::Path;
use std::process::Command;

use super::postgres::Database;

/// How they get there.
const INSTALL: &str = "npm install --prefix target/tools/node drizzle-orm@0.45.4 \
     drizzle-orm-1@npm:drizzle-orm@1.0.0-rc.5 pg@8.23.1 (tests/run does it)";

/// Runs `script`, a module, beside the installed packages. `Err` is what it printed.
pub fn node(script: &str, environment: &[(&str, &str)]) -> Result<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/node");
    assert!(folder.join("node_modules/pg").is_dir(), "packages are missing: {INSTALL}");
    let output = Command::new(super::program("node", "nodejs"))
        .args(["--input-type=module", "-e", script])
        .current_dir(folder)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { Ok(text) } else { Err(text) }
}

/// Drizzle's own migrator, of `drizzle-orm` (0.45) or `drizzle-orm-1` (1.0), on this folder, with its history table in
/// this schema and of this name, where they are named.
pub fn drizzle(
    package: &str,
    database: &Database<'_>,
    folder: &Path,
    ledger: Option<(&str, &str)>,
) -> Result<String, String> {
    let script = format!(
        "import {{ drizzle }} from '{package}/node-postgres';
         import {{ migrate }} from '{package}/node-postgres/migrator';
         import pg from 'pg';
         const client = new pg.Client({{ connectionString: process.env.URL }});
         await client.connect();
         const client_or_options = '{package}' === 'drizzle-orm' ? drizzle(client) : drizzle({{ client }});
         try {{
           await migrate(client_or_options, {{
             migrationsFolder: process.env.FOLDER,
             migrationsSchema: process.env.SCHEMA,
             migrationsTable: process.env.TABLE,
           }});
         }} finally {{ await client.end(); }}"
    );
    let url = database.url();
    let mut environment = vec![("URL", url.as_str()), ("FOLDER", folder.to_str().unwrap())];
    if let Some((schema, table)) = ledger {
        environment.extend([("SCHEMA", schema), ("TABLE", table)]);
    }
    node(&script, &environment)
}

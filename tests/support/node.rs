//! The tools in JavaScript whose history tables premain writes too, from npm.

use std::path::Path;
use std::process::Command;

use super::postgres::Database;

/// The hint for a missing package.
const INSTALL: &str = "see install_node_packages in tests/run, which does it";

/// Runs `script`, a module, beside the installed packages. `Err` is what it printed.
pub fn node(script: &str, environment: &[(&str, &str)]) -> Result<String, String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/node");
    assert!(directory.join("node_modules/pg").is_dir(), "packages are missing: {INSTALL}");
    let mut command = Command::new(super::program("node", "nodejs"));
    command.args(["--input-type=module", "-e", script]).current_dir(directory);
    let output = super::output(command.envs(environment.iter().copied()));
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { Ok(text) } else { Err(text) }
}

/// Drizzle's own migrator, of `drizzle-orm` (0.45) or `drizzle-orm-1` (1.0), on this directory, with its history table in
/// this schema and of this name, where they are named.
pub fn drizzle(
    package: &str,
    database: &Database<'_>,
    directory: &Path,
    history_table: Option<(&str, &str)>,
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
    let mut environment = vec![("URL", url.as_str()), ("FOLDER", directory.to_str().unwrap())];
    if let Some((schema, table)) = history_table {
        environment.extend([("SCHEMA", schema), ("TABLE", table)]);
    }
    node(&script, &environment)
}

/// `drizzle-kit migrate`, the command line that most who use Drizzle know, on this directory.
pub fn drizzle_kit(database: &Database<'_>, directory: &Path) -> Result<String, String> {
    let place = tempfile::tempdir().unwrap();
    let config = place.path().join("drizzle.config.json");
    let settings = serde_json::json!({
        "dialect": "postgresql",
        "out": directory,
        "dbCredentials": { "url": database.url() },
    });
    std::fs::write(&config, settings.to_string()).unwrap();
    // It is run as `npx drizzle-kit` runs it, and looks for its driver in the working directory.
    let script = "
        process.argv = [process.argv0, 'drizzle-kit', 'migrate', `--config=${process.env.CONFIG}`];
        await import('./node_modules/drizzle-kit/bin.cjs');
    ";
    node(script, &[("CONFIG", config.to_str().unwrap())])
}

/// Prisma's own engine, as WebAssembly: `apply` on this directory as `prisma migrate deploy` does, `status` as
/// `prisma migrate status` does, or `applied` and `rolledback` on one name as `prisma migrate resolve` does.
pub fn prisma(
    command: &str,
    database: &Database<'_>,
    directory: &Path,
    name: &str,
) -> Result<String, String> {
    let url = database.url();
    let script = "
        import fs from 'node:fs';
        import path from 'node:path';
        import * as bg from '@prisma/schema-engine-wasm/schema_engine_bg';
        import { PrismaPg } from '@prisma/adapter-pg';
        import { bindMigrationAwareSqlAdapterFactory } from '@prisma/driver-adapter-utils';
        const { COMMAND, URL, FOLDER, NAME } = process.env;
        const bytes = fs.readFileSync('node_modules/@prisma/schema-engine-wasm/schema_engine_bg.wasm');
        const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), { './schema_engine_bg.js': bg });
        bg.__wbg_set_wasm(instance.exports);
        instance.exports.__wbindgen_start();
        // The adapter splits a script at every semicolon; Prisma's native engine sends it whole.
        class Whole extends PrismaPg {
          async connect() {
            const adapter = await super.connect();
            adapter.executeScript = async (script) => { await adapter.client.query(script); };
            return adapter;
          }
        }
        const factory = bindMigrationAwareSqlAdapterFactory(new Whole({ connectionString: URL }));
        const schema = 'datasource db {\\n provider = \"postgresql\"\\n}\\n';
        const engine = await bg.SchemaEngine.new({ datamodels: [['schema.prisma', schema]] }, () => {}, factory);
        const migrationDirectories = fs.readdirSync(FOLDER, { withFileTypes: true })
          .filter((entry) => entry.isDirectory())
          .map(({ name }) => {
            const value = fs.readFileSync(path.join(FOLDER, name, 'migration.sql'), 'utf8');
            return { path: name, migrationFile: { path: 'migration.sql', content: { tag: 'ok', value } } };
          })
          .sort((a, b) => a.path.localeCompare(b.path));
        const lockfile = { path: 'migration_lock.toml', content: 'provider = \"postgresql\"' };
        const migrationsList = { baseDir: FOLDER, lockfile, migrationDirectories, shadowDbInitScript: '' };
        const filters = { externalTables: [], externalEnums: [] };
        const commands = {
          apply: () => engine.applyMigrations({ migrationsList, filters }),
          status: () => engine.diagnoseMigrationHistory({ migrationsList, optInToShadowDatabase: false, filters }),
          applied: () => engine.markMigrationApplied({ migrationsList, migrationName: NAME }),
          rolledback: () => engine.markMigrationRolledBack({ migrationName: NAME }),
        };
        try { console.log(JSON.stringify(await commands[COMMAND]())); }
        catch (error) { console.error(error.message); process.exitCode = 1; }
        process.exit();
    ";
    let environment = [
        ("COMMAND", command),
        ("URL", &url),
        ("FOLDER", directory.to_str().unwrap()),
        ("NAME", name),
    ];
    node(&script.replace("\\\\n", "\\n"), &environment)
}

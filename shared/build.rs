//! The migrations are compiled in; cargo does not see by itself that they changed. Their hash names the
//! database that tests copy.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

const DIRECTORY: &str = "migrations";

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed={DIRECTORY}");
    let mut migrations = BTreeMap::new();
    for migration in std::fs::read_dir(DIRECTORY)? {
        let up = migration?.path().join("up.sql");
        if up.exists() {
            migrations.insert(up.clone(), std::fs::read_to_string(up)?);
        }
    }
    let mut hasher = DefaultHasher::new();
    migrations.hash(&mut hasher);
    println!("cargo::rustc-env=CAPI_MIGRATIONS_HASH={:016x}", hasher.finish());
    Ok(())
}

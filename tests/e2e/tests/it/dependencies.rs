//! The door test: which crate may use what, over the direct, non-dev edges.

use cargo_metadata::{DependencyKind, MetadataCommand};

#[test]
fn each_crate_keeps_to_its_side_of_the_door() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec().unwrap();
    let services = ["gateway", "run-worker", "webhook-dispatcher"];
    let allowed = |dependency: &str| -> &[&str] {
        match dependency {
            "actix-web" => &["gateway"],
            "reqwest" => &["run-worker", "webhook-dispatcher"],
            "lapin" => &["shared"],
            "gateway" | "run-worker" | "webhook-dispatcher" => &[],
            _ => &["gateway", "run-worker", "webhook-dispatcher", "shared"],
        }
    };
    let mut seen = 0;
    for package in metadata
        .packages
        .iter()
        .filter(|package| services.contains(&package.name.as_str()) || package.name.as_str() == "shared")
    {
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

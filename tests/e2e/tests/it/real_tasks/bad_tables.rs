//! Tables that are too large, or hold more than values: the result says so and holds a part of them.

use super::services::Services;
use super::{program, read};
use crate::kit::Kit;

/// More columns than a model can read.
const COLUMNS: usize = 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_too_large_is_shown_by_its_head() {
    let (services, kit) = (Services::start().await, Kit::new());
    let million = kit.make(program!("make/million"), "million.xlsx").await;
    let row = |prefix: &str| (0..COLUMNS).map(|at| format!("{prefix}{at}")).collect::<Vec<_>>().join(",");
    let wide = format!("{}\n{}\n", row("name"), row("value"));
    let files: [(&str, &[u8]); 2] = [("million.xlsx", &million), ("wide.csv", wide.as_bytes())];
    let ended = services.run(&files, &[read("inputs/million.xlsx"), read("inputs/wide.csv")]).await;
    // A reader that runs out of time for the count says so.
    ended.told[0].has_one_of(&["1000000", "more than"]);
    ended.told[1].has(&["10000", "name0", "name1"]);
    for told in &ended.told {
        assert!(told.0.len() < 64 << 10, "{} bytes", told.0.len());
        told.lacks(&["Traceback"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn macros_and_links_of_a_workbook_are_named_and_not_followed() {
    let (services, kit) = (Services::start().await, Kit::new());
    kit.run(program!("make/active_tables")).await;
    let (macros, links) = (kit.file("macros.xlsm"), kit.file("links.xlsx"));
    let files: [(&str, &[u8]); 2] = [("macros.xlsm", &macros), ("links.xlsx", &links)];
    let ended = services.run(&files, &[read("inputs/macros.xlsm"), read("inputs/links.xlsx")]).await;
    for (told, what) in ended.told.iter().zip(["macro", "link"]) {
        told.has(&[what, "Item", "Pen"]);
    }
    assert_eq!(ended.run["contactedHosts"], serde_json::json!([]), "{}", ended.run);
}

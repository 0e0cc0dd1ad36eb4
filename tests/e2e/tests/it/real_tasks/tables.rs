//! Tables and a database become other tables.

use serde_json::json;

use super::services::Services;
use super::{program, python, read, save, shell};
use crate::kit::Kit;

const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/// A table as old programs in Western Europe write it: with its own encoding, numbers and dates. The last row
/// repeats the first one.
const CUSTOMERS: [&str; 5] = [
    "Kunde;Stadt;Datum;Umsatz",
    " Müller & Söhne ;Köln;05.03.2024;1.234,50 €",
    "Señor Nuñez;Málaga;06.03.2024;99,00 €",
    "Crème brûlée – Café;Orléans;07.03.2024;2.000,00 €",
    "Müller & Söhne;Köln;05.03.2024;1.234,50 €",
];

const CLEAN: &str = "\
Kunde,Stadt,Datum,Umsatz
Crème brûlée – Café,Orléans,2024-03-07,2000.0
Müller & Söhne,Köln,2024-03-05,1234.5
Señor Nuñez,Málaga,2024-03-06,99.0
";

/// The bytes of a text in windows-1252.
fn cp1252(text: &str) -> Vec<u8> {
    let byte = |letter: char| match letter {
        '€' => 0x80,
        '–' => 0x96,
        other => u8::try_from(u32::from(other)).unwrap(),
    };
    text.chars().map(byte).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_csv_of_another_encoding_becomes_a_clean_one() {
    let services = Services::start().await;
    let given = cp1252(&format!("{}\r\n", CUSTOMERS.join("\r\n")));
    let calls =
        [read("inputs/kunden.csv"), python(program!("call/clean")), read("clean.csv"), save("clean.csv")];
    let ended = services.run(&[("kunden.csv", &given)], &calls).await;
    ended.told[0].has(&["windows-1252", "Müller & Söhne", "Señor Nuñez", "€"]);
    ended.told[0].lacks(&["\u{fffd}"]);
    ended.told[1].has(&["exit code 0", "3 rows"]);
    ended.told[2].has(&["Crème brûlée – Café,Orléans"]);
    let (kind, bytes) = services.artifact(&ended.run, "clean.csv").await;
    assert!(kind.starts_with("text/csv"), "{kind}");
    assert_eq!(String::from_utf8(bytes).unwrap(), CLEAN);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workbook_becomes_one_with_totals() {
    let (services, kit) = (Services::start().await, Kit::new());
    let orders = kit.make(program!("make/orders"), "orders.xlsx").await;
    let calls = [read("inputs/orders.xlsx"), python(program!("call/totals")), save("totals.xlsx")];
    let ended = services.run(&[("orders.xlsx", &orders)], &calls).await;
    ended.told[0].has(&["Orders", "Region", "Amount", "North", "120.5", "Notes"]);
    ended.told[1].has(&["exit code 0", "North", "150.75"]);
    let (kind, bytes) = services.artifact(&ended.run, "totals.xlsx").await;
    assert_eq!((kind.as_str(), &ended.run["files"][0]["type"]), (XLSX, &XLSX.into()));
    let rows =
        json!([["Region", "Total"], ["North", 150.75], ["South", 100], ["West", 45], ["All", 295.75],]);
    let opened = kit.open(program!("open/totals"), &[("totals.xlsx", &bytes)]).await;
    assert_eq!(opened, json!({"sheets": ["Totals"], "rows": rows, "bold": true}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_asked_and_its_copy_is_changed() {
    let (services, kit) = (Services::start().await, Kit::new());
    let shop = kit.make(program!("make/shop"), "shop.db").await;
    let calls = [
        read("inputs/shop.db"),
        shell("cp inputs/shop.db . && ls -l"),
        python(program!("call/shop")),
        save("best.csv"),
        save("shop.db"),
    ];
    let ended = services.run(&[("shop.db", &shop)], &calls).await;
    ended.told[0].has_one_of(&["program", "python"]);
    ended.told[2].has(&["exit code 0", "('花子', 100, 3000.0)"]);
    let (_, best) = services.artifact(&ended.run, "best.csv").await;
    let expected = "name,orders,amount\n花子,100,3000.0\nSøren,100,2000.0\nAda,100,1000.0\n";
    assert_eq!(String::from_utf8(best).unwrap(), expected);
    let (_, shop) = services.artifact(&ended.run, "shop.db").await;
    let best = json!([["花子", 100, 3000.0], ["Søren", 100, 2000.0], ["Ada", 100, 1000.0]]);
    let opened = kit.open(program!("open/shop"), &[("shop.db", &shop)]).await;
    assert_eq!(opened, json!({"best": best, "check": "ok"}), "the given file cannot be changed, a copy can");
}

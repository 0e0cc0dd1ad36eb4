//! The provider that searches files of the operator.

use run_worker::search::{Freshness, Region, Search, SearchQuery};
use shared::config::SearchFile;
use shared::net::ip_policy::IpPolicy;
use shared::testing::TestDatabase;

#[tokio::test(flavor = "multi_thread")]
async fn files_are_searched_and_their_addresses_must_be_allowed() {
    let (database, dir) = (TestDatabase::create().await, tempfile::tempdir().unwrap());
    let pages = dir.path().join("pages");
    std::fs::create_dir(&pages).unwrap();
    std::fs::write(pages.join("solar.md"), "# Solar power\n\nPanels turn light into power.").unwrap();
    std::fs::write(pages.join("wind.html"), "<title>Wind</title><p>Mills turn wind into power.").unwrap();
    let file = dir.path().join("search.toml");
    let pages = pages.display();
    let text = format!(
        "[[providers]]\nprovider = 'local'\npath = '{pages}'\nbase_url = 'http://127.0.0.1:8123/p/'\n"
    );
    std::fs::write(&file, text).unwrap();
    let open = |policy: &IpPolicy| {
        let file = SearchFile::read(Some(&file)).unwrap();
        Search::open(file, policy, &database.db).unwrap().unwrap()
    };
    let loopback = IpPolicy::new(vec!["127.0.0.0/8".parse().unwrap()]);
    let search = open(&loopback);
    let engine = search.engine(None).unwrap();
    assert_eq!((engine.name(), engine.host()), ("local", None));
    let found = engine.search(&SearchQuery::plain("light power", 5)).await.unwrap();
    let urls: Vec<_> = found.hits.iter().map(|hit| hit.url.as_str()).collect();
    assert_eq!(urls, ["http://127.0.0.1:8123/p/solar.md", "http://127.0.0.1:8123/p/wind.html"]);
    assert!(found.hits[0].snippet.contains("Panels turn light"), "{found:?}");
    let filtered = SearchQuery {
        freshness: Some(Freshness::Day),
        region: Region::parse("de-DE"),
        ..SearchQuery::plain("mills", 5)
    };
    let fresh = engine.search(&filtered).await.unwrap();
    assert_eq!((fresh.hits.len(), fresh.ignored.as_slice()), (1, &["region"][..]));

    let closed = open(&IpPolicy::only_public());
    let found = closed.engine(None).unwrap().search(&SearchQuery::plain("power", 5)).await.unwrap();
    assert_eq!((found.hits.len(), found.private), (0, 2), "fetch_url may not read them");
}

use std::collections::BTreeSet;
use std::sync::Arc;

use public_client::Hops;
use serde_json::{Value, json};
use shared::apps::{FetchRules, FetchUrls};
use url::Url;

use super::{CallEgress, Egress, MAX_HOSTS, Origin};

fn egress(hosts: &[&str], urls: FetchUrls, inputs: &Value) -> Arc<Egress> {
    let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    Arc::new(Egress::new(&FetchRules { hosts, urls }, inputs, &BTreeSet::new()))
}

fn check(egress: &Arc<Egress>, url: &str, redirects: usize) -> Result<(), String> {
    CallEgress::new(Arc::clone(egress)).decide(&Url::parse(url).unwrap(), redirects).map(drop)
}

#[test]
fn without_rules_every_host_is_allowed() {
    let egress = egress(&[], FetchUrls::Any, &json!({}));
    assert_eq!(check(&egress, "https://anywhere.example/?q=1", 0), Ok(()));
}

#[tokio::test]
async fn listed_hosts_bind_every_hop_and_both_rules_count() {
    for urls in FetchUrls::ALL {
        let egress =
            egress(&["example.org", "*.example.net"], urls, &json!({"text": "https://example.org/a"}));
        egress.read(std::iter::empty()).await;
        assert_eq!(check(&egress, "https://example.org/a", 0), Ok(()), "{urls:?}");
        assert_eq!(check(&egress, "https://a.example.net/", 1), Ok(()), "{urls:?}");
        for redirects in [0, 1] {
            let why = check(&egress, "https://evil.example/", redirects).unwrap_err();
            assert!(why.contains("evil.example. It may contact: example.org, *.example.net."), "{why}");
        }
    }
    let nothing = egress(&[], FetchUrls::Listed, &json!({}));
    assert!(check(&nothing, "https://example.org/", 0).unwrap_err().contains("no host"));
}

#[tokio::test]
async fn only_known_urls_are_fetched_and_redirects_are_followed() {
    let egress = egress(&[], FetchUrls::Known, &json!({"deep": [{"text": "see example.org/a"}]}));
    egress.read(std::iter::empty()).await;
    assert_eq!(check(&egress, "https://example.org/a", 0), Ok(()));
    let composed = "https://example.org/a?q=secret";
    assert!(check(&egress, composed, 0).unwrap_err().contains("instructions, its inputs, or a page"));
    assert_eq!(check(&egress, composed, 1), Ok(()), "a server chose it");
    egress.read([("no URL", Origin::Given)].into_iter()).await;
    let sources = [("skipped https://b.example/", Origin::Page), ("https://c.example/", Origin::Page)];
    egress.read(sources.into_iter()).await;
    assert_eq!(check(&egress, "https://c.example/", 0), Ok(()));
    assert!(check(&egress, "https://b.example/", 0).is_err(), "the first source was read before");
}

#[test]
fn a_run_contacts_a_bounded_number_of_hosts() {
    let before = (1..MAX_HOSTS).map(|number| format!("{number}.example")).collect();
    let egress = Arc::new(Egress::new(&FetchRules::default(), &json!({}), &before));
    assert_eq!(check(&egress, "https://new.example/", 0), Ok(()));
    assert!(check(&egress, "https://newer.example/", 0).unwrap_err().contains("100 hosts"));
    for known in ["https://new.example./", "https://1.example/"] {
        assert_eq!(check(&egress, known, 0), Ok(()));
    }
}

#[tokio::test]
async fn a_call_lists_the_hosts_that_it_contacted() {
    let call = CallEgress::new(egress(&["a.example", "b.example"], FetchUrls::Any, &json!({})));
    let url = |host: &str| Url::parse(&format!("https://{host}/")).unwrap();
    call.check(&url("b.example"), 0).await.unwrap();
    assert_eq!(call.contacted_hosts(), ["b.example"]);
    call.check(&url("a.example"), 1).await.unwrap();
    assert_eq!(call.contacted_hosts(), ["a.example", "b.example"]);
    assert!(call.check(&url("c.example"), 2).await.is_err());
    assert_eq!(call.contacted_hosts(), ["a.example", "b.example"]);
}

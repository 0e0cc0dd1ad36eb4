//! The bodies of all attempts are equal but for links.

use std::time::Duration;

use shared::testing::WebhookReceiver;

use crate::fixture::{Fixture, received};

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_all_attempts_are_equal_but_for_links() {
    let fixture = Fixture::create().await;
    let receiver = WebhookReceiver::start([500, 500]).await;
    let (run, _) = fixture.deliver_to(&receiver.url()).await;
    let artifact = format!(
        "INSERT INTO artifacts (id, run_id, type, title, size, sha256)
         VALUES (gen_random_uuid(), '{run}', 'text/plain', 'a.txt', 1, decode(repeat('00', 32), 'hex'))"
    );
    fixture.database.run_sql(artifact).await;
    let _dispatcher = fixture.start().await;
    for (number, ahead) in [(1, 0), (2, 3600), (3, 7200)] {
        fixture.let_pass(Duration::from_secs(ahead)).await;
        received(&receiver, number).await;
    }
    fixture.attempts_when(run, "delivered").await;
    let requests = receiver.received();
    let bodies: Vec<_> = requests.iter().map(|request| without_links(&request.body)).collect();
    assert_eq!(bodies[0].0, bodies[1].0);
    assert_eq!(bodies[0].0, bodies[2].0);
    let ended = "SELECT to_char(completed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') AS text
                 FROM runs";
    assert_eq!(requests[2].json()["timestamp"], fixture.text(ended).await, "the time of the event");
    let ids: Vec<_> = requests.iter().map(|request| &request.headers["webhook-id"]).collect();
    assert_eq!((ids[0], ids[1]), (ids[1], ids[2]));
    let times: Vec<_> = requests.iter().map(|request| &request.headers["webhook-timestamp"]).collect();
    assert!(times[0] < times[1] && times[1] < times[2], "the time of the attempt: {times:?}");
    assert_ne!(bodies[0].1, bodies[2].1, "links are signed again");
}

/// The body with each signed link and its end of validity cut out, and what was cut out.
fn without_links(body: &[u8]) -> (String, Vec<String>) {
    const NAME: &str = "\"downloadUrl";
    const VALUE: &str = "\":\"";
    let (mut rest, mut kept, mut links) = (std::str::from_utf8(body).unwrap(), String::new(), Vec::new());
    while let Some(at) = rest.find(NAME) {
        let value = at + rest[at..].find(VALUE).unwrap() + VALUE.len();
        let (before, link) = rest.split_at(value);
        kept.push_str(before);
        let end = link.find('"').unwrap();
        links.push(link[..end].to_owned());
        rest = &link[end..];
    }
    kept.push_str(rest);
    assert_eq!(links.len(), 2, "the run has an artifact: {kept}");
    (kept, links)
}

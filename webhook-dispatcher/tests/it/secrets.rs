//! A rotation of the signing secret is effective with the next claim, and an expired secret never signs.

use std::time::Duration;

use shared::testing::WebhookReceiver;

use crate::fixture::{Fixture, received};

#[tokio::test(flavor = "multi_thread")]
async fn a_running_dispatcher_signs_with_the_secrets_of_the_moment() {
    let fixture = Fixture::create().await;
    let receiver = WebhookReceiver::start([]).await;
    let _dispatcher = fixture.start().await;
    let signatures = async |number: usize| {
        let (run, _) = fixture.deliver_to(&receiver.url()).await;
        fixture.attempts_when(run, "delivered").await;
        let request = received(&receiver, number).await.remove(number - 1);
        let all = request.headers["webhook-signature"].split(' ').map(str::to_owned).collect::<Vec<_>>();
        let (id, time) = (request.headers["webhook-id"].clone(), &request.headers["webhook-timestamp"]);
        let time = time.parse().unwrap();
        (all, move |secret: &str| {
            standardwebhooks::Webhook::new(secret).unwrap().sign(&id, time, &request.body).unwrap()
        })
    };
    assert_eq!(signatures(1).await.0.len(), 1);
    let second = fixture.rotate_secret(&[0; 32]).await;
    let (both, sign) = signatures(2).await;
    assert_eq!((both.len(), &both[0]), (2, &sign(&second)));
    let third = fixture.rotate_secret(&[0; 32]).await;
    let (both, sign) = signatures(3).await;
    assert_eq!(both, [sign(&third), sign(&second)], "the first one expired with the second rotation");
    fixture.let_pass(Duration::from_hours(25)).await;
    let (one, sign) = signatures(4).await;
    assert_eq!(one, [sign(&third)]);
}

//! An account whose runs end with webhooks, and dispatchers that deliver them.

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use diesel::QueryableByName;
use diesel::sql_types::{Integer, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use secrecy::{ExposeSecret, SecretString};
use shared::db::statement;
use shared::deliveries::DeliveryStatus;
use shared::encryption::EncryptionKey;
use shared::ids::{LaneId, RunId, UserId};
use shared::net::ip_policy::IpPolicy;
use shared::net::public_url::PublicUrl;
use shared::queue::{Nudge, WorkQueue};
use shared::runs::{Cancelled, cancel};
use shared::testing::{ReceivedWebhook, TestDatabase, TestQueues, WebhookReceiver, eventually, started};
use shared::webhook_secrets;
use webhook_dispatcher::Running;
use webhook_dispatcher::attempt::{AttemptResult, Next};
use webhook_dispatcher::claims::{Claimed, Claims, claim};
use webhook_dispatcher::config::Config;
use webhook_dispatcher::record::Record;
use webhook_dispatcher::shares::Offer;

/// The base64 of 32 zero bytes.
const SECRET_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

pub(crate) struct Fixture {
    pub(crate) database: TestDatabase,
    queues: TestQueues,
    pub(crate) user: UserId,
}

/// Stops the dispatcher when dropped, so that it does not declare the queues again after the test deletes
/// them.
pub(crate) struct Dispatcher(Running);

#[derive(Debug, QueryableByName)]
pub(crate) struct Attempt {
    #[diesel(sql_type = Integer)]
    pub(crate) number: i32,
    #[diesel(sql_type = Integer)]
    pub(crate) duration_ms: i32,
    #[diesel(sql_type = Nullable<Integer>)]
    pub(crate) status_code: Option<i32>,
    #[diesel(sql_type = Text)]
    pub(crate) error: String,
    #[diesel(sql_type = Text)]
    pub(crate) response_body: String,
}

const ACCOUNT: &str = "
WITH u AS (INSERT INTO users (id, email, password_hash, plan) VALUES ($1, 'ada@example.com', '', 'pro')
           RETURNING id),
     s AS (INSERT INTO user_slots SELECT id FROM u RETURNING user_id),
     a AS (INSERT INTO apps (id, user_id, name) SELECT $1, user_id, 'a' FROM s RETURNING id)
INSERT INTO app_versions (id, app_id, version, definition)
SELECT $1, id, 1, '{\"name\": \"a\", \"prompt\": \"p\"}' FROM a";

const RUN: &str = "
WITH r AS (INSERT INTO runs (id, user_id, app_id, app_version_id, source, status, title, inputs, \
chat_model_id,
                             metadata, created_at, last_seq, webhook_url, webhook_host)
           VALUES ($1, $2, $2, $2, 'api', 'pending', 't', '{}', 'm', '{}', capi_now(), 1, $3, $4)
           RETURNING id, created_at)
INSERT INTO run_events (run_id, seq, type, at, attempt, data)
SELECT id, 1, 'run.created', created_at, 0, '{\"source\": \"api\"}' FROM r";

/// A success.
pub(crate) fn delivered(claimed: &Claimed) -> Arc<Record> {
    let next = Next { status: DeliveryStatus::Delivered, wait: Duration::ZERO, lane: None };
    Arc::new(Record::new(claimed, AttemptResult { status_code: Some(204), ..AttemptResult::default() }, next))
}

/// Waits for this number of requests.
pub(crate) async fn received(receiver: &WebhookReceiver, count: usize) -> Vec<ReceivedWebhook> {
    eventually("requests", async || Some(receiver.received()).filter(|all| all.len() == count)).await
}

impl Fixture {
    pub(crate) async fn create() -> Self {
        let (database, user) = (TestDatabase::create().await, UserId::generate());
        let made =
            statement(ACCOUNT).bind::<SqlUuid, _>(user.uuid()).execute(&mut database.conn().await).await;
        made.unwrap();
        let fixture = Self { database, queues: TestQueues::create(), user };
        fixture.rotate_secret(&[0; 32]).await;
        fixture
    }

    /// Makes a new signing secret under the given CAPI_SECRET_KEY; the former one stays valid for a day.
    pub(crate) async fn rotate_secret(&self, key: &[u8; 32]) -> String {
        let mut conn = self.database.conn().await;
        let secret: SecretString =
            webhook_secrets::rotate(&mut conn, &EncryptionKey::new(key), self.user).await.unwrap();
        secret.expose_secret().to_owned()
    }

    pub(crate) async fn start(&self) -> Dispatcher {
        self.start_with(|_| {}).await
    }

    /// A dispatcher that may reach the test's receivers, with other settings changed by `change`.
    pub(crate) async fn start_with(&self, change: impl FnOnce(&mut Config)) -> Dispatcher {
        let mut config = self.config();
        change(&mut config);
        Dispatcher(started(async || webhook_dispatcher::start(&config, None).await).await)
    }

    /// The settings of a dispatcher that may reach the test's receivers.
    pub(crate) fn config(&self) -> Config {
        let mut config = Config::parse_from([
            "webhook-dispatcher",
            "--database-url",
            &self.database.url,
            "--amqp-url",
            &self.queues.url,
            "--queue-prefix",
            &self.queues.prefix,
            "--secret-key",
            SECRET_KEY,
            "--webhook-allowed-networks",
            "127.0.0.0/8",
        ]);
        config.also_public = "127.0.0.0/8".parse().unwrap();
        config
    }

    /// Claims deliveries of these lanes for a dispatcher whose permits are all free.
    pub(crate) async fn claims(&self, dispatcher: &str, lanes: &[LaneId], places: usize) -> Claims {
        let mut conn = self.database.conn().await;
        claim(&mut conn, dispatcher, lanes, &Offer::everything(), places, true).await.unwrap()
    }

    /// Claims one delivery of the lane, if it gives one to a dispatcher with this offer.
    pub(crate) async fn claim_of(&self, lane: LaneId, offer: &Offer) -> Option<Claimed> {
        let mut conn = self.database.conn().await;
        claim(&mut conn, "d", &[lane], offer, 1, true).await.unwrap().claimed.pop()
    }

    /// Claims one delivery of the lane.
    pub(crate) async fn claim(&self, lane: LaneId) -> Option<Claimed> {
        self.claim_of(lane, &Offer::everything()).await
    }

    /// Creates a pending run whose webhooks go to `url`.
    pub(crate) async fn run_to(&self, url: &str) -> RunId {
        let (run, mut conn) = (RunId::generate(), self.database.conn().await);
        let anywhere = IpPolicy::new(vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()]);
        let host = PublicUrl::parse(url, &anywhere).unwrap().lane_host();
        statement(RUN)
            .bind::<SqlUuid, _>(run.uuid())
            .bind::<SqlUuid, _>(self.user.uuid())
            .bind::<Text, _>(url)
            .bind::<Text, _>(host)
            .execute(&mut conn)
            .await
            .unwrap();
        run
    }

    /// A test of `url` that was asked for so long ago.
    pub(crate) async fn ping(&self, url: &str, ago: &str) {
        let sql = "INSERT INTO webhook_deliveries
                       (id, lane_id, user_id, type, url, status, next_attempt_at, due_at, created_at)
                   SELECT gen_random_uuid(), webhook_lane_v1($1, 'ping'), $1, 'ping', $2, 'pending',
                          'infinity', capi_now(), capi_now() - $3::text::interval";
        statement(sql)
            .bind::<SqlUuid, _>(self.user.uuid())
            .bind::<Text, _>(url)
            .bind::<Text, _>(ago)
            .execute(&mut self.database.conn().await)
            .await
            .unwrap();
    }

    /// Ends a run whose webhook goes to `url`.
    pub(crate) async fn deliver_to(&self, url: &str) -> (RunId, LaneId) {
        let run = self.run_to(url).await;
        let mut conn = self.database.conn().await;
        let cancelled = cancel(&mut conn, self.user, None, run).await.unwrap();
        let Cancelled::Done { lane: Some(lane), .. } = cancelled else {
            panic!("no delivery: {cancelled:?}");
        };
        // Lost if no dispatcher runs yet. Its sweeper finds the delivery.
        self.nudge(lane).await;
        (run, lane)
    }

    pub(crate) async fn nudge(&self, lane: LaneId) {
        self.queues.publish(WorkQueue::Deliveries, &Nudge::new(lane.uuid()).encode()).await;
    }

    /// The text that a query returns in its column `text`.
    pub(crate) async fn text(&self, sql: impl Into<String>) -> String {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = Text)]
            text: String,
        }
        let row: Row = statement(sql.into()).get_result(&mut self.database.conn().await).await.unwrap();
        row.text
    }

    pub(crate) async fn status(&self, run: RunId) -> String {
        self.text(format!("SELECT status AS text FROM webhook_deliveries WHERE run_id = '{run}'")).await
    }

    /// Waits until the run's delivery has this status; all its attempts.
    pub(crate) async fn attempts_when(&self, run: RunId, status: &str) -> Vec<Attempt> {
        eventually(status, async || (self.status(run).await == status).then_some(())).await;
        let sql = "SELECT number, duration_ms, status_code, coalesce(error, '') AS error,
                          coalesce(response_body, '') AS response_body
                   FROM webhook_attempts a JOIN webhook_deliveries d ON d.id = a.delivery_id
                   WHERE d.run_id = $1 ORDER BY number";
        statement(sql).bind::<SqlUuid, _>(run.uuid()).load(&mut self.database.conn().await).await.unwrap()
    }

    /// Makes waiting retries due and leases expire.
    pub(crate) async fn let_pass(&self, time: Duration) {
        self.database.set_clock_ahead(time).await;
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        let lifecycle = self.0.lifecycle.clone();
        let stopped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(lifecycle.stop())
        });
        let _ = stopped.join();
    }
}

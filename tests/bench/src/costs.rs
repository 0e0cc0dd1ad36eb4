//! What a run, or a webhook, costs over all parts: the services, PostgreSQL and RabbitMQ.
//!
//! A part that runs on another machine has no figures here.

use std::time::Duration;

use anyhow::Context as _;
use e2e::{Process, Stack};
use shared::testing::eventually;
use tokio::process::Command;
use url::Url;

use crate::line;
use crate::machine::{self, Threads};

const CALLS: &str = "capi_database_calls_total";
const NUDGES: &str = "capi_nudges_published_total";
const SERVICES_CONNECTED: &str = "SELECT count(*)::text AS text FROM pg_stat_activity
    WHERE datname = current_database()
        AND application_name LIKE 'capi-%' AND application_name <> 'capi-test'";
/// PostgreSQL's counters, in this order.
const DATABASE: [&str; 5] = ["commits", "bytes of WAL", "WAL writes", "WAL syncs", "rolled back"];
const DATABASE_SQL: &str = "
SELECT concat_ws(' ', d.xact_commit, pg_current_wal_lsn() - '0/0'::pg_lsn, coalesce(w.j ->> 'wal_write', '0'),
    coalesce(w.j ->> 'wal_sync', '0'), d.xact_rollback) AS text
FROM pg_stat_database d, (SELECT to_jsonb(w) AS j FROM pg_stat_wal w) w WHERE d.datname = current_database()";
/// RabbitMQ's counters, in this order.
const BROKER: [&str; 3] = ["messages published", "delivered by quorum queues", "delivered by classic queues"];
const BROKER_COUNTERS: &str = "O = rabbit_global_counters:overview(), P = {protocol, amqp091},
    [maps:get(messages_received_total, maps:get([P], O)) | [maps:get(messages_delivered_total,
    maps:get([P, {queue_type, T}], O)) || T <- [rabbit_quorum_queue, rabbit_classic_queue]]].";
/// The settings that rabbitmqctl needs. The node has them too.
const BROKER_SETTINGS: [&str; 6] =
    ["PATH", "HOME", "LANG", "ERL_EPMD_PORT", "RABBITMQ_NODENAME", "RABBITMQ_CONF_ENV_FILE"];

/// The processes of one part.
struct Part {
    name: &'static str,
    root: Option<u32>,
    cpu: f64,
    switches: Threads,
}

impl Part {
    fn begin(name: &'static str, root: Option<u32>) -> Self {
        let cpu = root.map_or(0.0, machine::cpu_ms);
        let switches = root.map(Threads::context_switches).unwrap_or_default();
        Self { name, root, cpu, switches }
    }

    /// Returns its processor time in milliseconds and its context switches since the begin. Threads that have
    /// ended since have no switches.
    fn used(&self) -> Option<(f64, f64)> {
        let root = self.root?;
        let switches = Threads::context_switches(root).since(&self.switches);
        Some((machine::cpu_ms(root) - self.cpu, switches))
    }
}

/// Measures from its begin to its end.
pub(crate) struct Meter {
    services: Vec<(Part, f64, f64)>,
    servers: [Part; 2],
    database: [f64; DATABASE.len()],
    broker: Option<[f64; BROKER.len()]>,
}

impl Meter {
    /// Measures PostgreSQL and RabbitMQ from now on.
    pub(crate) async fn begin(stack: &Stack) -> anyhow::Result<Self> {
        let broker = machine::listener(port(&stack.queues.url));
        let counted = broker_counters(broker).await?;
        // An idle connection keeps its counters for 10 s.
        tokio::time::sleep(Duration::from_secs(11)).await;
        let database = database_counters(stack).await?;
        let servers = [
            Part::begin("PostgreSQL", machine::listener(port(&stack.database.url))),
            Part::begin("RabbitMQ", broker),
        ];
        Ok(Self { services: Vec::new(), servers, database, broker: counted })
    }

    /// Measures this service too, from now on.
    pub(crate) async fn add(&mut self, name: &'static str, service: &Process) {
        let (calls, nudges) = (service.counter(CALLS).await, service.counter(NUDGES).await);
        self.services.push((Part::begin(name, service.pid()), calls, nudges));
    }

    /// Prints what each of `count` things cost. Stops the services: PostgreSQL adds the counters of a
    /// connection to its own at once only when the connection ends. `services` are those that were added.
    pub(crate) async fn end(
        self,
        stack: &Stack,
        (count, thing): (usize, &str),
        services: Vec<Process>,
    ) -> anyhow::Result<()> {
        #[expect(clippy::cast_precision_loss, reason = "a count of runs")]
        let each = move |all: f64| all / count as f64;
        let used: Vec<_> = self.services.iter().map(|(part, ..)| part.used()).collect();
        let of_servers: Vec<_> = self.servers.iter().map(Part::used).collect();
        let mut sum = 0.0;
        for (((part, calls, nudges), used), process) in self.services.iter().zip(used).zip(&services) {
            let (cpu, switches) = used.unwrap_or_default();
            sum += each(cpu);
            let calls = each(process.counter(CALLS).await - calls);
            let nudges = each(process.counter(NUDGES).await - nudges);
            line(&format!("per {thing}, {}", part.name), &format!("{:.2} ms CPU", each(cpu)), vec![]);
            let more = format!("{calls:.2} calls, {nudges:.2} nudges, {:.1} switches", each(switches));
            line("  database, broker, scheduler", &more, vec![]);
        }
        line(&format!("per {thing}, the services"), &format!("{sum:.2} ms CPU"), vec![]);
        for (part, used) in self.servers.iter().zip(of_servers) {
            let Some((cpu, switches)) = used else {
                line(&format!("per {thing}, {}", part.name), "elsewhere", vec![]);
                continue;
            };
            sum += each(cpu);
            let figures = format!("{:.2} ms CPU, {:.1} switches", each(cpu), each(switches));
            line(&format!("per {thing}, {}", part.name), &figures, vec![]);
        }
        line(&format!("per {thing}, everything"), &format!("{sum:.2} ms CPU"), vec![]);
        let broker = broker_counters(self.servers[1].root).await?;
        stop(stack, services).await?;
        let database = database_counters(stack).await?;
        let show = |name: &str, before: f64, after: f64| {
            line(&format!("per {thing}: {name}"), &format!("{:.2}", each(after - before)), vec![]);
        };
        for (at, name) in DATABASE.into_iter().enumerate() {
            show(name, self.database[at], database[at]);
        }
        let Some((before, after)) = self.broker.zip(broker) else {
            line(&format!("per {thing}: RabbitMQ's counters"), "elsewhere", vec![]);
            return Ok(());
        };
        for (at, name) in BROKER.into_iter().enumerate() {
            show(name, before[at], after[at]);
        }
        Ok(())
    }
}

/// Waits until PostgreSQL has closed the connections of the services.
async fn stop(stack: &Stack, services: Vec<Process>) -> anyhow::Result<()> {
    for mut service in services {
        anyhow::ensure!(service.terminate().await, "a service did not stop cleanly");
    }
    eventually("the services are disconnected", async || {
        (stack.text(SERVICES_CONNECTED).await == "0").then_some(())
    })
    .await;
    Ok(())
}

/// Exactly these numbers: with one that is missing, the later ones would have wrong names.
fn numbers<'a, const N: usize>(
    printed: &str,
    parts: impl Iterator<Item = &'a str>,
) -> anyhow::Result<[f64; N]> {
    let numbers = parts.map(|part| part.trim().parse::<f64>()).collect::<Result<Vec<_>, _>>();
    let numbers = numbers.ok().and_then(|numbers| <[f64; N]>::try_from(numbers).ok());
    numbers.with_context(|| format!("not {N} counters: {printed}"))
}

async fn database_counters(stack: &Stack) -> anyhow::Result<[f64; DATABASE.len()]> {
    let printed = stack.text(DATABASE_SQL).await;
    numbers(&printed, printed.split(' '))
}

/// `None` if rabbitmqctl does not reach the node.
async fn broker_counters(node: Option<u32>) -> anyhow::Result<Option<[f64; BROKER.len()]>> {
    let environment = node.and_then(|pid| std::fs::read(format!("/proc/{pid}/environ")).ok());
    let environment = String::from_utf8_lossy(&environment.unwrap_or_default()).into_owned();
    let settings = environment.split('\0').filter_map(|setting| setting.split_once('='));
    let ran = Command::new("/usr/lib/rabbitmq/bin/rabbitmqctl")
        .args(["--quiet", "eval", BROKER_COUNTERS])
        .env_clear()
        .envs(settings.filter(|(name, _)| BROKER_SETTINGS.contains(name)))
        .output()
        .await;
    let Some(ran) = ran.ok().filter(|ran| ran.status.success()) else { return Ok(None) };
    let printed = String::from_utf8_lossy(&ran.stdout);
    numbers(&printed, printed.trim().trim_matches(['[', ']']).split(',')).map(Some)
}

/// The port of a server of this machine, or 0.
fn port(url: &str) -> u16 {
    let url = Url::parse(url).ok();
    let local = url.filter(|url| matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]")));
    local.and_then(|url| url.port()).unwrap_or_default()
}

//! Fault drills: every process is killed, suspended or restarted repeatedly under load, on a private database
//! and broker. Afterwards each accepted run must have ended exactly once, with the expected status. Each
//! drill prints a line of the table. If a drill misses its bar, the program exits with an error.
#![expect(clippy::print_stdout, reason = "the table is the output")]
#![expect(clippy::expect_used, reason = "a failed setup ends the drill with a miss")]

mod backlog;
mod broker_faults;
mod broker_outage;
mod broker_restarts;
mod cancels;
mod cgroup2;
mod clock_jumps;
mod commands;
mod database_outage;
mod database_restarts;
mod failover;
mod family;
mod few_places;
mod gateway_deaths;
mod hanging_commits;
mod kills;
mod lane_backlog;
mod load;
mod long_transaction;
mod models_rollout;
mod neighbours;
mod places;
mod poison;
mod recovery;
mod report;
mod rolling;
mod run_checks;
mod slow_clients;
mod soak;
mod stage;
mod stale_nudges;
mod stamps;
mod stops;
mod storm;
mod streams;
mod usage_page;
mod webhooks;

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use futures_util::FutureExt;
use tokio::signal::unix::{SignalKind, signal};

use report::Report;
use stage::Stage;

/// A drill that takes longer has failed. Most take one or two minutes. With `--full` and in a virtual machine
/// they take longer.
const LONGEST: Duration = Duration::from_mins(10);
const LONGEST_IN_FULL: Duration = Duration::from_mins(40);

/// capi's fault drills.
#[derive(Parser)]
struct Arguments {
    /// The drills to run; all but cgroup2 if none is given.
    drills: Vec<Drill>,
    /// Repeat each fault as often as the bars require. The default is less.
    #[arg(long)]
    full: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Drill {
    /// R1: workers are killed.
    Kills,
    /// R2: processes are suspended for longer than their leases, and continue.
    Stops,
    /// The database's clock jumps, ahead and back.
    ClockJumps,
    /// The models file is replaced on one worker after the other.
    ModelsRollout,
    /// R4: gateways are killed during a create.
    GatewayDeaths,
    /// R5: the broker is away for a minute.
    BrokerOutage,
    /// R6: the broker is restarted.
    BrokerRestarts,
    /// R7: the database is restarted.
    DatabaseRestarts,
    /// R8: the queue is deleted.
    Deletions,
    /// R9: the broker has no memory.
    Alarms,
    /// R10: nudges are purged.
    Purges,
    /// R15: running runs are cancelled.
    Cancels,
    /// R12: some runs kill their workers.
    Poison,
    /// R3: every service is replaced.
    Rolling,
    /// S2: a thousand runs with commands leave nothing.
    Commands,
    /// S2: runs beside commands that use up what they can.
    Neighbours,
    /// K5: the database is away.
    DatabaseOutage,
    /// The synchronous standby is away, so commits hang.
    HangingCommits,
    /// One account loads its usage page all the time.
    UsagePage,
    /// A transaction stays open while runs are executed.
    LongTransaction,
    /// H2: one account does everything at once that could harm others.
    Soak,
    /// K9: clients are slow.
    SlowClients,
    /// Streams of events are cut at random.
    Streams,
    /// What a large backlog costs.
    Backlog,
    /// W1: dispatchers are killed.
    Webhooks,
    /// W4: receivers hang.
    HangingReceivers,
    /// The database fails over and loses transactions.
    Failover,
    /// A lane has 50,000 webhooks.
    LaneBacklog,
    /// R18 with fewer places than one user's cap.
    FewPlaces,
    /// An account has 9,000 requests in its rate window.
    Stamps,
    /// Nudges of runs that are gone.
    StaleNudges,
    /// Everything at once, and a checker.
    Storm,
    /// S1, S2, S5, S6, H3: the sandbox with cgroup v2, in a virtual machine.
    Cgroup2,
}

impl Drill {
    async fn run(self, stage: &mut Stage, full: bool) -> Report {
        match self {
            Self::Kills => kills::drill(stage).await,
            Self::Stops => stops::drill(stage).await,
            Self::ClockJumps => clock_jumps::drill(stage).await,
            Self::ModelsRollout => models_rollout::drill(stage).await,
            Self::GatewayDeaths => gateway_deaths::drill(stage).await,
            Self::BrokerOutage => broker_outage::drill(stage).await,
            Self::BrokerRestarts => broker_restarts::drill(stage, full).await,
            Self::DatabaseRestarts => database_restarts::drill(stage, full).await,
            Self::Deletions => broker_faults::deletions(stage).await,
            Self::Alarms => broker_faults::alarms(stage).await,
            Self::Purges => broker_faults::purges(stage).await,
            Self::Cancels => cancels::drill(stage).await,
            Self::Poison => poison::drill(stage).await,
            Self::Rolling => rolling::drill(stage).await,
            Self::Commands => commands::drill(stage).await,
            Self::Neighbours => neighbours::drill(stage).await,
            Self::DatabaseOutage => database_outage::drill(stage).await,
            Self::HangingCommits => hanging_commits::drill(stage).await,
            Self::UsagePage => usage_page::drill(stage, full).await,
            Self::LongTransaction => long_transaction::drill(stage).await,
            Self::Soak => soak::drill(stage, full).await,
            Self::SlowClients => slow_clients::drill(stage).await,
            Self::Streams => streams::drill(stage, full).await,
            Self::Backlog => backlog::drill(stage).await,
            Self::Webhooks => webhooks::deaths::drill(stage, full).await,
            Self::HangingReceivers => webhooks::hanging::drill(stage).await,
            Self::Failover => failover::drill(stage).await,
            Self::LaneBacklog => lane_backlog::drill(stage).await,
            Self::FewPlaces => few_places::drill(stage).await,
            Self::Stamps => stamps::drill(stage).await,
            Self::StaleNudges => stale_nudges::drill(stage).await,
            Self::Storm => storm::drill(stage, full).await,
            Self::Cgroup2 => cgroup2::drill().await,
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    shared::ops::raise_open_files();
    let mut terminate = signal(SignalKind::terminate())?;
    // Returning drops the values that stop the started processes, also after an interrupt.
    tokio::select! {
        done = run(&arguments) => done,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("terminated"),
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut drills = arguments.drills.clone();
    if drills.is_empty() {
        // A virtual machine without KVM would take longer than all the others.
        drills.extend(Drill::value_variants().iter().filter(|drill| **drill != Drill::Cgroup2));
    }
    let mut stage = Stage::start().await;
    let (started, mut reports) = (Instant::now(), Vec::new());
    for drill in drills {
        let begun = Instant::now();
        let report = run_one(drill, &mut stage, arguments.full).await;
        println!("{drill:?}: {:.0} s{}", begun.elapsed().as_secs_f64(), report.details());
        reports.push(report);
    }
    println!("\n{}\n\nall: {:.1} min", report::table(&reports), started.elapsed().as_secs_f64() / 60.0);
    let missed = reports.iter().filter(|report| report.is_missed()).count();
    anyhow::ensure!(missed == 0, "{missed} drills missed");
    Ok(())
}

/// Runs a drill for a limited time. One that panics or takes too long has missed.
async fn run_one(drill: Drill, stage: &mut Stage, full: bool) -> Report {
    let limit = if full || drill == Drill::Cgroup2 { LONGEST_IN_FULL } else { LONGEST };
    let running = tokio::time::timeout(limit, Box::pin(drill.run(stage, full)));
    let why = match AssertUnwindSafe(running).catch_unwind().await {
        Ok(Ok(report)) => return report,
        Ok(Err(_)) => format!("the drill was not over within {limit:?}"),
        // Standard error holds the message.
        Err(_) => "the drill panicked".to_owned(),
    };
    if drill == Drill::HangingCommits {
        // The next drills use the same server.
        stage.postgres.hang_commits(false).await;
    }
    Report::failed(drill, why)
}

//! Fault drills: everything that can die does, again and again and under load, on a database and a broker of
//! the drills' own. Afterwards every accepted run must be over, exactly once, and in the way that it should.
//! Each drill is a line of the table; a miss ends the program with an error.
#![expect(clippy::print_stdout, reason = "the table is the answer")]
#![expect(clippy::expect_used, reason = "what cannot be set up breaks its drill off, and that is a miss")]

mod backlog;
mod broker_faults;
mod broker_outage;
mod broker_restarts;
mod cancels;
mod commands;
mod database_outage;
mod database_restarts;
mod gateway_deaths;
mod kills;
mod load;
mod neighbours;
mod report;
mod rolling;
mod slow_clients;
mod stage;
mod stops;
mod verdict;
mod whole;

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use futures_util::FutureExt;
use tokio::signal::unix::{SignalKind, signal};

use report::Report;
use stage::Stage;

/// capi's fault drills.
#[derive(Parser)]
struct Arguments {
    /// Drills; all where none is named.
    drills: Vec<Drill>,
    /// As often as the bars say, where it is less by default.
    #[arg(long)]
    full: bool,
}

/// What is drilled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Drill {
    /// R1: workers are killed.
    Kills,
    /// R2: processes are stopped past their leases, and wake up.
    Stops,
    /// R4: gateways are killed in the middle of a create.
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
    /// R15: runs are cancelled in mid-run.
    Cancels,
    /// R3: every service is replaced.
    Rolling,
    /// S2: a thousand runs with commands leave nothing.
    Commands,
    /// S2: runs beside commands that use up what they can.
    Neighbours,
    /// K5: the database is away.
    DatabaseOutage,
    /// K9: clients are slow.
    SlowClients,
    /// What a large backlog costs.
    Backlog,
}

impl Drill {
    async fn run(self, stage: &mut Stage, full: bool) -> Report {
        match self {
            Self::Kills => kills::drill(stage).await,
            Self::Stops => stops::drill(stage).await,
            Self::GatewayDeaths => gateway_deaths::drill(stage).await,
            Self::BrokerOutage => broker_outage::drill(stage).await,
            Self::BrokerRestarts => broker_restarts::drill(stage, full).await,
            Self::DatabaseRestarts => database_restarts::drill(stage, full).await,
            Self::Deletions => broker_faults::deletions(stage).await,
            Self::Alarms => broker_faults::alarms(stage).await,
            Self::Purges => broker_faults::purges(stage).await,
            Self::Cancels => cancels::drill(stage).await,
            Self::Rolling => rolling::drill(stage).await,
            Self::Commands => commands::drill(stage).await,
            Self::Neighbours => neighbours::drill(stage).await,
            Self::DatabaseOutage => database_outage::drill(stage).await,
            Self::SlowClients => slow_clients::drill(stage).await,
            Self::Backlog => backlog::drill(stage).await,
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    shared::ops::raise_open_files();
    let mut terminate = signal(SignalKind::terminate())?;
    // Whatever was started is ended with the values that stand for it, also where somebody loses patience.
    tokio::select! {
        done = run(&arguments) => done,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("terminated"),
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let drills =
        if arguments.drills.is_empty() { Drill::value_variants() } else { arguments.drills.as_slice() };
    let mut stage = Stage::start().await;
    let mut reports = Vec::new();
    for drill in drills {
        let begun = Instant::now();
        let running = AssertUnwindSafe(drill.run(&mut stage, arguments.full)).catch_unwind();
        let report = running.await.unwrap_or_else(|_| Report::broken_off(drill));
        println!("{drill:?}: {:.0} s{}", begun.elapsed().as_secs_f64(), report.details());
        reports.push(report);
    }
    println!("\n{}", report::table(&reports));
    let missed = reports.iter().filter(|report| report.is_missed()).count();
    anyhow::ensure!(missed == 0, "{missed} drills missed");
    Ok(())
}

//! The load harness. It measures:
//! - start time, memory and idle processor time of each service, what the sandbox adds to a command, and
//!   snapshots of files;
//! - the time from a create to the request at the model, beside the raw parts on this way;
//! - the time from an event to a stream, and the memory of 5,000 streams;
//! - accepted creates per second, compared with the database alone;
//! - whole runs per second with what each costs over all parts, and thousands of runs in flight;
//! - what more workers bring;
//! - webhooks per second to one receiver, with what each costs.
//!
//! The load generator, the services, the database and the broker share one machine.
#![expect(clippy::print_stdout, reason = "the program prints its figures")]

mod accounts;
mod commands;
mod costs;
mod creates;
mod hops;
mod http;
mod idle;
mod latency;
mod machine;
mod pickup;
mod processes;
mod raw;
mod runs;
mod scale;
mod single;
mod snapshots;
mod streams;
mod webhooks;

use clap::{Parser, ValueEnum};
use e2e::Stack;

/// The load harness of capi. `make bench` sets the CAPI_TEST_ variables that it needs.
#[derive(Parser)]
struct Arguments {
    /// Measure only these parts, in the order of the list; separated by commas
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// How often to measure everything. The speed of a shared disk varies, so compare medians.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds of each round of creates
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=120))]
    seconds: u64,
    /// Concurrent connections
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=256))]
    connections: u32,
    /// Runs for the latency, one after the other
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    runs: u32,
    /// Whole runs with an instant model
    #[arg(long, default_value_t = 5000)]
    whole_runs: usize,
    /// Webhooks to one receiver
    #[arg(long, default_value_t = 10_000)]
    webhooks: usize,
    /// Concurrent runs in one worker (at most 10,000)
    #[arg(long, default_value_t = 5000)]
    in_flight: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// P5: start time and memory.
    Processes,
    /// P5: processor time without work.
    Idle,
    /// P7: commands in the sandbox.
    Commands,
    /// P12: snapshots of a workspace.
    Snapshots,
    /// P2: from a create to the model, idle.
    Latency,
    /// P2: from a create to the model, under a light load.
    Pickup,
    /// P8: streams of events.
    Streams,
    /// P1: accepted creates.
    Creates,
    /// P3: whole runs.
    Runs,
    /// P4: runs in flight.
    InFlight,
    /// P9: one, two and four workers.
    Scale,
    /// P10: webhooks.
    Webhooks,
}

impl Part {
    async fn measure(self, arguments: &Arguments) -> anyhow::Result<()> {
        match self {
            Self::Processes => processes::measure(&Stack::unlimited().await).await,
            Self::Idle => idle::measure().await?,
            Self::Commands => commands::measure().await?,
            Self::Snapshots => snapshots::measure(&Stack::unlimited().await).await?,
            Self::Latency => latency::measure(&Stack::unlimited().await, arguments.runs).await?,
            Self::Pickup => pickup::measure().await?,
            Self::Streams => streams::measure().await?,
            Self::Creates => creates::measure(arguments.seconds, arguments.connections).await?,
            Self::Runs => runs::whole(arguments.whole_runs).await?,
            Self::InFlight => runs::in_flight(arguments.in_flight).await?,
            Self::Scale => scale::measure().await?,
            Self::Webhooks => webhooks::measure(arguments.webhooks).await?,
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // Each run in flight holds one connection to the scripted model.
    shared::ops::raise_open_files();
    println!("{:<50} {:>12} {:>12} {:>12}", "what", "rate or n", "p50", "p99");
    for round in 1..=arguments.rounds {
        if arguments.rounds > 1 {
            println!("round {round}");
        }
        for part in Part::value_variants() {
            if arguments.only.is_empty() || arguments.only.contains(part) {
                part.measure(&arguments).await?;
            }
        }
    }
    Ok(())
}

/// Prints one line of the table. The samples are in seconds.
fn line(what: &str, rate: &str, mut samples: Vec<f64>) {
    if samples.is_empty() {
        println!("{what:<50} {rate:>12}");
        return;
    }
    samples.sort_by(f64::total_cmp);
    let (p50, p99) = (at(&samples, 50) * 1000.0, at(&samples, 99) * 1000.0);
    println!("{what:<50} {rate:>12} {p50:>9.2} ms {p99:>9.2} ms");
}

fn percentile(samples: &[f64], percent: usize) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    at(&sorted, percent)
}

fn at(sorted: &[f64], percent: usize) -> f64 {
    sorted.get(sorted.len() * percent / 100).copied().unwrap_or_default()
}

fn median(samples: &[f64]) -> f64 {
    percentile(samples, 50)
}

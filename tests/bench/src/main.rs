//! The load harness. It measures:
//! - start time and memory of each service, what the sandbox adds to a command, and snapshots of files;
//! - the time from a create to the request at the model;
//! - the time from an event to a stream, and the memory of 5,000 streams;
//! - accepted creates per second, compared with the database alone;
//! - whole runs per second with their processor time, and thousands of runs in flight;
//! - webhooks per second to one receiver, with the dispatcher's processor time.
//!
//! The load generator, the services, the database and the broker share one machine.
#![expect(clippy::print_stdout, reason = "the program prints its figures")]

mod accounts;
mod commands;
mod creates;
mod http;
mod latency;
mod processes;
mod raw;
mod runs;
mod single;
mod snapshots;
mod streams;
mod webhooks;

use clap::Parser;
use e2e::Stack;

/// The load harness of capi. `make bench` sets the CAPI_TEST_ variables that it needs.
#[derive(Parser)]
struct Arguments {
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
    /// Measure only the webhooks
    #[arg(long)]
    only_webhooks: bool,
    /// Measure only the streams
    #[arg(long)]
    only_streams: bool,
    /// Concurrent runs in one worker (at most 10,000)
    #[arg(long, default_value_t = 5000)]
    in_flight: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // Each run in flight holds one connection to the scripted model.
    shared::ops::raise_open_files();
    println!("{:<44} {:>12} {:>12} {:>12}", "what", "rate or n", "p50", "p99");
    if arguments.only_webhooks {
        return webhooks::measure(arguments.webhooks).await;
    }
    if arguments.only_streams {
        return streams::measure().await;
    }
    let stack = Stack::unlimited().await;
    processes::measure(&stack).await;
    commands::measure().await?;
    snapshots::measure(&stack).await?;
    latency::measure(&stack, arguments.runs).await?;
    streams::measure().await?;
    creates::measure(arguments.seconds, arguments.connections).await?;
    runs::whole(arguments.whole_runs).await?;
    runs::in_flight(arguments.in_flight).await?;
    webhooks::measure(arguments.webhooks).await?;
    Ok(())
}

/// Prints one line of the table. The samples are in seconds.
fn line(what: &str, rate: &str, mut samples: Vec<f64>) {
    if samples.is_empty() {
        println!("{what:<44} {rate:>12}");
        return;
    }
    samples.sort_by(f64::total_cmp);
    let at =
        |percent: usize| samples.get(samples.len() * percent / 100).copied().unwrap_or_default() * 1000.0;
    println!("{what:<44} {rate:>12} {:>9.2} ms {:>9.2} ms", at(50), at(99));
}

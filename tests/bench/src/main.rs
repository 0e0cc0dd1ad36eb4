//! The load harness: creates accepted per second beside the database alone, the time from a request to the model being asked, whole
//! runs per second and what they cost, thousands of them in flight, and what the sandbox adds to a command. Everything (load generator, services, database, broker) shares the machine.
#![expect(clippy::print_stdout, reason = "the figures are the answer")]

mod accounts;
mod commands;
mod creates;
mod http;
mod latency;
mod processes;
mod raw;
mod runs;

use clap::Parser;
use e2e::Stack;

/// capi's load harness. Needs CAPI_TEST_DATABASE_URL and CAPI_TEST_AMQP_URL, as `make bench` sets them.
#[derive(Parser)]
struct Arguments {
    /// Seconds of creates.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=120))]
    seconds: u64,
    /// Connections side by side.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=256))]
    connections: u32,
    /// Runs whose way to the model is measured, one after the other.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    runs: u32,
    /// Whole runs with an instant model.
    #[arg(long, default_value_t = 5000)]
    whole_runs: usize,
    /// Runs in flight at once in one worker (at most 10,000).
    #[arg(long, default_value_t = 5000)]
    in_flight: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // Each run in flight is a connection of the scripted model's.
    shared::ops::raise_open_files();
    println!("{:<44} {:>12} {:>12} {:>12}", "what", "rate or n", "p50", "p99");
    let stack = Stack::unlimited().await;
    processes::measure(&stack).await;
    commands::measure().await?;
    latency::measure(&stack, arguments.runs).await?;
    creates::measure(arguments.seconds, arguments.connections).await?;
    runs::whole(arguments.whole_runs).await?;
    runs::in_flight(arguments.in_flight).await?;
    Ok(())
}

/// One line of the table; durations in seconds.
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

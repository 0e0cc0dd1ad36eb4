//! The time from start to ready, and the idle memory, of each service.

use std::time::Instant;

use e2e::{Process, Service, Stack, bin_dir};

pub(crate) async fn measure(stack: &Stack) {
    for service in [Service::Gateway, Service::RunWorker, Service::WebhookDispatcher] {
        let started = Instant::now();
        let process = stack.start(service).await;
        let ready = started.elapsed().as_secs_f64() * 1000.0;
        let resident = process.resident_mb();
        let size = std::fs::metadata(bin_dir().join(service.program())).map_or(0, |file| file.len());
        println!(
            "{:<44} ready in {ready:.0} ms, {resident} MB resident when idle, binary {} MB",
            service.program(),
            size / 1_000_000
        );
    }
}

fn proc_file(process: &Process, name: &str) -> String {
    let file = process.pid().and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/{name}")).ok());
    file.unwrap_or_default()
}

/// Returns the user and system processor time of a process in milliseconds.
pub(crate) fn cpu_ms(process: &Process) -> f64 {
    const MS_PER_TICK: f64 = 10.0;
    let stat = proc_file(process, "stat");
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    (ticks(11) + ticks(12)) * MS_PER_TICK
}

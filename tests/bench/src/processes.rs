//! The time from start to ready, and the idle memory, of each service.

use std::time::Instant;

use e2e::{Process, Service, Stack, bin_dir};

use crate::machine;

pub(crate) async fn measure(stack: &Stack) {
    for service in [Service::Gateway, Service::RunWorker, Service::WebhookDispatcher] {
        let started = Instant::now();
        let process = stack.start(service).await;
        let ready = started.elapsed().as_secs_f64() * 1000.0;
        let (processes, memory) = process.pid().map_or((0, 0.0), machine::memory);
        let size = std::fs::metadata(bin_dir().join(service.program())).map_or(0, |file| file.len());
        println!(
            "{:<50} ready in {ready:.0} ms, {memory:.1} MB when idle in {processes} processes, binary {} MB",
            service.program(),
            size / 1_000_000
        );
    }
}

/// Returns the user and system processor time of a service in milliseconds, over all its processes.
pub(crate) fn cpu_ms(process: &Process) -> f64 {
    process.pid().map_or(0.0, machine::cpu_ms)
}

/// Returns the memory of a service in MB, over all its processes.
pub(crate) fn memory_mb(process: &Process) -> f64 {
    process.pid().map_or(0.0, |pid| machine::memory(pid).1)
}

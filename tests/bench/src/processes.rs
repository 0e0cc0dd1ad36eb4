//! Start to ready, and idle memory, of each service.

use std::time::Instant;

use e2e::{Service, Stack, bin_dir};

pub(crate) async fn measure(stack: &Stack) {
    for service in [Service::Gateway, Service::RunWorker, Service::WebhookDispatcher] {
        let started = Instant::now();
        let process = stack.start(service).await;
        let ready = started.elapsed().as_secs_f64() * 1000.0;
        let status =
            process.pid().and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/status")).ok());
        let resident =
            status.as_deref().and_then(|text| text.lines().find(|line| line.starts_with("VmRSS:")));
        let kib: u64 =
            resident.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or_default();
        let size = std::fs::metadata(bin_dir().join(service.program())).map_or(0, |file| file.len());
        println!(
            "{:<44} ready in {ready:.0} ms, {} MB resident when idle, binary {} MB",
            service.program(),
            kib / 1024,
            size / 1_000_000
        );
    }
}

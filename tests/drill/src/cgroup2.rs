//! S1, S2, S5, S6 and H3 with cgroup v2: the tests of the sandbox in a virtual machine, as root and as an
//! ordinary user, each with a delegated group. Many machines still have cgroup v1, where these paths do not
//! run.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::Command;

use crate::report::Report;

/// The script has a deadline of its own. It also compiles the tests.
const LONGEST: Duration = Duration::from_mins(80);
/// Tests that must run at least, in both passes together: a filter that matches nothing proves nothing.
const TESTS: usize = 40;

pub(crate) async fn drill() -> Report {
    let mut report = Report::new("cgroup2", LONGEST);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let begun = Instant::now();
    let script = Command::new("bash")
        .arg(root.join("deploy/local/cgroup2.sh"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .status();
    let status = tokio::time::timeout(LONGEST, script).await;
    report.faults = 1;
    report.recoveries.push(begun.elapsed());
    let succeeded = matches!(&status, Ok(Ok(status)) if status.success());
    report.must(succeeded, || format!("the tests in the virtual machine failed: {status:?}"));
    let console = std::fs::read(root.join(".local/vm/console.log")).unwrap_or_default();
    let console = String::from_utf8_lossy(&console);
    let of_interest = |line: &&str| {
        ["test result", "=== ", "used at most", "hidden", "p95"].iter().any(|part| line.contains(part))
            || line.contains("FAILED")
    };
    report.notes.extend(console.lines().filter(of_interest).map(|line| line.trim().to_owned()));
    let passed = |line: &str| {
        let (_, rest) = line.split_once("test result: ok. ")?;
        rest.split_once(" passed")?.0.parse::<usize>().ok()
    };
    let ran: usize = console.lines().filter_map(passed).sum();
    report.must(ran >= TESTS, || format!("only {ran} tests passed"));
    report
}

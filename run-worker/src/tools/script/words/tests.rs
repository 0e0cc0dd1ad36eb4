use std::time::Duration;

use super::*;
use crate::sandbox::CommandOutput;
use crate::workspace::QuotaExceeded;

/// The result of a command that printed something.
fn told(end: EndReason, printed: &str, change: impl FnOnce(&mut Ended<'_>)) -> String {
    let output = CommandOutput::of(printed);
    let took = Duration::from_millis(1200);
    let execution = Execution { end, output, took, landlocked: true, unmeasured: vec![] };
    let mut ended = Ended {
        execution: &execution,
        kept: None,
        is_cut_short: false,
        was_over_full: false,
        over_full: None,
    };
    change(&mut ended);
    ended.text(1000)
}

#[test]
fn each_limit_says_what_it_is_and_what_to_do() {
    let second = Duration::from_secs(1);
    let cases = [
        (EndReason::TimedOut(second), "it was not done after 1 s", "timeout_seconds"),
        (EndReason::TimedOut(LIMITS.max_time), "after 600 s", "in parts"),
        (EndReason::OutputLimit(16 << 20), "printed more than 16 MiB", "write to a file"),
        (EndReason::MemoryLimit(1 << 30), "more than 1 GiB of memory", "in pieces"),
        (EndReason::SocketLimit(512), "512 sockets", "TCP connections"),
        (EndReason::LockLimit(99), "99 locks", "fewer processes"),
        (EndReason::TmpEntries(99), "99 files in /tmp", "into the workspace"),
        (EndReason::WriteLimit(16 << 30), "16 GiB to the disk", "Write less"),
        (EndReason::MachineMemory, "short of memory", "in pieces"),
        (EndReason::MachineDisk, "nearly full", "Write less"),
        (EndReason::Quota(QuotaExceeded::Entries(9)), "more than 9 files", "remove"),
    ];
    for (end, limit, advice) in cases {
        let told = told(end, "half of it", |_| {});
        let (first, rest) = told.split_once('\n').unwrap();
        assert!(first.starts_with("ended by capi: ") && first.contains(limit), "{told}");
        assert!(first.ends_with(", 1.2 s"), "{told}");
        assert!(rest.contains(advice) && rest.ends_with("half of it"), "{told}");
        assert!(is_failed_command("shell", &told) && !is_failed_command("read_file", &told));
    }
}

#[test]
fn an_end_by_itself_is_told_with_its_reason() {
    let fine = told(EndReason::Exited(0), "No space left on device", |_| {});
    assert_eq!(fine, "exit code 0, 1.2 s\nNo space left on device");
    assert!(!is_failed_command("python", &fine));
    assert_eq!(told(EndReason::Exited(3), "", |_| {}), "exit code 3, 1.2 s\n[nothing was printed]");
    for (code, printed, what) in [
        (135, "", "signal 7: /dev/shm or /tmp is full"),
        (153, "", "signal 25: a file would be larger"),
        (192, "", "(ended by signal 64)"),
        (1, "OSError: [Errno 28] No space left on device", "/tmp has 64 MiB"),
        (1, "OSError: [Errno 27] File too large", "larger than the workspace"),
        (1, "Traceback\nMemoryError", "in pieces"),
        (1, "BlockingIOError: [Errno 11] Resource temporarily unavailable", "64 processes"),
        (2, "sh: 1: Cannot fork", "64 processes"),
        (1, "RuntimeError: can't start new thread", "64 processes"),
    ] {
        let told = told(EndReason::Exited(code), printed, |_| {});
        assert!(told.contains(what), "{told}");
    }
}

#[test]
fn the_workspace_and_the_time_of_the_run_are_told_too() {
    let cut = told(EndReason::TimedOut(Duration::from_secs(5)), "", |it| it.is_cut_short = true);
    assert!(cut.contains("after 5 s") && cut.contains("final answer"), "{cut}");
    let quota = EndReason::Quota(QuotaExceeded::Bytes(100));
    let over = told(quota, "begun", |it| it.over_full = Some("Remove it."));
    assert_eq!(over, "ended by capi: the workspace holds more than 100 bytes, 1.2 s\n[Remove it.]\nbegun");
    let again = told(quota, "", |it| it.was_over_full = true);
    assert!(again.contains("over its limit before"), "{again}");
}

#[test]
fn the_hint_names_the_limit_of_processes() {
    let limit = format!("{} processes", LIMITS.processes);
    assert!(HINTS.iter().any(|(_, hint)| hint.contains(&limit)), "{limit}");
}

#[test]
fn sizes_are_short() {
    let sizes = [0, 1023, 1024, 1536, 100 << 20, (1 << 30) + (1 << 29), u64::MAX].map(size);
    let expected = ["0 bytes", "1023 bytes", "1 KiB", "1.5 KiB", "100 MiB", "1.5 GiB", "17179869183.9 GiB"];
    assert_eq!(sizes, expected);
}

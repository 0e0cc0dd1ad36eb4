//! The sandbox runs a command, and every layer works.

use run_worker::sandbox::{EndReason, Health, Interpreter};

use super::{CGROUP2, Lab};

#[tokio::test(flavor = "multi_thread")]
async fn every_layer_holds_on_this_machine() {
    let _ = tracing_subscriber::fmt::try_init();
    let lab = Lab::open().await;
    match lab.sandbox.health() {
        Health::Up => {}
        other if std::env::var_os(CGROUP2).is_some() => panic!("{other:?}"),
        Health::Degraded(missing) => {
            assert!(missing.iter().all(|layer| ["cgroup", "landlock"].contains(layer)), "{missing:?}");
        }
        other => panic!("{other:?}"),
    }
    let workspace = lab.workspace();
    let execution = lab.run(Lab::job(&workspace, Interpreter::Bash, "echo hello; exit 3")).await;
    assert_eq!((execution.end, execution.output.shown("")), (EndReason::Exited(3), "hello\n".to_owned()));
}

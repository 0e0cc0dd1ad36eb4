//! The tools that work in the sandbox and on files, as a model uses them.

use std::time::Duration;

use e2e::{Service, Stack};
use serde_json::{Value, json};

/// The time limits of the commands together, and time for the rest.
const ENDS_WITHIN: Duration = Duration::from_mins(12);

/// The result that the model was told of each of these calls, made one after another.
async fn told(stack: &Stack, calls: &[(&str, Value)]) -> Vec<String> {
    let gateway = stack.start(Service::Gateway).await;
    let worker = stack.start(Service::RunWorker).await;
    let app = stack.import_with_tools("").await;
    let steps = calls.iter().map(|(tool, arguments)| json!({"call": [[tool, arguments.to_string()]]}));
    let script: Vec<_> = steps.chain([json!({"say": "Done."})]).collect();
    let body = json!({"appId": app, "inputs": {"text": format!("SCRIPT {}", json!(script))}});
    let id = stack.create_run_of(&gateway, &body).await;
    let run = stack.ended_within(ENDS_WITHIN, &gateway, &id).await;
    assert_eq!(run["status"], "completed", "{run}\n{}", worker.log());
    let (_, last) = stack.model.asked().pop().unwrap();
    let messages = last["messages"].as_array().unwrap().clone();
    let results = messages.iter().filter(|message| message["role"] == "tool");
    results.map(|message| message["content"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_stay_from_call_to_call_and_everything_else_is_fresh() {
    let stack = Stack::unlimited().await;
    let calls = [
        ("shell", json!({"script": "echo one > a.txt; echo two > /tmp/b.txt; cd /; ls /tmp; false"})),
        ("shell", json!({"script": "cat a.txt; ls /tmp/b.txt; pwd; id -un"})),
        ("write_file", json!({"path": "src/main.py", "content": "import sys\nprint('from', sys.argv)\n"})),
        ("edit_file", json!({"path": "src/main.py", "old": "'from'", "new": "'edited'"})),
        (
            "python",
            json!({"script": "import runpy; runpy.run_path('src/main.py', run_name='__main__'); import \
                              pandas; print(pandas.DataFrame({'n': [1, 2]}).n.sum())"}),
        ),
        ("read_file", json!({"path": "src/main.py", "from_line": 2})),
        ("list_files", json!({})),
        ("read_file", json!({"path": "../etc/passwd"})),
        ("shell", json!({"script": "seq 1 20000; echo the end"})),
        ("shell", json!({"script": "wc -l output/*.txt", "timeout_seconds": 600})),
        ("shell", json!({"script": "trap '' TERM; echo before; sleep 600", "timeout_seconds": 5})),
    ];
    let told = told(&stack, &calls).await;
    let is = |at: usize, what: &str| assert!(told[at].contains(what), "{at}: {}", told[at]);
    is(0, "exit code 1");
    is(1, "one\nls: cannot access '/tmp/b.txt'");
    is(1, "/workspace\nagent\n");
    is(2, "Wrote");
    is(3, "Replaced 1 occurrence(s)");
    is(4, "edited ['src/main.py']\n3\n");
    is(5, "print('edited', sys.argv)\n\n[lines 2 to 2 of 2]");
    is(6, "a.txt  (4 bytes)\n");
    is(6, "src/main.py");
    is(7, "contains \"..\"");
    is(8, "exit code 0");
    is(8, "\n1\n2\n3\n");
    is(8, "20000\nthe end\n");
    is(8, "bytes the middle is left out; all of it is in output/");
    is(9, "20001 output/");
    is(10, "ended by capi: it was not done after 5 s");
    is(10, "before");
}

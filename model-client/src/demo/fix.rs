//! The sample Fix: runs the tests, changes what it knows to be wrong, and runs them again. Pure.

use serde_json::{Value, json};

use super::reply::Reply;
use super::scene::Scene;

/// A mistake that the script knows: those of deploy/samples/fix.
struct Mistake {
    wrong: &'static str,
    right: &'static str,
    what: &'static str,
}

static MISTAKES: [Mistake; 2] = [
    Mistake {
        wrong: "sum(numbers) / 2",
        right: "sum(numbers) / len(numbers)",
        what: "a mean divided the sum by two instead of by the count",
    },
    Mistake {
        wrong: "middle = len(numbers) // 2",
        right: "numbers = sorted(numbers)\n    middle = len(numbers) // 2",
        what: "a median took the middle of a list that was not sorted",
    },
];

/// Programs that are read at most.
const MAX_PROGRAMS: usize = 3;
const TOOLS: [&str; 4] = ["shell", "read_file", "edit_file", "save_artifact"];

pub(super) fn answer(scene: &Scene<'_>) -> Option<Reply> {
    let (tests, programs): (Vec<_>, Vec<_>) = scene.files_with(&[".py"]).partition(|path| is_test(path));
    if !scene.offers(&TOOLS) || tests.is_empty() || programs.is_empty() {
        return None;
    }
    let Some(tested) = scene.results("shell").next_back() else {
        let copy = "mkdir -p work && cp inputs/*.py work/ && chmod u+w work/*.py";
        return Some(
            Reply::text("I copy the files and run the tests to see what fails.")
                .call("shell", test_after(&format!("{copy} && "))),
        );
    };
    Some(if is_passed(tested) {
        publish(scene)
    } else if scene.has_called("read_file") {
        edit(scene)
    } else {
        let reply = Reply::text("Some tests fail. I read the program.");
        let paths = programs.iter().take(MAX_PROGRAMS).map(|path| in_work(path));
        paths.fold(reply, |reply, path| reply.call("read_file", json!({"path": path})))
    })
}

fn is_test(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.starts_with("test_") || name.ends_with("_test.py")
}

fn in_work(path: &str) -> String {
    path.replacen("inputs/", "work/", 1)
}

fn test_after(prepare: &str) -> Value {
    json!({"script": format!("{prepare}cd work && python3 -m pytest -q 2>&1 | tail -n 20")})
}

fn is_passed(output: &str) -> bool {
    output.contains(" passed") && !output.contains(" failed") && !output.contains(" error")
}

/// Changes the first known mistake that is still there.
fn edit(scene: &Scene<'_>) -> Reply {
    let edited: Vec<_> = scene.turns.iter().filter_map(|turn| turn.argument("old")).collect();
    let reads = scene.turns.iter().filter(|turn| turn.tool == "read_file");
    let found = reads.flat_map(|turn| MISTAKES.iter().map(move |mistake| (turn, mistake)));
    let mut found = found.filter(|(turn, mistake)| turn.result.contains(mistake.wrong));
    let next = found.find(|(_, mistake)| !edited.iter().any(|old| old == mistake.wrong));
    let Some((turn, mistake)) = next else {
        return Reply::stuck("The tests fail for a reason that this script does not know.");
    };
    let path = turn.argument("path").unwrap_or_default();
    Reply::text(format!("I see a mistake: {}. I change it and run the tests again.", mistake.what))
        .call("edit_file", json!({"path": path, "old": mistake.wrong, "new": mistake.right}))
        .call("shell", test_after(""))
}

/// Publishes the changed files, then says what was wrong.
fn publish(scene: &Scene<'_>) -> Reply {
    let edits = || scene.turns.iter().filter(|turn| turn.tool == "edit_file");
    let mut changed: Vec<_> = edits().filter_map(|turn| turn.argument("path")).collect();
    changed.dedup();
    if changed.is_empty() {
        return Reply::text("All tests pass as they are. I changed nothing.");
    }
    if !scene.has_called("save_artifact") {
        let reply = Reply::text("All tests pass now. I publish what I changed.");
        return changed.iter().fold(reply, |reply, path| reply.call("save_artifact", json!({"path": path})));
    }
    let was_edited =
        |mistake: &&Mistake| edits().any(|turn| turn.argument("old").is_some_and(|old| old == mistake.wrong));
    let wrong: Vec<_> = MISTAKES.iter().filter(was_edited).map(|mistake| mistake.what).collect();
    Reply::text(format!("The tests pass. What was wrong: {}.", wrong.join("; and ")))
}

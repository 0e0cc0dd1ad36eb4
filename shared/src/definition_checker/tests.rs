use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use super::pool::lock;
use super::*;

#[cfg(feature = "testing")]
mod property;

/// A bound for a busy machine. The task's processor time is bounded much closer.
const PATIENCE: Duration = Duration::from_secs(8);

async fn refused<T>(checking: impl Future<Output = Result<T, CheckError>>) -> Option<String> {
    let begun = Instant::now();
    let checked = checking.await;
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    match checked {
        Ok(_) => None,
        Err(CheckError::Refused(why)) => Some(why),
        Err(error) => panic!("{error}"),
    }
}

/// Runs a template and a value around the scan, as a form that the scan does not know would.
async fn unscanned(checker: &DefinitionChecker, task: Task<'_>) -> Option<String> {
    refused(checker.answer(UserId::generate(), &task)).await
}

#[tokio::test]
async fn definitions_are_checked_and_applied() {
    let (checker, account) = (DefinitionChecker::start().unwrap(), UserId::generate());
    checker.check_prompt(account, "Say {{ text }}", &["text"]).await.unwrap();
    let why = refused(checker.check_prompt(account, "{{ nobody }}", &["text"])).await.unwrap();
    assert!(why.contains("nobody"), "{why}");
    let text = checker.render_prompt(account, "Say {{ text }}", &json!({"text": "é<b>"})).await.unwrap();
    assert_eq!(&*text, "Say é<b>");
    let schema = json!({"type": "object", "required": ["n"]});
    checker.check_schema(account, &schema).await.unwrap();
    assert!(checker.violations(account, &schema, &json!({"n": 1})).await.unwrap().is_empty());
    assert_eq!(checker.violations(account, &schema, &json!({})).await.unwrap().len(), 1);
    assert!(refused(checker.check_schema(account, &json!({"type": "objekt"}))).await.is_some());
}

/// A1: these forms overflowed the stack of the process that parsed them.
#[tokio::test]
async fn no_chain_ends_the_service() {
    let checker = DefinitionChecker::start().unwrap();
    let chain = |before: &str, link: &str, after: &str| {
        let links = (64 * 1024 - before.len() - after.len()) / link.len();
        format!("{before}{}{after}", link.repeat(links))
    };
    let mut ended = 0;
    for template in [
        chain("{{ a", "+a", " }}"),
        chain("{{ a", "|upper", " }}"),
        chain("{{ a", ".a", " }}"),
        chain("{{ a", "[0]", " }}"),
        chain("{{ ", "not ", "a }}"),
        chain("{{ ", "-", "a }}"),
        chain("{{ a", "~a", " }}"),
        chain("{{ a", " and a", " }}"),
        chain("{{ a", "**a", " }}"),
        chain("{{ a", " is odd", " }}"),
        chain("{{ a", " if a else a", " }}"),
        chain("{% if a %}", "{% elif a %}", "{% endif %}"),
        chain("", "{% if a %}", ""),
        chain("", "{% set a %}", ""),
        chain("{{ ", "(", " }}"),
        chain("{{ ", "[", " }}"),
    ] {
        let begins = &template[..20];
        let why = refused(checker.check_prompt(UserId::generate(), &template, &["a"])).await;
        assert!(why.is_some(), "{begins}");
        // Without the scan some of them end the process, and the service lives.
        let task = Task::CheckPrompt { template: Cow::Borrowed(&template), inputs: vec!["a".into()] };
        let why = unscanned(&checker, task).await;
        ended += usize::from(why.is_some_and(|why| why.contains("needs too much")));
    }
    assert!(ended > 0, "the processes are the bound, not the scan");
    definitions_of_others_are_served(&checker).await;
}

async fn definitions_of_others_are_served(checker: &DefinitionChecker) {
    checker.check_prompt(UserId::generate(), "{{ a }}", &["a"]).await.unwrap();
}

/// A2 and A3: a few lines that took many seconds or gigabytes.
#[tokio::test]
async fn no_schema_takes_more_than_its_bounds() {
    let checker = DefinitionChecker::start().unwrap();
    let doubled = |levels: usize, keyword: &str, leaf: Value| {
        let mut defs = serde_json::Map::from_iter([(format!("d{levels}"), leaf)]);
        for n in 0..levels {
            let next = json!({"$ref": format!("#/$defs/d{}", n + 1)});
            defs.insert(format!("d{n}"), json!({keyword: [next, next], "unevaluatedProperties": false}));
        }
        json!({"$defs": defs, "$ref": "#/$defs/d0", "unevaluatedProperties": false})
    };
    for keyword in ["anyOf", "allOf", "oneOf", "prefixItems"] {
        for levels in [11, 14, 18, 40] {
            let schema = doubled(levels, keyword, json!({"type": "string"}));
            let judged = refused(checker.violations(UserId::generate(), &schema, &json!({"a": 1}))).await;
            assert!(judged.is_some() || levels == 11, "{keyword} {levels}");
        }
    }
    let recursive = json!({"anyOf": [
        {"properties": {"a": {"$ref": "#"}}, "required": ["b"]},
        {"properties": {"a": {"$ref": "#"}}, "required": ["b"]},
    ]});
    let nested = (0..60).fold(json!({}), |inner, _| json!({"a": inner}));
    refused(checker.violations(UserId::generate(), &recursive, &nested)).await;
    let endless = json!({"allOf": [{"$ref": "#"}, {"$ref": "#"}]});
    refused(checker.violations(UserId::generate(), &endless, &json!(1))).await;
    definitions_of_others_are_served(&checker).await;
}

#[tokio::test]
async fn rendering_is_bounded_in_time_and_memory() {
    let checker = DefinitionChecker::start().unwrap();
    let doubling = format!("{{% set s = 'xxxxxxxx' %}}{}", "{% set s = s ~ s %}".repeat(33));
    for template in [
        doubling.as_str(),
        "{{ 'x' * 4000000000 }}",
        "{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}",
        "{% for a in range(9000) %}{{ ('x' * 900000) | replace('x', 'yy') | length }}{% endfor %}",
    ] {
        let none = json!({});
        let rendering = checker.render_prompt(UserId::generate(), template, &none);
        assert!(refused(rendering).await.is_some(), "{template:.60}");
    }
    definitions_of_others_are_served(&checker).await;
}

/// A panic is a fault of the template engine, not of the account.
#[tokio::test]
async fn a_panic_is_not_called_memory() {
    let (checker, account) = (DefinitionChecker::start().unwrap(), UserId::generate());
    let template = "{% for i in range(3) %}{{ loop.cycle() }}{% endfor %}";
    let none = json!({});
    let why = refused(checker.render_prompt(account, template, &none)).await.unwrap();
    assert!(why.starts_with("cannot be used: the template engine fails on it; "), "{why}");
    assert!(!checker.pool.is_costly(account));
    definitions_of_others_are_served(&checker).await;
}

/// The limit of memory of a process that has answered this task, in bytes.
fn memory_limit_after(task: &Task<'_>) -> u64 {
    let mut process = std::process::Command::new(beside(&std::env::current_exe().unwrap()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let message = serde_json::to_vec(task).unwrap();
    let stdin = process.stdin.as_mut().unwrap();
    stdin.write_all(&u32::try_from(message.len()).unwrap().to_le_bytes()).unwrap();
    stdin.write_all(&message).unwrap();
    process.stdout.as_mut().unwrap().read_exact(&mut [0; 4]).unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.id())).unwrap();
    process.kill().unwrap();
    process.wait().unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max data size")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// A long value must not buy memory for a template or a schema.
#[test]
fn padding_gives_no_memory() {
    let after = |value: Value| {
        let (schema, value) = (Cow::Owned(json!({"type": "object"})), Cow::Owned(value));
        memory_limit_after(&Task::Violations { schema, value }) >> 20
    };
    assert_eq!(after(json!("short")), 60);
    let padded = after(json!("x".repeat(1 << 20)));
    assert!((60..64).contains(&padded), "{padded} MiB");
    let objects = after(Value::Array(vec![json!({"a": 1}); 130_000]));
    assert!((130..200).contains(&objects), "the value has its own memory: {objects} MiB");
}

/// The message of a task nests deeper than the value in it.
#[tokio::test]
async fn a_value_that_the_process_cannot_read_is_refused() {
    let checker = DefinitionChecker::start().unwrap();
    let nested = (0..126).fold(json!(1), |inner, _| json!([inner]));
    let judged = refused(checker.violations(UserId::generate(), &json!({"type": "array"}), &nested)).await;
    assert!(judged.unwrap().contains("cannot be read"));
}

/// Renders a template that is ended after its processor time, once for each account.
async fn flood(
    checker: &DefinitionChecker,
    accounts: impl Iterator<Item = UserId>,
) -> Vec<tokio::task::JoinHandle<()>> {
    let slow = "{% for a in range(9000) %}{{ ('x' * 900000) | replace('x', 'yy') | length }}{% endfor %}";
    let floods = accounts.map(|account| {
        let checker = checker.clone();
        tokio::spawn(async move { drop(checker.render_prompt(account, slow, &json!({})).await) })
    });
    let floods = floods.collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    floods
}

/// H2: an account that keeps the checker busy waits for itself, not others for it.
#[tokio::test]
async fn a_busy_account_delays_no_other() {
    let (checker, hostile) = (DefinitionChecker::start().unwrap(), UserId::generate());
    let floods = flood(&checker, std::iter::repeat_n(hostile, 20)).await;
    for _ in 0..20 {
        definitions_of_others_are_served(&checker).await;
    }
    assert!(floods.iter().any(|flood| !flood.is_finished()), "the others were served meanwhile");
    floods.iter().for_each(tokio::task::JoinHandle::abort);
}

/// Each task that waits holds its input in memory. It ends when its client is gone.
#[tokio::test]
async fn an_account_has_few_tasks_at_once() {
    let (checker, hostile) = (DefinitionChecker::start().unwrap(), UserId::generate());
    let (mut floods, begun) = (Vec::new(), Instant::now());
    loop {
        floods.extend(flood(&checker, std::iter::repeat_n(hostile, REQUEST_TASKS)).await);
        let asked = Instant::now();
        match checker.check_prompt(hostile, "{{ a }}", &["a"]).await {
            Err(CheckError::Busy) => {
                assert!(asked.elapsed() < Duration::from_secs(1), "it does not wait");
                break;
            }
            // On a busy machine, a task may be over before this one asks.
            other => assert!(begun.elapsed() < PATIENCE, "{other:?}"),
        }
    }
    definitions_of_others_are_served(&checker).await;
    floods.iter().for_each(tokio::task::JoinHandle::abort);
    let begun = Instant::now();
    while !lock(&checker.pool.turns).is_empty() {
        assert!(begun.elapsed() < PATIENCE, "tasks end with their callers, and leave nothing");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    checker.check_prompt(hostile, "{{ a }}", &["a"]).await.unwrap();
}

/// A process that something else ended says nothing about the definition.
#[tokio::test]
async fn a_killed_process_is_replaced() {
    let checker = DefinitionChecker::start().unwrap();
    definitions_of_others_are_served(&checker).await;
    for (process, _) in lock(&checker.pool.idle).iter_mut() {
        process.kill();
    }
    definitions_of_others_are_served(&checker).await;
}

/// Costly accounts share one place, so that many of them leave the other places free.
#[tokio::test]
async fn many_costly_accounts_delay_no_other() {
    let checker = DefinitionChecker::start().unwrap();
    let accounts: Vec<_> = (0..12).map(|_| UserId::generate()).collect();
    for account in &accounts {
        checker.pool.note_costly(*account);
    }
    let floods = flood(&checker, accounts.into_iter()).await;
    for _ in 0..20 {
        definitions_of_others_are_served(&checker).await;
    }
    assert!(floods.iter().filter(|flood| !flood.is_finished()).count() > 6, "they wait for each other");
    floods.iter().for_each(tokio::task::JoinHandle::abort);
}

/// A whole answer of a model may have a hundred thousand small objects.
#[tokio::test]
async fn a_large_answer_of_small_objects_is_judged() {
    let checker = DefinitionChecker::start().unwrap();
    let value = Value::Array(vec![json!({"a": 1}); 130_000]);
    let schema = json!({"type": "array"});
    let judged = checker.violations(UserId::generate(), &schema, &value).await;
    assert!(judged.unwrap().is_empty());
    definitions_of_others_are_served(&checker).await;
}

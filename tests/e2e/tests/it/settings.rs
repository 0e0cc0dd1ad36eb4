//! deploy/env.example lists every setting; an empty one counts as not set, and a wrong one is refused by
//! name.

use std::collections::BTreeSet;
use std::process::Command;

use e2e::bin_dir;

fn help(program: &str, arguments: &[&str]) -> String {
    let output =
        Command::new(bin_dir().join(program)).args(arguments).arg("--help").env_clear().output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn env_example_is_complete() {
    let commands: [(&str, &[&str]); 13] = [
        ("gateway", &["serve"]),
        ("gateway", &["migrate"]),
        ("gateway", &["user", "create"]),
        ("gateway", &["user", "set-plan"]),
        ("gateway", &["user", "set-password"]),
        ("gateway", &["key", "create"]),
        ("gateway", &["app", "import"]),
        ("gateway", &["webhook-secret", "show"]),
        ("gateway", &["queue", "dead", "list"]),
        ("gateway", &["store", "sweep"]),
        ("gateway", &["models", "check"]),
        ("run-worker", &[]),
        ("webhook-dispatcher", &[]),
    ];
    let mut taken = BTreeSet::new();
    for (program, arguments) in commands {
        let text = help(program, arguments);
        let names =
            text.split("[env: ").skip(1).filter_map(|rest| rest.split(['=', ']']).next()).map(str::to_owned);
        taken.extend(names);
    }
    assert!(taken.contains("CAPI_DATABASE_URL"), "the help texts are read: {taken:?}");
    assert_eq!(listed(), taken);
}

/// The names in deploy/env.example.
fn listed() -> BTreeSet<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/env.example");
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('=')).map(|(name, _)| name.to_owned()).collect()
}

/// Its shape is checked by `make check`.
#[test]
fn the_compose_file_names_settings_that_exist() {
    let file =
        |name: &str| std::fs::read_to_string(format!("{}/../../{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let (example, compose) = (file("deploy/env.example"), file("docker-compose.yml"));
    let keys: BTreeSet<_> = compose
        .lines()
        .filter_map(|line| line.trim().split_once(": ").map(|(key, _)| key))
        .filter(|key| key.starts_with("CAPI_"))
        .collect();
    assert!(keys.len() > 12, "the file is read: {keys:?}");
    for key in keys {
        assert!(example.lines().any(|line| line.starts_with(&format!("{key}="))), "{key}");
    }
}

#[test]
fn an_empty_setting_is_one_that_is_not_set() {
    let commands: [(&str, &[&str], &str); 5] = [
        ("gateway", &["serve"], "no database connection"),
        (
            "gateway",
            &["user", "create", "--email", "a@example.com", "--plan", "none", "--password-stdin"],
            "known are: free, pro, team",
        ),
        ("gateway", &["migrate"], "--database-url"),
        ("run-worker", &[], "CAPI_MODELS: cannot read /nowhere.toml"),
        ("webhook-dispatcher", &[], "set CAPI_SECRET_KEY or CAPI_SECRET_KEY_FILE"),
    ];
    let required = [
        ("CAPI_DATABASE_URL", "postgres://127.0.0.1:9/x"),
        ("CAPI_AMQP_URL", "amqp://127.0.0.1:9"),
        ("CAPI_MODELS", "/nowhere.toml"),
    ];
    for (program, arguments, says) in commands {
        let needs_nothing = arguments == ["migrate"];
        let given = required.into_iter().filter(|_| !needs_nothing);
        let output = Command::new(bin_dir().join(program))
            .args(arguments)
            .env_clear()
            .envs(listed().into_iter().map(|name| (name, "")))
            .envs(given)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(says), "{program} {arguments:?}: {said}");
    }
}

#[test]
fn a_wrong_setting_is_refused_by_its_name() {
    let database =
        [("CAPI_DATABASE_URL", "postgres://127.0.0.1:9/x"), ("CAPI_AMQP_URL", "amqp://127.0.0.1:9")];
    let cases = [
        ("run-worker", "CAPI_MODELS", "/nowhere.toml", "CAPI_MODELS: cannot read /nowhere.toml"),
        ("webhook-dispatcher", "CAPI_SECRET_KEY", "c2hvcnQ=", "CAPI_SECRET_KEY must be 32 random bytes"),
    ];
    for (program, name, value, says) in cases {
        let output = Command::new(bin_dir().join(program))
            .env_clear()
            .envs(database)
            .env(name, value)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(says), "{program}: {said}");
        assert!(name != "CAPI_SECRET_KEY" || !said.contains(value), "a secret's value is not shown: {said}");
    }
}

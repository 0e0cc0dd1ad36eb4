use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;
use shared::testing::property::{check_inputs, repeated};

use super::*;

/// Texts that mean something in one of the languages, in YAML, or to GitHub and GitLab.
const HOSTILE: &[&str] = &[
    "'",
    "\"",
    "\\",
    "$",
    "${{ secrets.X }}",
    "}}",
    "$HOME",
    "$(id)",
    "`id`",
    "\n",
    "\r\n",
    "\t",
    "%",
    "# ",
    ": ",
    "- ",
    "&a",
    "*a",
    "|",
    "!",
    "é",
    "漢",
    "\u{1f600}",
    "\u{2028}",
    "\u{202e}",
    "\u{85}",
    "\u{7f}",
    "\u{feff}",
    "\u{fffe}",
    "\\u0024",
    "'''",
    "\"\"\"",
    "<%",
    "<: x :>",
    "</pre>",
    "EOF",
    "-->",
];
/// Prints the inputs that Python code (the first argument) and two YAML files hold, as JSON.
const PYTHON_CHECK: &str = r#"
import ast, json, sys, yaml
code, github, gitlab = json.load(sys.stdin)
compile(code, "snippet", "exec")
found = [ast.literal_eval(line.value) for line in ast.parse(code).body
         if isinstance(line, ast.Assign) and getattr(line.targets[0], "id", "") == "INPUTS"]
env = yaml.safe_load(github)["jobs"]["capi"]["steps"][1]["env"]
assert "$" not in env["CAPI_INPUTS"] + env["CAPI_URL"] + env["CAPI_APP"], "GitHub replaces ${{ }}"
variables = yaml.safe_load(gitlab)["capi"]["variables"]
assert "$" not in "".join(variables.values()), "GitLab replaces variables"
found += [json.loads(env["CAPI_INPUTS"]), json.loads(variables["CAPI_INPUTS"])]
json.dump(found, sys.stdout)
"#;
const NODE_CHECK: &str = r#"
const code = require("fs").readFileSync(0, "utf8");
const line = code.split("\n").find((line) => line.startsWith("const inputs = "));
process.stdout.write(JSON.stringify(new Function(`${line} return inputs`)()));
"#;

fn app(inputs: &Value) -> AppDefinition {
    serde_json::from_value(json!({"name": "a", "prompt": "p", "tools": ["python"], "inputs": inputs}))
        .unwrap()
}

fn code(app: &AppDefinition, id: &str) -> String {
    let mut all = snippets("https://capi.example.com/", "APP", app).unwrap();
    all.retain(|snippet| snippet.id == id);
    all.pop().unwrap().code
}

/// What a program prints that reads `input`.
fn printed(program: &str, arguments: &[&str], input: &str) -> Result<String, String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{program}: {error}"))?;
    let written = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if written.is_err() || !output.status.success() {
        return Err(format!("{program}: {said}"));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("{program}: {error}"))
}

/// The Python that has PyYAML. `make test` installs it.
const PYTHON_WITH_YAML: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../.local/schemathesis/bin/python");

#[test]
fn every_language_reads_the_inputs_unchanged() {
    let node = std::env::var("CAPI_NODE").unwrap_or_else(|_| "node".to_owned());
    check_inputs("snippets", repeated(HOSTILE, 4096), |text| {
        let app = app(&json!([
            {"name": "text", "type": "text", "default": text, "label": text},
            {"name": "plain", "type": "text", "label": text},
            {"name": "choice", "type": "select", "options": [text]},
            {"name": "n", "type": "number", "default": -1.5e300},
            {"name": "b", "type": "boolean", "default": false},
        ]));
        let expected = values(&app);
        let is_same = |language: &str, found: &str| {
            let found: Value = serde_json::from_str(found).map_err(|error| format!("{language}: {error}"))?;
            if found == expected { Ok(()) } else { Err(format!("{language}: {found} for {expected}")) }
        };
        let bash = code(&app, "curl");
        printed("bash", &["-n"], &bash)?;
        let (top, _) = bash.split_once("\nfor program in").unwrap();
        is_same("bash", &printed("bash", &[], &format!("{top}\nprintf %s \"$inputs\"\n"))?)?;
        let others = json!([code(&app, "python"), code(&app, "github"), code(&app, "gitlab")]).to_string();
        let found: Vec<Value> =
            serde_json::from_str(&printed(PYTHON_WITH_YAML, &["-c", PYTHON_CHECK], &others)?).unwrap();
        assert_eq!(found.len(), 3);
        for (language, found) in ["Python", "GitHub", "GitLab"].into_iter().zip(found) {
            is_same(language, &found.to_string())?;
        }
        is_same("JavaScript", &printed(&node, &["-e", NODE_CHECK], &code(&app, "javascript"))?)
    });
}

#[test]
fn a_long_default_is_cut() {
    let app = app(&json!([{"name": "t", "type": "text", "default": "'".repeat(60_000)}]));
    assert!(code(&app, "curl").len() < 6000);
    assert!(code(&app, "python").contains("'…"));
}

#[test]
fn files_have_a_path_to_replace_and_are_no_inputs() {
    let app = app(&json!([
        {"name": "table", "type": "file"},
        {"name": "extra", "label": "Photo of it", "type": "file"},
        {"name": "n", "type": "number"},
    ]));
    assert_eq!(values(&app), json!({"n": 42}));
    assert_eq!(
        sample_inputs(&app.inputs),
        json!({"table": "inputs/table.csv", "extra": "inputs/extra.png", "n": 42})
    );
    for (id, line) in [
        ("curl", "table_file='table.csv'  # replace"),
        ("curl", "-F \"table=@\\\"$table_file\\\"\""),
        ("python", "\n    \"table\": \"table.csv\",\n    \"extra\": \"extra.png\",\n}"),
        ("javascript", "\n  \"table\": \"table.csv\",\n  \"extra\": \"extra.png\",\n};"),
        ("github", "            table=table.csv\n            extra=extra.png\n"),
        ("gitlab", "      table=table.csv\n      extra=extra.png\n"),
    ] {
        assert!(code(&app, id).contains(line), "{id}: {}", code(&app, id));
    }
}

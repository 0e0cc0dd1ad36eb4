//! Examples of programs that run an app. Pure.

use serde_json::{Map, Value, json};
use shared::apps::{AppDefinition, InputField, InputType};

/// Characters of a text in an example.
const MAX_SAMPLE_CHARS: usize = 200;

/// One way to call the API.
pub(crate) struct Snippet {
    pub(crate) id: &'static str,
    pub(crate) label: &'static str,
    pub(crate) code: String,
}

/// A sample value for each field.
pub(crate) fn sample_inputs(fields: &[InputField]) -> Value {
    let sample = |field: &InputField| match (&field.default, field.r#type) {
        (Some(default), _) => Some(default.clone()),
        (None, InputType::Text) => {
            Some(json!(format!("A {}", field.label.as_ref().unwrap_or(&field.name).to_lowercase())))
        }
        (None, InputType::Number) => Some(json!(42)),
        (None, InputType::Boolean) => Some(json!(true)),
        (None, InputType::Select) => field.options.first().map(|option| json!(option)),
        (None, InputType::File) => None,
    };
    let pairs = fields.iter().filter_map(|field| Some((field.name.clone(), sample(field)?)));
    Value::Object(pairs.collect::<Map<_, _>>())
}

/// Examples that run this app at the installation's address. They read the key from the environment, so that
/// it is in no file.
pub(crate) fn snippets(base: &str, app_id: &str, app: &AppDefinition) -> Vec<Snippet> {
    let runs = format!("{}/api/v1/apps/{app_id}/runs", base.trim_end_matches('/'));
    let mut inputs = sample_inputs(&app.inputs);
    inputs.as_object_mut().into_iter().flatten().for_each(|(_, value)| shorten(value));
    let files: Vec<&str> = app
        .inputs
        .iter()
        .filter(|field| field.r#type == InputType::File)
        .map(|field| field.name.as_str())
        .collect();
    let codes = [
        ("curl", "curl", curl(&runs, &inputs, &files)),
        ("python", "Python", python(&runs, &inputs, &files)),
        ("javascript", "JavaScript", javascript(&runs, &inputs, &files)),
        ("github", "GitHub Action", github(&runs, &inputs, &files)),
    ];
    codes.into_iter().map(|(id, label, code)| Snippet { id, label, code }).collect()
}

/// Cuts a long text: each quote in it takes many bytes in each example.
fn shorten(value: &mut Value) {
    if let Value::String(text) = value
        && text.chars().nth(MAX_SAMPLE_CHARS).is_some()
    {
        *text = text.chars().take(MAX_SAMPLE_CHARS).chain(['…']).collect();
    }
}

/// The text in single quotes, for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn curl(runs: &str, inputs: &Value, files: &[&str]) -> String {
    let head =
        format!("curl -sS {runs} \\\n  -H \"Authorization: Bearer $CAPI_API_KEY\" -H 'Prefer: wait=50' \\\n");
    if files.is_empty() {
        let body = quoted(&json!({ "inputs": inputs }).to_string());
        return format!("{head}  -H 'Content-Type: application/json' \\\n  -d {body}");
    }
    let parts: Vec<_> = files.iter().map(|file| format!(" -F {file}=@{file}.csv")).collect();
    format!("{head}  -F inputs={}{}", quoted(&inputs.to_string()), parts.concat())
}

fn python(runs: &str, inputs: &Value, files: &[&str]) -> String {
    let send = if files.is_empty() {
        format!("json={{\"inputs\": json.loads({})}},", python_text(&inputs.to_string()))
    } else {
        let files: Vec<_> =
            files.iter().map(|file| format!("\"{file}\": open(\"{file}.csv\", \"rb\")")).collect();
        format!(
            "data={{\"inputs\": {}}},\n    files={{{}}},",
            python_text(&inputs.to_string()),
            files.join(", ")
        )
    };
    format!(
        r#"import json, os, requests

response = requests.post(
    "{runs}",
    headers={{"Authorization": "Bearer " + os.environ["CAPI_API_KEY"], "Prefer": "wait=50"}},
    {send}
    timeout=60,
)
response.raise_for_status()
run = response.json()
print(run["status"], run.get("result"))"#
    )
}

/// The text as a Python string: JSON strings are Python strings.
fn python_text(text: &str) -> String {
    json!(text).to_string()
}

fn javascript(runs: &str, inputs: &Value, files: &[&str]) -> String {
    let (before, headers, body) = if files.is_empty() {
        (
            String::new(),
            ", \"Content-Type\": \"application/json\"",
            format!("JSON.stringify({})", json!({ "inputs": inputs })),
        )
    } else {
        let appended: Vec<_> = files
            .iter()
            .map(|file| {
                format!("form.append(\"{file}\", await openAsBlob(\"{file}.csv\"), \"{file}.csv\");\n")
            })
            .collect();
        let form = format!(
            r#"import {{ openAsBlob }} from "node:fs";

const form = new FormData();
form.append("inputs", JSON.stringify({inputs}));
{}
"#,
            appended.concat()
        );
        (form, "", "form".to_owned())
    };
    format!(
        r#"{before}const response = await fetch("{runs}", {{
  method: "POST",
  headers: {{ Authorization: `Bearer ${{process.env.CAPI_API_KEY}}`, Prefer: "wait=50"{headers} }},
  body: {body},
}});
if (!response.ok) throw new Error(await response.text());
const run = await response.json();
console.log(run.status, run.result);"#
    )
}

fn github(runs: &str, inputs: &Value, files: &[&str]) -> String {
    let call: Vec<_> = curl(runs, inputs, files).lines().map(|line| format!("          {line}")).collect();
    format!(
        r"# .github/workflows/capi.yml; the key is a secret of the repository
on: push
jobs:
  capi:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - env:
          CAPI_API_KEY: ${{{{ secrets.CAPI_API_KEY }}}}
        run: |
{}",
        call.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(app: &str, id: &str) -> String {
        let app: AppDefinition = toml::from_str(app).unwrap();
        let mut all = snippets("https://capi.example.com/", "APP", &app);
        all.retain(|snippet| snippet.id == id);
        all.pop().unwrap().code
    }

    #[test]
    fn a_snippet_has_the_apps_id_and_fields() {
        let app = r#"
            name = "a"
            prompt = "p"
            [[inputs]]
            name = "text"
            label = "Ada's text"
            type = "text"
            [[inputs]]
            name = "n"
            type = "number"
            default = 3
        "#;
        insta::assert_snapshot!(code(app, "curl"), @r#"
        curl -sS https://capi.example.com/api/v1/apps/APP/runs \
          -H "Authorization: Bearer $CAPI_API_KEY" -H 'Prefer: wait=50' \
          -H 'Content-Type: application/json' \
          -d '{"inputs":{"n":3,"text":"A ada'\''s text"}}'
        "#);
        insta::assert_snapshot!(code(app, "python"), @r#"
        import json, os, requests

        response = requests.post(
            "https://capi.example.com/api/v1/apps/APP/runs",
            headers={"Authorization": "Bearer " + os.environ["CAPI_API_KEY"], "Prefer": "wait=50"},
            json={"inputs": json.loads("{\"n\":3,\"text\":\"A ada's text\"}")},
            timeout=60,
        )
        response.raise_for_status()
        run = response.json()
        print(run["status"], run.get("result"))
        "#);
    }

    #[test]
    fn a_long_default_is_cut() {
        let app = format!(
            "name='a'\nprompt='p'\n[[inputs]]\nname='t'\ntype='text'\ndefault=\"{}\"",
            "'".repeat(60_000)
        );
        assert!(code(&app, "curl").len() < 2000);
        assert!(code(&app, "python").contains("'…"));
    }

    #[test]
    fn files_go_along_as_a_form() {
        let app = "name='a'\nprompt='p'\ntools=['python']\n[[inputs]]\nname='table'\ntype='file'";
        assert!(code(app, "curl").ends_with("-F inputs='{}' -F table=@table.csv"));
        assert!(code(app, "javascript").contains("form.append(\"table\", await openAsBlob(\"table.csv\")"));
        assert!(code(app, "github").contains("          curl -sS"));
    }
}

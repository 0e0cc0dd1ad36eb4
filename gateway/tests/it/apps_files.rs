//! Apps as files: read as TOML, changed and created as TOML or JSON, archived.

use e2e::accounts::{EMAIL, NewKey, Scope};
use e2e::{Answer, Gateway, Stack, repeated_while};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::app::TestApp;

/// A gateway, and an account's key with all scopes.
struct Files {
    stack: Stack,
    gateway: TestApp,
    key: String,
}

impl Files {
    async fn start() -> Self {
        Self::of(Stack::unlimited().await).await
    }

    async fn of(stack: Stack) -> Self {
        let gateway = TestApp::start(&stack).await;
        let key = stack.create_key_with_all_scopes(EMAIL).await;
        Self { stack, gateway, key }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}/api/v1/apps{path}", self.gateway.url());
        self.stack.client().request(method, url).bearer_auth(&self.key)
    }

    async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    async fn toml_of(&self, app: &str) -> String {
        let response = self.get(&format!("/{app}?format=toml")).await;
        assert_eq!(response.status(), 200);
        response.text().await.unwrap()
    }

    async fn put(&self, app: &str, if_match: &str, file: &str) -> Answer {
        taken(async || {
            let request = self.request(Method::PUT, &format!("/{app}")).header("if-match", if_match);
            self.stack.send(request.header("content-type", "application/toml").body(file.to_owned())).await
        })
        .await
    }

    async fn create(&self, file: &str) -> Answer {
        taken(async || {
            let request = self.request(Method::POST, "").header("content-type", "application/toml");
            self.stack.send(request.body(file.to_owned())).await
        })
        .await
    }

    async fn count(&self, sql: &str) -> String {
        self.stack.text(&format!("SELECT count(*)::text AS text FROM {sql}")).await
    }
}

/// Sends a file until the gateway takes it: it checks few files of an account at once, and others must wait.
async fn taken(send: impl AsyncFnMut() -> Answer) -> Answer {
    repeated_while(&[429, 503], send).await
}

fn app_of(answer: &Answer) -> String {
    answer.body["id"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_trip_changes_nothing_and_a_change_is_a_version() {
    let files = Files::start().await;
    for sample in ["summarise", "extract", "chart", "fix", "invoice", "slides"] {
        let path = format!("{}/../deploy/apps/{sample}.toml", env!("CARGO_MANIFEST_DIR"));
        let created = files.create(&std::fs::read_to_string(path).unwrap()).await;
        assert_eq!(created.status, 201, "{sample}: {created:?}");
        let app = app_of(&created);
        assert_eq!(created.headers["location"], format!("/api/v1/apps/{app}"));
        let response = files.get(&format!("/{app}?format=toml")).await;
        assert_eq!(
            (&response.headers()["content-type"], &response.headers()["etag"]),
            (&"application/toml".parse().unwrap(), &"\"1\"".parse().unwrap())
        );
        let file = response.text().await.unwrap();
        let same = files.put(&app, "\"1\"", &file).await;
        assert_eq!((same.status, &same.body["version"]), (200, &json!(1)), "{sample}: {same:?}");
        assert_eq!(files.toml_of(&app).await, file);
    }
    let app = files.stack.app.to_string();
    let file = files.toml_of(&app).await;
    let changed = file.replace("{{ text }}", "Say: {{ text }}");
    let put = files.put(&app, "\"1\"", &changed).await;
    assert_eq!((put.status, &put.body["version"]), (200, &json!(2)), "{put:?}");
    assert_eq!(files.toml_of(&app).await, changed);
    let again = files.put(&app, "\"1\"", &changed).await;
    assert_eq!((again.status, &again.body["version"]), (200, &json!(2)), "sent twice: {again:?}");
    let audit = "audit_log l JOIN api_keys k ON l.actor = 'API key ' || k.id
                 WHERE k.name = 'all scopes' AND l.action = 'app_changed'";
    assert_eq!(files.count(audit).await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_overwrites_no_other_change() {
    let files = Files::start().await;
    let app = files.stack.app.to_string();
    let file = files.toml_of(&app).await;
    let version = |number: usize| file.replace("{{ text }}", &format!("{number}: {{{{ text }}}}"));
    let puts = (0..8).map(|number| {
        let file = version(number);
        let files = &files;
        let app = &app;
        async move { files.put(app, "\"1\"", &file).await }
    });
    let answers = futures_util::future::join_all(puts).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1, "{answers:?}");
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!((refused.status, &refused.body["code"]), (412, &json!("app_changed")), "{refused:?}");
        assert_eq!(refused.body["currentVersion"], 2);
        assert_eq!(refused.headers["etag"], "\"2\"");
    }
    assert_eq!(files.put(&app, "\"3\", \"x\"", &version(20)).await.status, 412);
    for (if_match, expected) in [("W/\"2\"", 3), ("\"1\", \"3\"", 4), ("*", 5)] {
        let put = files.put(&app, if_match, &version(20 + expected)).await;
        assert_eq!((put.status, &put.body["version"]), (200, &json!(expected)), "{if_match}: {put:?}");
    }
    let response =
        files.request(Method::GET, &format!("/{app}?format=toml")).header("if-none-match", "\"5\"");
    assert_eq!(response.send().await.unwrap().status(), 304);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_chooses_the_form() {
    let files = Files::start().await;
    let app = files.stack.app.to_string();
    let accepted = async |accept: &str| {
        let response = files.request(Method::GET, &format!("/{app}")).header("accept", accept);
        response.send().await.unwrap().headers()["content-type"].to_str().unwrap().to_owned()
    };
    assert_eq!(accepted("application/toml").await, "application/toml");
    assert_eq!(accepted("application/json, application/toml;q=0.1").await, "application/json");
    assert_eq!(accepted("*/*").await, "application/json");
    let file = json!({
        "name": "As JSON", "prompt": "{{ text }}",
        "inputs": [{"name": "text", "type": "select", "options": ["a"], "default": "a"}],
        "output": {"schema": {"type": ["object", "null"]}}, "limits": {"steps": 2},
    });
    let created = files.stack.send(files.request(Method::POST, "").json(&file)).await;
    assert_eq!((created.status, &created.body["limits"]["steps"]), (201, &json!(2)), "{created:?}");
    let toml = files.toml_of(&app_of(&created)).await;
    let read: Value = toml::from_str(&toml).unwrap();
    assert_eq!(
        (&read["inputs"][0]["options"], &read["limits"]),
        (&json!(["a"]), &json!({"steps": 2})),
        "{toml}"
    );
    let put = files.request(Method::PUT, &format!("/{}", app_of(&created))).header("if-match", "\"1\"");
    let same = files.stack.send(put.json(&file)).await;
    assert_eq!((same.status, &same.body["version"]), (200, &json!(1)), "JSON and TOML are one definition");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_may_be_sent_again_and_names_are_unique() {
    let files = Files::start().await;
    let file = "name = 'One'\nprompt = 'p'";
    let creates = futures_util::future::join_all((0..6).map(|_| files.create(file))).await;
    assert_eq!(creates.iter().filter(|answer| answer.status == 201).count(), 1, "{creates:?}");
    assert!(creates.iter().all(|answer| [200, 201].contains(&answer.status)));
    let app = app_of(&creates[0]);
    assert!(creates.iter().all(|answer| app_of(answer) == app));
    let taken = files.create("name = 'One'\nprompt = 'other'").await;
    assert_eq!((taken.status, &taken.body["code"]), (409, &json!("app_name_taken")), "{taken:?}");
    assert_eq!(taken.body["errors"][0]["pointer"], "/name");
    let renamed = files.put(&app, "*", "name = 'Echo'\nprompt = 'p'").await;
    assert_eq!((renamed.status, &renamed.body["code"]), (409, &json!("app_name_taken")), "{renamed:?}");

    let archive = || files.stack.send(files.request(Method::POST, &format!("/{app}/archive")));
    for _ in 0..2 {
        let archived = archive().await;
        assert_eq!((archived.status, &archived.body["archived"]), (200, &json!(true)), "{archived:?}");
    }
    assert_eq!(files.count("audit_log WHERE action = 'app_archived'").await, "1");
    let second = files.create(file).await;
    assert_eq!(second.status, 201, "the name is free again: {second:?}");
    assert_ne!(app_of(&second), app);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_has_its_field_and_nothing_is_stored() {
    let files = Files::start().await;
    let file = "name = ''\nprompt = '{{ x }}'\ncolour = 1\ntools = ['telephone']\n\
                [[inputs]]\nname = '1'\ntype = 'text'\n[limits]\nsteps = 0\n[fetch]\nhosts = ['*']\n";
    let refused = files.create(file).await;
    assert_eq!((refused.status, &refused.body["code"]), (400, &json!("invalid_app")), "{refused:?}");
    let errors = refused.body["errors"].as_array().unwrap();
    let pointers: Vec<_> = errors.iter().filter_map(|error| error["pointer"].as_str()).collect();
    let expected = ["/colour", "/name", "/prompt", "/inputs/0", "/tools", "/limits/steps", "/fetch/hosts"];
    assert_eq!(pointers, expected, "{refused:?}");
    let put = files.put(&files.stack.app.to_string(), "*", "name = 'a'\nprompt = 3").await;
    assert_eq!((put.status, &put.body["errors"][0]["pointer"]), (400, &json!("/prompt")), "{put:?}");
    assert!(put.body["detail"].as_str().unwrap().starts_with("line 2, column "), "{put:?}");
    let many = (0..5000).map(|number| format!("k{number} = 1\n")).collect::<Vec<_>>().concat();
    let many = files.create(&format!("name = 'a'\nprompt = 'b'\n{many}")).await;
    assert!(many.body.to_string().len() < 16 * 1024);
    assert_eq!(files.count("app_versions").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_for_one_app_changes_that_app_alone() {
    let mut files = Files::start().await;
    let other = files.stack.import("name = 'Other'\nprompt = 'x'").await;
    let scopes = Scope::ALL.into_iter().collect();
    let own = files.stack.app;
    let bound = NewKey { name: "bound".to_owned(), app: Some(own), days: None, scopes };
    files.key = files.stack.try_create_key(&bound).await.unwrap();
    let file = files.toml_of(&own.to_string()).await;
    assert_eq!(files.put(&own.to_string(), "*", &file).await.status, 200);
    assert_eq!(files.put(&other, "*", &file).await.status, 404);
    let archive = files.request(Method::POST, &format!("/{other}/archive"));
    assert_eq!(files.stack.send(archive).await.status, 404);
    let created = files.create("name = 'New'\nprompt = 'x'").await;
    assert_eq!((created.status, &created.body["code"]), (403, &json!("key_for_one_app")), "{created:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_bounds_limits_and_versions() {
    let plan = "[plans.small]\napi = true\nrequests_per_minute = 10000\napi_keys = 10\nrunning_runs = 1\n\
                max_steps = 5\nmax_stored_bytes = 9000\n";
    let files = Files::of(Stack::create("small", plan).await).await;
    let app = files.stack.app.to_string();
    let greedy = files.put(&app, "*", "name = 'a'\nprompt = 'b'\n[limits]\nsteps = 6").await;
    assert_eq!((greedy.status, &greedy.body["code"]), (400, &json!("invalid_app")), "{greedy:?}");
    assert_eq!(greedy.body["errors"][0]["pointer"], "/limits/steps");
    let with = |prompt: &str| format!("name = 'a'\nprompt = '{prompt}'\n[limits]\nsteps = 5");
    assert_eq!(files.put(&app, "*", &with("b")).await.status, 200);
    let full = files.put(&app, "*", &with("c")).await;
    assert_eq!((full.status, &full.body["quota"]), (409, &json!("maxStoredBytes")), "{full:?}");
    let same = files.put(&app, "*", &with("b")).await;
    assert_eq!((same.status, &same.body["version"]), (200, &json!(2)), "no new version, no quota: {same:?}");
}

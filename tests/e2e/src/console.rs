//! The console: signing in with a browser, and sending its forms without one.

use serde_json::json;
use shared::testing::eventually;

pub use crate::accounts::EMAIL;
use crate::accounts::PASSWORD;
use crate::address::Gateway;
use crate::answer::Answer;
use crate::browser::Browser;
use crate::process::{Process, Service};
use crate::stack::Stack;

/// A session without a browser.
#[derive(Debug, Clone)]
pub struct Session {
    /// `name=value`
    pub cookie: String,
    /// The token that every form sends.
    pub form_token: String,
}

/// The browser ends a script after a minute.
const PAINT: &str = "for (;;) {
    const paint = performance.getEntriesByName('first-contentful-paint')[0];
    if (paint) return paint.startTime;
    await new Promise((done) => setTimeout(done, 10));
}";
const WEIGHT: &str =
    "return performance.getEntriesByType('navigation').concat(performance.getEntriesByType('resource'))
    .reduce((sum, entry) => sum + entry.decodedBodySize, 0)";

impl Browser {
    /// Milliseconds until the page's first paint.
    pub async fn first_paint(&self) -> f64 {
        self.eval_async(PAINT).await.as_f64().expect("the page was painted")
    }

    /// Bytes of the page with everything that it loaded, uncompressed.
    pub async fn weight(&self) -> u64 {
        self.eval(WEIGHT).await.as_u64().expect("a sum")
    }
}

impl Stack {
    /// Starts a gateway process whose console has sessions.
    pub async fn start_console(&self) -> Process {
        self.start_with(Service::Gateway, "CAPI_PUBLIC_URL", "http://localhost").await
    }

    /// Signs in with a browser.
    pub async fn sign_in(&self, browser: &Browser, gateway: &impl Gateway, email: &str) {
        self.sign_in_at(browser, &gateway.url(), email).await;
    }

    /// The same at another address of the console.
    pub async fn sign_in_at(&self, browser: &Browser, address: &str, email: &str) {
        browser.open(&format!("{address}/sign-in")).await;
        browser.fill("[name=email]", email).await;
        browser.fill("[name=password]", PASSWORD).await;
        browser.submit("main form").await;
        browser.wait_for_text("h1", "Apps").await;
    }

    /// Signs in without a browser.
    pub async fn session(&self, gateway: &impl Gateway, email: &str) -> Session {
        let form = [("email", email), ("password", PASSWORD)];
        let answer = self.form(gateway, "/sign-in", None, &form).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        let cookie = answer.headers["set-cookie"].to_str().expect("a cookie is text");
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        let page = self.page(gateway, "/apps", &cookie).await.1;
        let (_, rest) = page.split_once("name=\"form_token\" value=\"").expect("a page has a form");
        let form_token = rest.split('"').next().unwrap_or_default().to_owned();
        Session { cookie, form_token }
    }

    /// GETs a page; its status and text. A request that a busy gateway answers 503 is sent again.
    pub async fn page(&self, gateway: &impl Gateway, path: &str, cookie: &str) -> (u16, String) {
        eventually("an answer other than 503", async || {
            Some(self.page_once(gateway, path, cookie).await).filter(|(status, _)| *status != 503)
        })
        .await
    }

    /// The same, sent once: where requests are timed.
    pub async fn page_once(&self, gateway: &impl Gateway, path: &str, cookie: &str) -> (u16, String) {
        let url = format!("{}{path}", gateway.url());
        let request = self.client().get(url).header("cookie", cookie);
        let response = request.send().await.expect("the gateway answers");
        (response.status().as_u16(), response.text().await.expect("the body comes"))
    }

    /// POSTs a form with the headers of one of our own pages.
    pub async fn form(
        &self,
        gateway: &impl Gateway,
        path: &str,
        session: Option<&Session>,
        fields: &[(&str, &str)],
    ) -> Answer {
        let origin = gateway.url();
        self.form_from(
            gateway,
            path,
            session,
            fields,
            &[("origin", &origin), ("sec-fetch-site", "same-origin")],
        )
        .await
    }

    /// The same; the status and the text of the page.
    pub async fn form_page(
        &self,
        gateway: &impl Gateway,
        path: &str,
        session: &Session,
        fields: &[(&str, &str)],
    ) -> (u16, String) {
        let origin = gateway.url();
        let request = form_request(gateway, path, Some(session), fields, &[("origin", &origin)]);
        let response = request.send().await.expect("the gateway answers");
        (response.status().as_u16(), response.text().await.expect("the body comes"))
    }

    /// POSTs a form with these headers.
    pub async fn form_from(
        &self,
        gateway: &impl Gateway,
        path: &str,
        session: Option<&Session>,
        fields: &[(&str, &str)],
        headers: &[(&'static str, &str)],
    ) -> Answer {
        self.send(form_request(gateway, path, session, fields, headers)).await
    }

    /// Creates a run with this key; its id.
    pub async fn run_with_key(&self, gateway: &impl Gateway, key: &str, text: &str) -> String {
        let body = json!({"inputs": {"text": text}});
        self.create_run_at(gateway, &format!("/api/v1/apps/{}/runs", self.app), key, &body).await
    }

    /// Writes a completed run with this many events, as a worker writes them.
    pub async fn run_of_many_events(&self, id: &str, events: u32) {
        let sql = format!(
            "WITH made AS (
                 INSERT INTO runs (id, user_id, app_id, app_version_id, source, status, title, inputs, \
                 chat_model_id, metadata, created_at, started_at, completed_at, last_seq, result)
                 SELECT '{id}', a.user_id, a.id, v.id, 'api', 'completed', 'Many events', '{{}}', \
                 'scripted', '{{}}', capi_now(), capi_now(), capi_now(), {events}, '{{\"text\": \"done\"}}'
                 FROM apps a JOIN app_versions v ON v.app_id = a.id WHERE a.id = '{}' RETURNING id)
             INSERT INTO run_events (run_id, seq, type, at, attempt, data)
             SELECT made.id, n, CASE WHEN n = 1 THEN 'run.created' WHEN n = {events} THEN 'run.completed' \
             WHEN n % 3 = 0 THEN 'message' WHEN n % 3 = 1 THEN 'tool.call' ELSE 'tool.result' END,
                 capi_now(), 1, CASE
                 WHEN n = 1 THEN '{{\"source\": \"api\"}}' WHEN n = {events} THEN '{{}}'
                 WHEN n % 3 = 0 THEN jsonb_build_object('role', 'assistant', 'finishReason', 'tool_calls',
                     'usage', '{{\"inputTokens\": 11, \"outputTokens\": 7}}'::jsonb,
                     'content', 'Answer **' || n || '** with `code` and [a link](https://example.com/' || n \
                     || ').')
                 ELSE jsonb_build_object('callId', md5('c' || (n - n % 3))::uuid, 'name', 'shell', 'step', \
                 n / 3)
                     || CASE WHEN n % 3 = 1 THEN jsonb_build_object('arguments', '{{\"script\": \"ls\"}}')
                        ELSE jsonb_build_object('content', repeat('line ' || n || E'\\n', 20), 'isError', \
                        false) END END
             FROM made, generate_series(1, {events}) n",
            self.app
        );
        self.database.run_sql(sql).await;
    }
}

fn form_request(
    gateway: &impl Gateway,
    path: &str,
    session: Option<&Session>,
    fields: &[(&str, &str)],
    headers: &[(&'static str, &str)],
) -> reqwest::RequestBuilder {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build();
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    if let Some(session) = session {
        form.append_pair("form_token", &session.form_token);
    }
    for (name, value) in fields {
        form.append_pair(name, value);
    }
    let mut request = client
        .expect("a client")
        .post(format!("{}{path}", gateway.url()))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.finish());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Some(session) = session {
        request = request.header("cookie", &session.cookie);
    }
    request
}

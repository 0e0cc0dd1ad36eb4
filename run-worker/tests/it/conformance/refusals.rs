//! Refusals with a status: what they mean, and whether the request is repeated.

use serde_json::{Value, json};

use super::case::{Case, KEY, anthropic, openai, responses};
use super::chat::{done, refusal};
use super::harness;
use super::server::Reply;
use super::{anthropic as claude, responses as items};

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_their_class() {
    let cases = [money(), keys(), contents(), requests(), rates(), outages(), addresses()];
    harness::run(cases.into_iter().flatten().collect()).await;
}

/// The refusal is final after one request.
fn is(name: &str, reply: Reply, code: &'static str, words: &'static str) -> Case {
    openai(name).replies([reply]).asked(1).fails(code, false, words)
}

/// The request is repeated.
fn again(name: &str, reply: Reply) -> Case {
    openai(name).replies([reply, done()]).asked(2)
}

/// An error of this code.
fn coded(status: u16, code: impl Into<Value>, message: &str) -> Reply {
    let code: Value = code.into();
    let error = json!({"message": message, "type": "error", "param": null, "code": code});
    Reply::json(status, &json!({"error": error}))
}

/// The operator's account has no credit.
fn money() -> Vec<Case> {
    let exceeded = "You exceeded your current quota, please check your plan and billing details.";
    let credits = "This request requires more credits, or fewer max_tokens. You requested up to 100 tokens.";
    let balance = "Your credit balance is too low to access the Anthropic API.";
    let paid = "model_quota_exceeded";
    vec![
        is("quota-of-openai", coded(429, "insufficient_quota", exceeded), paid, "quota"),
        is(
            "balance-of-deepseek",
            coded(402, "invalid_request_error", "Insufficient Balance"),
            paid,
            "balance",
        ),
        is("credits-of-openrouter", coded(402, 402, credits), paid, "credits"),
        is("payment-in-html", Reply::new(402, "text/html", "<h1>402</h1>"), paid, "402"),
        anthropic("credit-of-anthropic")
            .replies([claude::refusal(400, "invalid_request_error", balance)])
            .asked(1)
            .fails(paid, false, "credit"),
        responses("quota-of-responses")
            .replies([items::failed("insufficient_quota", exceeded)])
            .asked(1)
            .fails(paid, false, "quota"),
    ]
}

fn keys() -> Vec<Case> {
    let shown = format!("Incorrect API key provided: {KEY}.");
    let gemini = json!([{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key.",
        "status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}}]);
    let (auth, forbidden) = ("model_auth_failed", "Your API key does not have permission.");
    vec![
        is("key-refused", coded(401, "invalid_api_key", &shown), auth, "key"),
        is("key-refused-without-words", Reply::new(401, "text/plain", ""), auth, "401"),
        is("key-refused-by-gemini", Reply::json(400, &gemini), auth, "key"),
        is("key-without-a-permission", refusal(403, forbidden), auth, "key"),
        anthropic("key-refused-by-anthropic")
            .replies([claude::refusal(401, "authentication_error", "invalid x-api-key")])
            .asked(1)
            .fails(auth, false, "key"),
    ]
}

fn contents() -> Vec<Case> {
    let metadata = json!({"reasons": ["violence"], "flagged_input": "Go.", "provider_name": "x"});
    let moderated =
        json!({"error": {"code": 403, "message": "Your input was flagged", "metadata": metadata}});
    let azure = json!({"error": {"code": "content_filter", "param": "prompt", "status": 400,
        "message": "The prompt triggered Azure OpenAI's content management policy.",
        "innererror": {"code": "ResponsibleAIPolicyViolation"}}});
    let policy = "Invalid prompt: your prompt was flagged as potentially violating our usage policy.";
    let refused = "model_refused";
    vec![
        is("moderation-of-openrouter", Reply::json(403, &moderated), refused, "flagged"),
        is("filter-of-azure", Reply::json(400, &azure), refused, "policy"),
        is("policy-of-openai", coded(400, "invalid_prompt", policy), refused, "policy"),
        is(
            "policy-by-its-code",
            coded(400, "content_policy_violation", "Not allowed."),
            refused,
            "not allowed",
        ),
    ]
}

/// The server would refuse the same request again.
fn requests() -> Vec<Case> {
    let validation = json!({"detail": [{"type": "missing", "loc": ["body", "x"], "msg": "Field required"}]});
    let (error, missing) = ("model_error", "The model `the-model` does not exist.");
    vec![
        is("request-refused", refusal(400, "Something about it is wrong."), error, "something about it"),
        is("request-not-valid", Reply::json(422, &validation), error, "field required"),
        is("model-not-found", coded(404, "model_not_found", missing), error, "the-model"),
        is(
            "model-not-pulled",
            refusal(404, "model 'the-model' not found, try pulling it first"),
            error,
            "pull",
        ),
        is("page-not-found", Reply::new(404, "text/html", "<h1>Not Found</h1>"), error, "base_url"),
        is("method-not-allowed", Reply::new(405, "text/plain", "no"), error, "405"),
        is("error-body-empty", Reply::new(400, "application/json", ""), error, "400"),
        is("error-body-odd", Reply::json(400, &json!({"error": [1, {"message": 7}]})), error, "400"),
        is("error-body-of-a-megabyte", refusal(400, &"x".repeat(1 << 20)), error, "xxx"),
        is(
            "request-too-large",
            Reply::new(413, "text/html", "<h1>413 Request Entity Too Large</h1>"),
            "context_length_exceeded|model_error",
            "413",
        ),
    ]
}

fn rates() -> Vec<Case> {
    let waits = |name: &str, reply: Reply, milliseconds: u128| {
        again(name, reply).check(move |seen| {
            let waited = seen.requests[1].at.duration_since(seen.requests[0].at);
            assert!(waited.as_millis() >= milliseconds, "{waited:?}");
        })
    };
    let limited = || coded(429, "rate_limit_exceeded", "Rate limit reached for requests");
    // Its words are those of an account without credit, but the limit is one of a minute.
    let gemini = json!([{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED",
        "message": "You exceeded your current quota, please check your plan and billing details.",
        "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1s"}]}}]);
    let for_ever = || limited().header("retry-after", "86400");
    vec![
        waits("rate-with-retry-after", limited().header("retry-after", "1"), 1000),
        waits("rate-with-milliseconds", limited().header("retry-after-ms", "900"), 900),
        waits("rate-of-gemini", Reply::json(429, &gemini), 1000),
        waits("rate-with-a-broken-header", limited().header("retry-after", "soon"), 200),
        again("rate-without-words", Reply::new(429, "text/plain", "")),
        openai("rate-for-a-day").replies([for_ever()]).asked(1).fails("model_rate_limited", true, "rate"),
        anthropic("rate-of-anthropic")
            .replies([claude::refusal(429, "rate_limit_error", "Slower."), claude::done()])
            .asked(2),
    ]
}

fn outages() -> Vec<Case> {
    let statuses = [408, 500, 502, 503, 504, 524, 529];
    let once = statuses.map(|status| {
        again(&format!("outage-{status}"), Reply::new(status, "text/html", "<html><h1>Oops</h1></html>"))
    });
    let loading = coded(503, "unavailable_error", "Loading model");
    let more = [
        again("outage-while-the-model-loads", loading.clone()),
        anthropic("outage-of-anthropic")
            .replies([claude::refusal(529, "overloaded_error", "Overloaded"), claude::done()])
            .asked(2),
        // The run has no time for all tries.
        openai("outage-that-lasts")
            .app("limits", json!({"seconds": 4}))
            .replies([loading])
            // On a busy machine the run's time may end within a try. The error names the try before it.
            .fails_with("model_unavailable|time_limit_exceeded", "loading model"),
    ];
    once.into_iter().chain(more).collect()
}

/// What answers is no model server.
fn addresses() -> Vec<Case> {
    let html = "<!DOCTYPE html><html><body>Welcome to nginx!</body></html>";
    let moved = |status| Reply::new(status, "text/html", "").header("location", "https://example.com/v1");
    vec![
        is("page-with-200", Reply::new(200, "text/html", html), "model_error", "base_url"),
        is("json-of-another-service", Reply::json(200, &json!({"status": "ok"})), "model_error", "base_url"),
        is("redirect-301", moved(301), "model_error", "base_url"),
        is("redirect-308", moved(308), "model_error", "base_url"),
    ]
}

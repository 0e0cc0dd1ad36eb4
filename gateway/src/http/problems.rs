//! Every problem that a request can get (RFC 9457): code, status, title, and the text of its page under
//! /docs/problems. Codes are part of the contract. They may be added, never changed.

macro_rules! problems {
    ($($name:ident = $status:literal $code:literal, $title:literal, $meaning:literal;)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Problem { $($name,)* }

        impl Problem {
            /// All problems, by status.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// For programs; never changes.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// When it happens and what to do.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }
        }
    };
}

problems! {
    InvalidRequest = 400 "invalid_request", "The request is not valid",
        "A part of the body, the query or a header has the wrong form. `errors` lists each error with its \
         location. Correct all of them and send the request again.";
    InvalidInputs = 400 "invalid_inputs", "The inputs do not fit the app",
        "An input is missing, unknown to the app, or of the wrong type. GET /api/v1/apps/{appId} lists \
         the app's input fields.";
    UnknownModel = 400 "unknown_model", "Unknown model",
        "chatModelId names no model of this installation. GET /api/v1/models lists them. Without \
         chatModelId the run uses the app's model.";
    ModelLacksTools = 400 "model_lacks_tools", "The model cannot call tools",
        "The app lists tools, and the chosen model cannot call tools. GET /api/v1/models shows which \
         models can. Choose one of those as chatModelId.";
    ModelLacksVision = 400 "model_lacks_vision", "The model does not see pictures",
        "A file of the run is a picture, the chosen model does not see pictures, and the app has no tool \
         that opens them (python, shell). GET /api/v1/models shows which models see pictures (`vision`). \
         Choose one of those as chatModelId.";
    InvalidWebhookUrl = 400 "invalid_webhook_url", "The webhook URL cannot be used",
        "A webhook URL must be an http or https URL of at most 2048 bytes, without user name or password, on \
         port 80, 443 or a port from 1024 up. Its host must not be a non-public address.";
    InvalidApp = 400 "invalid_app", "The app is not valid",
        "The app file cannot be read, or its definition has errors. `errors` lists each with its location in \
         the file. Correct all of them and send the file again.";
    Unauthorized = 401 "unauthorized", "No valid API key",
        "Send the header Authorization: Bearer capi_… with a key that is neither revoked nor expired. A \
         key is shown once, when it is created.";
    PlanRequired = 403 "plan_required", "The plan does not include the API",
        "The account's plan has no API access. Its keys are kept and work again once the account is on a \
         paid plan.";
    ScopeRequired = 403 "scope_required", "The API key lacks a scope",
        "A key with the scope `runs` creates, reads, cancels and deletes runs. A key with the scope \
         `apps:write` reads whole definitions of apps, and creates, changes and archives apps. `scope` names \
         the scope that is needed. A key keeps its scopes: create another key.";
    KeyForOneApp = 403 "key_for_one_app", "The API key is for one app",
        "A key that was created for one app may change that app, and cannot create others. Use a key for all \
         apps.";
    ForeignForm = 403 "foreign_form", "Form expired or sent from another site",
        "A form of the console must be sent from one of its own pages, in the session that opened the \
         page. Programs use the API with a key.";
    LinkExpired = 403 "link_expired", "The link does not open this file",
        "A download link is valid for seven days and for one file, and must not be changed. GET the run \
         again for a new link.";
    NotFound = 404 "not_found", "Not found",
        "Nothing with this id or path is visible to the key. Ids of other accounts, and of apps outside \
         the key's scope, get the same answer.";
    MethodNotAllowed = 405 "method_not_allowed", "Method not allowed",
        "The path exists and takes other methods. The header Allow lists them.";
    NotAcceptable = 406 "not_acceptable", "Not acceptable",
        "The header Accept allows no form of the answer, or Accept-Encoding no encoding of it. Allow one \
         that the endpoint has, or leave the header out.";
    RequestTimeout = 408 "request_timeout", "The body arrived too slowly",
        "The whole body must arrive within 15 seconds. Nothing was done. Send the request again.";
    AppNameTaken = 409 "app_name_taken", "Another app has this name",
        "The names of an account's apps that are not archived are unique. Choose another name, or change the \
         app that has it.";
    TooManyApps = 409 "too_many_apps", "No more apps or versions are possible",
        "An account may have 1,000 apps, archived ones included, and an app 1,000 versions. Use another app.";
    AppArchived = 409 "app_archived", "The app is archived",
        "An archived app takes no new runs. Restore it, or run another app.";
    SearchUnavailable = 409 "search_unavailable", "The installation cannot search for the app",
        "The app has the tool web_search, and the installation has no search provider, or not the one that \
         the app names. The operator sets the providers in the file of CAPI_SEARCH. Or remove the tool from \
         the app.";
    RunAlreadyFinished = 409 "run_already_finished", "The run is over",
        "The run completed or failed before it could be cancelled. Its result is kept.";
    RunNotFinished = 409 "run_not_finished", "The run is not over yet",
        "Only a run that is over can be deleted. Cancel it first, or wait for its end.";
    DeliveryNotFinished = 409 "delivery_not_finished", "The delivery is not over yet",
        "Only a delivery that is delivered or failed can be sent again. This one has an attempt in flight, \
         or its next attempt is due later. Wait for it.";
    IdempotencyConflict = 409 "idempotency_conflict", "The Idempotency-Key belongs to another request",
        "Within the last 24 hours the account created a run with this Idempotency-Key, on this path, with \
         other fields. Use a new key for a new run. For a retry send the same fields again.";
    RunDeleted = 409 "run_deleted", "The run of the Idempotency-Key was deleted",
        "Within the last 24 hours the account created a run with this Idempotency-Key and the same fields, \
         and deleted it. It is not executed again. To run it again, use a new key.";
    QuotaExceeded = 409 "quota_exceeded", "The account has used up a quota",
        "The account's plan limits its pending runs, the bytes of its files and artifacts, the bytes of its \
         creates in a day, and its tokens in a day. `quota` names the limit, `used` says what the account \
         uses, and `limit` what the plan allows. Wait for runs to start, delete old runs, or wait for the \
         next day (UTC). GET /api/v1/me shows all of it.";
    AppChanged = 412 "app_changed", "The app has another version",
        "If-Match names another version than the app has: it was changed meanwhile. `currentVersion` is its \
         version. Get the app again, merge your change, and send it with the new version.";
    PayloadTooLarge = 413 "payload_too_large", "The body is too large",
        "A body may have 1 MiB. A form with files may have 10 files of 25 MiB each and 100 MiB in all.";
    UnsupportedMediaType = 415 "unsupported_media_type", "Unsupported media type",
        "Send the body as JSON with the header Content-Type: application/json, or a run with files as \
         multipart/form-data, or an app as application/toml.";
    RangeNotSatisfiable = 416 "range_not_satisfiable", "The range lies outside the file",
        "The header Range asks for bytes that the file does not have. Content-Range gives the size of the \
         file.";
    ExpectationFailed = 417 "expectation_failed", "Unknown expectation",
        "The header Expect asks for something else than 100-continue. Leave the header out.";
    PreconditionRequired = 428 "precondition_required", "If-Match is missing",
        "A change of an app must name the version that it was made from, so that it overwrites no other \
         change. Send the header If-Match with the version in quotes, or * to replace any version.";
    RateLimited = 429 "rate_limited", "Too many requests",
        "The account used all its requests of the last 60 seconds, over all keys and gateways. Wait for \
         the seconds in Retry-After. Instead of polling, hold a request open with ?wait= or receive a \
         webhook (webhookUrl).";
    TooManyStreams = 429 "too_many_streams", "Too many open waits and streams",
        "An account may hold 20 waits and event streams open at once, over all gateways. Close one, or poll \
         without ?wait=.";
    Internal = 500 "internal", "Internal error",
        "This installation has a fault. Report the requestId to its operator, whose log has the cause.";
    Unavailable = 503 "unavailable", "Not available now",
        "A part of the installation does not answer at the moment. Send the request again after \
         Retry-After. A create may have been accepted: look with GET /api/v1/runs before you create the run \
         again.";
    StoreFull = 507 "store_full", "No space for files",
        "The installation's store of files is full. Nothing was created. Runs without files still work. Its \
         operator must make space.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_part_of_the_contract() {
        let listed: Vec<_> =
            Problem::ALL.iter().map(|problem| format!("{} {}", problem.code(), problem.status())).collect();
        insta::assert_snapshot!(listed.join("\n"), @r"
        invalid_request 400
        invalid_inputs 400
        unknown_model 400
        model_lacks_tools 400
        model_lacks_vision 400
        invalid_webhook_url 400
        invalid_app 400
        unauthorized 401
        plan_required 403
        scope_required 403
        key_for_one_app 403
        foreign_form 403
        link_expired 403
        not_found 404
        method_not_allowed 405
        not_acceptable 406
        request_timeout 408
        app_name_taken 409
        too_many_apps 409
        app_archived 409
        search_unavailable 409
        run_already_finished 409
        run_not_finished 409
        delivery_not_finished 409
        idempotency_conflict 409
        run_deleted 409
        quota_exceeded 409
        app_changed 412
        payload_too_large 413
        unsupported_media_type 415
        range_not_satisfiable 416
        expectation_failed 417
        precondition_required 428
        rate_limited 429
        too_many_streams 429
        internal 500
        unavailable 503
        store_full 507
        ");
    }
}

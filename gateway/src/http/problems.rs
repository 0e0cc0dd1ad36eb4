//! Every problem that a request can be answered with (RFC 9457): code, status, title, and what its page under /docs
//! says. Codes are part of the contract; they may be added, never changed.

macro_rules! problems {
    ($($name:ident = $status:literal $code:literal, $title:literal, $meaning:literal;)*) => {
        /// One kind of problem.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Problem { $($name,)* }

        impl Problem {
            /// All, by status.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// For programs.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// HTTP status.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// One line for people.
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
        "Something in the body, the query or a header has the wrong form. Each mistake is listed in errors with its place; correct all of them and send the request again.";
    InvalidInputs = 400 "invalid_inputs", "The inputs do not fit the app",
        "An input is missing, unknown to the app, or of the wrong type. GET /api/v1/apps/{appId} lists the app's input fields.";
    UnknownModel = 400 "unknown_model", "Unknown model",
        "chatModelId names no model of this installation. GET /api/v1/models lists them; without chatModelId the app's own model is used.";
    ModelLacksTools = 400 "model_lacks_tools", "The model cannot call tools",
        "The app lists tools, and the chosen model cannot call any. GET /api/v1/models says which can; choose one of those as chatModelId.";
    InvalidWebhookUrl = 400 "invalid_webhook_url", "The webhook URL cannot be used",
        "webhookUrl must be an http or https URL of at most 2048 bytes without user name or password, on port 80, 443 or one from 1024 up, and its host must not be a non-public address.";
    Unauthorized = 401 "unauthorized", "No valid API key",
        "Send the header Authorization: Bearer capi_… with a key that is neither revoked nor expired. Keys are shown once, when they are created.";
    PlanRequired = 403 "plan_required", "The plan does not include the API",
        "The account's plan has no API access. Its keys are kept and work again once the account is on a paid plan.";
    ForeignForm = 403 "foreign_form", "The form is not ours",
        "What changes something in the console must be sent from one of its own pages, by whoever is signed in there. Programs use the API with a key.";
    LinkExpired = 403 "link_expired", "The link does not open this file",
        "A download link is good for seven days and for one file, exactly as it was given. GET the run again for a fresh link.";
    NotFound = 404 "not_found", "Not found",
        "There is nothing under this id or path that the key may see. Ids of other accounts, and of apps outside the key's scope, are answered in the same way.";
    MethodNotAllowed = 405 "method_not_allowed", "Method not allowed",
        "The path exists, and takes other methods: the header Allow lists them.";
    NotAcceptable = 406 "not_acceptable", "Not acceptable",
        "The header Accept-Encoding refuses every form in which the answer could be sent. Allow gzip or identity, or leave the header out.";
    RequestTimeout = 408 "request_timeout", "The body came too slowly",
        "The whole body must arrive within 15 seconds. Nothing was done; send the request again.";
    AppArchived = 409 "app_archived", "The app is archived",
        "An archived app takes no new runs. Restore it, or run another one.";
    RunAlreadyFinished = 409 "run_already_finished", "The run is over",
        "The run completed or failed before it could be cancelled; what it produced is kept.";
    RunNotFinished = 409 "run_not_finished", "The run is not over yet",
        "Only a run that is over can be deleted. Cancel it first, or wait for its end.";
    IdempotencyConflict = 409 "idempotency_conflict", "The Idempotency-Key belongs to another request",
        "Within the last 24 hours the account created a run with this Idempotency-Key on this path and with other fields. Take a fresh key for a new run; for a retry send the fields as they were.";
    PayloadTooLarge = 413 "payload_too_large", "The body is too large",
        "A body may have 1 MiB.";
    UnsupportedMediaType = 415 "unsupported_media_type", "Unsupported media type",
        "Send the body as JSON, with the header Content-Type: application/json.";
    RangeNotSatisfiable = 416 "range_not_satisfiable", "The range lies outside the file",
        "The header Range asks for bytes that the file does not have; Content-Range tells its size.";
    RateLimited = 429 "rate_limited", "Too many requests",
        "The plan's requests of the last 60 seconds are used up, over all keys and gateways. Wait for the seconds in Retry-After. Instead of polling, hold a request open with ?wait= or have the end sent to a webhookUrl.";
    TooManyStreams = 429 "too_many_streams", "Too many open waits",
        "An account may hold 20 waits open at once, over all gateways. Let one end, or poll without ?wait=.";
    Internal = 500 "internal", "Internal error",
        "The fault is ours. Report the requestId to whoever operates this installation.";
    Unavailable = 503 "unavailable", "Not available now",
        "A part of the installation does not answer at the moment. Send the request again after Retry-After. A create that was under way may have been accepted all the same: look with GET /api/v1/runs before creating the run again.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_part_of_the_contract() {
        let listed: Vec<_> =
            Problem::ALL.iter().map(|problem| format!("{} {}", problem.code(), problem.status())).collect();
        insta::assert_snapshot!(listed.join(", "), @"invalid_request 400, invalid_inputs 400, unknown_model 400, model_lacks_tools 400, invalid_webhook_url 400, unauthorized 401, plan_required 403, foreign_form 403, link_expired 403, not_found 404, method_not_allowed 405, not_acceptable 406, request_timeout 408, app_archived 409, run_already_finished 409, run_not_finished 409, idempotency_conflict 409, payload_too_large 413, unsupported_media_type 415, range_not_satisfiable 416, rate_limited 429, too_many_streams 429, internal 500, unavailable 503");
    }
}

//! The console: what a person sees in a browser. Pages are rendered here; a script of a few lines keeps lists and threads
//! up to date. It shows the same rows as the API, through the same functions.
//!
//! All text of models, tools and users is hostile. It reaches a page escaped, or as Markdown that went through the
//! sanitiser (`markdown`), under a policy that runs no script but ours (`page`).

mod account;
mod app;
mod apps;
mod assets;
mod cookie;
mod form;
mod markdown;
mod origin;
mod page;
mod problem;
mod routes;
mod run;
mod sign_in;
mod stored;
mod throttle;
mod visitor;
mod when;

pub(crate) use problem::answer as problem_page;
pub use routes::endpoints;
pub(crate) use visitor::FreshCookie;

use std::net::IpAddr;

use actix_web::HttpRequest;
use shared::encryption::EncryptionKey;
use url::Url;

use crate::auth::{Attempts, Passwords};
use crate::config::Signup;
use cookie::CookieRule;
use throttle::Throttle;

/// What the console's pages need beside everything else.
pub struct Console {
    /// Where browsers reach this gateway.
    pub(crate) public_url: Url,
    pub(crate) signup: Signup,
    pub(crate) passwords: Passwords,
    pub(crate) attempts: Attempts,
    /// Writes of one account.
    pub(crate) throttle: Throttle,
    /// Seals webhook secrets.
    pub(crate) encryption_key: EncryptionKey,
    /// Signs the forms of a session.
    form_key: [u8; 32],
    cookies: CookieRule,
}

impl Console {
    /// From the settings.
    pub fn new(config: &crate::config::Config) -> anyhow::Result<Self> {
        let public_url = config.links.public_url.clone();
        Ok(Self {
            cookies: CookieRule::of(&public_url),
            public_url,
            signup: config.signup,
            passwords: Passwords::new()?,
            attempts: Attempts::default(),
            throttle: Throttle::default(),
            encryption_key: config.secret_key.read()?,
            form_key: config.secret_key.derived("capi console forms 1")?,
        })
    }

    /// Forgets what is no longer limited.
    pub(crate) fn tidy(&self) {
        self.attempts.tidy();
        self.throttle.tidy();
    }
}

/// Whether the request is for a page, and not for a program.
pub(crate) fn is_for_people(request: &HttpRequest) -> bool {
    !["/api/", "/docs"].iter().any(|programs| request.path().starts_with(programs))
}

/// Whose address a page is asked from.
fn address(request: &HttpRequest, context: &crate::context::Context) -> IpAddr {
    crate::extract::client_address(request, &context.trusted_proxies)
}

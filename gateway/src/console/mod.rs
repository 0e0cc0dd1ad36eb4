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
mod visitor;
mod when;

pub(crate) use problem::answer as error_page;
pub use routes::endpoints;

use std::net::IpAddr;

use actix_web::HttpRequest;
use shared::encryption::EncryptionKey;
use url::Url;

use crate::config::Signup;
use crate::http::limits::{Attempts, Throttle};
use cookie::CookieRule;
use gateway_domain::accounts::passwords::Passwords;

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

    /// Removes entries of the limits that limit nothing any more.
    pub(crate) fn prune(&self) {
        self.attempts.prune();
        self.throttle.prune();
    }
}

/// Whose address a page is asked from.
fn address(request: &HttpRequest, context: &crate::context::Context) -> IpAddr {
    crate::http::extract::client_address(request, &context.trusted_proxies)
}

//! The console: the pages for people with a browser. A handler parses a request, calls the domain and renders
//! HTML. A small script keeps lists and threads up to date. Pages and API read the same data through the same
//! functions.
//!
//! All text of models, tools and users is hostile. A page shows it escaped, or as sanitised Markdown
//! (`markdown`), under a policy that runs no other script than the console's own (`page`).
//!
//! Read `routes` first, then `session` and `form`, then one page.

mod app_refusal;
mod assets;
mod error_page;
mod form;
mod format;
mod lacking;
mod markdown;
mod owned;
mod page;
mod pages;
mod routes;
mod session;
mod shown;

pub(crate) use assets::version as assets_version;
pub(crate) use error_page::answer as error_page;
pub use routes::endpoints;

use std::net::IpAddr;

use actix_web::HttpRequest;
use gateway_domain::accounts::passwords::Passwords;
use shared::encryption::EncryptionKey;
use url::Url;

use self::session::cookie::CookieRule;
use crate::config::{Config, Signup};
use crate::context::Context;
use crate::http::limits::{Attempts, Throttle};

/// What only the console's handlers use. `start` builds one per process.
pub struct Console {
    /// The address at which browsers reach this installation.
    pub(crate) public_url: Url,
    pub(crate) signup: Signup,
    pub(crate) passwords: Passwords,
    /// Limits sign-ins.
    pub(crate) attempts: Attempts,
    /// Limits the requests of one account.
    pub(crate) throttle: Throttle,
    /// Encrypts webhook secrets.
    pub(crate) encryption_key: EncryptionKey,
    /// Signs the forms of a session.
    form_key: [u8; 32],
    cookies: CookieRule,
}

impl Console {
    pub fn new(config: &Config) -> anyhow::Result<Self> {
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

/// The client's address.
fn client_ip(request: &HttpRequest, context: &Context) -> IpAddr {
    context.client_address(request)
}

//! A headless Chromium for one test, driven through chromedriver as a user drives a browser.

mod devtools;
mod driver;
mod page;

use std::time::{Duration, Instant};

pub use fantoccini::cookies::Cookie;
pub use fantoccini::elements::Element;
use fantoccini::error::{CmdError, ErrorStatus};
pub use fantoccini::key::Key;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;

use driver::Driver;

/// Longest wait for something that a page should show. It is generous, for a busy machine.
const WAIT_LIMIT: Duration = Duration::from_mins(1);

/// Its functions panic if the page does not allow what they do.
pub struct Browser {
    client: Client,
    _driver: Driver,
}

impl Browser {
    /// Starts a browser whose pages have this size.
    pub async fn start(width: u32, height: u32) -> Self {
        let driver = Driver::start().await;
        let profile = format!("--user-data-dir={}", driver.dir().join("profile").display());
        let wait_limit = WAIT_LIMIT.as_secs() * 1000;
        let capabilities = json!({
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "pageLoad": wait_limit, "script": wait_limit },
            "goog:chromeOptions": { "args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic",
                "--disable-dev-shm-usage",
                "--no-first-run", "--disable-background-networking", "--disable-component-update",
                "--disable-sync",
                "--no-proxy-server", "--hide-scrollbars", profile, format!("--window-size={width},{height}"),
            ] },
        });
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(serde_json::from_value(capabilities).expect("an object"))
            .connect(&driver.url())
            .await
            .expect("Chromium starts");
        let started = Self { client, _driver: driver };
        started.resize(width, height).await;
        started
    }

    /// The WebDriver client, for what this type has no function for.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Opens a page and waits until it is loaded.
    pub async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap_or_else(|error| panic!("{url} does not open: {error}"));
    }

    /// Loads the page again.
    pub async fn refresh(&self) {
        self.client.refresh().await.expect("the page loads again");
    }

    /// The address of the page.
    pub async fn url(&self) -> String {
        self.client.current_url().await.expect("a page has an address").into()
    }

    /// The cookies of the page's address.
    pub async fn cookies(&self) -> Vec<Cookie<'static>> {
        self.client.get_all_cookies().await.expect("cookies can be read")
    }

    /// Sets a cookie for the page's address.
    pub async fn set_cookie(&self, name: &str, value: &str) {
        self.vendor("cookie", json!({ "cookie": { "name": name, "value": value } })).await;
    }

    /// Removes the cookies of the page's address.
    pub async fn clear_cookies(&self) {
        self.client.delete_all_cookies().await.expect("cookies can be removed");
    }

    /// Tries until it succeeds. It tries again only after errors that the page may still cure.
    async fn within<T>(
        &self,
        what: &str,
        mut attempt: impl AsyncFnMut() -> Result<Option<T>, CmdError>,
    ) -> T {
        let deadline = Instant::now() + WAIT_LIMIT;
        loop {
            let missing = match attempt().await {
                Ok(Some(done)) => return done,
                Ok(None) => String::new(),
                Err(CmdError::Standard(error))
                    if passes(&error.error) || error.message.contains(REPLACED) =>
                {
                    error.to_string()
                }
                Err(error) => panic!("{what}: {error}"),
            };
            if Instant::now() > deadline {
                let page = self.eval("return `${location}: ${document.body?.innerText}`").await;
                panic!("not within {WAIT_LIMIT:?}: {what}: {missing}\n{}", page.as_str().unwrap_or_default());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Part of chromedriver's error when the page replaces the element at that moment.
const REPLACED: &str = "does not belong to the document";

fn passes(error: &ErrorStatus) -> bool {
    matches!(
        error,
        ErrorStatus::NoSuchElement
            | ErrorStatus::StaleElementReference
            | ErrorStatus::ElementNotInteractable
            | ErrorStatus::ElementClickIntercepted
            | ErrorStatus::InvalidElementState
    )
}

//! Proxies before the database and the broker of a stack, which a test can cut.

use shared::testing::TcpProxy;
use url::Url;

use crate::Stack;

impl Stack {
    /// A proxy before the broker, and the settings of a service that uses it.
    pub async fn broker_proxy(&self) -> (TcpProxy, Vec<(String, String)>) {
        self.proxy("CAPI_AMQP_URL", &self.queues.url).await
    }

    /// The same for the database.
    pub async fn database_proxy(&self) -> (TcpProxy, Vec<(String, String)>) {
        self.proxy("CAPI_DATABASE_URL", &self.database.url).await
    }

    async fn proxy(&self, setting: &str, url: &str) -> (TcpProxy, Vec<(String, String)>) {
        let mut url = Url::parse(url).expect("a URL");
        let (host, port) = (url.host_str().expect("a host"), url.port().expect("a port"));
        let proxy = TcpProxy::start(format!("{host}:{port}")).await;
        url.set_host(Some(&proxy.address.ip().to_string())).expect("an address is a host");
        url.set_port(Some(proxy.address.port())).expect("the URL has a port");
        (proxy, self.settings_with(setting, url.as_str()))
    }
}

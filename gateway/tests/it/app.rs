//! A gateway that runs inside the test's process, over the database and the queues of a stack.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Command, FromArgMatches};
use e2e::{Gateway, Stack};
use gateway::Running;
use gateway::config::Config;
use gateway::http::endpoint::Endpoint;
use shared::testing::started;
use tokio::runtime::Handle;

const STOPS_WITHIN: Duration = Duration::from_secs(20);

pub(crate) struct TestApp {
    http: SocketAddr,
    ops: SocketAddr,
    running: Option<Running>,
}

impl TestApp {
    /// Starts a gateway with the settings of the stack.
    pub(crate) async fn start(stack: &Stack) -> Self {
        Self::start_as(&stack.settings).await
    }

    /// The same with one setting changed.
    pub(crate) async fn start_with(stack: &Stack, name: &str, value: &str) -> Self {
        Self::start_as(&stack.settings_with(name, value)).await
    }

    /// Starts a gateway whose console has sessions.
    pub(crate) async fn start_console(stack: &Stack) -> Self {
        Self::start_with(stack, "CAPI_PUBLIC_URL", "http://localhost").await
    }

    /// Starts a gateway with these settings.
    pub(crate) async fn start_as(settings: &[(String, String)]) -> Self {
        Self::start_serving(settings, gateway::endpoints).await
    }

    /// Starts a gateway with the settings of the stack and another route table.
    pub(crate) async fn start_with_endpoints(stack: &Stack, endpoints: fn() -> Vec<Endpoint>) -> Self {
        Self::start_serving(&stack.settings, endpoints).await
    }

    async fn start_serving(settings: &[(String, String)], endpoints: fn() -> Vec<Endpoint>) -> Self {
        let config = config(settings);
        let running = started(async || gateway::start_with(&config, None, endpoints).await).await;
        Self { http: running.http, ops: running.ops, running: Some(running) }
    }

    /// Begins to stop, like a signal, but goes on serving.
    pub(crate) fn drain(&self) {
        if let Some(running) = &self.running {
            running.lifecycle.stopping().cancel();
        }
    }

    /// The address of health and readiness.
    pub(crate) const fn ops(&self) -> SocketAddr {
        self.ops
    }
}

impl Gateway for TestApp {
    fn url(&self) -> String {
        format!("http://{}", self.http)
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        let (Some(running), Ok(runtime)) = (self.running.take(), Handle::try_current()) else { return };
        tokio::task::block_in_place(|| {
            let _ = runtime.block_on(tokio::time::timeout(STOPS_WITHIN, running.stop()));
        });
    }
}

/// Settings by the names of their environment variables, as the arguments of `gateway serve`. The environment
/// of the test itself has no effect.
pub(crate) fn config(settings: &[(String, String)]) -> Config {
    let command = Config::augment_args(Command::new("gateway").no_binary_name(true));
    let flags = settings.iter().filter_map(|(name, value)| {
        let of_name = |arg: &&clap::Arg| arg.get_env() == Some(name.as_ref());
        let flag = command.get_arguments().find(of_name)?.get_long()?;
        Some(format!("--{flag}={value}"))
    });
    let flags: Vec<_> = flags.collect();
    let matches = command.mut_args(|arg| arg.env(None)).get_matches_from(flags);
    Config::from_arg_matches(&matches).unwrap_or_else(|error| panic!("a setting is wrong: {error}"))
}

//! A RabbitMQ for one test, for faults that would disturb other tests: alarms, timeouts, stops. The node and
//! the processes that it starts are one process group, which is killed when the value is dropped.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::ports::free_ports;

/// Generous, for a busy machine.
const STARTS_WITHIN: Duration = Duration::from_secs(90);

const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";

pub struct PrivateBroker {
    /// amqp://…
    pub url: String,
    port: u16,
    environment: Vec<(String, String)>,
    node: Child,
    /// The id of the process group.
    leader: Option<u32>,
    _epmd: Child,
    _dir: tempfile::TempDir,
}

impl PrivateBroker {
    /// Starts a node; `config` is appended to its rabbitmq.conf.
    pub async fn start(config: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let [amqp, distribution, epmd] = free_ports();
        let path = |name: &str| dir.path().join(name).display().to_string();
        std::fs::write(path("rabbitmq.conf"), format!("disk_free_limit.absolute = 50MB\n{config}"))
            .expect("a file can be written");
        std::fs::write(path("plugins"), "[].").expect("a file can be written");
        let environment = [
            ("PATH", std::env::var("PATH").unwrap_or_default()),
            ("HOME", path("")),
            ("LANG", "C.UTF-8".to_owned()),
            ("RABBITMQ_NODENAME", format!("capi-test-{amqp}@localhost")),
            ("RABBITMQ_NODE_PORT", amqp.to_string()),
            ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_DIST_PORT", distribution.to_string()),
            ("ERL_EPMD_PORT", epmd.to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            // The node checks consumers' timeouts every second instead of every minute.
            (
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1} -rabbit channel_tick_interval 1000".to_owned(),
            ),
            ("RABBITMQ_MNESIA_BASE", path("mnesia")),
            ("RABBITMQ_LOG_BASE", path("log")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", path("plugins")),
            ("RABBITMQ_CONFIG_FILE", path("rabbitmq")),
            ("RABBITMQ_CONF_ENV_FILE", "/dev/null".to_owned()),
            ("ERL_CRASH_DUMP_SECONDS", "0".to_owned()),
        ];
        let environment: Vec<_> = environment.map(|(name, value)| (name.to_owned(), value)).into();
        let epmd = quietly(
            Command::new("epmd").args(["-port", &epmd.to_string(), "-address", "127.0.0.1"]),
            &environment,
        );
        let node = start_node(&environment);
        let broker = Self {
            url: format!("amqp://guest:guest@127.0.0.1:{amqp}/%2f"),
            port: amqp,
            leader: node.id(),
            node,
            environment,
            _epmd: epmd,
            _dir: dir,
        };
        broker.listens().await;
        broker
    }

    /// Ends the node with this signal and starts it again on the same data. Returns when it listens.
    pub async fn restart(&mut self, signal: Signal) {
        self.signal(signal);
        let deadline = Instant::now() + STARTS_WITHIN;
        // The script that started the node may end before the node.
        while self.group().is_some_and(|group| test_kill_process_group(group).is_ok()) {
            assert!(Instant::now() < deadline, "the private broker does not end");
            let _ = tokio::time::timeout(Duration::from_millis(100), self.node.wait()).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.node = start_node(&self.environment);
        self.leader = self.node.id();
        self.listens().await;
    }

    async fn listens(&self) {
        let deadline = Instant::now() + STARTS_WITHIN;
        while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            assert!(Instant::now() < deadline, "the private broker does not listen");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn group(&self) -> Option<Pid> {
        self.leader.and_then(|id| Pid::from_raw(id.try_into().ok()?))
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group() {
            let _ = kill_process_group(group, signal);
        }
    }

    /// Runs `rabbitmqctl` with these arguments.
    pub async fn ctl(&self, arguments: &[&str]) {
        let mut command = Command::new(PathBuf::from(PROGRAMS).join("rabbitmqctl"));
        command.args(arguments).env_clear().envs(self.environment.clone()).kill_on_drop(true);
        let done = command.output().await.expect("rabbitmqctl can be run");
        assert!(
            done.status.success(),
            "rabbitmqctl {arguments:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
}

impl Drop for PrivateBroker {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

fn start_node(environment: &[(String, String)]) -> Child {
    quietly(Command::new(PathBuf::from(PROGRAMS).join("rabbitmq-server")).process_group(0), environment)
}

fn quietly(command: &mut Command, environment: &[(String, String)]) -> Child {
    command.env_clear().envs(environment.iter().cloned()).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::null()).kill_on_drop(true).spawn().expect("RabbitMQ and Erlang are installed")
}

//! `gateway queue …`

use clap::{Args, Subcommand, ValueEnum};
use shared::config::BrokerConfig;
use shared::queue::{Broker, DeadLetters, WorkQueue};

use super::say;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Dead letters: messages that no process could handle. They hold no data, so no work depends on them.
    #[command(subcommand)]
    Dead(Dead),
}

#[derive(Subcommand)]
pub(super) enum Dead {
    /// Print them.
    List {
        #[command(flatten)]
        on: OnQueues,
        /// Messages of each queue that are printed (1 to 1000).
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Send those that are nudges to their queues again.
    Requeue(OnQueues),
    /// Delete them.
    Drop(OnQueues),
}

#[derive(Args)]
pub(super) struct OnQueues {
    #[command(flatten)]
    broker: BrokerConfig,
    /// Only those of this kind of work.
    #[arg(long)]
    work: Option<Kind>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Runs,
    Deliveries,
}

impl OnQueues {
    async fn open(&self) -> anyhow::Result<(DeadLetters, Vec<WorkQueue>)> {
        let letters = DeadLetters::open(Broker::new(&self.broker, "capi-gateway-cli")?).await;
        let letters = letters.map_err(|error| anyhow::anyhow!("CAPI_AMQP_URL: {error}"))?;
        let works = match self.work {
            None => vec![WorkQueue::Runs, WorkQueue::Deliveries],
            Some(Kind::Runs) => vec![WorkQueue::Runs],
            Some(Kind::Deliveries) => vec![WorkQueue::Deliveries],
        };
        Ok((letters, works))
    }
}

impl Command {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let Self::Dead(command) = self;
        let (Dead::List { on, .. } | Dead::Requeue(on) | Dead::Drop(on)) = &command;
        let (letters, works) = on.open().await?;
        for work in works {
            let name = work.as_str();
            match &command {
                Dead::List { limit, .. } => {
                    let (listed, all) = letters.list(work, usize::from(*limit)).await?;
                    say(&format!("{name}: {all} dead"));
                    for letter in listed {
                        let what = match letter.nudge {
                            Some(nudge) => format!("nudge {}", nudge.id),
                            None => format!("no nudge, {} bytes: {}", letter.size, letter.begin),
                        };
                        say(&format!("  {}: {what}", letter.reason));
                    }
                }
                Dead::Requeue(_) => {
                    let done = letters.requeue(work).await?;
                    say(&format!("{name}: {} sent again, {} left that are no nudges", done.sent, done.left));
                }
                Dead::Drop(_) => say(&format!("{name}: {} deleted", letters.drop_all(work).await?)),
            }
        }
        Ok(())
    }
}

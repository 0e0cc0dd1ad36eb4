//! The database and the broker that the drills break.

use e2e::{PrivateBroker, PrivatePostgres, Stack};
use shared::testing::{TestDatabase, TestQueues};

pub(crate) struct Stage {
    pub(crate) broker: PrivateBroker,
    pub(crate) postgres: PrivatePostgres,
}

impl Stage {
    pub(crate) async fn start() -> Self {
        let (broker, postgres) =
            futures_util::future::join(PrivateBroker::start(""), PrivatePostgres::start()).await;
        Self { broker, postgres }
    }

    /// Makes a stack with short leases, so that drills are short.
    pub(crate) async fn stack(&self) -> Stack {
        let database = TestDatabase::create_at(self.postgres.url.clone()).await;
        Stack::unlimited_over(database, TestQueues::create_at(self.broker.url.clone())).await
    }

    /// Makes a stack whose plan allows `running_runs`.
    pub(crate) async fn stack_of(&self, running_runs: usize) -> Stack {
        let plan = format!(
            "[plans.drill]\napi = true\nrequests_per_minute = 10000\napi_keys = 10\n\
             running_runs = {running_runs}\n"
        );
        let database = TestDatabase::create_at(self.postgres.url.clone()).await;
        Stack::create_over(database, TestQueues::create_at(self.broker.url.clone()), "drill", &plan).await
    }
}

//! K5: the database is away, first frozen and then cut off. Each request is answered 503 within a second;
//! none is let in unchecked.

use std::time::{Duration, Instant};

use e2e::{Process, Service};
use shared::testing::{TcpProxy, eventually};

use crate::report::Report;
use crate::stage::Stage;

const REQUESTS: usize = 20;
const REFUSED_WITHIN: Duration = Duration::from_secs(1);

pub(crate) async fn drill(stage: &Stage) -> Report {
    let mut report = Report::new("K5 refusals without the database", REFUSED_WITHIN);
    let stack = stage.stack().await;
    let (proxy, settings) = stack.database_proxy().await;
    let gateway = Process::start(Service::Gateway, &settings).await;
    for outage in [TcpProxy::freeze, TcpProxy::cut] {
        stack.get(&gateway, "/api/v1/models").await;
        outage(&proxy);
        report.faults += 1;
        for _ in 0..REQUESTS {
            let sent = Instant::now();
            let answer = stack.get_once(&gateway, "/api/v1/models").await;
            report.recoveries.push(sent.elapsed());
            report.must(answer.status == 503, || format!("a request was answered {}", answer.status));
        }
        proxy.mend();
        eventually("the gateway works again", async || {
            (stack.get_once(&gateway, "/api/v1/models").await.status == 200).then_some(())
        })
        .await;
    }
    report
}

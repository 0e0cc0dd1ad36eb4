//! A TCP proxy that a test can cut and mend: an outage of whatever is behind it, for this test alone.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// See the module.
pub struct TcpProxy {
    /// Where it listens.
    pub address: SocketAddr,
    cut: watch::Sender<bool>,
}

impl TcpProxy {
    /// Forwards to `target` (host:port).
    pub async fn start(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let cut = watch::Sender::new(false);
        let watched = cut.subscribe();
        tokio::spawn(async move {
            while let Ok((mut inward, _)) = listener.accept().await {
                let (mut watched, target) = (watched.clone(), target.clone());
                if *watched.borrow() {
                    continue;
                }
                tokio::spawn(async move {
                    let Ok(mut outward) = TcpStream::connect(target).await else {
                        return;
                    };
                    tokio::select! {
                        _ = copy_bidirectional(&mut inward, &mut outward) => {}
                        _ = watched.wait_for(|cut| *cut) => {}
                    }
                });
            }
        });
        Self { address, cut }
    }

    /// Ends all connections and closes every new one at once.
    pub fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// Lets connections through again.
    pub fn mend(&self) {
        self.cut.send_replace(false);
    }
}

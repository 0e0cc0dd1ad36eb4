//! A TCP proxy that a test can cut, freeze and mend: an outage of whatever is behind it, for this test alone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// See the module.
pub struct TcpProxy {
    /// Where it listens.
    pub address: SocketAddr,
    state: watch::Sender<State>,
    held: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Frozen,
    Cut,
}

impl TcpProxy {
    /// Forwards to `target` (host:port).
    pub async fn start(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let state = watch::Sender::new(State::Open);
        let (watched, held) = (state.subscribe(), Arc::<AtomicUsize>::default());
        let counted = Arc::clone(&held);
        tokio::spawn(async move {
            while let Ok((mut inward, _)) = listener.accept().await {
                let (mut watched, target, held) = (watched.clone(), target.clone(), Arc::clone(&counted));
                if *watched.borrow() == State::Cut {
                    continue;
                }
                tokio::spawn(async move {
                    let Ok(mut outward) = TcpStream::connect(target).await else {
                        return;
                    };
                    let ((from_client, to_client), (from_server, to_server)) =
                        (inward.split(), outward.split());
                    tokio::select! {
                        () = forward(from_client, to_server, watched.clone(), &held) => {}
                        () = forward(from_server, to_client, watched.clone(), &held) => {}
                        _ = watched.wait_for(|state| *state == State::Cut) => {}
                    }
                });
            }
        });
        Self { address, state, held }
    }

    /// Ends all connections and closes every new one at once.
    pub fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Keeps connections and lets nothing through: what is behind it seems to hang.
    pub fn freeze(&self) {
        self.state.send_replace(State::Frozen);
    }

    /// Pieces that are on the way, or held up while it is frozen.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }

    /// Lets everything through again.
    pub fn mend(&self) {
        self.state.send_replace(State::Open);
    }
}

async fn forward(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut state: watch::Receiver<State>,
    held: &AtomicUsize,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        held.fetch_add(1, Ordering::SeqCst);
        let go_on = state.wait_for(|state| *state != State::Frozen).await.is_ok();
        held.fetch_sub(1, Ordering::SeqCst);
        if !go_on || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

//! A TCP proxy that a test can cut, freeze and mend: an outage of one server for one test.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub struct TcpProxy {
    pub address: SocketAddr,
    state: watch::Sender<State>,
    held: Held,
}

/// Pieces that the proxy has read and not yet forwarded.
type Held = Arc<Mutex<Vec<Arc<[u8]>>>>;

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
        let (watched, held) = (state.subscribe(), Held::default());
        let all_held = Arc::clone(&held);
        tokio::spawn(async move {
            while let Ok((mut inward, _)) = listener.accept().await {
                let (mut watched, target, held) = (watched.clone(), target.clone(), Arc::clone(&all_held));
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

    /// Ends all connections, and closes each new one at once.
    pub fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Keeps all connections and forwards nothing: the server seems to hang.
    pub fn freeze(&self) {
        self.state.send_replace(State::Frozen);
    }

    /// Whether it has read a piece with this text and not yet forwarded it.
    #[must_use]
    pub fn holds(&self, text: &str) -> bool {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.iter().any(|piece| piece.windows(text.len()).any(|window| window == text.as_bytes()))
    }

    /// Forwards everything again.
    pub fn mend(&self) {
        self.state.send_replace(State::Open);
    }
}

async fn forward(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut state: watch::Receiver<State>,
    held: &Held,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let piece: Arc<[u8]> = buffer[..read].into();
        held.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&piece));
        let go_on = state.wait_for(|state| *state != State::Frozen).await.is_ok();
        held.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| !Arc::ptr_eq(other, &piece));
        if !go_on || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

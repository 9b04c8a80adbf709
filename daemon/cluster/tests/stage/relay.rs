//! A way to etcd that can be closed without a word, as a network that loses every packet.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(crate) struct Relay {
    address: SocketAddr,
    open: watch::Sender<bool>,
}

impl Relay {
    pub(crate) async fn start(to: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, is_open) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                tokio::spawn(carry(from, to, is_open.clone()));
            }
        });
        Self { address, open }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn close(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }
}

/// Carries while the way is open. One that was closed stays silent, and its ends are not
/// told.
async fn carry(mut from: TcpStream, to: &str, mut is_open: watch::Receiver<bool>) {
    if is_open.wait_for(|open| *open).await.is_err() {
        return;
    }
    let Ok(mut there) = TcpStream::connect(to).await else { return };
    let closed = async {
        // An error means that the test is over.
        let _ = is_open.wait_for(|open| !*open).await;
    };
    tokio::select! {
        _ = copy_bidirectional(&mut from, &mut there) => {}
        () = closed => {
            tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        }
    }
}

//! A line to the API server that can be cut, until it is restored: nothing arrives any more, and nobody is told;
//! or that is silent only on the connections that are open.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::server::Server;

pub struct Line {
    pub port: u16,
    /// The number of the first connection that still carries.
    from: watch::Sender<usize>,
}

impl Line {
    pub async fn to(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (from, carries_from) = watch::channel(0);
        let target = server.address().to_owned();
        tokio::spawn(async move {
            let mut number = 0;
            while let Ok((mut near, _)) = listener.accept().await {
                number += 1;
                let (target, mut carries_from) = (target.clone(), carries_from.clone());
                // Each begins with the cut that there is.
                let own = (*carries_from.borrow()).max(number);
                let own = if own == usize::MAX { 0 } else { own };
                tokio::spawn(async move {
                    let carried = async {
                        if let Ok(mut far) = TcpStream::connect(target).await {
                            let _ = copy_bidirectional(&mut near, &mut far).await;
                        }
                    };
                    let mut carried = std::pin::pin!(carried);
                    let cut = async { carries_from.wait_for(|from| *from > own).await.is_ok() };
                    tokio::select! {
                        biased;
                        // Both ends stay open, or somebody would notice.
                        true = cut => std::future::pending().await,
                        () = &mut carried => {}
                    }
                });
            }
        });
        Self { port, from }
    }

    pub fn cut(&self) {
        self.from.send_replace(usize::MAX);
    }

    /// What is opened from now on works.
    pub fn restore(&self) {
        self.from.send_replace(1);
    }

    /// Nothing arrives any more on what is open; what is opened from now on works.
    pub fn silence(&self) {
        self.from.send_modify(|from| *from += 1_000_000);
    }
}

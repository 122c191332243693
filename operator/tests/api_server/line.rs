//! A line to the API server that can be cut: afterwards nothing arrives any more, and nobody is told.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::server::Server;

pub struct Line {
    pub port: u16,
    cut: watch::Sender<bool>,
}

impl Line {
    pub async fn to(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (cut, is_cut) = watch::channel(false);
        let target = server.address().to_owned();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (target, mut is_cut) = (target.clone(), is_cut.clone());
                tokio::spawn(async move {
                    let carried = async {
                        if let Ok(mut far) = TcpStream::connect(target).await {
                            let _ = copy_bidirectional(&mut near, &mut far).await;
                        }
                    };
                    let mut carried = std::pin::pin!(carried);
                    let cut = async { is_cut.wait_for(|cut| *cut).await.is_ok() };
                    tokio::select! {
                        biased;
                        // Both ends stay open, or somebody would notice.
                        true = cut => std::future::pending().await,
                        () = &mut carried => {}
                    }
                });
            }
        });
        Self { port, cut }
    }

    pub fn cut(&self) {
        self.cut.send_replace(true);
    }
}

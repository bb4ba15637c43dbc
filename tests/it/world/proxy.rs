//! A way between the program and a server that can get stuck: nothing is forwarded any more, and nobody is told.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
};

/// Where a proxy leads.
#[derive(Clone)]
enum Server {
    Tcp(String),
    Unix(PathBuf),
}

/// Connections to a server. It ends with the test's runtime.
pub struct Proxy {
    address: String,
    /// Connections of an earlier age than this are stuck; while it is odd, new ones are stuck as well.
    age: watch::Sender<usize>,
    stuck: Arc<AtomicUsize>,
}

impl Proxy {
    /// A way to this address.
    pub async fn to(address: &str) -> Self {
        Self::new(Server::Tcp(address.to_owned())).await
    }

    /// A way to the Postgres of this URL, which goes over its Unix socket; answers the URL that goes this way.
    pub async fn to_postgres(url: &str) -> (Self, String) {
        let mut url = url::Url::parse(url).unwrap();
        let folder = url.host_str().unwrap_or_default().to_owned();
        let folder = url::form_urlencoded::parse(format!("folder={folder}").as_bytes()).next().unwrap().1.into_owned();
        let proxy = Self::new(Server::Unix(Path::new(&folder).join(".s.PGSQL.5432"))).await;
        let (host, port) = proxy.address.split_once(':').unwrap();
        url.set_host(Some(host)).unwrap();
        url.set_port(Some(port.parse().unwrap())).unwrap();
        (proxy, url.into())
    }

    async fn new(server: Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (age, ages) = watch::channel(0);
        let stuck = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&stuck);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, server.clone(), ages.clone(), Arc::clone(&counter)));
            }
        });
        Self { address, age, stuck }
    }

    /// The address of this way.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Every connection there is gets stuck for ever, and so does every new one until [`Proxy::heal`].
    pub fn stick(&self) {
        self.age.send_modify(|age| *age |= 1);
    }

    /// New connections are forwarded again.
    pub fn heal(&self) {
        self.age.send_modify(|age| *age += *age & 1);
    }

    /// How many connections have got stuck so far.
    pub fn stuck(&self) -> usize {
        self.stuck.load(Ordering::Relaxed)
    }
}

async fn forward(mut client: TcpStream, server: Server, mut ages: watch::Receiver<usize>, stuck: Arc<AtomicUsize>) {
    let born = *ages.borrow();
    let sticks = async move {
        // A proxy that is gone sticks nobody.
        if ages.wait_for(|age| *age > born || age % 2 == 1).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let way = async {
        match server {
            Server::Tcp(address) => both_ways(&mut client, &mut TcpStream::connect(address).await?).await,
            Server::Unix(path) => both_ways(&mut client, &mut UnixStream::connect(path).await?).await,
        }
    };
    tokio::pin!(way);
    tokio::select! {
        biased;
        () = sticks => {}
        _ = &mut way => return,
    }
    // Both ends stay open, and nobody is told.
    stuck.fetch_add(1, Ordering::Relaxed);
    std::future::pending::<()>().await;
}

async fn both_ways(client: &mut TcpStream, server: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    copy_bidirectional(client, server).await.map(|_| ())
}

//! The yardstick: a TCP relay that copies bytes, and ends TLS if it is told to. A process of its own.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use anyhow::Context as _;
use clap::Args;
use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

use crate::global;

/// What `socat` has, too.
pub(super) const BUFFER: usize = 8192;

/// The plain relay, as its own command line names it.
#[derive(Args)]
pub(crate) struct Options {
    /// Be the plain relay before this address.
    #[arg(long, hide = true)]
    pub(crate) relay_to: Option<SocketAddr>,
    /// A folder with the certificate that it ends TLS with.
    #[arg(long, hide = true)]
    relay_tls: Option<PathBuf>,
    /// Bytes of each buffer; none holds sockets and copies nothing.
    #[arg(long, hide = true, default_value_t = BUFFER)]
    relay_buffer: usize,
}

/// A running plain relay. Ends with this.
pub(crate) struct Plain {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Plain {
    /// Starts one.
    pub(super) fn start(to: SocketAddr, tls: Option<&Path>, buffer: usize) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--relay-to", &to.to_string(), "--relay-buffer", &buffer.to_string()]);
        if let Some(folder) = tls {
            command.arg("--relay-tls").arg(folder);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().context("start the plain relay")?;
        let mut line = String::new();
        let said = child.stdout.take().context("its standard output")?;
        BufReader::new(said).read_line(&mut line).context("read where it listens")?;
        Ok(Self { child, address: line.trim().parse().context("where it listens")? })
    }

    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn memory_kib(&self) -> anyhow::Result<u64> {
        global::memory_kib(self.child.id())
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        let _already_dead = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Runs it in this process.
pub(crate) async fn run(to: SocketAddr, options: &Options) -> anyhow::Result<()> {
    let tls = options.relay_tls.as_deref().map(acceptor).transpose()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (near, _) = listener.accept().await?;
        let (tls, buffer) = (tls.clone(), options.relay_buffer);
        tokio::spawn(async move {
            if let Err(error) = carry(near, to, tls, buffer).await {
                eprintln!("the plain relay: {error:#}");
            }
        });
    }
}

async fn carry(near: TcpStream, to: SocketAddr, tls: Option<TlsAcceptor>, buffer: usize) -> anyhow::Result<()> {
    let far = TcpStream::connect(to).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    match tls {
        None if buffer == 0 => {
            near.readable().await?;
            std::future::pending().await
        }
        None => copy(near, far, buffer).await,
        Some(tls) => copy(tls.accept(near).await?, far, buffer).await,
    }
    Ok(())
}

/// How a connection ends is nobody's business here.
async fn copy(mut near: impl AsyncRead + AsyncWrite + Unpin, mut far: TcpStream, buffer: usize) {
    let _how_it_ended = copy_bidirectional_with_sizes(&mut near, &mut far, buffer, buffer).await;
}

/// The certificate that a control plane made for itself in this folder.
fn acceptor(folder: &Path) -> anyhow::Result<TlsAcceptor> {
    let cert = CertificateDer::from_pem_file(folder.join("kuma-cp.crt"))?;
    let key = PrivateKeyDer::from_pem_file(folder.join("kuma-cp.key"))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![cert], key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

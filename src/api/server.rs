//! HTTP/1.1 over TCP, plain or TLS, on listeners that are bound already: connections are bounded in number and in the
//! time they may idle; a slow or silent client costs one of them, and no more. What is served is a [`Router`].

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum_server::Server;
use axum_server::accept::{Accept, DefaultAcceptor};
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::TokioTimer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Stops a server, gently or at once.
pub type Handle = axum_server::Handle<SocketAddr>;

/// What a listener allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time, of this listener; one more is closed at once.
    pub connections: usize,
    /// How long a client may take to send a request's header, and how long a connection may be silent between two.
    pub header_time: Duration,
    /// How long a TLS handshake may take.
    pub handshake_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { connections: 4096, header_time: Duration::from_secs(60), handshake_time: Duration::from_secs(10) }
    }
}

/// The longest header of a request in bytes.
const MAX_HEADER: usize = 64 * 1024;

/// Serves plain HTTP until the handle says stop. Must be called within a tokio runtime.
pub async fn serve_http(listener: TcpListener, router: Router, limits: Limits, handle: Handle) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let acceptor = Bounded::new(limits.connections);
    let server = axum_server::from_tcp(listener)?.acceptor(acceptor);
    bounded(server, limits, handle).serve(router.into_make_service()).await
}

/// Serves HTTPS until the handle says stop. Must be called within a tokio runtime.
pub async fn serve_https(
    listener: TcpListener,
    router: Router,
    tls: Arc<rustls::ServerConfig>,
    limits: Limits,
    handle: Handle,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let acceptor = RustlsAcceptor::new(RustlsConfig::from_config(tls))
        .handshake_timeout(limits.handshake_time)
        .acceptor(Bounded::new(limits.connections));
    let server = axum_server::from_tcp(listener)?.acceptor(acceptor);
    bounded(server, limits, handle).serve(router.into_make_service()).await
}

/// HTTP/1.1 with its limits.
fn bounded<A>(server: Server<SocketAddr, A>, limits: Limits, handle: Handle) -> Server<SocketAddr, A> {
    let mut server = server.handle(handle).http1_only();
    let mut http = server.http_builder().http1();
    http.timer(TokioTimer::new()).header_read_timeout(limits.header_time).max_buf_size(MAX_HEADER);
    server
}

/// Lets in so many connections at a time.
#[derive(Clone, Debug)]
struct Bounded(Arc<Semaphore>);

impl Bounded {
    fn new(connections: usize) -> Self {
        Bounded(Arc::new(Semaphore::new(connections)))
    }
}

impl<S: Send + 'static> Accept<TcpStream, S> for Bounded {
    type Stream = Admitted;
    type Service = S;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Admitted, S)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let permit = Arc::clone(&self.0).try_acquire_owned();
        Box::pin(async move {
            let Ok(permit) = permit else {
                tracing::warn!("a connection was closed at once: too many are open");
                return Err(io::ErrorKind::ConnectionRefused.into());
            };
            // Answers are small and whole.
            stream.set_nodelay(true)?;
            let (stream, service) = DefaultAcceptor::new().accept(stream, service).await?;
            Ok((Admitted { stream, _permit: permit }, service))
        })
    }
}

/// A connection, and its place among those that are allowed.
struct Admitted {
    stream: TcpStream,
    _permit: OwnedSemaphorePermit,
}

impl AsyncRead for Admitted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Admitted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

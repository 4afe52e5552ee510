//! What carries the bytes of a connection: TCP, bare or inside TLS, as one type.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

enum Carrier {
    Plain(TcpStream),
    Secure(Box<TlsStream<TcpStream>>),
}

/// An open connection's bytes, both ways.
pub(super) struct Stream {
    carrier: Carrier,
    /// Bytes read so far: by this it is seen that somebody dribbles a message.
    read: Arc<AtomicU64>,
}

impl Stream {
    pub(super) fn plain(stream: TcpStream) -> Self {
        Stream { carrier: Carrier::Plain(stream), read: Arc::default() }
    }

    pub(super) fn secure(stream: TlsStream<TcpStream>) -> Self {
        Stream { carrier: Carrier::Secure(Box::new(stream)), read: Arc::default() }
    }

    /// The count of bytes read, which goes on counting.
    pub(super) fn bytes_read(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = match &mut self.carrier {
            Carrier::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Carrier::Secure(stream) => Pin::new(stream.as_mut()).poll_read(cx, buffer),
        };
        let more = buffer.filled().len().saturating_sub(before);
        self.read.fetch_add(u64::try_from(more).unwrap_or(0), Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.carrier {
            Carrier::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Carrier::Secure(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.carrier {
            Carrier::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Carrier::Secure(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.carrier {
            Carrier::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Carrier::Secure(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}

//! One TCP connection's life: opened or accepted, read by the framer within time limits, written from its queue,
//! closed, reported.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::gate::ConnectionShare;
use super::{Counted, Counts, Inbound, TransportConfig};
use crate::sip::message::ParseError;
use crate::sip::message::stream::{Framed, Framer};
use crate::sip::peer::{Peer, Transport};

/// How a connection comes to be.
pub(super) enum Origin {
    Accepted(TcpStream),
    ToOpen,
}

pub(super) struct Connection {
    pub(super) id: u64,
    pub(super) remote: SocketAddr,
    /// The listener's address, until the connection has one of its own.
    pub(super) local: SocketAddr,
    pub(super) config: Arc<TransportConfig>,
    pub(super) inbound: mpsc::Sender<Inbound>,
    pub(super) counts: Arc<Counts>,
    /// Of the inbound queue.
    pub(super) share: ConnectionShare,
}

/// Why reading or writing ended; for logs only.
type Ended = &'static str;

impl Connection {
    /// Runs until the connection ends; the peer that is lost with it. Reading and writing share the one task.
    pub(super) async fn run(&self, origin: Origin, outgoing: mpsc::Receiver<Bytes>) -> Peer {
        let mut peer =
            Peer { transport: Transport::Tcp, remote: self.remote, local: self.local, connection: Some(self.id) };
        let accepted = matches!(origin, Origin::Accepted(_));
        let stream = match origin {
            Origin::Accepted(stream) => stream,
            Origin::ToOpen => match timeout(self.config.connect_timeout, TcpStream::connect(self.remote)).await {
                Ok(Ok(stream)) => {
                    self.counts.add(Counted::ConnectionsOpened);
                    stream
                }
                failed => {
                    tracing::debug!(remote = %self.remote, ?failed, "TCP connect");
                    self.counts.add(Counted::ConnectionsFailed);
                    peer.connection = None;
                    return peer;
                }
            },
        };
        // Messages are written whole; waiting for more to fill a segment only delays them.
        let _ = stream.set_nodelay(true);
        if let Ok(local) = stream.local_addr() {
            peer.local = local;
        }
        let (read, write) = stream.into_split();
        let written = AtomicBool::new(false);
        // Pongs and the last answer before closing; one at a time is enough, since reading waits for room.
        let (replies, to_reply) = mpsc::channel(1);
        let mut writing = std::pin::pin!(self.write(write, outgoing, to_reply, &written));
        let ended = tokio::select! {
            ended = self.read(read, peer, accepted, &replies, &written) => {
                // What is queued (the answer to what broke the stream) may still go out.
                drop(replies);
                ended
            }
            ended = &mut writing => ended,
            () = self.config.gate.closes(self.remote.ip()) => {
                self.counts.add(Counted::ConnectionsBanned);
                "banned"
            }
        };
        tracing::debug!(remote = %self.remote, connection = self.id, ended, "TCP connection ended");
        peer
    }

    /// Tells the agent that the connection is gone.
    pub(super) async fn report(&self, peer: Peer) {
        // Nobody listens any more: nobody to tell.
        let _ = self.inbound.send(Inbound::Lost { peer }).await;
    }

    async fn read(
        &self,
        mut stream: OwnedReadHalf,
        peer: Peer,
        accepted: bool,
        replies: &mpsc::Sender<Reply>,
        written: &AtomicBool,
    ) -> Ended {
        let mut framer = Framer::new();
        let mut buffer = vec![0; 8192];
        let mut proven = !accepted;
        let mut deadline = Instant::now() + if proven { self.config.idle_timeout } else { self.config.message_timeout };
        loop {
            let length = match timeout_at(deadline, stream.read(&mut buffer)).await {
                Ok(Ok(0)) => return "closed by the peer",
                Ok(Ok(length)) => length,
                Ok(Err(_)) => return "read error",
                Err(_) if framer.is_midway() || !proven => {
                    self.counts.add(Counted::SlowPeers);
                    return "a message took too long";
                }
                Err(_) if written.swap(false, Ordering::Relaxed) => {
                    deadline = Instant::now() + self.config.idle_timeout;
                    continue;
                }
                Err(_) => return "idle",
            };
            let was_midway = framer.is_midway();
            let mut completed = false;
            framer.push(buffer.get(..length).unwrap_or_default());
            while let Some(framed) = framer.next() {
                completed = true;
                match framed {
                    Framed::Message(bytes) => {
                        self.counts.add(Counted::MessagesReceived);
                        // Waiting here is what slows a peer down that sends faster than the agent reads.
                        let bytes = self.share.hold(bytes.into()).await;
                        if self.inbound.send(Inbound::Message { peer, bytes }).await.is_err() {
                            return "nobody listens";
                        }
                    }
                    Framed::Ping => {
                        self.counts.add(Counted::KeepAlives);
                        if replies.send(Reply::Pong).await.is_err() {
                            return "write error";
                        }
                    }
                    Framed::Broken(error) => {
                        self.counts.add(Counted::BrokenStreams);
                        self.refuse(&error, replies).await;
                        return "framing lost";
                    }
                }
            }
            proven |= completed;
            if framer.is_midway() {
                // From the first byte of this message, however the rest dribbles in.
                if completed || !was_midway {
                    deadline = Instant::now() + self.config.message_timeout;
                }
            } else if proven {
                deadline = Instant::now() + self.config.idle_timeout;
            }
        }
    }

    /// Answers what broke the stream, where that is possible, and waits until it is written.
    async fn refuse(&self, error: &ParseError, replies: &mpsc::Sender<Reply>) {
        let Some(mut response) = error.response() else { return };
        // Without state, any one tag is as good as another (RFC 3261 §8.2.7).
        let tagged = response.set_to_tag("framing");
        let marked = crate::sip::message::via::mark_source(&mut response.headers, self.remote);
        if tagged.is_ok() && marked.is_ok() {
            let (done, wait) = tokio::sync::oneshot::channel();
            if replies.send(Reply::Last(response.to_bytes().into(), done)).await.is_ok() {
                let _ = wait.await; // an error: the writer ended, and so does the connection
            }
        }
    }

    async fn write(
        &self,
        mut stream: OwnedWriteHalf,
        mut outgoing: mpsc::Receiver<Bytes>,
        mut replies: mpsc::Receiver<Reply>,
        written: &AtomicBool,
    ) -> Ended {
        loop {
            let (bytes, done) = tokio::select! {
                Some(reply) = replies.recv() => match reply {
                    Reply::Pong => (Bytes::from_static(b"\r\n"), None),
                    Reply::Last(bytes, done) => (bytes, Some(done)),
                },
                bytes = outgoing.recv() => match bytes {
                    Some(bytes) => (bytes, None),
                    None => {
                        // The table has let go of it, and all that was queued is written.
                        let _ = stream.shutdown().await;
                        return "closed by us";
                    }
                },
            };
            match timeout(self.config.write_timeout, stream.write_all(&bytes)).await {
                Ok(Ok(())) => {
                    self.counts.add(Counted::MessagesSent);
                    written.store(true, Ordering::Relaxed);
                    if let Some(done) = done {
                        let _ = done.send(()); // whoever waited may be gone
                    }
                }
                Ok(Err(_)) => return "write error",
                Err(_) => {
                    self.counts.add(Counted::SlowPeers);
                    return "the peer does not read";
                }
            }
        }
    }
}

/// What the reading side asks the writing side to send.
enum Reply {
    Pong,
    /// The last message before closing, and whom to tell once it is written.
    Last(Bytes, tokio::sync::oneshot::Sender<()>),
}

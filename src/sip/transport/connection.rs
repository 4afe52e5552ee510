//! One connection's life: opened or accepted, secured, read within time limits, written from its queue, kept alive,
//! closed, reported. The same for TCP, TLS and WebSocket; what differs is [`Incoming`] and [`Outgoing`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;

use super::destinations::FIRST;
use super::gate::ConnectionShare;
use super::stream::Stream;
use super::tls::names_in;
use super::{Counted, Counts, Inbound, TransportConfig, websocket};
use crate::sip::message::ParseError;
use crate::sip::message::stream::{Framed, Framer};
use crate::sip::peer::{Peer, Transport};

/// How a connection comes to be.
pub(super) enum Origin {
    Accepted(TcpStream),
    /// Opened by us. Over TLS the server has to prove this name.
    ToOpen {
        name: String,
    },
}

/// What a connection is asked to do.
pub(super) enum Order {
    /// Send this message.
    Send(Bytes),
    /// Ping the other end this often from now on.
    KeepAlive(Duration),
}

pub(super) struct Connection {
    pub(super) id: u64,
    pub(super) transport: Transport,
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

/// What the two directions tell each other.
#[derive(Default)]
struct Signs {
    /// Something was written.
    written: AtomicBool,
    /// Something was read since the last ping.
    heard: AtomicBool,
}

impl Connection {
    /// Runs until the connection ends; the peer that is lost with it. Reading and writing share the one task.
    pub(super) async fn run(&self, origin: Origin, outgoing: mpsc::Receiver<Order>) -> Peer {
        let mut peer =
            Peer { transport: self.transport, remote: self.remote, local: self.local, connection: Some(self.id) };
        let accepted = matches!(origin, Origin::Accepted(_));
        let (begun, names) = match self.begin(origin, &mut peer).await {
            Ok(begun) => begun,
            Err(ended) => {
                tracing::debug!(remote = %self.remote, transport = %self.transport, ended, "SIP connection");
                if !accepted && self.id < FIRST {
                    peer.connection = None;
                }
                return peer;
            }
        };
        if !names.is_empty() {
            // Nobody listens any more: reading finds out.
            let _ = self.inbound.send(Inbound::Identified { peer, names }).await;
        }
        let (incoming, outgoing_half) = begun;
        let signs = Signs::default();
        // Pongs and the last answer before closing; one at a time is enough, since reading waits for room.
        let (replies, to_reply) = mpsc::channel(1);
        let mut writing = std::pin::pin!(self.write(outgoing_half, outgoing, to_reply, &signs));
        let ended = tokio::select! {
            ended = self.read(incoming, peer, accepted, &replies, &signs) => {
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
        let transport = self.transport;
        tracing::debug!(remote = %self.remote, %transport, connection = self.id, ended, "SIP connection ended");
        peer
    }

    /// Tells the agent that the connection is gone.
    pub(super) async fn report(&self, peer: Peer) {
        // Nobody listens any more: nobody to tell.
        let _ = self.inbound.send(Inbound::Lost { peer }).await;
    }

    /// Opens, secures and upgrades within the time for it; with the names that a caller's certificate proves.
    async fn begin(&self, origin: Origin, peer: &mut Peer) -> Result<((Incoming, Outgoing), Vec<String>), Ended> {
        let time = match origin {
            Origin::Accepted(_) => self.config.message_timeout,
            Origin::ToOpen { .. } => self.config.connect_timeout,
        };
        let deadline = Instant::now() + time;
        let late = |_| {
            self.counts.add(Counted::HandshakesFailed);
            "the handshake took too long"
        };
        let failed = |error: &dyn std::fmt::Display| {
            self.counts.add(Counted::HandshakesFailed);
            tracing::debug!(remote = %self.remote, %error, "handshake");
            "the handshake failed"
        };
        let not_open = |what: &dyn std::fmt::Debug| {
            tracing::debug!(remote = %self.remote, ?what, "connect");
            self.counts.add(Counted::ConnectionsFailed);
            "it cannot be opened"
        };
        let (tcp, name) = match origin {
            Origin::Accepted(tcp) => (tcp, None),
            Origin::ToOpen { name } => match timeout_at(deadline, TcpStream::connect(self.remote)).await {
                Ok(Ok(tcp)) => (tcp, Some(name)),
                Ok(Err(error)) => return Err(not_open(&error)),
                Err(late) => return Err(not_open(&late)),
            },
        };
        // Messages are written whole; waiting for more to fill a segment only delays them.
        let _ = tcp.set_nodelay(true);
        if let Ok(local) = tcp.local_addr() {
            peer.local = canonical(local);
        }
        let mut names = Vec::new();
        let stream = match self.transport {
            Transport::Tls | Transport::Wss => {
                let tls = self.config.tls.as_ref().ok_or("there is no TLS")?;
                let stream = match &name {
                    None => {
                        let accepting = TlsAcceptor::from(tls.server(&self.counts)).accept(tcp);
                        let stream = timeout_at(deadline, accepting).await.map_err(late)?.map_err(|e| failed(&e))?;
                        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                        names = shown.map(names_in).unwrap_or_default();
                        TlsStream::from(stream)
                    }
                    Some(name) => {
                        let name = ServerName::try_from(name.clone()).map_err(|e| failed(&e))?;
                        let connecting = TlsConnector::from(tls.client(&self.counts)).connect(name, tcp);
                        TlsStream::from(timeout_at(deadline, connecting).await.map_err(late)?.map_err(|e| {
                            self.counts.add(Counted::ConnectionsFailed);
                            tracing::warn!(remote = %self.remote, error = %e, "a SIP server was not trusted");
                            failed(&e)
                        })?)
                    }
                };
                Stream::secure(stream)
            }
            _ => Stream::plain(tcp),
        };
        let halves = match self.transport {
            Transport::Ws | Transport::Wss => {
                let read = stream.bytes_read();
                let upgraded = match &name {
                    None => timeout_at(deadline, websocket::accept(stream, &self.config.origins)).await,
                    Some(name) => {
                        let secure = self.transport == Transport::Wss;
                        timeout_at(deadline, websocket::connect(stream, name, self.remote, secure)).await
                    }
                };
                let (write, frames) = upgraded.map_err(late)?.map_err(|e| failed(&e))?.split();
                (Incoming::Frames { frames, read, seen: 0, since: None }, Outgoing::Frames(write))
            }
            _ => {
                let (stream, write) = tokio::io::split(stream);
                let (framer, buffer) = (Framer::new(), vec![0; 8192]);
                (Incoming::Bytes { stream, framer, buffer }, Outgoing::Bytes(write))
            }
        };
        if name.is_some() {
            self.counts.add(Counted::ConnectionsOpened);
        }
        Ok((halves, names))
    }

    async fn read(
        &self,
        mut incoming: Incoming,
        peer: Peer,
        accepted: bool,
        replies: &mpsc::Sender<Reply>,
        signs: &Signs,
    ) -> Ended {
        let mut proven = !accepted;
        let mut deadline = Instant::now() + if proven { self.config.idle_timeout } else { self.config.message_timeout };
        loop {
            let was_midway = incoming.is_midway();
            let more = match incoming.more(deadline, self.config.message_timeout).await {
                More::Ended(why) => return why,
                More::Some => true,
                More::Slow => {
                    self.counts.add(Counted::SlowPeers);
                    return "a message took too long";
                }
                More::Late if incoming.is_midway() || !proven => {
                    self.counts.add(Counted::SlowPeers);
                    return "a message took too long";
                }
                More::Late if signs.written.swap(false, Ordering::Relaxed) => {
                    deadline = Instant::now() + self.config.idle_timeout;
                    continue;
                }
                More::Late => return "idle",
            };
            signs.heard.store(more, Ordering::Relaxed);
            let mut completed = false;
            while let Some(got) = incoming.next() {
                match got {
                    Got::Message(bytes) => {
                        completed = true;
                        self.counts.add(Counted::MessagesReceived);
                        self.counts.received(self.transport);
                        // Waiting here is what slows a peer down that sends faster than the agent reads.
                        let bytes = self.share.hold(bytes).await;
                        if self.inbound.send(Inbound::Message { peer, bytes }).await.is_err() {
                            return "nobody listens";
                        }
                    }
                    Got::Ping => {
                        completed = true;
                        self.counts.add(Counted::KeepAlives);
                        if replies.send(Reply::Pong).await.is_err() {
                            return "write error";
                        }
                    }
                    Got::Nothing => completed = true,
                    Got::Broken(error) => {
                        self.counts.add(Counted::BrokenStreams);
                        self.refuse(&error, replies).await;
                        return "framing lost";
                    }
                }
            }
            proven |= completed;
            if incoming.is_midway() {
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
        mut half: Outgoing,
        mut orders: mpsc::Receiver<Order>,
        mut replies: mpsc::Receiver<Reply>,
        signs: &Signs,
    ) -> Ended {
        let mut keep: Option<Duration> = None;
        let mut answers_pings = false;
        // When the next ping is due, or its answer.
        let mut alarm: Option<(Instant, bool)> = None;
        loop {
            let due = async {
                match alarm {
                    Some((at, _)) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let (bytes, done) = tokio::select! {
                Some(reply) = replies.recv() => match reply {
                    Reply::Pong => (Bytes::from_static(b"\r\n"), None),
                    Reply::Last(bytes, done) => (bytes, Some(done)),
                },
                order = orders.recv() => match order {
                    Some(Order::Send(bytes)) => (bytes, None),
                    Some(Order::KeepAlive(every)) => {
                        keep = Some(every);
                        alarm = Some((Instant::now() + every, false));
                        continue;
                    }
                    None => {
                        // The table has let go of it, and all that was queued is written.
                        half.close().await;
                        return "closed by us";
                    }
                },
                () = due => {
                    let (Some((_, waiting)), Some(every)) = (alarm, keep) else { continue };
                    let heard = signs.heard.load(Ordering::Relaxed);
                    if waiting {
                        if answers_pings && !heard {
                            return "a ping was not answered";
                        }
                        answers_pings |= heard;
                        alarm = Some((Instant::now() + every.saturating_sub(self.config.pong_timeout), false));
                        continue;
                    }
                    signs.heard.store(false, Ordering::Relaxed);
                    alarm = Some((Instant::now() + self.config.pong_timeout, true));
                    (Bytes::from_static(b"\r\n\r\n"), None)
                }
            };
            let is_message = bytes.len() > 4;
            match timeout_at(Instant::now() + self.config.write_timeout, half.write(bytes)).await {
                Ok(true) => {
                    self.counts.add(Counted::MessagesSent);
                    if is_message {
                        self.counts.sent(self.transport);
                    }
                    signs.written.store(true, Ordering::Relaxed);
                    if let Some(done) = done {
                        let _ = done.send(()); // whoever waited may be gone
                    }
                }
                Ok(false) => return "write error",
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

/// One whole thing that came.
enum Got {
    Message(Bytes),
    /// To be answered with CRLF.
    Ping,
    /// Something that is nobody's business but shows that the peer lives.
    Nothing,
    Broken(ParseError),
}

/// How waiting for more ended.
enum More {
    Some,
    /// Nothing until the deadline.
    Late,
    /// A message has begun, and is not whole after the time for one.
    Slow,
    Ended(Ended),
}

/// The reading half: a stream that is cut into messages, or frames that are messages already.
enum Incoming {
    Bytes {
        stream: ReadHalf<Stream>,
        framer: Framer,
        buffer: Vec<u8>,
    },
    Frames {
        frames: SplitStream<WebSocketStream<Stream>>,
        /// Bytes that the socket has given so far.
        read: Arc<AtomicU64>,
        /// As many of them as there were at the last whole frame.
        seen: u64,
        since: Option<Frame>,
    },
}

impl Incoming {
    async fn more(&mut self, deadline: Instant, message_time: Duration) -> More {
        match self {
            Incoming::Bytes { stream, framer, buffer } => match timeout_at(deadline, stream.read(buffer)).await {
                Ok(Ok(0)) => More::Ended("closed by the peer"),
                Ok(Ok(length)) => {
                    framer.push(buffer.get(..length).unwrap_or_default());
                    More::Some
                }
                Ok(Err(_)) => More::Ended("read error"),
                Err(_) => More::Late,
            },
            Incoming::Frames { frames, read, seen, since } => loop {
                // The library gives whole frames only; whether one has begun is seen by the bytes that came.
                let before = read.load(Ordering::Relaxed);
                let look = deadline.min(Instant::now() + message_time);
                match timeout_at(look, frames.next()).await {
                    Ok(Some(Ok(frame))) => {
                        *seen = read.load(Ordering::Relaxed);
                        *since = Some(frame);
                        return More::Some;
                    }
                    Ok(Some(Err(_))) => return More::Ended("a bad frame"),
                    Ok(None) => return More::Ended("closed by the peer"),
                    Err(_) if before > *seen => return More::Slow,
                    Err(_) if look >= deadline => return More::Late,
                    Err(_) => {}
                }
            },
        }
    }

    fn is_midway(&self) -> bool {
        match self {
            Incoming::Bytes { framer, .. } => framer.is_midway(),
            Incoming::Frames { .. } => false,
        }
    }

    fn next(&mut self) -> Option<Got> {
        match self {
            Incoming::Bytes { framer, .. } => Some(match framer.next()? {
                Framed::Message(bytes) => Got::Message(bytes.into()),
                Framed::Ping => Got::Ping,
                Framed::Broken(error) => Got::Broken(error),
            }),
            Incoming::Frames { since, .. } => Some(match since.take()? {
                Frame::Text(text) => message_or_ping(text.into()),
                Frame::Binary(bytes) => message_or_ping(bytes),
                // A ping is answered by the library.
                Frame::Ping(_) | Frame::Pong(_) | Frame::Close(_) | Frame::Frame(_) => Got::Nothing,
            }),
        }
    }
}

/// A frame's content: a message, or CRLFs that keep the connection alive (RFC 7118 §6, RFC 5626 §3.5.1).
fn message_or_ping(bytes: Bytes) -> Got {
    match bytes.as_ref() {
        b"\r\n\r\n" => Got::Ping,
        blank if blank.iter().all(|b| matches!(b, b'\r' | b'\n')) => Got::Nothing,
        _ => Got::Message(bytes),
    }
}

/// The writing half.
enum Outgoing {
    Bytes(WriteHalf<Stream>),
    Frames(SplitSink<WebSocketStream<Stream>, Frame>),
}

impl Outgoing {
    /// False: it failed.
    async fn write(&mut self, bytes: Bytes) -> bool {
        match self {
            // What TLS holds back until it is flushed would wait for the next message.
            Outgoing::Bytes(half) => half.write_all(&bytes).await.is_ok() && half.flush().await.is_ok(),
            Outgoing::Frames(sink) => {
                // Text where it is text: browsers' libraries expect it (RFC 7118 §5.1 takes both).
                let frame = match std::str::from_utf8(&bytes) {
                    Ok(text) => Frame::text(text),
                    Err(_) => Frame::binary(bytes),
                };
                sink.send(frame).await.is_ok()
            }
        }
    }

    async fn close(&mut self) {
        // The other end may be gone already.
        match self {
            Outgoing::Bytes(half) => drop(half.shutdown().await),
            Outgoing::Frames(sink) => drop(sink.close().await),
        }
    }
}

/// An IPv4 address is one, however the socket writes it.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

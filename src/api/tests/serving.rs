//! The server on real loopback sockets: TLS with our own CA, limits, and stopping.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};

use super::Client;
use crate::api::server::{Handle, Limits, serve_http, serve_https};
use crate::api::tls::{TlsError, TlsFiles, load_or_create};
use crate::random::Random;
use crate::time::Time;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn files(folder: &std::path::Path) -> TlsFiles {
    TlsFiles { ca: folder.join("ca.pem"), private: folder.join("tls") }
}

/// The engine's time: certificates are checked against the real one.
fn now() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Time::from_micros(since.as_micros() as u64)
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A handshake by a client that trusts `ca` only; the first line of the answer to a GET.
fn https_get(address: SocketAddr, ca: &[u8], name: &str) -> std::io::Result<String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut session = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = TcpStream::connect(address)?;
    let mut tls = rustls::Stream::new(&mut session, &mut stream);
    tls.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    tls.read_to_string(&mut text)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn https_is_trusted_by_who_trusts_our_ca() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let mut random = Random::from_number(1);
    let tls = load_or_create(&files, &["pbx.example".into(), "192.0.2.7".into()], now(), &mut random).unwrap();
    let (listener, address) = listen();
    let handle = Handle::new();
    let router = Client::new().router;
    let server = tokio::spawn(serve_https(listener, router, tls, Limits::default(), handle.clone()));
    let ca = std::fs::read(&files.ca).unwrap();
    let results = tokio::task::spawn_blocking(move || {
        let names = ["localhost", "127.0.0.1", "::1", "pbx.example", "192.0.2.7"];
        let good = names.map(|name| https_get(address, &ca, name).unwrap());
        (good, https_get(address, &ca, "other.example"))
    });
    let (good, bad) = results.await.unwrap();
    assert!(good.iter().all(|line| line == "HTTP/1.1 200 OK"), "{good:?}");
    assert!(bad.is_err());
    handle.graceful_shutdown(Some(Duration::from_secs(5)));
    server.await.unwrap().unwrap();
}

#[test]
fn certificates_are_kept_renewed_and_made_for_the_wanted_names() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let mut random = Random::from_number(1);
    let (first_day, names) = (Time::from_micros(1_795_339_564_000_000), vec!["a.example".to_owned()]);
    let mut at = |days: u32, names: &[String]| {
        load_or_create(&files, names, first_day + days * DAY, &mut random).unwrap();
        let read = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap();
        (read(files.ca.clone()), read(files.private.join("server.pem")))
    };
    let first = at(0, &names);
    assert_eq!(first, at(100, &names), "a restart changes nothing");
    let renewed = at(340, &names);
    assert_eq!(first.0, renewed.0, "clients keep trusting the CA");
    assert_ne!(first.1, renewed.1);
    let renamed = at(341, &["b.example".to_owned()]);
    assert_ne!(renewed.1, renamed.1);
    assert_eq!(renamed, at(342, &["b.example".to_owned(), "localhost".to_owned()]));
    for key in ["ca-key.pem", "server-key.pem"] {
        let mode = std::fs::metadata(files.private.join(key)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
    let refused = load_or_create(&files, &["not a name".into()], first_day, &mut random);
    assert!(matches!(refused, Err(TlsError::Name { name }) if name == "not a name"));
    std::fs::write(files.private.join("ca-key.pem"), "garbage").unwrap();
    assert!(matches!(load_or_create(&files, &names, first_day, &mut random), Err(TlsError::Content { .. })));
}

fn http_server(limits: Limits) -> (SocketAddr, Handle, tokio::task::JoinHandle<std::io::Result<()>>) {
    let (listener, address) = listen();
    let handle = Handle::new();
    let server = tokio::spawn(serve_http(listener, Client::new().router, limits, handle.clone()));
    (address, handle, server)
}

/// Sends this, and reads until the server closes.
fn talk(address: SocketAddr, text: &[u8]) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(text)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_silent_clients_are_let_go() {
    let limits = Limits { header_time: Duration::from_millis(200), ..Limits::default() };
    let (address, handle, server) = http_server(limits);
    let answers = tokio::task::spawn_blocking(move || {
        let half = talk(address, b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ");
        let idle = talk(address, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        let silent = talk(address, b"");
        let garbage = talk(address, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n");
        let long = talk(address, &[b"GET / HTTP/1.1\r\nX: ".to_vec(), vec![b'x'; 200_000]].concat());
        (half, idle, silent, garbage, long)
    });
    let (half, idle, silent, garbage, long) = answers.await.unwrap();
    assert!(!half.unwrap().contains("200 OK"));
    assert!(idle.unwrap().starts_with("HTTP/1.1 200 OK"), "answered, then closed when idle");
    assert_eq!(silent.unwrap(), "");
    assert!(garbage.unwrap().starts_with("HTTP/1.1 400"));
    // The rest of a header that is too long may meet a closed socket.
    assert!(long.is_err() || long.unwrap().starts_with("HTTP/1.1 431"));
    handle.graceful_shutdown(Some(Duration::from_secs(5)));
    server.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_bounded_and_their_places_come_back() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let (address, handle, server) = http_server(limits);
    let done = tokio::task::spawn_blocking(move || {
        let ask = |stream: &mut TcpStream| {
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let mut start = [0; 15];
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")?;
            stream.read_exact(&mut start).map(|()| start)
        };
        let mut held: Vec<_> = (0..2).map(|_| TcpStream::connect(address).unwrap()).collect();
        for stream in &mut held {
            assert_eq!(&ask(stream).unwrap(), b"HTTP/1.1 200 OK");
        }
        let mut third = TcpStream::connect(address).unwrap();
        assert!(ask(&mut third).is_err(), "one too many is closed at once");
        held.clear();
        // The places are free as soon as the server has noticed.
        (0..1000).any(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            ask(&mut stream).is_ok()
        })
    });
    assert!(done.await.unwrap());
    handle.graceful_shutdown(Some(Duration::from_millis(1)));
    server.await.unwrap().unwrap();
}

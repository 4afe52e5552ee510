//! Tests of fetching, against servers that misbehave.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A server on loopback that gives each path its own treatment; counts the requests it saw.
pub(in crate::prompt) struct Server {
    pub address: SocketAddr,
    pub requests: Arc<AtomicUsize>,
}

impl Server {
    pub async fn start(audio: Vec<u8>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let (seen, audio) = (requests.clone(), Arc::new(audio));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, seen.clone(), audio.clone(), address));
            }
        });
        Server { address, requests }
    }

    pub fn url(&self, path: &str) -> Url {
        format!("http://{}/{path}", self.address).parse().unwrap()
    }

    pub fn seen(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<AtomicUsize>, audio: Arc<Vec<u8>>, own: SocketAddr) {
    let mut head = Vec::new();
    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read_buf(&mut head).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    seen.fetch_add(1, Ordering::SeqCst);
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let redirect =
        |to: &str| format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let text = match path.as_str() {
        "hang" => std::future::pending().await,
        "endless" => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").await;
            while stream.write_all(&[0; 4096]).await.is_ok() {}
            return;
        }
        "drip" => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nR").await;
            std::future::pending().await
        }
        "announced" => "HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n".to_owned(),
        "cut" => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".to_owned(),
        "garbage" => "SSH-2.0-OpenSSH_9.9\r\n".to_owned(),
        "loop" => redirect("/loop"),
        "twice" => redirect("/once"),
        "once" => redirect("/ok"),
        "to-metadata" => redirect("http://169.254.169.254/latest/meta-data"),
        "to-self" => redirect(&format!("http://{own}/ok")),
        "to-file" => redirect("file:///etc/passwd"),
        "nowhere" => "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "partial" => "HTTP/1.1 206 Partial Content\r\nContent-Length: 1\r\n\r\nx".to_owned(),
        "slow-ok" | "ok" => {
            if path == "slow-ok" {
                // Long enough for all who ask to have asked: they only have to be polled once.
                for _ in 0..1000 {
                    tokio::task::yield_now().await;
                }
            }
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", audio.len());
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(&audio).await;
            return;
        }
        _ => "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnope".to_owned(),
    };
    let _ = stream.write_all(text.as_bytes()).await;
}

/// Names lead where the test says.
struct Fixed(Vec<SocketAddr>);

impl Resolve for Fixed {
    fn resolve(&self, _: Name) -> Resolving {
        let found = self.0.clone();
        Box::pin(async move { Ok(Box::new(found.into_iter()) as Addrs) })
    }
}

const LIMIT: usize = 100_000;

fn config(allow_private: bool) -> FetchConfig {
    FetchConfig { timeout: Duration::from_secs(30), max_redirects: 3, allow_private, ..FetchConfig::default() }
}

fn open() -> Fetcher {
    Fetcher::new(config(true), LIMIT)
}

#[tokio::test]
async fn a_file_is_fetched_also_over_redirects() {
    let server = Server::start(b"RIFFsound".to_vec()).await;
    for path in ["ok", "once", "twice"] {
        assert_eq!(&open().fetch(&server.url(path)).await.unwrap()[..], b"RIFFsound", "{path}");
    }
}

#[tokio::test]
async fn what_a_server_does_wrong_is_named() {
    let server = Server::start(Vec::new()).await;
    let here = |path: &str| format!("http://{}/{path}", server.address);
    let failed = async |path: &str| {
        let error = open().fetch(&server.url(path)).await.unwrap_err();
        assert_eq!(error.sub_code(), 8536, "{path}: {error}");
        error
    };
    assert_eq!(failed("missing").await, PromptError::Status { place: here("missing"), status: 404 });
    assert_eq!(failed("partial").await, PromptError::Status { place: here("partial"), status: 206 });
    assert_eq!(failed("nowhere").await, PromptError::Status { place: here("nowhere"), status: 302 });
    assert_eq!(failed("loop").await, PromptError::Redirects { place: here("loop"), limit: 3 });
    assert_eq!(failed("endless").await, PromptError::TooBig { place: here("endless"), limit: LIMIT });
    assert_eq!(failed("announced").await, PromptError::TooBig { place: here("announced"), limit: LIMIT });
    for path in ["cut", "garbage", "to-file"] {
        let error = failed(path).await;
        assert!(matches!(error, PromptError::Fetch { .. }), "{path}: {error}");
    }
    // Nobody listens on a port that was just let go.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = open().fetch(&format!("http://{gone}/a?sig=secret").parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, PromptError::Fetch { .. }), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn a_server_that_hangs_or_drips_is_given_up() {
    let server = Server::start(Vec::new()).await;
    let hasty = Fetcher::new(FetchConfig { timeout: Duration::from_millis(200), ..config(true) }, LIMIT);
    for path in ["hang", "drip"] {
        let error = hasty.fetch(&server.url(path)).await.unwrap_err();
        assert!(matches!(error, PromptError::Timeout { .. }), "{path}: {error}");
        assert_eq!(error.sub_code(), 8536);
    }
}

#[tokio::test]
async fn private_addresses_are_refused_before_anything_is_sent() {
    let server = Server::start(b"secret".to_vec()).await;
    let port = server.address.port();
    let closed = Fetcher::new(config(false), LIMIT);
    let urls = [
        format!("http://127.0.0.1:{port}/ok"),
        format!("http://localhost:{port}/ok"),
        format!("http://2130706433:{port}/ok"),
        format!("http://0x7f.1:{port}/ok"),
        format!("http://0:{port}/ok"),
        format!("http://[::1]:{port}/ok"),
        format!("http://[::ffff:127.0.0.1]:{port}/ok"),
        format!("https://127.0.0.1:{port}/ok"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "http://100.64.1.1/".to_owned(),
        "http://[fd00::1]/".to_owned(),
    ];
    for url in urls {
        let error = closed.fetch(&url.parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, PromptError::PrivateAddress { .. }), "{url}: {error}");
    }
    assert_eq!(server.seen(), 0);
}

#[tokio::test]
async fn a_name_that_leads_to_a_private_address_is_refused() {
    let server = Server::start(b"secret".to_vec()).await;
    let url: Url = format!("http://prompts.example:{}/ok", server.address.port()).parse().unwrap();
    let rebound: Arc<dyn Resolve> = Arc::new(Fixed(vec![server.address]));
    let closed = Fetcher::with_resolver(config(false), LIMIT, rebound.clone());
    let error = closed.fetch(&url).await.unwrap_err();
    let PromptError::PrivateAddress { address, .. } = error else { panic!("{error}") };
    assert_eq!(address, server.address.ip());
    assert_eq!(server.seen(), 0);
    // The same name, where it is allowed: the resolver is really the one that is asked.
    assert_eq!(&Fetcher::with_resolver(config(true), LIMIT, rebound).fetch(&url).await.unwrap()[..], b"secret");
}

#[tokio::test]
async fn private_addresses_are_left_out_of_a_mixed_answer() {
    let mixed = Fixed(vec!["10.0.0.1:0".parse().unwrap(), "1.1.1.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()]);
    let checked = CheckedResolver { inner: Arc::new(mixed), allow_private: false };
    let found: Vec<SocketAddr> = checked.resolve("x.example".parse().unwrap()).await.unwrap().collect();
    assert_eq!(found, ["1.1.1.1:0".parse().unwrap()]);
}

/// What a fetcher makes of a redirect, as if the first server had been a public one.
#[tokio::test]
async fn a_redirect_to_a_private_address_is_refused() {
    let server = Server::start(b"secret".to_vec()).await;
    let closed = Fetcher::new(config(false), LIMIT);
    let _ = rustls::crypto::ring::default_provider().install_default();
    for path in ["to-metadata", "to-self"] {
        let response = Client::builder().redirect(Policy::none()).no_proxy().build().unwrap();
        let response = response.get(server.url(path)).send().await.unwrap();
        let next = redirect(&server.url(path), &response).unwrap().unwrap();
        let before = server.seen();
        let error = closed.follow(&next).await.unwrap_err();
        assert!(matches!(error, PromptError::PrivateAddress { .. }), "{path}: {error}");
        assert_eq!(server.seen(), before);
    }
}

/// One request over TLS, with a certificate of its own; on a thread, for rustls is used as it is.
fn serve_tls(audio: &'static [u8]) -> (SocketAddr, String) {
    use std::io::{Read, Write};
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let session = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut tls = rustls::StreamOwned::new(session, stream.unwrap());
            // Fails where the client does not trust us.
            if tls.read(&mut [0; 4096]).is_ok() {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", audio.len());
                let _ = tls.write_all(head.as_bytes()).and_then(|()| tls.write_all(audio)).and_then(|()| tls.flush());
            }
        }
    });
    (address, made.cert.pem())
}

#[tokio::test]
async fn https_is_fetched_from_who_is_trusted_only() {
    let (address, authority) = serve_tls(b"RIFFsecure");
    let url: Url = format!("https://localhost:{}/a.wav", address.port()).parse().unwrap();
    let error = open().fetch(&url).await.unwrap_err();
    assert!(matches!(&error, PromptError::Fetch { .. }), "{error}");
    assert!(error.to_string().contains("certificate"), "{error}");
    let trusting = FetchConfig { extra_authorities: authority.into_bytes(), ..config(true) };
    assert_eq!(&Fetcher::new(trusting, LIMIT).fetch(&url).await.unwrap()[..], b"RIFFsecure");
}

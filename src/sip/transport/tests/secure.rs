//! TLS on loopback, with a CA of the test's own: who is trusted, who is not, who must show a certificate, and what a
//! changed certificate does.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::tls::{ClientCertificates, TlsSettings};
use super::*;

/// A CA, and a folder where it puts what it signs.
pub(super) struct Authority {
    folder: tempfile::TempDir,
    key: KeyPair,
    params: CertificateParams,
}

impl Authority {
    pub(super) fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Test CA");
        std::fs::write(folder.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Authority { folder, key, params }
    }

    pub(super) fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Writes `NAME.pem` and `NAME-key.pem`.
    fn sign(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let certificate = params.signed_by(&key, &Issuer::from_params(&self.params, &self.key)).unwrap();
        let at = |suffix: &str| self.folder.path().join(format!("{name}{suffix}.pem"));
        std::fs::write(at("-key"), key.serialize_pem()).unwrap();
        std::fs::write(at(""), certificate.pem()).unwrap();
        (at(""), at("-key"))
    }

    /// Settings for a host with these DNS names.
    pub(super) fn settings(&self, name: &str, dns: &[&str]) -> TlsSettings {
        let names = dns.iter().map(|n| n.to_string()).collect::<Vec<_>>();
        let (chain, key) = self.sign(name, |params| {
            params.subject_alt_names = CertificateParams::new(names).unwrap().subject_alt_names;
        });
        TlsSettings { chain: vec![chain], key, roots: Some(self.ca()), ..TlsSettings::default() }
    }

    pub(super) fn client(&self, shown: Option<(PathBuf, PathBuf)>) -> Arc<ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.ca()).unwrap()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots);
        Arc::new(match shown {
            Some((chain, key)) => config
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_file(chain).unwrap()],
                    PrivateKeyDer::from_pem_file(key).unwrap(),
                )
                .unwrap(),
            None => config.with_no_client_auth(),
        })
    }
}

pub(super) fn secure(settings: TlsSettings) -> TransportConfig {
    let any = "127.0.0.1:0".parse().unwrap();
    TransportConfig {
        tls_listen: vec![any],
        wss_listen: vec![any],
        tls: Some(Arc::new(Tls::load(settings).unwrap())),
        ..config()
    }
}

pub(super) async fn dial(
    transports: &Transports,
    transport: Transport,
    client: Arc<ClientConfig>,
    name: &'static str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(transports.address(transport).unwrap()).await.unwrap();
    timeout(NEVER, TlsConnector::from(client).connect(ServerName::try_from(name).unwrap(), tcp)).await.unwrap()
}

/// A peer that leads from one transport layer to another, which has to prove that name.
fn way(from: &Transports, to: &Transports, transport: Transport, name: &str) -> Peer {
    let remote = to.address(transport).unwrap();
    let connection = Some(from.destinations().number(transport, remote, name));
    Peer { transport, remote, local: from.address(transport).unwrap(), connection }
}

#[tokio::test]
async fn messages_go_both_ways_over_tls_and_the_way_keeps_its_number() {
    let authority = Authority::new();
    let (a, mut at_a) = start(secure(authority.settings("a", &["a.example"]))).await;
    let (b, mut at_b) = start(secure(authority.settings("b", &["b.example"]))).await;
    let to_b = way(&a, &b, Transport::Tls, "b.example");
    a.send(&to_b, Bytes::from(options("1", "body"))).unwrap();
    let (from, bytes) = message(&mut at_b).await;
    assert_eq!((from.transport, bytes), (Transport::Tls, Bytes::from(options("1", "body"))));
    b.send(&from, Bytes::from(options("2", ""))).unwrap();
    let (from_b, _) = message(&mut at_a).await;
    assert_eq!((from_b.connection, from_b.remote), (to_b.connection, to_b.remote));
    assert_eq!(a.counts().get(Counted::TlsSent), 1);
    assert_eq!(a.counts().get(Counted::TlsReceived), 1);

    // Its end is told; the next message opens it again.
    drop(b);
    assert_eq!(lost(&mut at_a).await.connection, to_b.connection);
    a.send(&to_b, Bytes::from_static(b"x")).unwrap();
    assert_eq!(lost(&mut at_a).await.connection, to_b.connection, "nobody listens there any more");
}

#[tokio::test]
async fn a_server_that_does_not_prove_its_name_is_not_spoken_to() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let (a, mut at_a) = start(secure(authority.settings("a", &["a.example"]))).await;
    let by_uri = {
        let (chain, key) = authority.sign("uri", |params| {
            params.subject_alt_names = vec![
                SanType::URI("sip:uri.example".try_into().unwrap()),
                SanType::URI("sip:alice@user.example".try_into().unwrap()),
            ];
        });
        TlsSettings { chain: vec![chain], key, roots: Some(authority.ca()), ..TlsSettings::default() }
    };
    let expired = {
        let (chain, key) = authority.sign("old", |params| {
            params.subject_alt_names = CertificateParams::new(vec!["old.example".into()]).unwrap().subject_alt_names;
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        });
        TlsSettings { chain: vec![chain], key, roots: Some(authority.ca()), ..TlsSettings::default() }
    };
    for (settings, name, trusted) in [
        (authority.settings("b", &["b.example"]), "b.example", true),
        (authority.settings("c", &["b.example"]), "c.example", false),
        (authority.settings("d", &["*.pbx.example"]), "d.pbx.example", true),
        (authority.settings("e", &["*.pbx.example"]), "e.sub.pbx.example", false),
        (authority.settings("f", &["127.0.0.1"]), "127.0.0.1", true),
        (by_uri.clone(), "uri.example", true),
        (by_uri, "user.example", false),
        (expired, "old.example", false),
        (stranger.settings("g", &["g.example"]), "g.example", false),
    ] {
        let (b, mut at_b) = start(secure(settings)).await;
        let to_b = way(&a, &b, Transport::Tls, name);
        a.send(&to_b, Bytes::from(options("1", ""))).unwrap();
        if trusted {
            let came = next(&mut at_b).await;
            assert!(matches!(came, Inbound::Message { .. }), "{name}: {came:?}");
        } else {
            assert_eq!(lost(&mut at_a).await.connection, to_b.connection, "{name}");
        }
        assert_eq!(b.counts().get(Counted::TlsReceived), u64::from(trusted), "{name}");
        drop((b, at_b));
        if trusted {
            assert_eq!(lost(&mut at_a).await.connection, to_b.connection, "{name}");
        }
    }
    // Nobody said which name: the address itself, which this certificate is not for.
    let (b, _at_b) = start(secure(authority.settings("h", &["h.example"]))).await;
    let nameless = Peer { connection: None, ..way(&b, &b, Transport::Tls, "h.example") };
    a.send(&nameless, Bytes::from(options("1", ""))).unwrap();
    assert_eq!(lost(&mut at_a).await.remote, nameless.remote);
    // Unless it is asked not to look.
    let careless = TlsSettings { insecure: true, ..authority.settings("i", &["i.example"]) };
    let (c, _at_c) = start(secure(careless)).await;
    let (b, mut at_b) = start(secure(stranger.settings("j", &["j.example"]))).await;
    c.send(&way(&c, &b, Transport::Tls, "nobody.example"), Bytes::from(options("1", ""))).unwrap();
    message(&mut at_b).await;
}

#[tokio::test]
async fn callers_show_certificates_where_they_are_asked_to() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let dns = |authority: &Authority, name: &str| {
        let names = vec![name.to_uppercase(), "second.example".into()];
        authority.sign(name, |p| p.subject_alt_names = CertificateParams::new(names).unwrap().subject_alt_names)
    };
    let asked = TlsSettings { clients: ClientCertificates::Asked, ..authority.settings("a", &["a.example"]) };
    let (a, mut at_a) = start(secure(asked)).await;
    let shown = authority.client(Some(dns(&authority, "carrier.example")));
    let mut carrier = dial(&a, Transport::Tls, shown, "a.example").await.unwrap();
    carrier.write_all(options("1", "").as_bytes()).await.unwrap();
    let Inbound::Identified { peer, names } = next(&mut at_a).await else { panic!("not identified") };
    assert_eq!(names, ["carrier.example", "second.example"]);
    assert_eq!(message(&mut at_a).await.0, peer);
    // By its common name where it has no other.
    let plain = authority.client(Some(authority.sign("Old.Example", |_| ())));
    let mut old = dial(&a, Transport::Tls, plain, "a.example").await.unwrap();
    old.write_all(options("1", "").as_bytes()).await.unwrap();
    let Inbound::Identified { names, .. } = next(&mut at_a).await else { panic!("not identified") };
    assert_eq!(names, ["old.example"]);
    message(&mut at_a).await;
    // Without one, nobody in particular.
    let mut anybody = dial(&a, Transport::Tls, authority.client(None), "a.example").await.unwrap();
    anybody.write_all(options("2", "").as_bytes()).await.unwrap();
    message(&mut at_a).await;

    let required = TlsSettings { clients: ClientCertificates::Required, ..authority.settings("b", &["a.example"]) };
    let (b, mut at_b) = start(secure(required)).await;
    for shown in [None, Some(dns(&stranger, "carrier.example"))] {
        // TLS 1.3 lets the client write before it hears that it is refused.
        if let Ok(mut refused) = dial(&b, Transport::Tls, authority.client(shown), "a.example").await {
            let _ = refused.write_all(options("3", "").as_bytes()).await;
            let _ = timeout(NEVER, refused.read(&mut [0; 8])).await.unwrap();
        }
        lost(&mut at_b).await;
    }
    assert_eq!(b.counts().get(Counted::HandshakesFailed), 2);
    assert_eq!(b.counts().get(Counted::TlsReceived), 0);
}

/// Replaces a file so that its change is seen however coarse the file system's clock is.
fn replace(path: &Path, content: &[u8], newer: u64) {
    std::fs::write(path, content).unwrap();
    let later = std::time::SystemTime::now() + Duration::from_secs(newer);
    std::fs::File::options().write(true).open(path).unwrap().set_modified(later).unwrap();
}

#[tokio::test]
async fn a_changed_certificate_is_used_from_the_next_connection_on_and_a_broken_one_is_not() {
    let authority = Authority::new();
    let settings = authority.settings("a", &["a.example"]);
    let (chain, key) = (settings.chain[0].clone(), settings.key.clone());
    let (a, mut at_a) = start(secure(settings)).await;
    let client = || authority.client(None);
    let mut before = dial(&a, Transport::Tls, client(), "a.example").await.unwrap();

    let new = authority.settings("b", &["b.example"]);
    replace(&chain, b"-----BEGIN CERTIFICATE-----\nnot base 64!\n", 1);
    dial(&a, Transport::Tls, client(), "a.example").await.expect("the old one stays");
    replace(&chain, &std::fs::read(&new.chain[0]).unwrap(), 2);
    dial(&a, Transport::Tls, client(), "a.example").await.expect("the key is not the new one's");
    assert_eq!(a.counts().get(Counted::CertificatesRefused), 2);
    replace(&key, &std::fs::read(&new.key).unwrap(), 3);
    dial(&a, Transport::Tls, client(), "b.example").await.expect("the new one");
    assert!(dial(&a, Transport::Tls, client(), "a.example").await.is_err());
    assert_eq!(a.counts().get(Counted::CertificatesReloaded), 1);
    // What was open stays open.
    before.write_all(options("1", "").as_bytes()).await.unwrap();
    loop {
        if let Inbound::Message { .. } = next(&mut at_a).await {
            break;
        }
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_ended() {
    let authority = Authority::new();
    let short = Duration::from_millis(100);
    let secure = secure(authority.settings("a", &["a.example"]));
    let (a, mut at_a) =
        start(TransportConfig { message_timeout: short, ws_listen: secure.tls_listen.clone(), ..secure }).await;
    for transport in [Transport::Tls, Transport::Ws, Transport::Wss] {
        for begun in [&b""[..], b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\nHost: a"] {
            let mut slow = TcpStream::connect(a.address(transport).unwrap()).await.unwrap();
            slow.write_all(begun).await.unwrap();
            drained(&mut slow).await;
            assert_eq!(lost(&mut at_a).await.transport, transport);
        }
    }
    assert_eq!(a.counts().get(Counted::HandshakesFailed), 9);
}

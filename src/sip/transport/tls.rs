//! TLS for SIP (RFC 3261 §26.3.1, RFC 5922): our certificate, read again when its files change; whom we trust; what a
//! peer's certificate must say. Sockets and time limits are `connection`'s.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme};
use thiserror::Error as ThisError;

use super::{Counted, Counts};
pub use crate::session::ClientCertificates;
use crate::sip::message::Uri;

/// The most names that one certificate is taken to prove; further ones are left out.
const MAX_NAMES: usize = 100;

/// Where certificates are, and what is asked of others'.
#[derive(Clone, Debug, Default)]
pub struct TlsSettings {
    /// Our certificate chain (PEM), the files one after the other.
    pub chain: Vec<PathBuf>,
    /// Its key (PEM).
    pub key: PathBuf,
    /// Whether we show the same certificate to servers that ask for one.
    pub show_as_client: bool,
    /// What we ask of callers.
    pub clients: ClientCertificates,
    /// Who signs callers' certificates (PEM); none: `roots` and `also_trusted`.
    pub client_ca: Option<PathBuf>,
    /// Who signs servers' certificates (PEM); none: whom the system trusts.
    pub roots: Option<PathBuf>,
    /// Trusted besides: our own CA.
    pub also_trusted: Option<PathBuf>,
    /// Servers prove nothing: for tests only.
    pub insecure: bool,
}

/// Why TLS cannot be had.
#[derive(Debug, ThisError)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{path}: {cause}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// What a file holds is not what it should hold.
    #[error("{path} is not usable: {cause}")]
    Content {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// The TLS library refuses what it is given.
    #[error("TLS: {0}")]
    Refused(#[from] Error),
}

/// Both sides of our TLS.
#[derive(Debug)]
pub struct Tls {
    settings: TlsSettings,
    roots: Arc<RootCertStore>,
    client_roots: Arc<RootCertStore>,
    current: Mutex<Current>,
}

#[derive(Clone, Debug)]
struct Current {
    /// What the files looked like when they were last read, well or not.
    stamp: Vec<Option<(SystemTime, u64)>>,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Tls {
    /// Reads everything once.
    pub fn load(settings: TlsSettings) -> Result<Tls, TlsError> {
        let mut roots = RootCertStore::empty();
        match &settings.roots {
            Some(path) => add_all(&mut roots, path)?,
            None => {
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs);
            }
        }
        if let Some(path) = &settings.also_trusted {
            add_all(&mut roots, path)?;
        }
        let roots = Arc::new(roots);
        let client_roots = match &settings.client_ca {
            Some(path) => {
                let mut store = RootCertStore::empty();
                add_all(&mut store, path)?;
                Arc::new(store)
            }
            None => Arc::clone(&roots),
        };
        let stamp = stamp(&settings);
        let (server, client) = read(&settings, &roots, &client_roots)?;
        Ok(Tls { settings, roots, client_roots, current: Mutex::new(Current { stamp, server, client }) })
    }

    /// What accepted connections use: the certificate as its files are now. Where those are broken, the one before
    /// stays, and the log says so.
    pub(super) fn server(&self, counts: &Counts) -> Arc<ServerConfig> {
        self.current(counts).server
    }

    /// What connections of ours use.
    pub(super) fn client(&self, counts: &Counts) -> Arc<ClientConfig> {
        self.current(counts).client
    }

    fn current(&self, counts: &Counts) -> Current {
        // A holder that panicked left a whole value.
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = stamp(&self.settings);
        if stamp != current.stamp {
            current.stamp = stamp;
            match read(&self.settings, &self.roots, &self.client_roots) {
                Ok((server, client)) => {
                    counts.add(Counted::CertificatesReloaded);
                    tracing::info!("the SIP certificate has changed: the new one is in use");
                    (current.server, current.client) = (server, client);
                }
                Err(error) => {
                    counts.add(Counted::CertificatesRefused);
                    tracing::error!(%error, "the SIP certificate has changed and cannot be used: the old one stays");
                }
            }
        }
        current.clone()
    }
}

fn stamp(settings: &TlsSettings) -> Vec<Option<(SystemTime, u64)>> {
    let seen = |path: &PathBuf| {
        let about = fs::metadata(path).ok()?;
        Some((about.modified().ok()?, about.len()))
    };
    settings.chain.iter().chain(std::iter::once(&settings.key)).map(seen).collect()
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = fs::read(path).map_err(|cause| TlsError::File { path: path.to_owned(), cause })?;
    let unusable = |cause: String| TlsError::Content { path: path.to_owned(), cause };
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(|e| unusable(e.to_string()))?;
    if found.is_empty() { Err(unusable("there is no certificate in it".to_owned())) } else { Ok(found) }
}

fn add_all(store: &mut RootCertStore, path: &Path) -> Result<(), TlsError> {
    for certificate in certificates(path)? {
        store.add(certificate).map_err(|e| TlsError::Content { path: path.to_owned(), cause: e.to_string() })?;
    }
    Ok(())
}

fn read(
    settings: &TlsSettings,
    roots: &Arc<RootCertStore>,
    client_roots: &Arc<RootCertStore>,
) -> Result<(Arc<ServerConfig>, Arc<ClientConfig>), TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut chain = Vec::new();
    for path in &settings.chain {
        chain.extend(certificates(path)?);
    }
    let key_path = &settings.key;
    let text = fs::read(key_path).map_err(|cause| TlsError::File { path: key_path.clone(), cause })?;
    let key = PrivateKeyDer::from_pem_slice(&text)
        .map_err(|e| TlsError::Content { path: key_path.clone(), cause: e.to_string() })?;

    let versions = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let server = match settings.clients {
        ClientCertificates::Off => versions.with_no_client_auth(),
        asked => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(client_roots), Arc::clone(&provider));
            let verifier = match asked {
                ClientCertificates::Required => verifier,
                _ => verifier.allow_unauthenticated(),
            };
            versions.with_client_cert_verifier(verifier.build().map_err(|e| Error::General(e.to_string()))?)
        }
    };
    let server = server.with_single_cert(chain.clone(), key.clone_key())?;

    let verifier: Arc<dyn ServerCertVerifier> = Arc::new(DomainVerifier {
        roots: Arc::clone(roots),
        provider: Arc::clone(&provider),
        insecure: settings.insecure,
    });
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let client = match settings.show_as_client {
        true => client.with_client_auth_cert(chain, key)?,
        false => client.with_no_client_auth(),
    };
    Ok((Arc::new(server), Arc::new(client)))
}

/// A server proves a SIP domain: by a DNS name, or by a URI `sip:domain` in its certificate (RFC 5922 §7.1). A wildcard
/// stands for one label, as in HTTPS: §7.2 forbids it, and carriers use it.
#[derive(Debug)]
struct DomainVerifier {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
    insecure: bool,
}

impl ServerCertVerifier for DomainVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.insecure {
            return Ok(ServerCertVerified::assertion());
        }
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
        let named = verify_server_name(&certificate, server_name);
        let wanted = server_name.to_str();
        if named.is_ok() || sip_domains(end_entity).iter().any(|domain| domain.eq_ignore_ascii_case(&wanted)) {
            return Ok(ServerCertVerified::assertion());
        }
        named.map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The domains of a certificate's SIP URIs; one with a user part is a user's, not a domain's (RFC 5922 §7.1).
fn sip_domains(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(parsed) = webpki::EndEntityCert::try_from(certificate) else { return Vec::new() };
    parsed
        .valid_uri_names()
        .filter_map(|text| Uri::parse(text.as_bytes()).ok())
        .filter(|uri| matches!(uri, Uri::Sip(_)) && uri.user().is_none())
        .filter_map(|uri| uri.host().map(|host| host.to_string().to_ascii_lowercase()))
        .take(MAX_NAMES)
        .collect()
}

/// The names that a verified certificate is good for: the domains of its SIP URIs and its DNS names; its common name
/// where it has neither.
pub(super) fn names_in(certificate: &CertificateDer<'_>) -> Vec<String> {
    let mut names = sip_domains(certificate);
    let Ok(parsed) = webpki::EndEntityCert::try_from(certificate) else { return names };
    names.extend(parsed.valid_dns_names().map(str::to_ascii_lowercase));
    if names.is_empty() {
        names.extend(common_name(parsed.subject()).map(|name| name.to_ascii_lowercase()));
    }
    names.dedup();
    names.truncate(MAX_NAMES);
    names
}

/// The common name (2.5.4.3) in a subject: RDNs one after the other, each a SET of SEQUENCEs of type and value.
fn common_name(mut subject: &[u8]) -> Option<String> {
    const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    while let Some((_, set, rest)) = element(subject) {
        subject = rest;
        let mut set = set;
        while let Some((_, pair, rest)) = element(set) {
            set = rest;
            let (_, kind, rest) = element(pair)?;
            // UTF8String or PrintableString; others are not in use any more.
            if kind == COMMON_NAME
                && let Some((0x0c | 0x13, value, _)) = element(rest)
            {
                return std::str::from_utf8(value).ok().map(str::to_owned);
            }
        }
    }
    None
}

/// One DER element: its tag, its content, what follows. Content of up to 65,535 bytes.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match (first, rest) {
        (0..=0x7f, rest) => (usize::from(first), rest),
        (0x81, [a, rest @ ..]) => (usize::from(*a), rest),
        (0x82, [a, b, rest @ ..]) => (usize::from(u16::from_be_bytes([*a, *b])), rest),
        _ => return None,
    };
    Some((tag, rest.get(..length)?, rest.get(length..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_names() {
        // CN=a.example after O=x, as DER.
        let subject =
            b"\x31\x0a\x30\x08\x06\x03\x55\x04\x0a\x0c\x01x\x31\x12\x30\x10\x06\x03\x55\x04\x03\x0c\x09a.example";
        assert_eq!(common_name(subject).as_deref(), Some("a.example"));
        for length in 0..subject.len() {
            assert_eq!(common_name(&subject[..length]), None, "{length}");
        }
    }
}

//! A private CA and a server certificate, made at first start and kept in a directory; the certificate is made anew
//! when it is near its end or other names are wanted. Clients trust `ca.pem`. Serving with it is `server`'s.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SerialNumber, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::random::Random;
use crate::time::Time;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the CA is good for, from the day before it is made.
const CA_DAYS: u32 = 10 * 365;
/// How long a server certificate is good for (clients refuse more than 825), from the day before it is made.
const SERVER_DAYS: u32 = 397;
/// A server certificate with less left is made anew at start.
const RENEW_DAYS: u32 = 60;
/// The most names that a certificate is for.
const MAX_NAMES: usize = 100;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("{path}: {cause}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// What a file holds is not what it should hold.
    #[error(
        "{path} is not usable ({cause}); remove the folder to have all made anew, and have clients trust the new CA"
    )]
    Content {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// A name that cannot stand in a certificate.
    #[error("{name:?} is neither a DNS name nor an IP address, or there are more than {MAX_NAMES} names")]
    Name {
        /// Which.
        name: String,
    },
    /// The making itself failed.
    #[error("making a certificate failed: {0}")]
    Making(String),
}

/// Where the files of a [`Certificate`] are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// What clients are told to trust. World-readable.
    pub ca: PathBuf,
    /// Keys and the server certificate. For the owner only.
    pub private: PathBuf,
}

/// What the server certificate is good for; kept beside it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Terms {
    names: Vec<String>,
    not_after: Time,
}

/// The server's TLS configuration with the certificate in these files, made where it is missing, near its end, or for
/// other names. Names are DNS names and IP addresses; `localhost`, `127.0.0.1` and `::1` are always among them.
pub fn load_or_create(
    files: &TlsFiles,
    names: &[String],
    now: Time,
    random: &mut Random,
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut all: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(String::from).into();
    for name in names {
        if !all.contains(name) {
            all.push(name.clone());
        }
    }
    if let Some(name) = all.get(MAX_NAMES) {
        return Err(TlsError::Name { name: name.clone() });
    }
    fs::create_dir_all(&files.private).map_err(at(&files.private))?;
    let path = |name: &str| files.private.join(name);
    let (ca_key_path, key_path, certificate_path, terms_path) =
        (path("ca-key.pem"), path("server-key.pem"), path("server.pem"), path("server.json"));

    let ca_key = if ca_key_path.exists() && files.ca.exists() {
        let text = fs::read_to_string(&ca_key_path).map_err(at(&ca_key_path))?;
        KeyPair::from_pem(&text).map_err(content(&ca_key_path))?
    } else {
        let key = KeyPair::generate().map_err(making)?;
        let ca = ca_params(&key, now)?.self_signed(&key).map_err(making)?;
        write(&ca_key_path, key.serialize_pem().as_bytes(), 0o600)?;
        write(&files.ca, ca.pem().as_bytes(), 0o644)?;
        // A certificate of the CA before is of no use.
        remove(&terms_path)?;
        key
    };

    let good = fs::read(&terms_path).ok().and_then(|text| serde_json::from_slice::<Terms>(&text).ok());
    let good = good.filter(|terms| terms.names == all && now + RENEW_DAYS * DAY < terms.not_after);
    if good.is_none() || !key_path.exists() || !certificate_path.exists() {
        let key = KeyPair::generate().map_err(making)?;
        let issuer = Issuer::new(ca_params(&ca_key, now)?, &ca_key);
        let certificate = server_params(&all, now, random)?.signed_by(&key, &issuer).map_err(making)?;
        // The terms go first and come last: files that do not belong together are never taken for good.
        remove(&terms_path)?;
        write(&key_path, key.serialize_pem().as_bytes(), 0o600)?;
        write(&certificate_path, certificate.pem().as_bytes(), 0o644)?;
        let terms = Terms { names: all, not_after: now + (SERVER_DAYS - 2) * DAY };
        write(&terms_path, serde_json::to_string(&terms).map_err(content(&terms_path))?.as_bytes(), 0o644)?;
    }
    config(&certificate_path, &key_path, Some(&files.ca))
}

/// The server's TLS configuration with a certificate chain and key of the operator's own (PEM).
pub fn from_files(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    config(certificate, key, None)
}

fn config(certificate: &Path, key: &Path, ca: Option<&Path>) -> Result<Arc<ServerConfig>, TlsError> {
    let mut chain = Vec::new();
    for path in std::iter::once(certificate).chain(ca) {
        let text = fs::read(path).map_err(at(path))?;
        let certificates = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
        chain.extend(certificates.map_err(content(path))?);
    }
    let text = fs::read(key).map_err(at(key))?;
    let private = PrivateKeyDer::from_pem_slice(&text).map_err(content(key))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(making)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(content(certificate))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The CA's certificate. Its name follows from its key, so that two engines' CAs are told apart, and so that the
/// issuer of later certificates can be written without reading the CA's own back.
fn ca_params(key: &KeyPair, now: Time) -> Result<CertificateParams, TlsError> {
    let fingerprint: String =
        Sha256::digest(key.subject_public_key_info()).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Strowger");
    params.distinguished_name.push(DnType::CommonName, format!("Strowger private CA {fingerprint}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // OpenSSL 3's strict mode wants it of the root too (RFC 5280 §4.2.1.1 lets a root leave it out).
    params.use_authority_key_identifier_extension = true;
    limit(&mut params, now, CA_DAYS)?;
    Ok(params)
}

fn server_params(names: &[String], now: Time, random: &mut Random) -> Result<CertificateParams, TlsError> {
    let mut params = CertificateParams::default();
    for name in names {
        let one = CertificateParams::new(vec![name.clone()]).map_err(|_| TlsError::Name { name: name.clone() })?;
        let plausible = name.parse::<std::net::IpAddr>().is_ok()
            || (!name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '*')));
        if !plausible {
            return Err(TlsError::Name { name: name.clone() });
        }
        params.subject_alt_names.extend(one.subject_alt_names);
    }
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Strowger");
    params.distinguished_name.push(DnType::CommonName, "Strowger");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    // Positive, 20 octets at most (RFC 5280 §4.1.2.2).
    let mut serial = random.u64().to_be_bytes().to_vec();
    serial.extend(random.u64().to_be_bytes());
    serial.iter_mut().take(1).for_each(|first| *first = *first & 0x7f | 0x40);
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    limit(&mut params, now, SERVER_DAYS)?;
    Ok(params)
}

/// Good from midnight of the day before (clocks differ) for so many days.
fn limit(params: &mut CertificateParams, now: Time, days: u32) -> Result<(), TlsError> {
    let midnight = |at: Time| -> Result<_, TlsError> {
        let micros = i64::try_from(at.as_micros()).map_err(making)?;
        let date = jiff::Timestamp::from_microsecond(micros).map_err(making)?.to_zoned(jiff::tz::TimeZone::UTC).date();
        let (month, day) = (u8::try_from(date.month()).map_err(making)?, u8::try_from(date.day()).map_err(making)?);
        Ok(date_time_ymd(i32::from(date.year()), month, day))
    };
    params.not_before = midnight(now - DAY)?;
    params.not_after = midnight(now - DAY + days * DAY)?;
    Ok(())
}

fn making(error: impl std::fmt::Display) -> TlsError {
    TlsError::Making(error.to_string())
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> TlsError {
    move |cause| TlsError::File { path: path.to_owned(), cause }
}

fn content<E: std::fmt::Display>(path: &Path) -> impl FnOnce(E) -> TlsError {
    move |error| TlsError::Content { path: path.to_owned(), cause: error.to_string() }
}

fn remove(path: &Path) -> Result<(), TlsError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}

/// Writes a whole file with its mode from the first byte on, or not at all.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), TlsError> {
    let beside = path.with_extension("new");
    remove(&beside)?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    let mut file = options.open(&beside).map_err(at(&beside))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(at(&beside))?;
    fs::rename(&beside, path).map_err(at(path))
}

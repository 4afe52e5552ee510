//! Every setting: its name, default, range and meaning, read once from flags, environment and file into types.
//!
//! A value comes from the first place that has it: flag (`--rtp-ports`), environment (`STROWGER_RTP_PORTS`),
//! `strowger.toml` (`rtp-ports = "…"`), default. A wrong one is refused with its name, its value and what is allowed.

mod follow_transfers;
mod settings;
mod tolls;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use crate::session::{ClientCertificates, Codec, SrtpPolicy, SrtpSuite};

pub use follow_transfers::FollowTransfers;
use follow_transfers::follow_transfers;
pub use settings::{SETTINGS, Setting};
use tolls::{prefixes, tolls};

/// The setting that names the file itself: by flag and environment only.
pub const CONFIG_FILE: &str = "config";

/// A setting that cannot be used, or a file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value outside what is allowed.
    #[error("{name} = {value:?} (from {origin}) is not possible: {problem}; allowed: {allowed}")]
    Wrong { name: String, value: String, origin: String, problem: String, allowed: String },
    /// A key in the file that is no setting.
    #[error("{file}: there is no setting {name:?}; did you mean {nearest:?}?")]
    Unknown { file: String, name: String, nearest: String },
    /// The file is not there or not readable.
    #[error("{file}: cannot read it: {cause}")]
    Unreadable { file: String, cause: std::io::Error },
    /// The file is no TOML.
    #[error("{file}: {cause}")]
    NotToml { file: String, cause: String },
}

/// All settings, as types that cannot be wrong.
#[derive(Clone, Debug)]
pub struct Config {
    /// Plain REST listener.
    pub http: SocketAddr,
    /// TLS REST listener.
    pub https: SocketAddr,
    /// SIP listeners, UDP and TCP each; never empty.
    pub sip: Vec<SocketAddr>,
    /// SIP listeners with TLS.
    pub sip_tls: Vec<SocketAddr>,
    /// SIP listeners for WebSocket.
    pub sip_ws: Vec<SocketAddr>,
    /// SIP listeners for WebSocket with TLS.
    pub sip_wss: Vec<SocketAddr>,
    /// Origins that may connect by WebSocket; none: all.
    pub sip_ws_origins: Vec<String>,
    /// Certificate chain and key for SIP over TLS; none: of our own CA.
    pub sip_tls_certificate: Option<(PathBuf, PathBuf)>,
    /// Who signs servers' certificates; none: whom the system trusts.
    pub sip_tls_ca: Option<PathBuf>,
    /// Whether servers must prove their names.
    pub sip_tls_verify: bool,
    /// Whether clients show certificates.
    pub sip_tls_clients: ClientCertificates,
    /// Who signs them; none: as for servers.
    pub sip_tls_client_ca: Option<PathBuf>,
    /// The longest request that leaves as a datagram; 0: any.
    pub sip_udp_max_bytes: usize,
    /// DNS servers; none: the system's.
    pub name_servers: Vec<SocketAddr>,
    /// First and last UDP port for RTP and RTCP, inclusive; (0, 0): any free ones.
    pub rtp_ports: (u16, u16),
    /// The addresses for SDP and Contact, at most one a family, where they are not the bound ones.
    pub advertise: Vec<IpAddr>,
    /// Database, keys, certificates, uploaded prompts.
    pub data_dir: PathBuf,
    /// How long a stop waits for running calls.
    pub drain: Duration,
    /// Subject alternative names of the server certificate.
    pub tls_names: Vec<String>,
    /// The digest realm.
    pub realm: String,
    /// MD5 is asked for alone.
    pub digest_md5_only: bool,
    /// Domains of ours.
    pub sip_domains: Vec<String>,
    /// Everybody but trunks must authenticate.
    pub authenticate_all: bool,
    /// The shortest registration, in seconds.
    pub registration_least: u32,
    /// The longest, in seconds.
    pub registration_most: u32,
    /// Live calls at the most.
    pub max_calls: usize,
    /// The session interval that we ask for, in seconds; 0: none.
    pub session_expires: u32,
    /// The shortest session interval that is granted, in seconds.
    pub min_se: u32,
    /// How long a caller rings.
    pub answer_timeout: Duration,
    /// How long an outgoing call rings.
    pub ring_timeout: Duration,
    /// RTP silence that ends a call; none: never.
    pub rtp_timeout: Option<Duration>,
    /// Codecs offered and accepted, most wanted first; never empty.
    pub codecs: Vec<Codec>,
    /// Whether audio is encrypted, where no trunk or user says otherwise.
    pub srtp: SrtpPolicy,
    /// SRTP keys may go over signalling that is not encrypted.
    pub srtp_over_insecure: bool,
    /// The crypto suites of SRTP, most wanted first. Never empty.
    pub srtp_suites: Vec<SrtpSuite>,
    /// Who may send a call on by REFER.
    pub follow_transfers: FollowTransfers,
    /// Calls to numbers at once: applications, each user, each trunk, strangers; 0: no limit.
    pub toll_calls: [u32; 4],
    /// The same, within any minute.
    pub toll_calls_per_minute: [u32; 4],
    /// The same, within any hour.
    pub toll_calls_per_hour: [u32; 4],
    /// Beginnings of numbers that may be called; empty: all.
    pub toll_allowed: Vec<String>,
    /// Beginnings of numbers that nobody may call.
    pub toll_denied: Vec<String>,
    /// Whether tones in the audio count as digits.
    pub in_band_dtmf: bool,
    /// Media threads, at least one.
    pub media_threads: usize,
    /// Share of late media ticks that makes an overload, in percent; 0: none does.
    pub overload_late_percent: u32,
    /// What is late.
    pub overload_late: Duration,
    /// How long ticks must be punctual before an overload is over.
    pub overload_recovery: Duration,
    /// SIP requests a second from one source; 0: no limit.
    pub guard_requests: u32,
    /// Failed authentications a minute from one source; 0: no limit.
    pub guard_failed_authentications: u32,
    /// Requests a minute from one source for who does not exist; 0: no limit.
    pub guard_unknown_users: u32,
    /// Broken messages a minute from one source; 0: no limit.
    pub guard_malformed: u32,
    /// Unanswered calls at once from one source.
    pub guard_half_open: u32,
    /// The first ban.
    pub guard_ban: Duration,
    /// The longest ban.
    pub guard_ban_longest: Duration,
    /// Never limited nor banned automatically.
    pub guard_exempt: Vec<IpNet>,
    /// Whether prompts may come from private addresses.
    pub prompt_allow_private: bool,
    /// The largest prompt file, in bytes.
    pub prompt_max_bytes: u64,
    /// The longest download.
    pub prompt_fetch_timeout: Duration,
    /// Decoded prompts in memory, in bytes.
    pub prompt_cache_bytes: u64,
    /// How long they are kept.
    pub prompt_cache_age: Duration,
    /// Delivery attempts for an event.
    pub event_attempts: u32,
    /// How long a webhook may take.
    pub event_timeout: Duration,
    /// The first pause between attempts.
    pub event_backoff: Duration,
    /// Ended calls that are kept.
    pub calls_kept: u64,
    /// Whether every call's RTP is kept.
    pub capture_rtp: bool,
    /// The most RTP that is kept of a call, in bytes.
    pub capture_bytes: usize,
    /// How many calls' RTP is kept.
    pub captures_kept: usize,
    /// Timeline entries a call.
    pub timeline_entries: usize,
    /// A tracing filter.
    pub log: String,
    /// Log lines as JSON.
    pub log_json: bool,
}

/// Values as they were written, with where each came from.
#[derive(Clone, Debug, Default)]
pub struct Values(BTreeMap<String, (String, String)>);

impl Values {
    /// Adds a value; one that is there already stays (earlier places win).
    pub fn offer(&mut self, name: &str, value: String, origin: &str) {
        self.0.entry(name.to_owned()).or_insert((value, origin.to_owned()));
    }

    /// Adds what the environment has; `lookup` is `std::env::var` but for tests. An empty variable counts as none.
    pub fn offer_environment(&mut self, lookup: impl Fn(&str) -> Option<String>) {
        for setting in SETTINGS {
            let name = setting.environment_name();
            if let Some(value) = lookup(&name).filter(|v| !v.is_empty()) {
                self.offer(setting.name, value, &format!("environment {name}"));
            }
        }
    }

    /// Adds what a TOML file has.
    pub fn offer_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let file = path.display().to_string();
        let text =
            std::fs::read_to_string(path).map_err(|cause| ConfigError::Unreadable { file: file.clone(), cause })?;
        let table: toml::Table = text
            .parse()
            .map_err(|cause: toml::de::Error| ConfigError::NotToml { file: file.clone(), cause: cause.to_string() })?;
        for (name, value) in table {
            let name = name.replace('_', "-");
            if !SETTINGS.iter().any(|s| s.name == name) {
                let nearest = nearest_setting(&name).to_owned();
                return Err(ConfigError::Unknown { file, name, nearest });
            }
            let value = match value {
                toml::Value::String(s) => s,
                toml::Value::Array(items) => items
                    .iter()
                    .map(|i| i.as_str().map_or_else(|| i.to_string(), str::to_owned))
                    .collect::<Vec<_>>()
                    .join(","),
                other => other.to_string(),
            };
            self.offer(&name, value, &file);
        }
        Ok(())
    }

    fn parse<T>(&self, name: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<T, ConfigError> {
        let (default, allowed) = SETTINGS.iter().find(|s| s.name == name).map_or(("", ""), |s| (s.default, s.allowed));
        let (value, origin) =
            self.0.get(name).map_or((default, "its default"), |(value, origin)| (value.as_str(), origin.as_str()));
        read(value.trim()).map_err(|problem| ConfigError::Wrong {
            name: name.to_owned(),
            value: value.to_owned(),
            origin: origin.to_owned(),
            problem,
            allowed: allowed.to_owned(),
        })
    }
}

fn nearest_setting(name: &str) -> &'static str {
    let shared = |other: &str| {
        other.chars().filter(|c| name.contains(*c)).count() as i64 - (other.len() as i64 - name.len() as i64).abs()
    };
    SETTINGS.iter().map(|s| s.name).max_by_key(|other| shared(other)).unwrap_or("http")
}

impl Config {
    /// Reads every setting; the first wrong one is the error.
    pub fn from_values(values: &Values) -> Result<Config, ConfigError> {
        let seconds = |name, low, high| values.parse(name, number(low, high)).map(Duration::from_secs);
        let bind = values.parse("bind", |text| text.parse().map_err(|_| "this is not an IP address".to_owned()))?;
        let sip = values.parse("sip", addresses(bind))?;
        let key = values.parse("sip-tls-key", optional_file)?;
        let sip_tls_certificate = values.parse("sip-tls-certificate", |text| match (optional_file(text)?, &key) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some((certificate, key.clone()))),
            (Some(_), None) => Err("sip-tls-key is not set".to_owned()),
            (None, Some(_)) => Err("sip-tls-key is set".to_owned()),
        })?;
        let media_threads = match values.parse("media-threads", number(0, 64))? {
            0 => std::thread::available_parallelism().map_or(1, |n| n.get()),
            n => n as usize,
        };
        let registration_least = values.parse("registration-least-seconds", number(1, 3600))? as u32;
        Ok(Config {
            http: values.parse("http", address(bind))?,
            https: values.parse("https", address(bind))?,
            sip_tls: match values.parse("sip-tls", unless("next", listeners(bind)))? {
                Some(listed) => listed,
                None => sip.iter().map(|a| SocketAddr::new(a.ip(), next_port(a.port()))).collect(),
            },
            sip,
            sip_ws: values.parse("sip-ws", listeners(bind))?,
            sip_wss: values.parse("sip-wss", listeners(bind))?,
            sip_ws_origins: values.parse("sip-ws-origins", origins)?,
            sip_tls_certificate,
            sip_tls_ca: values.parse("sip-tls-ca", optional_file)?,
            sip_tls_verify: values.parse("sip-tls-verify", boolean)?,
            sip_tls_clients: values.parse("sip-tls-clients", client_certificates)?,
            sip_tls_client_ca: values.parse("sip-tls-client-ca", optional_file)?,
            sip_udp_max_bytes: values.parse("sip-udp-max-bytes", number(0, 65_507))? as usize,
            name_servers: values.parse("name-servers", name_servers)?,
            rtp_ports: values.parse("rtp-ports", port_range)?,
            advertise: values.parse("advertise", advertised)?,
            data_dir: values.parse("data-dir", folder)?,
            drain: seconds("drain-seconds", 0, 3600)?,
            tls_names: values.parse("tls-names", names)?,
            realm: values.parse("realm", realm)?,
            digest_md5_only: values.parse("digest-algorithms", |text| match text {
                "md5" => Ok(true),
                "sha-256,md5" => Ok(false),
                _ => Err("this is neither sha-256,md5 nor md5".to_owned()),
            })?,
            sip_domains: values.parse("sip-domains", domains)?,
            authenticate_all: values.parse("authenticate", all_or_users)?,
            registration_least,
            registration_most: values
                .parse("registration-most-seconds", number(60.max(registration_least.into()), 86_400))?
                as u32,
            max_calls: values.parse("max-calls", number(1, 100_000))? as usize,
            session_expires: values.parse("session-expires", number(0, 86_400))? as u32,
            min_se: values.parse("min-se", number(1, 86_400))? as u32,
            answer_timeout: seconds("answer-timeout-seconds", 1, 600)?,
            ring_timeout: seconds("ring-timeout-seconds", 1, 600)?,
            rtp_timeout: Some(seconds("rtp-timeout-seconds", 0, 3600)?).filter(|d| !d.is_zero()),
            codecs: values.parse("codecs", codecs)?,
            srtp: values.parse("srtp", str::parse)?,
            srtp_over_insecure: values.parse("srtp-over-insecure", boolean)?,
            srtp_suites: values.parse("srtp-suites", SrtpSuite::list)?,
            follow_transfers: values.parse("follow-transfers", follow_transfers)?,
            toll_calls: values.parse("toll-calls", tolls)?,
            toll_calls_per_minute: values.parse("toll-calls-per-minute", tolls)?,
            toll_calls_per_hour: values.parse("toll-calls-per-hour", tolls)?,
            toll_allowed: values.parse("toll-allowed", prefixes)?,
            toll_denied: values.parse("toll-denied", prefixes)?,
            in_band_dtmf: values.parse("in-band-dtmf", boolean)?,
            capture_rtp: values.parse("capture-rtp", boolean)?,
            capture_bytes: values.parse("capture-bytes", number(65_536, 1 << 30))? as usize,
            captures_kept: values.parse("captures-kept", number(1, 100_000))? as usize,
            media_threads,
            overload_late_percent: values.parse("overload-late-percent", number(0, 100))? as u32,
            overload_late: Duration::from_millis(values.parse("overload-late-ms", number(1, 1000))?),
            overload_recovery: seconds("overload-recovery-seconds", 1, 3600)?,
            guard_requests: values.parse("guard-requests", number(0, 1_000_000))? as u32,
            guard_failed_authentications: values.parse("guard-failed-authentications", number(0, 100_000))? as u32,
            guard_unknown_users: values.parse("guard-unknown-users", number(0, 100_000))? as u32,
            guard_malformed: values.parse("guard-malformed", number(0, 100_000))? as u32,
            guard_half_open: values.parse("guard-half-open", number(1, 100_000))? as u32,
            guard_ban: seconds("guard-ban-seconds", 1, 86_400)?,
            guard_ban_longest: seconds("guard-ban-longest-seconds", 1, 2_592_000)?,
            guard_exempt: values.parse("guard-exempt", networks)?,
            prompt_allow_private: values.parse("prompt-allow-private", boolean)?,
            prompt_max_bytes: values.parse("prompt-max-bytes", number(1024, 1 << 30))?,
            prompt_fetch_timeout: seconds("prompt-fetch-seconds", 1, 300)?,
            prompt_cache_bytes: values.parse("prompt-cache-bytes", number(0, 1 << 34))?,
            prompt_cache_age: seconds("prompt-cache-seconds", 0, 604_800)?,
            event_attempts: values.parse("event-attempts", number(1, 1000))? as u32,
            event_timeout: seconds("event-timeout-seconds", 1, 300)?,
            event_backoff: Duration::from_millis(values.parse("event-backoff-ms", number(1, 60_000))?),
            calls_kept: values.parse("calls-kept", number(0, 10_000_000))?,
            timeline_entries: values.parse("timeline-entries", number(10, 100_000))? as usize,
            log: values.parse("log", filter)?,
            log_json: values.parse("log-format", log_format)?,
        })
    }
}

fn address(bind: IpAddr) -> impl Fn(&str) -> Result<SocketAddr, String> {
    move |text| match text.parse::<u16>() {
        Ok(port) => Ok(SocketAddr::new(bind, port)),
        Err(_) => text.parse().map_err(|_| "this is neither PORT nor IP:PORT".to_owned()),
    }
}

/// The most addresses that one setting lists.
const MAX_ADDRESSES: usize = 16;

fn addresses(bind: IpAddr) -> impl Fn(&str) -> Result<Vec<SocketAddr>, String> {
    move |text| {
        let found = text.split(',').map(|one| address(bind)(one.trim())).collect::<Result<Vec<_>, _>>()?;
        if found.len() > MAX_ADDRESSES { Err(format!("these are more than {MAX_ADDRESSES}")) } else { Ok(found) }
    }
}

fn listeners(bind: IpAddr) -> impl Fn(&str) -> Result<Vec<SocketAddr>, String> {
    move |text| if text == "off" { Ok(Vec::new()) } else { addresses(bind)(text) }
}

fn unless<T>(
    word: &'static str,
    read: impl Fn(&str) -> Result<T, String>,
) -> impl Fn(&str) -> Result<Option<T>, String> {
    move |text| if text == word { Ok(None) } else { read(text).map(Some) }
}

/// The port after that one; any free one stays that.
fn next_port(port: u16) -> u16 {
    if port == 0 { 0 } else { port.checked_add(1).unwrap_or(0) }
}

fn origins(text: &str) -> Result<Vec<String>, String> {
    let listed: Vec<String> =
        text.split(',').map(|o| o.trim().trim_end_matches('/').to_owned()).filter(|o| !o.is_empty()).collect();
    match listed.iter().find(|o| !o.starts_with("https://") && !o.starts_with("http://")) {
        Some(bad) => Err(format!("{bad:?} does not begin with https:// or http://")),
        None => Ok(listed),
    }
}

fn optional_file(text: &str) -> Result<Option<PathBuf>, String> {
    match text {
        "" => Ok(None),
        path if Path::new(path).is_file() => Ok(Some(PathBuf::from(path))),
        _ => Err("there is no such file".to_owned()),
    }
}

fn client_certificates(text: &str) -> Result<ClientCertificates, String> {
    match text {
        "off" => Ok(ClientCertificates::Off),
        "asked" => Ok(ClientCertificates::Asked),
        "required" => Ok(ClientCertificates::Required),
        _ => Err("this is none of off, asked, required".to_owned()),
    }
}

fn name_servers(text: &str) -> Result<Vec<SocketAddr>, String> {
    let read = |one: &str| match one.parse::<IpAddr>() {
        Ok(ip) => Ok(SocketAddr::new(ip, 53)),
        Err(_) => one.parse::<SocketAddr>().map_err(|_| format!("{one:?} is neither IP nor IP:PORT")),
    };
    text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(read).collect()
}

fn number(low: u64, high: u64) -> impl Fn(&str) -> Result<u64, String> {
    move |text| match text.parse::<u64>() {
        Ok(n) if (low..=high).contains(&n) => Ok(n),
        Ok(n) => Err(format!("{n} is outside {low} to {high}")),
        Err(_) => Err("this is not a whole number".to_owned()),
    }
}

fn realm(text: &str) -> Result<String, String> {
    let plain = |c: char| !c.is_control() && c != '"' && c != '\\';
    match (1..=128).contains(&text.len()) && text.chars().all(plain) {
        true => Ok(text.to_owned()),
        false => Err("this cannot be a realm".to_owned()),
    }
}

fn domains(text: &str) -> Result<Vec<String>, String> {
    let names: Vec<String> =
        text.split(',').map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty()).collect();
    let fits = |name: &String| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b));
    match names.iter().find(|name| !fits(name)) {
        None => Ok(names),
        Some(wrong) => Err(format!("{wrong:?} is not a host name")),
    }
}

fn all_or_users(text: &str) -> Result<bool, String> {
    match text {
        "all" => Ok(true),
        "users" => Ok(false),
        _ => Err("this is neither users nor all".to_owned()),
    }
}

fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" | "on" | "yes" | "1" => Ok(true),
        "false" | "off" | "no" | "0" => Ok(false),
        _ => Err("this is neither true nor false".to_owned()),
    }
}

fn port_range(text: &str) -> Result<(u16, u16), String> {
    if text == "0" {
        return Ok((0, 0));
    }
    let wrong = || "this is not FIRST-LAST".to_owned();
    let (first, last) = text.split_once('-').ok_or_else(wrong)?;
    let first: u16 = first.trim().parse().map_err(|_| wrong())?;
    let last: u16 = last.trim().parse().map_err(|_| wrong())?;
    if first < 1024 {
        return Err(format!("{first} is below 1024"));
    }
    // A pair is an even port and the next one.
    let first_even = first.saturating_add(first % 2);
    if first_even >= last {
        return Err("it holds no even port with its odd neighbour".to_owned());
    }
    Ok((first, last))
}

fn advertised(text: &str) -> Result<Vec<IpAddr>, String> {
    let mut found: Vec<IpAddr> = Vec::new();
    for one in text.split(',').map(str::trim).filter(|one| !one.is_empty()) {
        match one.parse::<IpAddr>() {
            Ok(ip) if ip.is_unspecified() => return Err("nobody can reach that address".to_owned()),
            Ok(ip) if found.iter().any(|other| other.is_ipv4() == ip.is_ipv4()) => {
                return Err(format!("{one} is the second of its kind"));
            }
            Ok(ip) => found.push(ip),
            Err(_) => return Err("this is not an IP address".to_owned()),
        }
    }
    Ok(found)
}

fn folder(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("a folder is needed".to_owned()) } else { Ok(PathBuf::from(text)) }
}

fn names(text: &str) -> Result<Vec<String>, String> {
    let names: Vec<String> = text.split(',').map(|n| n.trim().to_owned()).filter(|n| !n.is_empty()).collect();
    if names.is_empty() {
        return Err("at least one name is needed".to_owned());
    }
    match names.iter().find(|n| n.contains(|c: char| c.is_whitespace() || c == '/')) {
        Some(bad) => Err(format!("{bad:?} is neither a host name nor an address")),
        None => Ok(names),
    }
}

/// At most this many networks.
const MOST_NETWORKS: usize = 256;

fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    let texts: Vec<&str> = text.split(',').map(str::trim).filter(|text| !text.is_empty()).collect();
    if texts.len() > MOST_NETWORKS {
        return Err(format!("more than {MOST_NETWORKS} networks"));
    }
    let read = |text: &&str| {
        let address = || text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
        text.parse::<IpNet>()
            .or_else(|_| address())
            .map_err(|_| format!("{text:?} is neither a network nor an address"))
    };
    texts.iter().map(read).collect()
}

fn codecs(text: &str) -> Result<Vec<Codec>, String> {
    let mut found = Vec::new();
    for name in text.split(',').map(str::trim) {
        let codec = match name.to_ascii_lowercase().as_str() {
            "opus" => Codec::Opus,
            "g722" => Codec::G722,
            "l16" => Codec::L16,
            "pcmu" => Codec::Pcmu,
            "pcma" => Codec::Pcma,
            _ => return Err(format!("{name:?} is not a codec we have")),
        };
        if !found.contains(&codec) {
            found.push(codec);
        }
    }
    Ok(found)
}

fn filter(text: &str) -> Result<String, String> {
    text.parse::<tracing_subscriber::EnvFilter>().map(|_| text.to_owned()).map_err(|cause| cause.to_string())
}

fn log_format(text: &str) -> Result<bool, String> {
    match text {
        "json" => Ok(true),
        "text" => Ok(false),
        _ => Err("this is neither text nor json".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_allowed() {
        let config = Config::from_values(&Values::default()).unwrap();
        assert!(config.http.ip().is_loopback() && config.https.ip().is_loopback());
        assert_eq!(config.rtp_ports, (20000, 29999));
        let at = |port| vec![SocketAddr::from(([127, 0, 0, 1], port))];
        assert_eq!((config.sip, config.sip_tls, config.sip_ws), (at(5060), at(5061), Vec::new()));
    }

    #[test]
    fn sip_may_listen_in_both_families_and_tls_beside_it() {
        let mut values = Values::default();
        values.offer("sip", "0.0.0.0:5070, [::]:5070".into(), "flag");
        values.offer("sip-wss", "[::1]:7443".into(), "flag");
        values.offer("advertise", "192.0.2.1,2001:db8::1".into(), "flag");
        values.offer("name-servers", "192.0.2.53, [::1]:5353".into(), "flag");
        let config = Config::from_values(&values).unwrap();
        let parsed = |list: &[&str]| list.iter().map(|a| a.parse().unwrap()).collect::<Vec<SocketAddr>>();
        assert_eq!(config.sip, parsed(&["0.0.0.0:5070", "[::]:5070"]));
        assert_eq!(config.sip_tls, parsed(&["0.0.0.0:5071", "[::]:5071"]));
        assert_eq!(config.sip_wss, parsed(&["[::1]:7443"]));
        assert_eq!(config.name_servers, parsed(&["192.0.2.53:53", "[::1]:5353"]));
        assert_eq!(config.advertise.len(), 2);
        let mut off = Values::default();
        off.offer("sip-tls", "off".into(), "flag");
        assert!(Config::from_values(&off).unwrap().sip_tls.is_empty());
    }

    #[test]
    fn earlier_places_win() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("strowger.toml");
        std::fs::write(&file, "max-calls = 7\ndrain_seconds = 5\ntls-names = [\"a\", \"b\"]\nin-band-dtmf = false")
            .unwrap();
        let mut values = Values::default();
        values.offer("max-calls", "9".into(), "flag --max-calls");
        values.offer_environment(|name| (name == "STROWGER_DRAIN_SECONDS").then(|| "6".to_owned()));
        values.offer_file(&file).unwrap();
        let config = Config::from_values(&values).unwrap();
        assert_eq!((config.max_calls, config.drain.as_secs(), config.in_band_dtmf), (9, 6, false));
        assert_eq!(config.tls_names, ["a", "b"]);
    }

    #[test]
    fn a_wrong_value_is_refused_with_name_value_origin_and_range() {
        for (name, value) in [
            ("bind", "localhost"),
            ("http", "localhost:80"),
            ("https", "70000"),
            ("sip", "127.0.0.1"),
            ("rtp-ports", "30000-20000"),
            ("rtp-ports", "20001-20002"),
            ("rtp-ports", "80-90"),
            ("advertise", "0.0.0.0"),
            ("advertise", "example.com"),
            ("advertise", "192.0.2.1,192.0.2.2"),
            ("sip-tls", "on"),
            ("sip-ws", "next"),
            ("sip-ws-origins", "phone.example.com"),
            ("sip-tls-certificate", "/nowhere.pem"),
            ("sip-tls-clients", "true"),
            ("name-servers", "dns.example"),
            ("drain-seconds", "3601"),
            ("drain-seconds", "-1"),
            ("max-calls", "0"),
            ("guard-exempt", "10.0.0.0/8, localhost"),
            ("guard-half-open", "0"),
            ("codecs", "gsm"),
            ("codecs", ""),
            ("follow-transfers", "everybody"),
            ("toll-calls", "bob=3"),
            ("toll-calls-per-hour", "users=lots"),
            ("toll-denied", "+44x"),
            ("in-band-dtmf", "maybe"),
            ("srtp", "sometimes"),
            ("srtp-suites", "F8_128_HMAC_SHA1_80"),
            ("srtp-suites", ""),
            ("tls-names", " , "),
            ("data-dir", ""),
            ("log", "strowger=loud"),
            ("log-format", "xml"),
        ] {
            let mut values = Values::default();
            values.offer(name, value.into(), "flag");
            let message = Config::from_values(&values).unwrap_err().to_string();
            let allowed = SETTINGS.iter().find(|s| s.name == name).unwrap().allowed;
            assert!(message.contains(name) && message.contains(value) && message.contains(allowed), "{message}");
        }
    }

    #[test]
    fn one_setting_takes_everything_off_loopback() {
        let mut values = Values::default();
        values.offer("bind", "0.0.0.0".into(), "flag");
        values.offer("http", "127.0.0.1:8081".into(), "flag");
        let config = Config::from_values(&values).unwrap();
        assert_eq!(config.sip, ["0.0.0.0:5060".parse().unwrap()]);
        assert_eq!(config.https, "0.0.0.0:8443".parse().unwrap());
        assert_eq!(config.http, "127.0.0.1:8081".parse().unwrap());
    }

    #[test]
    fn an_unknown_key_names_its_neighbour() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("strowger.toml");
        std::fs::write(&file, "rtp-port = \"20000-20010\"").unwrap();
        let message = Values::default().offer_file(&file).unwrap_err().to_string();
        assert!(message.contains("rtp-port") && message.contains("rtp-ports"), "{message}");
    }
}

//! Asking name servers, by hickory-resolver, through the cache. /etc/hosts is honoured for addresses. Which records are
//! asked for is the locator's.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use super::cache::Cache;
use super::select::{Naptr, Srv};
use crate::time::Time;

/// How long one name server may take, each of the two times that it is asked.
const ATTEMPT: Duration = Duration::from_secs(2);

/// How long an answer may take, all name servers together.
const PATIENCE: Duration = Duration::from_secs(8);

/// The most records of one answer that are read; the rest is left out.
const MAX_RECORDS: usize = 64;

/// How long "nothing there" is good where the server does not say.
const NEGATIVE: Duration = Duration::from_secs(30);

/// What is asked about a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Naptr,
    Srv,
    V4,
    V6,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Question {
    /// In lower case.
    pub(super) name: String,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Naptr(Vec<Naptr>),
    Srv(Vec<Srv>),
    Addresses(Vec<IpAddr>),
}

impl Answer {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Answer::Naptr(records) => records.is_empty(),
            Answer::Srv(records) => records.is_empty(),
            Answer::Addresses(records) => records.is_empty(),
        }
    }
}

/// The clock that answers age by.
pub type Clock = Arc<dyn Fn() -> Time + Send + Sync>;

/// Asks, and remembers.
pub(super) struct Names {
    resolver: TokioResolver,
    cache: Mutex<Cache>,
    clock: Clock,
}

impl Names {
    /// With these servers, or with the system's where there are none.
    pub(super) fn new(servers: &[SocketAddr], clock: Clock) -> Result<Self, String> {
        let mut builder = match servers {
            [] => TokioResolver::builder_tokio().map_err(|error| error.to_string())?,
            listed => {
                let server = |address: &SocketAddr| {
                    let at_port = |mut connection: ConnectionConfig| {
                        connection.port = address.port();
                        connection
                    };
                    let connections = vec![at_port(ConnectionConfig::udp()), at_port(ConnectionConfig::tcp())];
                    NameServerConfig::new(address.ip(), true, connections)
                };
                let config = ResolverConfig::from_parts(None, Vec::new(), listed.iter().map(server).collect());
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let options = builder.options_mut();
        // The cache here is the one that tests can age.
        options.cache_size = 0;
        options.timeout = ATTEMPT;
        options.attempts = 1;
        options.try_tcp_on_error = true;
        let resolver = builder.build().map_err(|error| error.to_string())?;
        Ok(Names { resolver, cache: Mutex::default(), clock })
    }

    fn cached<T>(&self, work: impl FnOnce(&mut Cache) -> T) -> T {
        // A holder that panicked left whole entries.
        work(&mut self.cache.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What there is; empty: nothing. An error: nobody answers, and nobody did lately.
    pub(super) async fn ask(&self, name: &str, kind: Kind) -> Result<Answer, String> {
        let question = Question { name: name.to_ascii_lowercase(), kind };
        if let Some(answer) = self.cached(|cache| cache.get(&question, (self.clock)())) {
            return Ok(answer);
        }
        let asked = tokio::time::timeout(PATIENCE, self.look_up(&question)).await;
        let now = (self.clock)();
        match asked.unwrap_or_else(|_| Err("they take too long".to_owned())) {
            Ok((answer, good)) => {
                self.cached(|cache| cache.put(question, answer.clone(), good, now));
                Ok(answer)
            }
            Err(error) => match self.cached(|cache| cache.stale(&question, now)) {
                Some(answer) => {
                    tracing::warn!(name, %error, "name servers do not answer: what they said before still serves");
                    Ok(answer)
                }
                None => Err(error),
            },
        }
    }

    async fn look_up(&self, question: &Question) -> Result<(Answer, Duration), String> {
        let mut name = Name::from_utf8(&question.name).map_err(|error| error.to_string())?;
        // A plain name may be one of the local network, by hosts file or search list; others are meant as they stand.
        name.set_fqdn(question.name.contains('.'));
        let record_type = match question.kind {
            Kind::Naptr => RecordType::NAPTR,
            Kind::Srv => RecordType::SRV,
            Kind::V4 => RecordType::A,
            Kind::V6 => RecordType::AAAA,
        };
        let mut answer = match question.kind {
            Kind::Naptr => Answer::Naptr(Vec::new()),
            Kind::Srv => Answer::Srv(Vec::new()),
            Kind::V4 | Kind::V6 => Answer::Addresses(Vec::new()),
        };
        let found = match self.resolver.lookup(name, record_type).await {
            Ok(found) => found,
            Err(NetError::Dns(DnsError::NoRecordsFound(none)))
                if matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError) =>
            {
                let good = none.negative_ttl.map_or(NEGATIVE, |seconds| Duration::from_secs(seconds.into()));
                return Ok((answer, good));
            }
            Err(error) => return Err(error.to_string()),
        };
        let mut good = u32::MAX;
        for record in found.answers().iter().take(MAX_RECORDS) {
            match (&mut answer, &record.data) {
                (Answer::Naptr(list), RData::NAPTR(naptr)) => list.push(Naptr {
                    order: naptr.order,
                    preference: naptr.preference,
                    flags: text(&naptr.flags),
                    service: text(&naptr.services),
                    replacement: host(&naptr.replacement),
                }),
                (Answer::Srv(list), RData::SRV(srv)) => list.push(Srv {
                    priority: srv.priority,
                    weight: srv.weight,
                    port: srv.port,
                    target: host(&srv.target),
                }),
                (Answer::Addresses(list), RData::A(ip)) => list.push(IpAddr::V4(ip.0)),
                (Answer::Addresses(list), RData::AAAA(ip)) => list.push(IpAddr::V6(ip.0)),
                // The aliases on the way, which age as well.
                _ => {}
            }
            good = good.min(record.ttl);
        }
        Ok((answer, Duration::from_secs(good.into())))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A name without its last dot; the root is empty.
fn host(name: &Name) -> String {
    name.to_utf8().trim_end_matches('.').to_ascii_lowercase()
}

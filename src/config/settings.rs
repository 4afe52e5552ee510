//! The table of settings: names, defaults, ranges, meanings. Reading them is the room's own; README has the same table.

/// One setting as a user meets it.
pub struct Setting {
    /// The flag without its dashes; the key in `strowger.toml`.
    pub name: &'static str,
    /// What holds when nobody says anything, as one would write it.
    pub default: &'static str,
    /// What may be written.
    pub allowed: &'static str,
    /// What it does.
    pub help: &'static str,
}

impl Setting {
    /// The environment variable: `STROWGER_` and the name in capitals.
    pub fn environment_name(&self) -> String {
        format!("STROWGER_{}", self.name.replace('-', "_").to_uppercase())
    }
}

const ADDRESSES: &str =
    "PORT, or IP:PORT to listen elsewhere than `bind` says, or several, separated by commas; port 0 takes a free one";

const ADDRESS: &str = "PORT, or IP:PORT to listen elsewhere than `bind` says; port 0 takes a free one";

/// All settings, in the order the help and the README show them.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "bind",
        default: "127.0.0.1",
        allowed: "an IP address of this machine; 0.0.0.0 for all",
        help: "The address that everything listens on: loopback, until this says otherwise",
    },
    Setting { name: "http", default: "8080", allowed: ADDRESS, help: "Where the REST API listens, plain" },
    Setting { name: "https", default: "8443", allowed: ADDRESS, help: "Where the REST API listens with TLS" },
    Setting {
        name: "sip",
        default: "5060",
        allowed: ADDRESSES,
        help: "Where SIP listens, UDP and TCP; 0.0.0.0:5060,[::]:5060 for IPv4 and IPv6",
    },
    Setting {
        name: "sip-tls",
        default: "next",
        allowed: "next for the port after each of sip's, off, or as sip",
        help: "Where SIP listens with TLS",
    },
    Setting {
        name: "sip-ws",
        default: "off",
        allowed: "off, or as sip",
        help: "Where SIP listens for WebSocket (RFC 7118), for browsers in trusted networks",
    },
    Setting {
        name: "sip-wss",
        default: "off",
        allowed: "off, or as sip",
        help: "Where SIP listens for WebSocket with TLS",
    },
    Setting {
        name: "sip-ws-origins",
        default: "",
        allowed: "origins as https://phone.example.com, separated by commas; empty for all",
        help: "The web pages that may connect by WebSocket",
    },
    Setting {
        name: "sip-tls-certificate",
        default: "",
        allowed: "a PEM file with the chain, or empty for one of the engine's own CA",
        help: "The certificate for SIP over TLS; a changed file is used from the next connection on",
    },
    Setting {
        name: "sip-tls-key",
        default: "",
        allowed: "a PEM file; needed with sip-tls-certificate",
        help: "Its private key",
    },
    Setting {
        name: "sip-tls-ca",
        default: "",
        allowed: "a PEM file, or empty for whom the system trusts",
        help: "Who signs the certificates of servers that we call over TLS",
    },
    Setting {
        name: "sip-tls-verify",
        default: "true",
        allowed: "true or false",
        help: "Whether servers must prove their names; false is for tests",
    },
    Setting {
        name: "sip-tls-clients",
        default: "off",
        allowed: "off, asked or required",
        help: "Whether those who connect over TLS show a certificate",
    },
    Setting {
        name: "sip-tls-client-ca",
        default: "",
        allowed: "a PEM file, or empty for the same as sip-tls-ca",
        help: "Who signs their certificates",
    },
    Setting {
        name: "sip-udp-max-bytes",
        default: "1300",
        allowed: "0 to 65507, 0 for no limit",
        help: "Longer requests go by TCP instead of UDP, where the other end takes it (RFC 3261 18.1.1)",
    },
    Setting {
        name: "name-servers",
        default: "",
        allowed: "IP addresses, each with :PORT if it is not 53, separated by commas; empty for the system's",
        help: "Who is asked for NAPTR, SRV and addresses of SIP domains",
    },
    Setting {
        name: "rtp-ports",
        default: "20000-29999",
        allowed: "FIRST-LAST within 1024-65535, at least two ports; or 0 for any free ones",
        help: "UDP ports for RTP and RTCP, two a leg",
    },
    Setting {
        name: "advertise",
        default: "",
        allowed: "an IP address, one of IPv4 and one of IPv6, or empty for those SIP listens on",
        help: "The address put into SDP and Contact, for an engine behind NAT",
    },
    Setting { name: "data-dir", default: "./strowger-data", allowed: "a folder", help: "Database, keys, prompts" },
    Setting {
        name: "drain-seconds",
        default: "30",
        allowed: "0 to 3600",
        help: "How long a stop waits for running calls before it hangs up",
    },
    Setting {
        name: "tls-names",
        default: "localhost,127.0.0.1,::1",
        allowed: "host names and IP addresses, separated by commas",
        help: "The names that the server certificate is valid for",
    },
    Setting {
        name: "realm",
        default: "strowger",
        allowed: "1 to 128 printable characters without quotes and backslashes",
        help: "The digest realm that users' passwords are for; when it changes, they have to be set anew",
    },
    Setting {
        name: "digest-algorithms",
        default: "sha-256,md5",
        allowed: "sha-256,md5 or md5",
        help: "What phones are asked for; md5 alone for those that give up when SHA-256 is asked for as well",
    },
    Setting {
        name: "sip-domains",
        default: "",
        allowed: "host names, separated by commas",
        help: "Domains that are ours in SIP addresses, besides the addresses that SIP listens on",
    },
    Setting {
        name: "authenticate",
        default: "users",
        allowed: "users or all",
        help: "Whose calls are challenged: those that claim to come from our users, or all but trunks'",
    },
    Setting {
        name: "registration-least-seconds",
        default: "60",
        allowed: "1 to 3600",
        help: "A phone that wants to be registered for less is told 423",
    },
    Setting {
        name: "registration-most-seconds",
        default: "3600",
        allowed: "60 to 86400, not below the least",
        help: "A phone that wants to be registered for longer, or says nothing, gets this",
    },
    Setting { name: "max-calls", default: "4000", allowed: "1 to 100000", help: "More calls than these get 503" },
    Setting {
        name: "answer-timeout-seconds",
        default: "30",
        allowed: "1 to 600",
        help: "How long a caller rings before nobody's answer becomes 480",
    },
    Setting {
        name: "session-expires",
        default: "1800",
        allowed: "0 to 86400 seconds; 0 for none",
        help: "The session interval asked for (RFC 4028): a far end that vanished is noticed after it; at least min-se",
    },
    Setting {
        name: "min-se",
        default: "90",
        allowed: "1 to 86400 seconds",
        help: "The shortest session interval that is granted; shorter: 422. RFC 4028 wants 90; less is for trials",
    },
    Setting {
        name: "ring-timeout-seconds",
        default: "60",
        allowed: "1 to 600",
        help: "How long an outgoing call rings before it is given up",
    },
    Setting {
        name: "rtp-timeout-seconds",
        default: "30",
        allowed: "0 to 3600, 0 for never",
        help: "A call from which no RTP came for this long is ended",
    },
    Setting {
        name: "codecs",
        default: "opus,g722,pcmu,pcma",
        allowed: "opus, g722, l16, pcmu and pcma, most wanted first",
        help: "Codecs offered and taken, the first that both have; of pcmu and pcma the one that the peer prefers",
    },
    Setting {
        name: "srtp",
        default: "offered",
        allowed: "off, offered or required",
        help: "Encrypted audio (SDES) over TLS and WSS, where no trunk or user says otherwise",
    },
    Setting {
        name: "srtp-over-insecure",
        default: "false",
        allowed: "true or false",
        help: "Let SRTP keys go over UDP, TCP and WS, where whoever is on the way reads them",
    },
    Setting {
        name: "srtp-suites",
        default: "AEAD_AES_256_GCM,AEAD_AES_128_GCM,AES_CM_128_HMAC_SHA1_80,AES_CM_128_HMAC_SHA1_32",
        allowed: "AEAD_AES_256_GCM, AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80 and AES_CM_128_HMAC_SHA1_32, most wanted first",
        help: "Crypto suites of SRTP that are offered, in this order, and taken",
    },
    Setting {
        name: "follow-transfers",
        default: "users",
        allowed: "none, or some of users, trunks and strangers, separated by commas",
        help: "Who may send a call on to somebody else by REFER; whoever may has the engine call, and pay",
    },
    Setting {
        name: "toll-calls",
        default: "users=10,strangers=1",
        allowed: "0, or applications=N, users=N, trunks=N, strangers=N, separated by commas; 0 or left out: no limit",
        help: "Calls to numbers that one user, one trunk, all applications and all strangers may have at once",
    },
    Setting {
        name: "toll-calls-per-minute",
        default: "users=20,strangers=1",
        allowed: "as toll-calls",
        help: "The same, begun within any minute",
    },
    Setting {
        name: "toll-calls-per-hour",
        default: "users=200,strangers=10",
        allowed: "as toll-calls",
        help: "The same, begun within any hour",
    },
    Setting {
        name: "toll-allowed",
        default: "",
        allowed: "beginnings of numbers (+44), separated by commas",
        help: "Numbers that may be called at all; empty: those that a route or trunk takes",
    },
    Setting {
        name: "toll-denied",
        default: "",
        allowed: "beginnings of numbers (+4490), separated by commas",
        help: "Numbers that nobody may call, whatever routes say",
    },
    Setting { name: "in-band-dtmf", default: "true", allowed: "true or false", help: "Listen for tones in the audio" },
    Setting {
        name: "media-threads",
        default: "0",
        allowed: "0 to 64, 0 for one a core",
        help: "Threads that carry RTP",
    },
    Setting {
        name: "overload-late-percent",
        default: "20",
        allowed: "0 to 100, 0 for never",
        help: "Overload begins when this share of a media thread's ticks in two seconds is late: new calls get 503",
    },
    Setting { name: "overload-late-ms", default: "10", allowed: "1 to 1000", help: "A later tick than this is late" },
    Setting {
        name: "overload-recovery-seconds",
        default: "5",
        allowed: "1 to 3600",
        help: "Overload ends when all media threads have been punctual for this long",
    },
    Setting {
        name: "guard-requests",
        default: "2000",
        allowed: "0 to 1000000, 0 for no limit",
        help: "SIP requests outside of dialogs a second from one source (an IPv4 address, an IPv6 /64), on the mean of two seconds; more: banned",
    },
    Setting {
        name: "guard-failed-authentications",
        default: "20",
        allowed: "0 to 100000, 0 for no limit",
        help: "Failed SIP authentications a minute from one source; more: banned",
    },
    Setting {
        name: "guard-unknown-users",
        default: "200",
        allowed: "0 to 100000, 0 for no limit",
        help: "SIP requests a minute from one source for users and numbers that do not exist; more: banned",
    },
    Setting {
        name: "guard-malformed",
        default: "200",
        allowed: "0 to 100000, 0 for no limit",
        help: "Broken SIP messages a minute from one source; more: banned",
    },
    Setting {
        name: "guard-half-open",
        default: "1000",
        allowed: "1 to 100000",
        help: "Unanswered calls at once from one source; more get 503, and as many of those in a minute: banned",
    },
    Setting {
        name: "guard-ban-seconds",
        default: "60",
        allowed: "1 to 86400",
        help: "The first ban of a source; each further one is twice as long. A quarter of it where the source address may be forged",
    },
    Setting {
        name: "guard-ban-longest-seconds",
        default: "86400",
        allowed: "1 to 2592000",
        help: "The longest automatic ban",
    },
    Setting {
        name: "guard-exempt",
        default: "",
        allowed: "networks or addresses, separated by commas; trunks' need not be among them",
        help: "Sources that are never limited nor banned automatically",
    },
    Setting {
        name: "prompt-allow-private",
        default: "false",
        allowed: "true or false",
        help: "Fetch prompts from private and loopback addresses too",
    },
    Setting {
        name: "prompt-max-bytes",
        default: "20971520",
        allowed: "1024 to 1073741824",
        help: "The largest prompt file that is fetched or uploaded",
    },
    Setting {
        name: "prompt-fetch-seconds",
        default: "10",
        allowed: "1 to 300",
        help: "The longest a prompt's download may take",
    },
    Setting {
        name: "prompt-cache-bytes",
        default: "134217728",
        allowed: "0 to 17179869184",
        help: "Memory for decoded prompts",
    },
    Setting {
        name: "prompt-cache-seconds",
        default: "3600",
        allowed: "0 to 604800",
        help: "How long a decoded prompt is kept",
    },
    Setting {
        name: "event-attempts",
        default: "10",
        allowed: "1 to 1000",
        help: "How often an event's delivery is tried before it is marked dead",
    },
    Setting {
        name: "event-timeout-seconds",
        default: "10",
        allowed: "1 to 300",
        help: "How long a webhook may take to answer",
    },
    Setting {
        name: "event-backoff-ms",
        default: "500",
        allowed: "1 to 60000",
        help: "The pause before the second try of an event; it doubles with each",
    },
    Setting {
        name: "calls-kept",
        default: "10000",
        allowed: "0 to 10000000",
        help: "How many ended calls keep their record and timeline",
    },
    Setting {
        name: "capture-rtp",
        default: "false",
        allowed: "true or false",
        help: "Keep every call's RTP for `/v1/calls/{id}/pcap`; without it, only of calls that ask for it",
    },
    Setting {
        name: "capture-bytes",
        default: "16777216",
        allowed: "65536 to 1073741824",
        help: "The most RTP that is kept of a call",
    },
    Setting {
        name: "captures-kept",
        default: "50",
        allowed: "1 to 100000",
        help: "How many calls' RTP is kept; the oldest goes first",
    },
    Setting {
        name: "timeline-entries",
        default: "2000",
        allowed: "10 to 100000",
        help: "The most timeline entries a call keeps",
    },
    Setting {
        name: "log",
        default: "info",
        allowed: "a tracing filter, for example debug or strowger=trace",
        help: "What is logged",
    },
    Setting { name: "log-format", default: "text", allowed: "text or json", help: "How it is logged" },
];

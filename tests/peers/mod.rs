//! Real peers on loopback: SIPp, softphones, a proxy and a media relay, the official SDKs, real audio. `tests/run.sh`
//! installs what they need; a test whose tool is missing fails and says so. Everything listens on free ports, waits for
//! what happens and not for time, and runs beside everything else.
//!
//! # Who runs over what, and what is seen
//!
//! Versions are Debian 12's. *Calls* means that the peer calls the engine, *called* that the engine calls the peer.
//!
//! | peer | transport | calls | called | what is seen |
//! |---|---|---|---|---|
//! | SIPp 3.6.1, scenarios of ours | UDP, TCP | yes | yes | answer, CANCEL, BYE while ringing, hold and resume on another port, INVITE without offer, refusals, MD5, SHA-256 and a stale nonce, each message lost once |
//! | SIPp, `uac`, `uas`, `regexp`, `3pcc-A`, `3pcc-B`, `3pcc-C-A` with `3pcc-C-B`, `branchc`, `branchs` | UDP, TCP | yes | yes | each as it comes with the tool; by `3pcc` two calls of the engine hear each other |
//! | baresip 1.0.0: G.722, Opus, PCMA, PCMU | UDP, TCP | yes | yes | speech and a tone measured in its recording; keys by RFC 4733 both ways; keys in what it plays |
//! | linphone 5.1.65: PCMU | UDP, TCP | yes | yes | the same |
//! | baresip and linphone with SRTP by SDES, required | UDP, TCP | yes | yes | the same, encrypted |
//! | baresip with AEAD_AES_256_GCM, AEAD_AES_128_GCM and AES_CM_128_HMAC_SHA1_32 alone | UDP | | yes | the same |
//! | linphone with AES_CM_128_HMAC_SHA1_32 alone | TCP | yes | | the same |
//! | libsrtp 2.5: all four suites | a pipe | | | each packet of ours is its packet byte by byte, over a rollover, with loss, replays and tampering; RTCP |
//! | ffmpeg 5.1: AES_CM_128_HMAC_SHA1_80 and 32 | RTP | it sends | it hears | two seconds of noise, found in what is heard |
//! | baresip with TLS and SRTP | TLS | yes | yes | the same; each checks the other's certificate |
//! | linphone with TLS and SRTP | TLS | yes | as a user | the same; it checks the engine's certificate, and is called on the connection by which it registered |
//! | SIPp, baresip (MD5), linphone (SHA-256), registered by digest | UDP, TCP | yes | yes | called where they registered from; two devices of one user; a user's own calls are challenged |
//! | SIPp with 100rel and UPDATE | UDP, TCP | yes | yes | PRACK for a 183 with the answer, and for our 180; hold by UPDATE |
//! | SIPp with session timers | UDP, TCP | yes | yes | refreshed by UPDATE and by re-INVITE, refreshing itself, 422 both ways, hung up on when it refreshes no more |
//! | SIPp that transfers, is transferred, replaces | UDP, TCP | yes | yes | REFER with reports, without, to somebody busy, to all devices of a user, by a route with failover; REFER of ours taken, declined, in vain; INVITE with Replaces |
//! | SIPp with more to say | UDP, TCP | yes | yes | User-to-User and X- headers, Diversion, History-Info, Alert-Info, Q.850 reasons, INFO of an unknown package |
//! | SIPp as a carrier with credentials | UDP, TCP | yes | | asked by digest, and known as its trunk by that |
//! | SIPp, two devices with q | UDP | | as a user | the most wanted rings first; `Contact: *` |
//! | baresip as a carrier with a certificate | TLS | yes | | known as its trunk by that; all others are asked for credentials |
//! | kamailio before a registered SIPp | UDP | | as a user | Path |
//! | kamailio 5.6.3 as a proxy before SIPp | UDP↔UDP, UDP↔TCP both ways | yes | yes | one Record-Route and two, loose routing of ACK, re-INVITE and BYE of either side, CANCEL both ways, 407 with the right and a wrong password, its loss in a call |
//! | kamailio and rtpengine 10.5 before linphone | UDP→TCP | yes | | speech, tone and keys as above, relayed |
//! | kamailio and rtpengine before baresip | UDP→TCP | | yes | the same |
//! | kamailio as a carrier's registrar | UDP, TCP | yes | | registered by digest, called by the registered Contact, registered again when it was gone and has forgotten |
//! | baresip and linphone, transferring | UDP | yes | yes | REFER of theirs followed, REFER of ours taken |
//! | SIPp and its devices, forwarded | UDP, TCP→UDP | yes | as a user | two devices ring and one wins; busy, then what the rule says; nobody there; early media heard before any answer |
//! | baresip with baresip, linphone with baresip, forwarded | UDP, TCP | yes | as a user | G.722 with PCMA, Opus with PCMU: keys both ways by RFC 4733, speech and tones both ways measured in the recordings |
//! | JsSIP 3.13.8 in Node | WS, WSS | | as a user | registers by digest, is called on its own connection, refuses, leaves; no audio |
//! | sipvicious 0.3.8 | UDP | scans | | nothing under its own name; under another no user told from nobody, banned before it guesses |
//! | sipsak 0.9.8 | UDP, TCP | OPTIONS | | its flood and its broken requests beside a good call |
//! | SDKs of Python and JavaScript | HTTP | | | see `sdk` |
//!
//! # What each needs
//!
//! - **Registering**: SIPp 3.6.1 looks at the first challenge only and knows MD5; baresip 1.0.0 gives up over a challenge
//!   that it does not know, wherever it stands. Both need `--digest-algorithms md5`.
//! - **SIPp** sends telephone events by a raw socket: `tests/run.sh` gives a copy of it that right. Its `regexp` takes an
//!   `o=` only with a user name of letters and digits, which is why ours has one. Its `branchc` registers without
//!   credentials and calls under the same Call-ID: kamailio stands in front as a registrar that asks for none. Its
//!   `branchs` expects registration and call under one Call-ID: a relay of the test's makes it one.
//! - **baresip** resamples badly what it plays, so files have the codec's rate. It hangs up when a file is over.
//!   Over TLS it listens on the port after its own, with `sip_certificate` (key
//!   and certificate in one file); `sip_cafile` has it check ours.
//! - **linphone** has no sound card here (`soundcard use files`), starts only where the folder of its database is, and
//!   puts the machine's own address into SDP, IPv6 first, unless three settings and a command say 127.0.0.1. Before
//!   its first RTP it sends four octets that are none. In certificates it knows names, no addresses (`localhost`).
//! - **SRTP**: baresip offers it alone with `mediaenc=srtp-mand`, linphone with `media_encryption=srtp` and
//!   `media_encryption_mandatory=1`; keys over UDP and TCP have to be allowed (`srtp-over-insecure`).
//! - **SRTP's suites**: baresip offers AES_CM_128_HMAC_SHA1_80 and answers any of the four; linphone offers what
//!   `srtp_crypto_suites` lists, and has no GCM. libsrtp is reached by Python's ctypes.
//! - **kamailio** takes `lr` and `r2=on` Record-Route entries of its own back in Route, as we must send them: in order.
//!   A killed one leaves its children; it gets SIGTERM.
//! - **rtpengine** runs in user space (`--table=-1`), with an empty configuration: Debian's own has every instance
//!   listen on the same port.
//! - **sipsak** sends from another loopback address than the good call, for whoever floods may be banned.

mod audio;
mod baresip;
mod browser;
mod builtin;
mod extensions;
mod forwarded;
mod kamailio;
mod linphone;
mod moved;
mod registered;
mod registrar;
mod sdk;
mod secured;
mod sessions;
mod sipp;
mod sipsak;
mod sipvicious;
mod softphone;
mod srtp;
mod tls;
mod transfers;
mod words;

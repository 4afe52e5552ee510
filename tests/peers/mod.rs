//! Real peers on loopback: SIPp, the official SDKs, real audio. `tests/run.sh` installs what they need; a test whose
//! tool is missing fails and says so.

mod audio;
mod baresip;
mod builtin;
mod kamailio;
mod linphone;
mod sdk;
mod sipp;
mod sipsak;
mod softphone;

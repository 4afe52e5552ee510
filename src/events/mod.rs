//! Events on their way to applications: kept before they are sent, delivered in order per call, retried, given up
//! visibly. Also the handshake of Event Grid subscriptions and the token that answers an incoming call.
//!
//! What an event says is `api`'s (ACS wire) and `call`'s; rows are `store`'s.

mod delivery;
mod incoming_context;
mod outbox;
mod subscription;
#[cfg(test)]
mod tests;

pub use delivery::{ClientError, DeliveryNotice, DeliveryOutcome, webhook_client};
pub use incoming_context::{ContextError, IncomingContextKey};
pub use outbox::{Notify, Outbox, OutboxSettings, OutgoingEvent, PostError};
pub use subscription::{Handshake, HandshakeError, ValidationRequest, validate};

//! Which calls live, and how to reach each one's task. Looked up when somebody names a call, never on a call's own path.

use std::collections::HashMap;
use std::sync::Mutex;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};

use super::metrics::count;
use super::running_call::CallMessage;
use super::{Hub, archive};
use crate::call::TimelineEntry;

/// Live calls by id, at most as many as `max-calls` says.
pub struct Registry {
    calls: Mutex<HashMap<String, mpsc::Sender<CallMessage>>>,
    /// Told of each call that goes.
    gone: watch::Sender<()>,
}

impl Default for Registry {
    fn default() -> Self {
        Registry { calls: Mutex::default(), gone: watch::Sender::new(()) }
    }
}

impl Registry {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, mpsc::Sender<CallMessage>>> {
        // A holder that panicked left the map whole: each change is one insert or remove.
        self.calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Adds a call unless `limit` live already; false: not added.
    pub fn insert(&self, id: &str, inbox: mpsc::Sender<CallMessage>, limit: usize) -> bool {
        let mut calls = self.lock();
        let room = calls.len() < limit;
        if room {
            calls.insert(id.to_owned(), inbox);
        }
        room
    }

    /// Takes a call out.
    pub fn remove(&self, id: &str) {
        self.lock().remove(id);
        self.gone.send_replace(());
    }

    /// Changes whenever a call goes.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.gone.subscribe()
    }

    /// A call's inbox.
    pub fn get(&self, id: &str) -> Option<mpsc::Sender<CallMessage>> {
        self.lock().get(id).cloned()
    }

    /// All inboxes.
    pub fn all(&self) -> Vec<mpsc::Sender<CallMessage>> {
        self.lock().values().cloned().collect()
    }

    /// How many live.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether none lives.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Tells a call something without waiting. False: it is gone, or its inbox is full (counted).
    pub fn tell(&self, hub: &Hub, id: &str, message: CallMessage) -> bool {
        self.get(id).is_some_and(|inbox| offer(hub, &inbox, message))
    }
}

/// Puts an entry onto the timeline of call `id`: by its inbox while it lives, else onto what is kept of it, for the
/// peer's last words and the last deliveries come after the end.
pub fn note(hub: &Hub, id: &str, inbox: Option<&mpsc::Sender<CallMessage>>, entry: TimelineEntry) {
    let message = CallMessage::Note(entry);
    let sent = match inbox {
        Some(inbox) => inbox.try_send(message),
        None => Err(TrySendError::Closed(message)),
    };
    match sent {
        Err(TrySendError::Closed(CallMessage::Note(entry))) => {
            archive::add_late(hub, id, &entry);
        }
        Err(TrySendError::Full(_)) => count(&hub.metrics.failures, "call inbox full"),
        _ => {}
    }
}

/// Puts a message into an inbox without waiting. False: the call is gone, or its inbox is full (counted).
pub fn offer(hub: &Hub, inbox: &mpsc::Sender<CallMessage>, message: CallMessage) -> bool {
    match inbox.try_send(message) {
        Ok(()) => true,
        Err(TrySendError::Full(_)) => {
            count(&hub.metrics.failures, "call inbox full");
            false
        }
        Err(TrySendError::Closed(_)) => false,
    }
}

//! Calls on a virtual clock.

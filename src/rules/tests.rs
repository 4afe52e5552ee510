//! The table against calls, condition by condition.

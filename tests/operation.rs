//! The engine as an operator meets it: starting, settings, stopping, what is left behind.

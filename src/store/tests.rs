//! The store against a SQLite file.

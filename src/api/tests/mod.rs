//! The router as a client sees it, before a fake engine.

//! Calls on a virtual clock.

mod ivr;
mod lifecycle;
mod play;
mod recognize;
mod simulation;
mod tones;
mod transfer;
mod world;

//! Calls on a virtual clock.

mod forward;
mod ivr;
mod lifecycle;
mod play;
mod recognize;
mod simulation;
mod tones;
mod transfer;
mod world;

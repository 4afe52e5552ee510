//! Attacks from outside, and what the engine owes everybody else meanwhile.

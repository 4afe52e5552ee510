//! Whole calls on the virtual clock: two user agents, a call and streams over a simulated network, by seed.

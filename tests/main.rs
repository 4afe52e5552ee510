//! All tests that look at the engine from outside, as one binary.

mod abuse;
mod architecture;
mod detector;
mod load;
mod operation;
mod peers;
mod sim;
mod support;

//! Command line → one function call.

use std::process::ExitCode;

fn main() -> ExitCode {
    strowger::cli::run(std::env::args_os())
}

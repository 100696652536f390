//! The front door: hands the command line to the commands and their outcome to the system.

use std::process::ExitCode;

fn main() -> ExitCode {
    integrityd::cli::main(std::env::args_os()).into()
}

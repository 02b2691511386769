//! volwardd, the daemon of a node.

use std::process::ExitCode;

fn main() -> ExitCode {
    volward_daemon::main()
}

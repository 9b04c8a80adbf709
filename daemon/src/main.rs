//! `posternd`: the daemon. All of it is in `postern-runtime`.

use std::process::ExitCode;

fn main() -> ExitCode {
    postern_runtime::main()
}

//! The binary: the allocator, the command line, the exit code.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    mayfly::cli::run(std::env::args_os(), mayfly::app::run)
}

//! The binary: the allocator, the command line, the exit code.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    mayfly::cli::run(std::env::args_os(), mayfly::app::run)
}

//! The binary: the allocator, the command line, the exit code.

use std::process::ExitCode;

use mayfly::config::Settings;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    mayfly::cli::run(std::env::args_os(), serve)
}

fn serve(settings: Settings) -> anyhow::Result<()> {
    anyhow::bail!(
        "no server is built in yet that could listen on {}",
        settings.listen
    )
}

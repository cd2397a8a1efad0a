//! The `mayfly` binary. For now: `mayfly serve`.
use clap::Parser;
use mayfly::config::Settings;
use mayfly::config::flags::SettingsFlags;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
enum Cli { Serve(Box<SettingsFlags>) }

fn main() -> anyhow::Result<()> {
    let Cli::Serve(flags) = Cli::parse();
    let settings = Settings::try_from(*flags)?;
    mayfly::telemetry::install(settings.log_format, &settings.log)?;
    mayfly::app::run(settings)
}

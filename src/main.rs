//! The `mayfly` binary. For now: `mayfly serve`.

use std::process::ExitCode;

use clap::Parser;
use mayfly::config::Settings;
use mayfly::config::flags::SettingsFlags;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
enum Cli {
    Serve(Box<SettingsFlags>),
}

/// Exits 2 for bad usage and 1 for a start that fails otherwise, each with one line.
fn main() -> ExitCode {
    let settings = match settings() {
        Ok(settings) => settings,
        Err(line) => {
            eprintln!("mayfly: {line}");
            return ExitCode::from(2);
        }
    };
    let started = mayfly::telemetry::install(settings.log_format, &settings.log)
        .and_then(|()| mayfly::app::run(settings));
    match started {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mayfly: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn settings() -> Result<Settings, String> {
    let Cli::Serve(flags) = Cli::try_parse().map_err(|error| {
        if !error.use_stderr() {
            error.exit();
        }
        // Up to the first empty line clap says what is wrong, below it how to get help.
        let text = error.to_string();
        let lines = text.lines().take_while(|line| !line.trim().is_empty());
        let line = lines.map(str::trim).collect::<Vec<_>>().join(" ");
        line.trim_start_matches("error: ").to_owned()
    })?;
    Settings::try_from(*flags).map_err(|error| error.to_string())
}

//! `mayfly serve`: checks the settings, installs the log, and runs the server it is given.

use super::Failure;
use crate::config::Settings;
use crate::config::flags::SettingsFlags;
use crate::telemetry;

/// Runs the server until it is stopped.
pub fn run(
    flags: SettingsFlags,
    serve: impl FnOnce(Settings) -> anyhow::Result<()>,
) -> Result<(), Failure> {
    let settings = Settings::try_from(flags)?;
    settings.check_serving()?;
    telemetry::install(settings.log_format, &settings.log)?;
    Ok(serve(settings)?)
}

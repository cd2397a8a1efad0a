//! The settings file and the `MAYFLY_*` variables: which keys there are, and what is wrong with one.
//!
//! A key of the file becomes the flag of the same name, for the settings that neither a flag nor a
//! variable gives. How a value is read is decided by the flags (`config::flags`).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command};

use super::SettingsError;
use super::flags::SettingsFlags;
use super::suggest::nearest;

/// The file that is read if it is there and no other is named.
const USUAL_FILE: &str = "mayfly.toml";

/// The settings of the file that no flag and no variable gives, as flags to parse again.
///
/// Every key of the file is checked, also one that is overridden.
///
/// # Errors
/// A file that was named and cannot be read, that is not TOML, an unknown key, a bad value.
pub fn arguments(matches: &ArgMatches) -> Result<Vec<OsString>, SettingsError> {
    let named = matches.get_one::<PathBuf>("config");
    let path = named.map_or(Path::new(USUAL_FILE), PathBuf::as_path);
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Vec::new());
        }
        Err(source) => {
            return Err(SettingsError::FileUnread {
                path: path.to_path_buf(),
                source,
            });
        }
    };
    let is_given = |id: &str| {
        let source = matches.value_source(id);
        source.is_some_and(|source| source != ValueSource::DefaultValue)
    };
    let settings = settings_of(path, &text)?;
    Ok(settings
        .into_iter()
        .filter(|setting| !is_given(&setting.id))
        .map(|setting| setting.argument)
        .collect())
}

/// Refuses a `MAYFLY_*` variable that looks like a mistyped setting.
///
/// Others are let pass: Kubernetes sets `MAYFLY_SERVICE_HOST`, `MAYFLY_PORT` and the like for a
/// service of this name.
///
/// # Errors
/// [`SettingsError::UnknownVariable`] with the name that was meant.
pub fn check_variables(names: impl IntoIterator<Item = String>) -> Result<(), SettingsError> {
    const OF_CLIENTS: [&str; 3] = ["MAYFLY_URL", "MAYFLY_ADMIN_URL", "MAYFLY_KEY"];
    let flags = flags_alone();
    let known: Vec<String> = flags
        .get_arguments()
        .filter_map(|arg| arg.get_env()?.to_str().map(String::from))
        .chain(OF_CLIENTS.map(String::from))
        .collect();
    for name in names {
        let from_kubernetes = name.contains("_SERVICE_") || name.contains("_PORT");
        if !name.starts_with("MAYFLY_") || from_kubernetes || known.contains(&name) {
            continue;
        }
        if let Some(meant) = nearest(&name, known.iter().map(String::as_str)) {
            return Err(SettingsError::UnknownVariable {
                meant: String::from(meant),
                name,
            });
        }
    }
    Ok(())
}

/// The variable of the setting with this flag.
pub fn variable_of(flag: &str) -> Option<String> {
    let flags = flags_alone();
    let arg = flags
        .get_arguments()
        .find(|arg| arg.get_long() == Some(flag))?;
    Some(String::from(arg.get_env()?.to_str()?))
}

/// What clap says against a value, without the name of its flag: for one line that names the
/// place itself.
pub fn reason(error: &clap::Error) -> String {
    let value = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) if !value.is_empty() => format!("bad value {value:?}"),
        _ => String::from("a value is missing"),
    };
    let fix = match (
        std::error::Error::source(error),
        error.get(ContextKind::ValidValue),
    ) {
        (Some(source), _) => source.to_string(),
        (None, Some(ContextValue::Strings(valid))) => format!("write {}", valid.join(" or ")),
        _ => String::from("see mayfly serve --help"),
    };
    format!("{value}: {fix}")
}

struct FileSetting {
    id: String,
    argument: OsString,
}

fn settings_of(path: &Path, text: &str) -> Result<Vec<FileSetting>, SettingsError> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start);
        SettingsError::FileSyntax {
            path: path.to_path_buf(),
            line: text[..start.min(text.len())].matches('\n').count() + 1,
            reason: error.message().lines().collect::<Vec<_>>().join(", "),
        }
    })?;
    let flags = flags_alone();
    table
        .iter()
        .map(|(key, value)| file_setting(&flags, path, key, value))
        .collect()
}

fn file_setting(
    flags: &Command,
    path: &Path,
    key: &str,
    value: &toml::Value,
) -> Result<FileSetting, SettingsError> {
    let flag = key.replace('_', "-");
    let known = |arg: &&clap::Arg| arg.get_id() != "config" && arg.get_long() == Some(&flag);
    let Some(arg) = flags.get_arguments().find(known) else {
        let names = flags.get_arguments().filter_map(clap::Arg::get_long);
        let hint = nearest(&flag, names.filter(|name| *name != "config"));
        return Err(SettingsError::UnknownKey {
            path: path.to_path_buf(),
            key: String::from(key),
            hint: hint.map_or_else(
                || String::from("see mayfly serve --help"),
                |name| format!("did you mean {name}?"),
            ),
        });
    };
    let bad = |reason| SettingsError::BadValue {
        path: path.to_path_buf(),
        key: String::from(key),
        reason,
    };
    let text = match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Boolean(truth) => truth.to_string(),
        _ => return Err(bad(String::from("write one text, number or boolean"))),
    };
    let argument = OsString::from(format!("--{flag}={text}"));
    flags
        .clone()
        .try_get_matches_from([OsString::from("mayfly"), argument.clone()])
        .map_err(|error| bad(reason(&error)))?;
    Ok(FileSetting {
        id: arg.get_id().to_string(),
        argument,
    })
}

fn flags_alone() -> Command {
    SettingsFlags::augment_args(Command::new("mayfly"))
}

//! From the words of the command line to a command: twice where the settings file adds to them.
//!
//! Which commands there are is in `cli`; what the file may say in `config::file`.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};

use super::{Cli, Failure};
use crate::config::file;

/// What the words ask for.
pub enum Parsed {
    /// To run a command.
    Command {
        /// The command line.
        cli: Box<Cli>,
        /// Where its values come from.
        sources: Box<Sources>,
    },
    /// To show this help or version.
    Show(clap::Error),
}

/// Where the values of a command come from.
pub struct Sources {
    words: ArgMatches,
    with_file: ArgMatches,
}

impl Sources {
    /// The source of a setting's value, in a word; `id` is the flag's name in snake case.
    pub fn of(&self, id: &str) -> &'static str {
        match (self.words.value_source(id), self.with_file.value_source(id)) {
            (Some(ValueSource::CommandLine), _) => "flag",
            (Some(ValueSource::EnvVariable), _) => "variable",
            (_, Some(ValueSource::CommandLine)) => "file",
            _ => "default",
        }
    }
}

/// Reads the command line, and the settings file for the commands that have settings.
///
/// # Errors
/// [`Failure::Usage`], in one line.
pub fn parse(words: Vec<OsString>) -> Result<Parsed, Failure> {
    let first = match Cli::command().try_get_matches_from(&words) {
        Ok(matches) => matches,
        Err(error) if is_asked_for(&error) => return Ok(Parsed::Show(error)),
        Err(error) => return Err(Failure::Usage(one_line(&error, &words))),
    };
    let given = innermost(&first).clone();
    let mut matches = first;
    if has_settings(&given) {
        file::check_variables(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()))?;
        let with_file = words.iter().cloned().chain(file::arguments(&given)?);
        matches = Cli::command()
            .try_get_matches_from(with_file)
            .map_err(|error| Failure::Usage(one_line(&error, &words)))?;
    }
    let cli = Cli::from_arg_matches(&matches)
        .map_err(|error| Failure::Usage(one_line(&error, &words)))?;
    let sources = Box::new(Sources {
        words: given,
        with_file: innermost(&matches).clone(),
    });
    Ok(Parsed::Command {
        cli: Box::new(cli),
        sources,
    })
}

fn is_asked_for(error: &clap::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    )
}

fn innermost(matches: &ArgMatches) -> &ArgMatches {
    match matches.subcommand() {
        Some((_, inner)) => innermost(inner),
        None => matches,
    }
}

fn has_settings(matches: &ArgMatches) -> bool {
    matches.try_contains_id("data_dir").is_ok()
}

/// Clap's report in one line: for a bad value the flag, or the variable if no flag was given.
fn one_line(error: &clap::Error, words: &[OsString]) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return String::from("a command is missing; see mayfly --help");
    }
    let bad_value = matches!(
        error.kind(),
        ErrorKind::ValueValidation | ErrorKind::InvalidValue
    );
    if let (true, Some(ContextValue::String(argument))) =
        (bad_value, error.get(ContextKind::InvalidArg))
    {
        let argument = argument.split([' ', '=', '[']).next().unwrap_or(argument);
        let place = variable_behind(argument, words).unwrap_or_else(|| String::from(argument));
        return format!("{place}: {}", file::reason(error));
    }
    let text = error.render().to_string();
    let text = text.trim_start_matches("error: ");
    let (report, rest) = text.split_once("\n\n").unwrap_or((text, ""));
    let report: Vec<&str> = report.lines().map(str::trim).collect();
    let tip = rest
        .lines()
        .find_map(|line| line.trim().strip_prefix("tip: "));
    let fix = tip.unwrap_or("see --help");
    format!("{}; {fix}", report.join(" "))
}

/// The variable that gave the value of `--flag`, if no word did.
fn variable_behind(flag: &str, words: &[OsString]) -> Option<String> {
    let name = flag.strip_prefix("--")?;
    let given = words.iter().filter_map(|word| word.to_str()).any(|word| {
        word.strip_prefix(flag)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    });
    let variable = file::variable_of(name)
        .unwrap_or_else(|| format!("MAYFLY_{}", name.replace('-', "_").to_uppercase()));
    (!given && std::env::var_os(&variable).is_some()).then_some(variable)
}

//! How a command fails: one line, and the code that the process exits with.

use crate::cli::client::ClientError;
use crate::config::SettingsError;

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub enum Failure {
    /// The command line, a variable or the settings file is wrong: exit code 2.
    Usage(String),
    /// Anything else: exit code 1.
    Failed(String),
}

impl Failure {
    /// The code that the process exits with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Usage(_) => 2,
            Failure::Failed(_) => 1,
        }
    }

    /// The line that tells what is wrong.
    pub fn line(&self) -> &str {
        let (Failure::Usage(line) | Failure::Failed(line)) = self;
        line
    }
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Failure {
        Failure::Usage(error.to_string())
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        match error {
            ClientError::Key => Failure::Usage(error.to_string()),
            other => Failure::Failed(other.to_string()),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure::Failed(told_once(error.chain().map(ToString::to_string)))
    }
}

/// An error and its causes in one line. An error whose line goes into a log tells its cause itself.
fn told_once(chain: impl Iterator<Item = String>) -> String {
    let mut line = String::new();
    for cause in chain {
        if line.is_empty() {
            line = cause;
        } else if !line.ends_with(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure::Failed(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::told_once;

    #[test]
    fn a_cause_is_told_once_whether_or_not_its_error_tells_it() {
        let told = |chain: &[&str]| told_once(chain.iter().map(ToString::to_string));
        assert_eq!(told(&["cannot serve", "no room"]), "cannot serve: no room");
        let twice = ["cannot serve", "cannot create x: no room", "no room"];
        assert_eq!(told(&twice), "cannot serve: cannot create x: no room");
        assert_eq!(told(&["alone"]), "alone");
    }
}

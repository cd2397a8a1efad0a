//! `mayfly healthcheck`: asks the admin port whether the server is ready, for containers.

use clap::Args;
use hyper::{Method, StatusCode};

use super::client::{BaseUrl, Client};
use super::{Failure, terminal};

/// Ask whether a server is ready: exit code 0 if it is, else 1.
#[derive(Args, Debug)]
pub struct Healthcheck {
    /// The admin address of the server
    #[arg(
        long,
        env = "MAYFLY_ADMIN_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:9090"
    )]
    admin_url: BaseUrl,
}

impl Healthcheck {
    /// Asks `/readyz`.
    pub async fn run(self) -> Result<(), Failure> {
        let client = Client::without_key(&self.admin_url);
        let answer = client.call(Method::GET, "/readyz", None).await?;
        if answer.status == StatusCode::OK {
            return Ok(terminal::line("ready")?);
        }
        let status = answer.status;
        Err(Failure::Failed(format!(
            "not ready: {}/readyz answers {status}; it is starting or draining",
            self.admin_url
        )))
    }
}

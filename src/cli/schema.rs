//! `mayfly schema apply`: makes keyspace and tables in ScyllaDB, once for a cluster.

use clap::{Args, Subcommand};

use super::{Failure, terminal};
use crate::config::Settings;
use crate::config::flags::SettingsFlags;
use crate::store::scylla;
use crate::store::scylla::schema::{self, SchemaOptions};
use crate::telemetry;

/// What this command logs: that it waits for a majority of the store, and why.
const LOG: &str = "mayfly=warn";

/// Prepare ScyllaDB.
#[derive(Args, Debug)]
pub struct Schema {
    #[command(subcommand)]
    command: SchemaCommand,
}

#[derive(Debug, Subcommand)]
enum SchemaCommand {
    /// Make the keyspace of --scylla and its tables where they are missing; what is kept there is
    /// left alone, and a second run changes nothing
    Apply(Box<Apply>),
}

#[derive(Args, Debug)]
struct Apply {
    /// Print the CQL and do nothing
    #[arg(long)]
    print: bool,
    #[command(flatten)]
    settings: SettingsFlags,
}

impl Schema {
    /// Applies the schema, or prints it.
    pub fn run(self) -> Result<(), Failure> {
        let SchemaCommand::Apply(apply) = self.command;
        let settings = Settings::try_from(apply.settings)?;
        let Some(scylla) = settings.scylla else {
            return Err(Failure::Usage(String::from(
                "--scylla is missing; name the nodes and the keyspace, such as 10.0.0.1:9042/mayfly",
            )));
        };
        let options = SchemaOptions::keeping(settings.archive_retention);
        if apply.print {
            return Ok(terminal::line(&schema::script(&scylla, &options))?);
        }
        telemetry::install(settings.log_format, LOG)?;
        let is_new = scylla::apply_schema(&scylla, options)
            .map_err(|error| Failure::Failed(error.to_string()))?;
        let keyspace = &scylla.address.keyspace;
        Ok(terminal::line(&if is_new {
            format!("keyspace {keyspace} is ready")
        } else {
            format!("keyspace {keyspace} was ready")
        })?)
    }
}

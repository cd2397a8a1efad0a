//! Shards and the actors that run them: where decisions are made, made durable, and let go.
//!
//! `call` is what can be asked of a shard; `value` is a shard itself, a plain value; `host` is where
//! those of one worker are entered, and `keeper` the actix actor that does what nobody asks for; `commit`
//! makes what they decide durable and opens the gate for their answers.

pub mod call;

pub mod command;

pub mod question;

pub mod value;

pub mod upkeep;

pub mod renewal;

pub mod replay;

pub mod turn;

pub mod host;

pub mod keeper;

mod host_upkeep;

mod hosted;

pub mod hosts;

pub mod moves;

mod held;

mod pending;

pub mod commit;

pub mod flush;

pub mod recovery;

mod weighing;

pub mod clock;

pub mod usage;

mod endings;

mod index;

mod keys;

mod mailboxes;

mod pins;

pub mod spread;

mod wheel;

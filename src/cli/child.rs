//! What a command needs to start servers as its children: this binary again, and free addresses.
//!
//! How a child is watched and ended is decided by the commands.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;

/// This binary, with no settings but those of its arguments: no variable, and no file of settings
/// unless the working directory holds one.
///
/// # Errors
/// What the system says.
pub fn this_binary() -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    let variables = std::env::vars_os().map(|(name, _)| name);
    for name in variables.filter(|name| name.to_string_lossy().starts_with("MAYFLY_")) {
        command.env_remove(name);
    }
    Ok(command)
}

/// Different addresses of this machine that nobody listens at.
///
/// # Errors
/// What the system says.
pub fn free_addresses<const N: usize>() -> io::Result<[SocketAddr; N]> {
    // All are held until the last is found, else one could be given twice.
    let mut held = Vec::with_capacity(N);
    let mut addresses = [SocketAddr::from(([127, 0, 0, 1], 0)); N];
    for address in &mut addresses {
        let listener = TcpListener::bind(*address)?;
        *address = listener.local_addr()?;
        held.push(listener);
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_addresses_differ_from_each_other() {
        // So many that some would be equal if they were not held.
        let mut addresses = free_addresses::<500>().expect("addresses");
        addresses.sort();
        assert!(addresses.windows(2).all(|pair| pair[0] != pair[1]));
    }
}

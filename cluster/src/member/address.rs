//! Where peers reach a member. It resolves nothing: a name is looked up when it is dialled.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Bytes of the longest host name (RFC 1035).
const HOST_BYTES_MAX: usize = 253;

/// A host (name, IPv4 or IPv6 address) and a port that can be dialled: not empty, not the unspecified
/// address, not port 0.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerAddress {
    host: Host,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Host {
    /// In lower case.
    Name(Box<str>),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

/// Why a text is no address of a peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is no port, or it is no number from 1 to 65,535.
    #[error("{0:?} has no port; give host:port with a port from 1 to 65535")]
    Port(String),
    /// The host is no name and no address.
    #[error(
        "{0:?} has no host that can be dialled; give a name, an IPv4 address or [IPv6 address]"
    )]
    Host(String),
    /// A node listens there, but nobody can dial it.
    #[error("{0:?} is the address for listening everywhere; give the one that peers dial")]
    Unspecified(String),
}

impl FromStr for PeerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<PeerAddress, AddressError> {
        let no_port = || AddressError::Port(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(no_port)?;
        if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(no_port());
        }
        let port = port.parse().map_err(|_| no_port())?;
        if port == 0 {
            return Err(no_port());
        }
        let host = Host::parse(host).ok_or_else(|| AddressError::Host(text.to_owned()))?;
        if host.is_unspecified() {
            return Err(AddressError::Unspecified(text.to_owned()));
        }
        Ok(PeerAddress { host, port })
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.port;
        match &self.host {
            Host::Name(name) => write!(f, "{name}:{port}"),
            Host::V4(address) => write!(f, "{address}:{port}"),
            Host::V6(address) => write!(f, "[{address}]:{port}"),
        }
    }
}

impl Host {
    fn parse(text: &str) -> Option<Host> {
        if let Some(rest) = text.strip_prefix('[') {
            return rest.strip_suffix(']')?.parse().ok().map(Host::V6);
        }
        if let Ok(address) = text.parse() {
            return Some(Host::V4(address));
        }
        let is_label = |label: &str| {
            let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            !label.is_empty() && !label.starts_with('-') && label.bytes().all(is_inner)
        };
        // A last label of digits alone is a mistyped IPv4 address.
        let ends_in_digits = |text: &str| {
            let last = text.rsplit('.').next().unwrap_or_default();
            last.bytes().all(|byte| byte.is_ascii_digit())
        };
        let is_name = text.len() <= HOST_BYTES_MAX && text.split('.').all(is_label);
        (is_name && !ends_in_digits(text)).then(|| Host::Name(text.to_ascii_lowercase().into()))
    }

    fn is_unspecified(&self) -> bool {
        match self {
            Host::Name(_) => false,
            Host::V4(address) => address.is_unspecified(),
            Host::V6(address) => address.is_unspecified(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_it_is_read() {
        for (text, written) in [
            ("10.0.0.1:7946", "10.0.0.1:7946"),
            ("Node-1.Mayfly.svc:1", "node-1.mayfly.svc:1"),
            ("node_1:65535", "node_1:65535"),
            ("[2001:DB8::1]:7946", "[2001:db8::1]:7946"),
        ] {
            let address: PeerAddress = text.parse().expect(text);
            assert_eq!(address.to_string(), written);
            assert_eq!(address, written.parse().expect(written));
        }
    }

    #[test]
    fn what_cannot_be_dialled_is_no_address() {
        let port = |text: &str| AddressError::Port(text.to_owned());
        let host = |text: &str| AddressError::Host(text.to_owned());
        let unspecified = |text: &str| AddressError::Unspecified(text.to_owned());
        let long = format!("{}:7946", ["a"; 128].join("."));
        for (text, error) in [
            ("", port("")),
            ("node", port("node")),
            ("node:", port("node:")),
            ("node:0", port("node:0")),
            ("node:65536", port("node:65536")),
            ("node:+1", port("node:+1")),
            (":7946", host(":7946")),
            ("a b:7946", host("a b:7946")),
            ("a..b:7946", host("a..b:7946")),
            ("-a:7946", host("-a:7946")),
            ("10.0.0.256:7946", host("10.0.0.256:7946")),
            ("2001:db8::1:7946", host("2001:db8::1:7946")),
            ("[10.0.0.1]:7946", host("[10.0.0.1]:7946")),
            (&long, host(&long)),
            ("0.0.0.0:7946", unspecified("0.0.0.0:7946")),
            ("[::]:7946", unspecified("[::]:7946")),
        ] {
            assert_eq!(text.parse::<PeerAddress>(), Err(error));
        }
    }
}

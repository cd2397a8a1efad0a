//! The proof that a node knows the cluster's secret, without the secret: pure.
//!
//! A proof is the HMAC-SHA256 (RFC 2104) of the prover's role and both greetings as they were sent.
//! The greetings hold a fresh nonce of each side, the cluster's name, generations and addresses, so a
//! proof is of no use on another connection, for the other role, or with another name.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::identity::Secret;

/// Bytes of a proof.
pub(super) const PROOF_BYTES: usize = 32;

/// Who proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The side that connected.
    Client,
    /// The side that was connected to.
    Server,
}

/// What both sides said before the proofs: the bytes of the two greetings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transcript<'a> {
    /// Of the side that connected.
    pub client: &'a [u8],
    /// Of the side that was connected to.
    pub server: &'a [u8],
}

/// The proof of one side.
pub(super) fn prove(secret: &Secret, role: Role, said: Transcript<'_>) -> [u8; PROOF_BYTES] {
    mac(secret, role, said).finalize().into_bytes().into()
}

/// Whether the side with this role gave the right proof; takes as long for a wrong one.
pub(super) fn holds(secret: &Secret, role: Role, said: Transcript<'_>, proof: &[u8]) -> bool {
    mac(secret, role, said).verify_slice(proof).is_ok()
}

fn mac(secret: &Secret, role: Role, said: Transcript<'_>) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.bytes())
        .expect("HMAC takes a key of any length, even none");
    mac.update(match role {
        Role::Client => b"mayfly peer client",
        Role::Server => b"mayfly peer server",
    });
    for greeting in [said.client, said.server] {
        // With its length, so that no byte can move from one greeting to the other.
        mac.update(&(greeting.len() as u64).to_be_bytes());
        mac.update(greeting);
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: Transcript<'_> = Transcript {
        client: b"from the client",
        server: b"from the server",
    };

    #[test]
    fn a_proof_holds_for_its_secret_role_and_greetings_alone() {
        let secret = Secret::new(b"secret");
        let proof = prove(&secret, Role::Client, SAID);

        assert!(holds(&secret, Role::Client, SAID, &proof));
        assert!(!holds(&secret, Role::Server, SAID, &proof));
        assert!(!holds(&Secret::new(b"Secret"), Role::Client, SAID, &proof));
        assert!(!holds(&Secret::none(), Role::Client, SAID, &proof));
        let swapped = Transcript {
            client: SAID.server,
            server: SAID.client,
        };
        assert!(!holds(&secret, Role::Client, swapped, &proof));
        assert!(!holds(&secret, Role::Client, SAID, &proof[..31]));
    }

    #[test]
    fn no_byte_can_move_from_one_greeting_to_the_other() {
        let secret = Secret::new(b"secret");
        let moved = Transcript {
            client: b"from the clientf",
            server: b"rom the server",
        };
        let proof = prove(&secret, Role::Server, SAID);

        assert!(!holds(&secret, Role::Server, moved, &proof));
    }

    #[test]
    fn a_proof_is_the_hmac_that_others_compute() {
        // RFC 2104 over the layout above, computed by Python's hmac module.
        let proof = prove(&Secret::new(b"secret"), Role::Client, SAID);
        let hex: String = proof.iter().map(|byte| format!("{byte:02x}")).collect();

        assert_eq!(hex, PYTHON);
    }

    const PYTHON: &str = "7cfc4fd31f4af8b729ad9f800d91a7aadba67c186ae2ac17bc14cf91d6bfef49";
}

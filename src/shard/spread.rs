//! How hash tables of a shard spread what strangers choose.

/// A multiplier drawn at start. Usernames are hashed by a public function, so somebody could choose
/// many that fall on one bucket; nobody can without knowing this.
#[derive(Clone, Copy, Debug)]
pub struct Spread(u64);

impl Spread {
    /// A spread by any random number.
    pub fn new(random: u64) -> Spread {
        Spread(random | 1)
    }

    /// A value with every bit of `hash` in its high and its low bits.
    pub fn of(self, hash: u64) -> u64 {
        let product = u128::from(hash ^ self.0.rotate_left(32)) * u128::from(self.0);
        (product >> 64) as u64 ^ product as u64
    }
}

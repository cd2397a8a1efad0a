//! A member: one start of one node.

use uuid::Uuid;

/// One start of a node's process. A restarted node is another generation, so no name or address is
/// ever taken for an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub Uuid);

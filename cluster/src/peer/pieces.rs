//! What is too large for one frame, such as the state of a shard: a row of numbered pieces, each of
//! them a call, so that the receiver's answers hold the sender back.
//!
//! Pieces of one connection arrive in order. If one fails, the row is given up: the sender begins again
//! with piece 0, and the receiver drops what it had of the same operation.

use bytes::Bytes;

/// Bytes of a piece, advisedly: small enough that other calls do not wait behind it.
pub const PIECE_BYTES: usize = 256 * 1024;

/// Pieces of one row that wait for their answers.
pub const PIECES_IN_FLIGHT_MAX: usize = 4;

/// The place of a piece in its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// 0, 1, 2 …
    pub sequence: u32,
    /// Whether the row ends here.
    pub is_last: bool,
}

impl Piece {
    /// Cuts bytes into pieces, at least one.
    pub fn cut(bytes: Bytes) -> impl Iterator<Item = Bytes> {
        let count = bytes.len().div_ceil(PIECE_BYTES).max(1);
        (0..count).map(move |index| {
            let begin = index * PIECE_BYTES;
            bytes.slice(begin..bytes.len().min(begin + PIECE_BYTES))
        })
    }

    /// The pieces with their places.
    pub(super) fn number(
        pieces: impl IntoIterator<Item = Bytes>,
    ) -> impl Iterator<Item = (Piece, Bytes)> {
        let mut pieces = pieces.into_iter().peekable();
        let mut sequence = 0;
        std::iter::from_fn(move || {
            let payload = pieces.next()?;
            let is_last = pieces.peek().is_none();
            let piece = Piece { sequence, is_last };
            sequence += 1;
            Some((piece, payload))
        })
    }
}

/// A row of pieces as it comes in.
#[derive(Debug)]
pub struct Assembly {
    next: u32,
    bytes: Vec<u8>,
    bytes_max: usize,
}

/// Why a row of pieces is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PieceError {
    /// A piece is missing.
    #[error("piece {expected} is missing; send all of them again")]
    Missing {
        /// Its number.
        expected: u32,
    },
    /// The pieces are together too large.
    #[error("the pieces are over {bytes_max} bytes; send less")]
    TooLong {
        /// The bound.
        bytes_max: usize,
    },
}

impl Assembly {
    /// A row of at most so many bytes.
    pub fn new(bytes_max: usize) -> Assembly {
        Assembly {
            next: 0,
            bytes: Vec::new(),
            bytes_max,
        }
    }

    /// Adds a piece; gives all bytes with the last one. Piece 0 always begins anew.
    ///
    /// # Errors
    /// [`PieceError`]; drop the assembly then.
    pub fn add(&mut self, piece: Piece, payload: &[u8]) -> Result<Option<Vec<u8>>, PieceError> {
        if piece.sequence == 0 {
            *self = Assembly::new(self.bytes_max);
        }
        if piece.sequence != self.next {
            return Err(PieceError::Missing {
                expected: self.next,
            });
        }
        if self.bytes.len() + payload.len() > self.bytes_max {
            return Err(PieceError::TooLong {
                bytes_max: self.bytes_max,
            });
        }
        self.next += 1;
        self.bytes.extend_from_slice(payload);
        Ok(piece.is_last.then(|| std::mem::take(&mut self.bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(sequence: u32, is_last: bool) -> Piece {
        Piece { sequence, is_last }
    }

    #[test]
    fn bytes_are_cut_and_come_together_again_at_every_edge() {
        for length in [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES] {
            let bytes = Bytes::from_iter((0..length).map(|index| index as u8));
            let mut assembly = Assembly::new(length);
            let pieces: Vec<_> = Piece::number(Piece::cut(bytes.clone())).collect();
            assert_eq!(pieces.len(), length.div_ceil(PIECE_BYTES).max(1));

            let last = pieces
                .iter()
                .map(|(piece, payload)| assembly.add(*piece, payload))
                .last();
            assert_eq!(last, Some(Ok(Some(bytes.to_vec()))), "{length}");
        }
    }

    #[test]
    fn a_missing_piece_ends_the_row_and_piece_0_begins_it_anew() {
        let mut assembly = Assembly::new(10);
        assert_eq!(assembly.add(piece(0, false), b"ab"), Ok(None));
        let missing = Err(PieceError::Missing { expected: 1 });
        assert_eq!(assembly.add(piece(2, true), b"ef"), missing);

        assert_eq!(assembly.add(piece(0, false), b"ab"), Ok(None));
        let all = Ok(Some(b"abcd".to_vec()));
        assert_eq!(assembly.add(piece(1, true), b"cd"), all);
    }

    #[test]
    fn a_row_may_be_as_long_as_its_bound_and_no_longer() {
        let mut assembly = Assembly::new(3);
        assert_eq!(assembly.add(piece(0, false), b"abc"), Ok(None));
        let too_long = Err(PieceError::TooLong { bytes_max: 3 });
        assert_eq!(assembly.add(piece(1, true), b"d"), too_long);
    }
}

//! How many rows go into one call: a call costs this process and the server more than a row that it carries.
//!
//! Rows of one call are durable each by itself, whatever partitions they are of.

/// Partitions of one call: Cassandra warns of more in each answer.
pub(super) const PARTITIONS_PER_CALL: usize = 10;

/// Bytes of a call that is not for one partition alone. ScyllaDB warns from 128 KiB on, and refuses 1 MiB; Cassandra 5 KiB
/// and 50 KiB, where it does not count all of these.
const BYTES_PER_CALL: usize = 32 * 1024;

/// Packs parts, each for one partition, into calls that are neither too long nor of too many partitions. They keep
/// their order; what is too long by itself goes alone.
pub(super) fn pack<T>(parts: Vec<T>, length: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let (mut calls, mut bytes) = (Vec::<Vec<T>>::new(), 0);
    for part in parts {
        let more = length(&part);
        match calls.last_mut() {
            Some(last) if last.len() < PARTITIONS_PER_CALL && bytes + more <= BYTES_PER_CALL => {
                bytes += more;
                last.push(part);
            }
            _ => {
                bytes = more;
                calls.push(vec![part]);
            }
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_ten_partitions_or_32_kib_at_most_and_keeps_the_order() {
        for (lengths, expected) in [
            (vec![100; 23], vec![10, 10, 3]),
            (vec![20_000, 20_000, 5_000], vec![1, 2]),
            (vec![200_000, 10, 10], vec![1, 2]),
            (vec![], vec![]),
        ] {
            let parts: Vec<_> = lengths.iter().copied().enumerate().collect();
            let calls = pack(parts, |(_, length)| *length);
            let sizes: Vec<_> = calls.iter().map(Vec::len).collect();
            assert_eq!(sizes, expected, "{lengths:?}");
            let order = calls.iter().flatten().map(|(place, _)| *place);
            assert!(order.is_sorted());
        }
    }
}

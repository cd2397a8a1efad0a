//! Values with their unit in the text: durations ("25s"), sizes ("64KiB"), shares of memory ("70%").
//!
//! A bare number is refused, with the fix: a setting that reads "30" says too little. Which bounds
//! a setting has is not decided here.

use std::fmt;
use std::time::Duration;

const DURATION_UNITS: [(&str, u64); 6] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("min", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

const SIZE_UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

/// A duration: a whole number and `ms`, `s`, `m` (or `min`), `h` or `d`.
///
/// # Errors
/// One line that says what to write instead.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    parse_with_unit(text, &DURATION_UNITS, "s").map(Duration::from_millis)
}

/// A size in bytes: a whole number and `B`, `KiB`, `MiB`, `GiB`, `KB`, `MB` or `GB`.
///
/// # Errors
/// One line that says what to write instead.
pub fn parse_size(text: &str) -> Result<u64, String> {
    parse_with_unit(text, &SIZE_UNITS, "B")
}

/// A duration in the largest unit that divides it, as [`parse_duration`] reads it.
pub fn show_duration(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 {
        return String::from("0s");
    }
    let units = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
    ];
    let (unit, scale) = units
        .into_iter()
        .find(|(_, scale)| ms.is_multiple_of(*scale))
        .unwrap_or(("ms", 1));
    format!("{}{unit}", ms / scale)
}

/// A size in the largest binary unit that divides it, as [`parse_size`] reads it.
pub fn show_size(bytes: u64) -> String {
    let units = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let (unit, scale) = units
        .into_iter()
        .find(|(_, scale)| bytes > 0 && bytes.is_multiple_of(*scale))
        .unwrap_or(("B", 1));
    format!("{}{unit}", bytes / scale)
}

/// An amount of memory: so many bytes, or a share of what this process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryAmount {
    /// So many bytes.
    Bytes(u64),
    /// So many hundredths of the memory that there is, 1 to 100.
    Percent(u64),
}

impl MemoryAmount {
    /// Reads "512MiB" or "70%".
    ///
    /// # Errors
    /// One line that says what to write instead.
    pub fn parse(text: &str) -> Result<MemoryAmount, String> {
        let Some(number) = text.strip_suffix('%') else {
            return parse_size(text)
                .map(MemoryAmount::Bytes)
                .map_err(|reason| format!("{reason}, or a share such as 70%"));
        };
        match number.trim().parse() {
            Ok(percent @ 1..=100) => Ok(MemoryAmount::Percent(percent)),
            _ => Err(String::from("a share is a whole number from 1% to 100%")),
        }
    }

    /// The amount in bytes where `total_bytes` of memory are there to be shared.
    pub fn of(self, total_bytes: u64) -> u64 {
        match self {
            MemoryAmount::Bytes(bytes) => bytes,
            MemoryAmount::Percent(percent) => total_bytes / 100 * percent,
        }
    }
}

impl fmt::Display for MemoryAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MemoryAmount::Bytes(bytes) => f.write_str(&show_size(*bytes)),
            MemoryAmount::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

fn parse_with_unit(text: &str, units: &[(&str, u64)], usual: &str) -> Result<u64, String> {
    let names = || {
        units
            .iter()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim();
    if number.is_empty() {
        return Err(format!("write a whole number and a unit ({})", names()));
    }
    if unit.is_empty() {
        return Err(format!(
            "a unit is missing; write {number}{usual} (units: {})",
            names()
        ));
    }
    let scale = units
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))
        .map(|(_, scale)| *scale)
        .ok_or_else(|| format!("there is no unit {unit:?}; use one of {}", names()))?;
    number
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(scale))
        .ok_or_else(|| String::from("the number is too large; write a smaller one"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_with_their_units() {
        for (text, ms) in [
            ("0s", 0),
            ("25s", 25_000),
            ("1500ms", 1_500),
            ("2 h", 7_200_000),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(ms)),
                "{text}"
            );
        }
        for (text, bytes) in [
            ("1B", 1),
            ("64KiB", 65_536),
            ("2GB", 2_000_000_000),
            ("3mib", 3 << 20),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_shown_reads_as_the_same_value() {
        for ms in [0, 1, 999, 1_000, 60_000, 90_000, 7_776_000_000] {
            let duration = Duration::from_millis(ms);
            assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
        }
        for bytes in [0, 1, 1_024, 1_025, 1 << 20, 3 << 30] {
            assert_eq!(parse_size(&show_size(bytes)), Ok(bytes));
        }
    }

    #[test]
    fn a_bare_number_is_refused_with_what_to_write() {
        let reason = parse_duration("25").expect_err("no unit");
        assert!(reason.contains("write 25s"), "{reason}");
        let reason = parse_size("100").expect_err("no unit");
        assert!(reason.contains("write 100B"), "{reason}");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "s",
            "-1s",
            "1.5s",
            "1y",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_share_of_memory_is_from_1_to_100_percent() {
        assert_eq!(MemoryAmount::parse("1%"), Ok(MemoryAmount::Percent(1)));
        assert_eq!(MemoryAmount::parse("100%"), Ok(MemoryAmount::Percent(100)));
        assert_eq!(
            MemoryAmount::parse("1GiB"),
            Ok(MemoryAmount::Bytes(1 << 30))
        );
        for text in ["0%", "101%", "%", "70", "7.5%"] {
            assert!(MemoryAmount::parse(text).is_err(), "{text}");
        }
        assert_eq!(MemoryAmount::Percent(70).of(1_000), 700);
        assert_eq!(MemoryAmount::Bytes(5).of(1_000), 5);
    }
}

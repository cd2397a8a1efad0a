//! How much memory this process may use: the smaller of its cgroup's limit and the machine's.
//!
//! It reads `/proc` and `/sys` once, at start. What is done with the amount is not decided here.

use std::fs;
use std::path::Path;

/// What is assumed where the system tells nothing (not Linux): 4 GiB.
const UNKNOWN_BYTES: u64 = 4 << 30;

/// The memory that this process may use, in bytes.
pub fn available_bytes() -> u64 {
    total_under(Path::new("/")).unwrap_or(UNKNOWN_BYTES)
}

fn total_under(root: &Path) -> Option<u64> {
    let read = |path: &str| fs::read_to_string(root.join(path)).ok();
    let machine = read("proc/meminfo").and_then(|text| meminfo_total(&text));
    let membership = read("proc/self/cgroup").unwrap_or_default();
    let limits = limit_files(&membership)
        .into_iter()
        .filter_map(|path| read(&path)?.trim().parse().ok());
    limits.chain(machine).min()
}

/// `MemTotal` of `/proc/meminfo`, which counts in KiB.
fn meminfo_total(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Every file that may hold a limit of this process: its cgroup's and those of all ancestors, of
/// version 2 (`memory.max`, "max" for none) and version 1 (`memory.limit_in_bytes`).
fn limit_files(membership: &str) -> Vec<String> {
    let mut files = vec![
        String::from("sys/fs/cgroup/memory.max"),
        String::from("sys/fs/cgroup/memory/memory.limit_in_bytes"),
    ];
    for line in membership.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (mount, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            names if names.split(',').any(|name| name == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let mut path = path.trim_matches('/');
        while !path.is_empty() {
            files.push(format!("{mount}/{path}/{file}"));
            path = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().expect("a directory");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
            fs::write(path, text).expect("a file");
        }
        total_under(root.path())
    }

    #[test]
    fn the_smallest_limit_of_the_cgroup_its_ancestors_and_the_machine_counts() {
        let meminfo = ("proc/meminfo", "MemTotal:       8 kB\nMemFree: 1 kB\n");
        assert_eq!(machine(&[meminfo]), Some(8_192));
        let v2 = ("proc/self/cgroup", "0::/pod/container\n");
        let none = ("sys/fs/cgroup/pod/container/memory.max", "max\n");
        assert_eq!(machine(&[meminfo, v2, none]), Some(8_192));
        let parent = ("sys/fs/cgroup/pod/memory.max", "4096\n");
        assert_eq!(machine(&[meminfo, v2, none, parent]), Some(4_096));
        let v1 = ("proc/self/cgroup", "5:cpu,memory:/a\n1:name=x:/b\n");
        let limit = ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "2048\n");
        assert_eq!(machine(&[meminfo, v1, limit]), Some(2_048));
        let namespaced = ("sys/fs/cgroup/memory.max", "1024\n");
        assert_eq!(machine(&[meminfo, namespaced]), Some(1_024));
    }

    #[test]
    fn a_system_that_tells_nothing_gives_nothing() {
        assert_eq!(machine(&[]), None);
        assert!(available_bytes() > 0);
    }
}

//! Damaged journals: a torn end is cut with a warning, damage before acknowledged data stops the
//! start and changes nothing.

use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::Seeded;
use crate::support::server::{Server, free_port, refused};

/// How a frame of the journal begins; none of these bytes is in any text.
const FRAME_MAGIC: [u8; 4] = [0xf9, 0xff, 0xc1, 0xfd];

/// Bytes of a frame before its group; its length is a number of 4 bytes behind the magic.
const FRAME_BYTES: usize = 38;

const MESSAGES: usize = 60;

/// Data of a server that was killed after it acknowledged [`MESSAGES`] messages to `alice`.
fn killed() -> (TempDir, Vec<String>) {
    let mut server = Server::start();
    let mut client = server.client();
    let ids = (0..MESSAGES)
        .map(|number| client.post_message("alice", &format!("text {number}"), 3_600))
        .collect();
    server.kill();
    let copy = TempDir::new().unwrap();
    copy_directory(&server.data_dir(), &copy.path().join("data"));
    (copy, ids)
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn copy_of(data: &TempDir) -> TempDir {
    let copy = TempDir::new().unwrap();
    copy_directory(&data.path().join("data"), &copy.path().join("data"));
    copy
}

/// The segment that was written last, and its bytes up to the end of what was written.
fn journal(data: &TempDir) -> (PathBuf, Vec<u8>) {
    let path = data.path().join("data/journal/segment-0000000000000001");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes
        .windows(4)
        .rposition(|window| window == FRAME_MAGIC)
        .unwrap();
    let length = u32::from_le_bytes(bytes[last + 4..last + 8].try_into().unwrap());
    bytes.truncate(last + FRAME_BYTES + length as usize);
    (path, bytes)
}

/// Where each frame begins.
fn frames(bytes: &[u8]) -> Vec<usize> {
    let places = bytes.windows(4).enumerate();
    let begins = places.filter(|(_, window)| *window == FRAME_MAGIC);
    let begins: Vec<_> = begins.map(|(place, _)| place).collect();
    assert!(
        begins.len() >= MESSAGES,
        "a group for each message that was waited for"
    );
    begins
}

fn overwrite(path: &Path, offset: usize, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(bytes, offset as u64).unwrap();
}

/// Every file below `directory` with its bytes.
fn contents(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            all.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    all.sort();
    all
}

/// Starts on damaged data and gives the texts that wait for `alice`.
fn recovered(data: TempDir, torn_tails: i64) -> Vec<String> {
    let mut server = Server::start_in(data, &[]);
    assert_eq!(server.metric("mayfly_journal_torn_tails_total"), torn_tails);
    let log = server.log();
    let warning = log
        .lines()
        .find(|line| line.contains("cut the torn end of the journal"));
    assert_eq!(warning.is_some(), torn_tails > 0, "{log}");
    if let Some(warning) = warning {
        assert!(
            warning.contains("WARN") && warning.contains("segment-0000000000000001"),
            "{warning}"
        );
    }
    let new = server.client().post_message("bob", "after the cut", 600);
    server.start_again();
    assert_eq!(
        server.metric("mayfly_journal_torn_tails_total"),
        0,
        "it was cut for good"
    );
    let mut client = server.client();
    client.get(&format!("/chat/{new}")).expect(200);
    let read = client.get("/chats/alice").expect(200).json();
    let texts = read.as_array().unwrap().iter();
    texts
        .map(|message| message["text"].as_str().unwrap().to_owned())
        .collect()
}

fn all_texts(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("text {number}")).collect()
}

#[test]
fn garbage_behind_the_last_write_is_cut_and_nothing_acknowledged_is_lost() {
    let (data, _) = killed();
    let (path, bytes) = journal(&data);
    let last = *frames(&bytes).last().unwrap();
    let mut random = Seeded(7);
    let garbage = random.bytes(3_000);
    // The beginning of a write that was never finished, and bytes that are nothing at all.
    for tail in [
        &bytes[last..last + 20],
        &bytes[last..bytes.len() - 1],
        &garbage,
    ] {
        let copy = copy_of(&data);
        let path = copy.path().join(path.strip_prefix(data.path()).unwrap());
        overwrite(&path, bytes.len(), tail);
        assert_eq!(recovered(copy, 1), all_texts(MESSAGES));
    }
    assert_eq!(
        recovered(data, 0),
        all_texts(MESSAGES),
        "whole data needs no cut"
    );
}

#[test]
fn a_last_write_that_is_cut_short_takes_nothing_else_with_it() {
    let (data, _) = killed();
    let (path, bytes) = journal(&data);
    let last = *frames(&bytes).last().unwrap();
    let last_byte = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    for end in [last + 1, last + 37, last + 45, last_byte] {
        let copy = copy_of(&data);
        let path = copy.path().join(path.strip_prefix(data.path()).unwrap());
        overwrite(&path, end, &vec![0; bytes.len() - end]);
        assert_eq!(recovered(copy, 1), all_texts(MESSAGES - 1), "cut at {end}");
    }
    // The file itself ends there.
    let copy = copy_of(&data);
    let path = copy.path().join(path.strip_prefix(data.path()).unwrap());
    OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(last as u64 + 10)
        .unwrap();
    assert_eq!(recovered(copy, 1), all_texts(MESSAGES - 1));
}

#[test]
fn damage_before_acknowledged_data_is_refused_with_file_and_offset_and_nothing_changes() {
    let (data, _) = killed();
    let (path, bytes) = journal(&data);
    let begins = frames(&bytes);
    let (middle, next) = (begins[MESSAGES / 2], begins[MESSAGES / 2 + 1]);
    let damages: [(&str, usize, u64); 6] = [
        ("magic", middle, middle as u64),
        ("length", middle + 4, middle as u64),
        ("number", middle + 8, middle as u64),
        ("text", next - 3, middle as u64),
        ("first frame", begins[0] + 40, begins[0] as u64),
        (
            "last but one",
            begins[begins.len() - 2] + 40,
            begins[begins.len() - 2] as u64,
        ),
    ];
    for (what, offset, told) in damages {
        let copy = copy_of(&data);
        let path = copy.path().join(path.strip_prefix(data.path()).unwrap());
        overwrite(&path, offset, &[bytes[offset] ^ 0x01]);
        refuses(&copy, &path, told, what);
    }
    let copy = copy_of(&data);
    let path = copy.path().join(path.strip_prefix(data.path()).unwrap());
    overwrite(&path, middle, &vec![0; next - middle]);
    refuses(&copy, &path, middle as u64, "a zeroed group");
}

#[test]
fn a_damaged_header_or_a_missing_segment_is_refused() {
    let (data, _) = killed();
    let (path, _) = journal(&data);
    let copy = copy_of(&data);
    let of_copy = copy.path().join(path.strip_prefix(data.path()).unwrap());
    let mut byte = [0];
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&of_copy)
        .unwrap();
    file.seek(SeekFrom::Start(60)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(60)).unwrap();
    file.write_all(&[byte[0] ^ 1]).unwrap();
    drop(file);
    refuses(&copy, &of_copy, 0, "the header");
    let copy = copy_of(&data);
    let of_copy = copy.path().join(path.strip_prefix(data.path()).unwrap());
    fs::remove_file(&of_copy).unwrap();
    refuses(&copy, &of_copy, 0, "the whole file");
}

/// Checks that a start on this data fails with one line that names `path` and `offset`, twice the
/// same, and leaves every byte as it was.
#[track_caller]
fn refuses(data: &TempDir, path: &Path, offset: u64, what: &str) {
    let directory = data.path().join("data");
    let is_lock = |entry: &(PathBuf, Vec<u8>)| entry.0.ends_with("lock");
    let stored = |directory: &Path| {
        let mut all = contents(directory);
        all.retain(|entry| !is_lock(entry));
        all
    };
    let before = stored(&directory);
    for _ in 0..2 {
        let [listen, admin] = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
        let data = directory.to_str().unwrap();
        let refused = refused(&[
            "--data-dir",
            data,
            "--listen",
            &listen,
            "--admin-listen",
            &admin,
        ]);
        assert_eq!(
            (refused.code, refused.lines.len()),
            (Some(1), 1),
            "{what}: {:?}",
            refused.lines
        );
        let line = &refused.lines[0];
        assert!(line.contains(path.to_str().unwrap()), "{what}: {line}");
        assert!(
            line.contains(&format!("offset {offset}:")),
            "{what}, {offset}: {line}"
        );
    }
    assert!(stored(&directory) == before, "{what}: the data was changed");
}

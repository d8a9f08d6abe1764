//! Uploads as the real control plane takes them: without the memory of a whole file, and on a disk that is full.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use crate::disk::on_mounted;
use crate::harness::{Role, Up};

/// Bytes of the largest upload here.
const LARGE: usize = 300_000_000;

/// Most memory that an upload may take beside what the process has, in KiB.
const GROWTH_KIB: u64 = 32 << 10;

/// How a file is sent.
#[derive(Debug, Clone, Copy)]
enum How {
    Raw,
    Form,
}

/// Sends a file of so many bytes without ever holding it; the whole answer.
fn send(up: &Up, how: How, length: usize) -> String {
    let (path, kind, before, after) = match how {
        How::Raw => (
            "/api/files/upload/a.bin",
            "application/octet-stream",
            "",
            "",
        ),
        How::Form => (
            "/api/file/upload",
            "multipart/form-data; boundary=b7",
            "--b7\r\nContent-Disposition: form-data; name=\"file\"; filename=\"b.bin\"\r\n\r\n",
            "\r\n--b7--\r\n",
        ),
    };
    let mut stream = TcpStream::connect(up.api).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{before}",
        up.key(),
        before.len() + length + after.len(),
    );
    stream.write_all(head.as_bytes()).unwrap();
    let piece: Vec<u8> = (0..1_u32 << 16).map(|n| (n * 7 / 3) as u8).collect();
    let mut left = length;
    // Whoever is refused half way is hung up on.
    while left > 0 {
        let now = left.min(piece.len());
        if stream.write_all(&piece[..now]).is_err() {
            break;
        }
        left -= now;
    }
    let _ = stream.write_all(after.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

#[track_caller]
fn taken(answer: &str) {
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"error\":0"),
        "{answer}"
    );
}

/// The most memory that a process has had, in KiB.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.unwrap().trim().strip_suffix(" kB").unwrap();
    number.parse().unwrap()
}

/// Forgets the most there was, so that from now on it is what there is.
fn forget_peak(pid: u32) {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
}

/// Files below a folder.
fn files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    entries
        .map(|entry| match entry.path() {
            path if path.is_dir() => files(&path),
            _ => 1,
        })
        .sum()
}

#[test]
fn o_142_o_153_a_file_streams_through_without_the_memory_of_one() {
    let up = Up::stopped(&[("SIGNPOST_MAX_FILE_BYTES", "400MiB")]);
    let log = std::fs::File::create(up.data.with_file_name("log")).unwrap();
    let process = up
        .command()
        .arg("control-plane")
        .stderr(log)
        .spawn()
        .unwrap();
    let process = Role(process);
    let pid = process.0.id();
    up.wait_api();
    // What the first upload makes once and for all.
    taken(&send(&up, How::Raw, 1 << 20));
    taken(&send(&up, How::Form, 1 << 20));
    for how in [How::Raw, How::Form] {
        forget_peak(pid);
        let before = peak(pid);
        taken(&send(&up, how, LARGE));
        let grown = peak(pid) - before;
        assert!(grown < GROWTH_KIB, "{how:?}: {grown} KiB more");
    }
    // Both are the same bytes, and lie there once.
    assert_eq!(files(&up.data.join("uploads")), 2);
}

#[test]
fn on_a_full_disk_an_upload_is_refused_and_leaves_nothing() {
    let uploads = tempfile::tempdir().unwrap();
    let up = Up::stopped(&[("SIGNPOST_FILES", uploads.path().to_str().unwrap())]);
    let log = std::fs::File::create(up.data.with_file_name("log")).unwrap();
    let mount = "mount -t tmpfs -o size=8m tmpfs \"$0\"";
    let process = on_mounted(&up, uploads.path(), mount, "control-plane")
        .stderr(log)
        .spawn()
        .unwrap();
    let process = Role(process);
    up.wait_api();
    // As the process sees it: the mount is its own.
    let seen = format!("/proc/{}/root{}", process.0.id(), uploads.path().display());
    for how in [How::Raw, How::Form] {
        let answer = send(&up, how, 16 << 20);
        assert!(
            answer.starts_with("HTTP/1.1 503 ")
                && answer.contains("the file storage is full, nothing was stored"),
            "{answer}"
        );
        assert_eq!(files(Path::new(&seen)), 0);
    }
    assert_eq!(up.api("GET", "/files", None).json()["result"], 0);
    // What fits is taken as before.
    taken(&send(&up, How::Raw, 4 << 20));
    assert_eq!(files(Path::new(&seen)), 1);
}

//! Archives that are the same whenever they are made of the same files: no times, no owners, files in
//! the order given.

use std::io::Write;

use anyhow::Result;
use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};

/// A file of an archive.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its path, with `/`.
    pub path: String,
    /// Whether it is a program.
    pub runs: bool,
    pub content: Vec<u8>,
}

impl Entry {
    pub fn file(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Entry {
        Entry { path: path.into(), runs: false, content: content.into() }
    }

    pub fn program(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Entry {
        Entry { runs: true, ..Entry::file(path, content) }
    }
}

/// An archive of these files.
pub fn tar(entries: &[Entry]) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = tar::Header::new_ustar();
        header.set_size(u64::try_from(entry.content.len())?);
        header.set_mode(if entry.runs { 0o755 } else { 0o644 });
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        archive.append_data(&mut header, &entry.path, &entry.content[..])?;
    }
    Ok(archive.into_inner()?)
}

/// The same, compressed.
pub fn tar_gz(entries: &[Entry]) -> Result<Vec<u8>> {
    gzip(&tar(entries)?)
}

/// Compressed, without a time or the name of a system.
pub fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut writer =
        GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    writer.write_all(bytes)?;
    Ok(writer.finish()?)
}

/// 64 hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The files of an archive.
pub fn untar(bytes: &[u8]) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in tar::Archive::new(bytes).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        let runs = entry.header().mode()? & 0o111 != 0;
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content)?;
        entries.push(Entry { path, runs, content });
    }
    Ok(entries)
}

/// The files of a compressed archive.
pub fn untar_gz(bytes: &[u8]) -> Result<Vec<Entry>> {
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(bytes), &mut plain)?;
    untar(&plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_make_the_same_archive_without_times_and_owners() {
        let entries = [Entry::file("a/b.txt", "text"), Entry::program("c", "#!/bin/sh\n")];
        let made = tar_gz(&entries).unwrap();
        assert_eq!(tar_gz(&entries).unwrap(), made);
        // RFC 1952: the time, and `unknown` for the system.
        assert_eq!((&made[4..8], made[9]), (&[0; 4][..], 255));
        let mut plain = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&made[..]), &mut plain)
            .unwrap();
        for entry in tar::Archive::new(&plain[..]).entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            let told = (header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap());
            assert_eq!((told, header.username().unwrap()), ((0, 0, 0), Some("")));
        }
        let back = untar_gz(&made).unwrap();
        let back: Vec<_> = back.iter().map(|e| (e.path.as_str(), e.runs, &e.content[..])).collect();
        assert_eq!(back, [("a/b.txt", false, &b"text"[..]), ("c", true, b"#!/bin/sh\n")]);
    }

    #[test]
    fn a_digest_has_64_digits() {
        let of_nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256(b""), of_nothing);
    }
}

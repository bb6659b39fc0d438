//! Replays the committed corpus through the fuzz targets, so that what fuzzing found once is
//! checked on every change, without nightly.

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

use fuzz_harness::kinds::KINDS;
use fuzz_harness::model::Tally;
use fuzz_harness::{TARGETS, gate_ops};

/// Files larger than this do not belong into the repository.
const MAX_BYTES: usize = 2048;
/// More than these per target do not either.
const MAX_FILES: usize = 80;
/// A corpus has to hold at least as many that the core accepts, and as many that it refuses.
const MIN_OF_A_KIND: usize = 8;

fn corpus(target: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target);
    let entries = fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_corpus_file_holds_every_property() {
    let mut failed = Vec::new();
    for (target, check) in TARGETS {
        let files = corpus(target);
        assert!(!files.is_empty(), "corpus/{target} is empty");
        assert!(files.len() <= MAX_FILES, "corpus/{target}: {} files; minimise it", files.len());
        for file in &files {
            let data = fs::read(file).unwrap();
            assert!(data.len() <= MAX_BYTES, "{}: {} bytes", file.display(), data.len());
            if panic::catch_unwind(AssertUnwindSafe(|| check(&data))).is_err() {
                failed.push(file.display().to_string());
            }
        }
        println!("{target}: {} files", files.len());
    }
    assert!(failed.is_empty(), "broken by {failed:#?}");
}

#[test]
fn every_corpus_has_accepted_and_refused_inputs() {
    for (target, accepts) in KINDS {
        let kinds: Vec<_> =
            corpus(target).iter().map(|file| accepts(&fs::read(file).unwrap())).collect();
        let count = |kind| kinds.iter().filter(|found| **found == kind).count();
        let (accepted, refused) = (count(Some(true)), count(Some(false)));
        println!("{target}: {accepted} accepted, {refused} refused, {} neither", count(None));
        assert!(accepted >= MIN_OF_A_KIND, "corpus/{target}: {accepted} are accepted");
        assert!(refused >= MIN_OF_A_KIND, "corpus/{target}: {refused} are refused");
    }
    let counted = KINDS.iter().map(|(target, _)| *target);
    let targets = TARGETS.iter().map(|(target, _)| *target);
    assert!(counted.eq(targets.filter(|target| *target != "gate_ops")));
}

#[test]
fn targets_entries_and_corpora_match() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let names = |dir: &str| {
        let entries = fs::read_dir(root.join(dir)).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    let targets: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names("fuzz_targets"), targets);
    assert_eq!(names("corpus"), targets);
}

/// A gate's behaviour follows from its events alone: a trace that ended differently each time could
/// neither be replayed nor reduced.
#[test]
fn gate_ops_trace_is_deterministic() {
    for file in corpus("gate_ops") {
        let bytes = fs::read(&file).unwrap();
        let (first, second) = (gate_ops::run(&bytes), gate_ops::run(&bytes));
        assert_eq!(format!("{first:?}"), format!("{second:?}"), "{}", file.display());
    }
}

/// How often the corpus of `gate_ops` must reach each kind of event.
const LEAST: u64 = 30;

/// A change of how bytes become events would leave a corpus that says nothing.
#[test]
fn gate_ops_corpus_reaches_every_kind() {
    let tallies =
        corpus("gate_ops").into_iter().map(|file| gate_ops::run(&fs::read(file).unwrap()));
    let total = tallies.fold(Tally::default(), Tally::plus);
    println!("{total:?}");
    let Tally { hits, negative_hits, shared_hits, joined, stored, released, gone, torn, .. } =
        total;
    let Tally { failed_over, refused_by_cap, refused_by_breaker, opened, stale, closed, .. } =
        total;
    assert!(hits >= LEAST && negative_hits >= LEAST && shared_hits >= LEAST, "{total:?}");
    assert!(joined >= LEAST && stored >= LEAST, "{total:?}");
    assert!(failed_over >= LEAST && refused_by_breaker >= LEAST && stale >= LEAST, "{total:?}");
    assert!(refused_by_cap >= LEAST / 3 && opened >= LEAST && closed >= LEAST / 3, "{total:?}");
    assert!(released >= LEAST && gone >= LEAST && torn >= LEAST, "{total:?}");
}

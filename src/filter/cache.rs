//! The verdict cache of one worker: what providers have said, bounded in entries and in bytes.
//!
//! Good verdicts and refusals are kept apart, so that a flood of bad tokens cannot drive out good
//! ones. It must never give an answer for another key than the one that was asked for: keys are
//! compared whole. The `lru` crate keeps the order of use in constant time.

pub(crate) mod settings;

use std::rc::Rc;
use std::time::Duration;

use lru::LruCache;
use rustc_hash::FxBuildHasher;

use super::entry::{CacheEntry, Judge, Kind, Verdict};
use crate::policy::{CachePolicy, Endpoint};
use crate::provider::key::TokenKey;
use crate::time::{MonotonicTime, Now, UnixTime};

/// What an entry takes beside its texts and readings: key, table slots, links, allocations.
const OVERHEAD: usize = 384;

/// How many instances' own readings of one entry are remembered beside it.
const MOST_READINGS: usize = 4;

/// How many entries one tick looks at.
const SWEEP: usize = 64;

/// What providers have said, for all filter instances of a worker.
#[derive(Debug)]
pub(super) struct Store {
    good: Partition,
    bad: Partition,
    /// The longest that any instance keeps anything, and what it adds while nobody answers.
    longest: Duration,
    stale: Duration,
    /// The latest date that the worker was told: what has been seen to end must not begin again because
    /// somebody sets the clock back. A new response is judged by the clock as it is: a clock that was
    /// once far ahead must not refuse anybody.
    latest: UnixTime,
}

/// What has happened to entries since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Turnover {
    pub(super) evicted: u64,
    pub(super) expired: u64,
}

#[derive(Debug)]
struct Partition {
    entries: LruCache<TokenKey, Entry, FxBuildHasher>,
    bytes: usize,
    most_entries: usize,
    most_bytes: usize,
    turnover: Turnover,
}

/// What an instance made of an entry: an endpoint belongs to one configuration and one region.
pub(super) type Reading = (Rc<Endpoint>, Verdict);

#[derive(Debug)]
struct Entry {
    entry: CacheEntry,
    readings: Vec<Reading>,
    bytes: usize,
}

/// A store that keeps nothing until it is told its bounds.
impl Default for Store {
    fn default() -> Store {
        Store {
            good: Partition::new(),
            bad: Partition::new(),
            longest: Duration::ZERO,
            stale: Duration::ZERO,
            latest: UnixTime(0),
        }
    }
}

impl Store {
    /// The date is this now, or was.
    pub(super) fn saw(&mut self, date: UnixTime) {
        self.latest = self.latest.max(date);
    }

    /// The moment, and the date by which what is kept ends: it never goes back.
    pub(super) fn for_kept(&self, now: Now) -> Now {
        Now { date: self.latest.max(now.date), ..now }
    }

    /// Sets the bounds to the largest that any of the configurations at work sets. An eighth of
    /// each is for refusals.
    pub(super) fn bound<'p>(&mut self, policies: impl Iterator<Item = &'p CachePolicy>) {
        let (mut entries, mut bytes) = (0, 0);
        (self.longest, self.stale) = (Duration::ZERO, Duration::ZERO);
        for policy in policies {
            entries = policy.max_entries.max(entries);
            bytes = policy.max_bytes.max(bytes);
            self.longest = self.longest.max(policy.ttl).max(policy.negative_ttl);
            self.stale = self.stale.max(policy.stale_if_error);
        }
        // A single entry is of more use to a good token.
        let bad_entries = if entries == 1 { 0 } else { entries.div_ceil(8) };
        let bad_bytes = if entries == 1 { 0 } else { bytes.div_ceil(8) };
        self.good.bound(entries.saturating_sub(bad_entries), bytes.saturating_sub(bad_bytes));
        self.bad.bound(bad_entries, bad_bytes);
    }

    /// This instance's reading of the entry for a key, if its rules accept the entry.
    pub(super) fn find(
        &mut self,
        key: &TokenKey,
        judge: Judge<'_>,
        cache: &CachePolicy,
        now: Now,
    ) -> Option<Verdict> {
        let now = self.for_kept(now);
        let judge = Judge { date: now.date, ..judge };
        for partition in [&mut self.good, &mut self.bad] {
            // Only looked at: what is of no use must not move away from the end that is swept.
            let Some(entry) = partition.entries.peek(key) else {
                continue;
            };
            if entry.entry.is_fresh(key, cache, now) {
                let kind = entry.entry.kind;
                // What it says may depend on the time: an entry is used as what it was kept as.
                return partition.read(key, judge).filter(|read| read.kind() == Some(kind));
            }
            if entry.entry.is_over(self.longest, self.stale, key, now) {
                partition.remove(key);
                partition.turnover.expired = partition.turnover.expired.saturating_add(1);
            }
        }
        None
    }

    /// What this instance makes of a good verdict whose time is over, while nobody answers.
    pub(super) fn find_stale(
        &mut self,
        key: &TokenKey,
        judge: Judge<'_>,
        cache: &CachePolicy,
        now: Now,
    ) -> Option<Verdict> {
        let now = self.for_kept(now);
        let judge = Judge { date: now.date, ..judge };
        let entry = self.good.entries.peek(key)?;
        if !entry.entry.may_serve_stale(key, cache, now) {
            return None;
        }
        let read = self.good.read(key, judge)?;
        (read.kind() == Some(Kind::Accepted)).then_some(read)
    }

    /// A provider has refused the token: that it was good once counts no more, here or elsewhere.
    pub(super) fn refused(&mut self, key: &TokenKey, asked: MonotonicTime) {
        let heard = |entry: &Entry| entry.entry.asked;
        if self.good.entries.peek(key).map(heard).is_some_and(|good| good <= asked) {
            self.good.remove(key);
        }
        if self.bad.entries.peek(key).map(heard).is_none_or(|bad| bad < asked) {
            self.bad.remove(key);
            self.bad.insert(*key, CacheEntry::mark(asked), None);
        }
    }

    /// Stores an entry and an instance's reading of it, replacing the entry of that key. Whether it
    /// was stored.
    pub(super) fn keep(&mut self, key: TokenKey, entry: CacheEntry, reading: Reading) -> bool {
        self.good.remove(&key);
        self.bad.remove(&key);
        match entry.kind {
            Kind::Accepted => self.good.insert(key, entry, Some(reading)),
            Kind::Rejected => self.bad.insert(key, entry, Some(reading)),
        }
    }

    /// When what is known of a key was asked for.
    pub(super) fn asked(&self, key: &TokenKey) -> Option<MonotonicTime> {
        let known = [&self.good, &self.bad].map(|partition| partition.entries.peek(key));
        known.into_iter().flatten().map(|entry| entry.entry.asked).max()
    }

    /// When a refusal was asked for that is known of a key.
    pub(super) fn refused_at(&self, key: &TokenKey) -> Option<MonotonicTime> {
        self.bad.entries.peek(key).map(|entry| entry.entry.asked)
    }

    /// Drops some entries that no instance may use any more. Unused entries drift to the end that
    /// is checked. A refusal stays as long as a good verdict would: it keeps an older one of
    /// another worker from coming back.
    pub(super) fn sweep(&mut self, now: Now) {
        let (longest, stale) = (self.longest, self.stale);
        let now = self.for_kept(now);
        for partition in [&mut self.good, &mut self.bad] {
            for _ in 0..SWEEP {
                match partition.entries.peek_lru() {
                    Some((key, entry)) if entry.entry.is_over(longest, stale, key, now) => {
                        let key = *key;
                        partition.remove(&key);
                        partition.turnover.expired = partition.turnover.expired.saturating_add(1);
                    }
                    Some(_) | None => break,
                }
            }
        }
    }

    /// How many entries it holds.
    pub(super) fn entries(&self) -> usize {
        self.good.entries.len().saturating_add(self.bad.entries.len())
    }

    /// About how many bytes these take.
    pub(super) fn bytes(&self) -> usize {
        self.good.bytes.saturating_add(self.bad.bytes)
    }

    /// What has become of entries.
    pub(super) fn turnover(&self) -> Turnover {
        let (good, bad) = (self.good.turnover, self.bad.turnover);
        Turnover {
            evicted: good.evicted.saturating_add(bad.evicted),
            expired: good.expired.saturating_add(bad.expired),
        }
    }
}

impl Entry {
    /// What this instance has made of it before.
    fn known(&self, endpoint: &Rc<Endpoint>) -> Option<&Verdict> {
        let reading = self.readings.iter().find(|(of, _)| Rc::ptr_eq(of, endpoint));
        reading.map(|(_, verdict)| verdict)
    }
}

impl Partition {
    fn new() -> Partition {
        Partition {
            entries: LruCache::unbounded_with_hasher(FxBuildHasher),
            bytes: 0,
            most_entries: 0,
            most_bytes: 0,
            turnover: Turnover::default(),
        }
    }

    fn bound(&mut self, entries: usize, bytes: usize) {
        self.most_entries = entries;
        self.most_bytes = bytes;
        self.shrink();
    }

    fn insert(&mut self, key: TokenKey, entry: CacheEntry, reading: Option<Reading>) -> bool {
        let read = reading.as_ref().map_or(0, |(_, verdict)| verdict.size());
        let texts = entry.size().saturating_add(read);
        let bytes = OVERHEAD.saturating_add(texts);
        if self.most_entries == 0 || bytes > self.most_bytes {
            return false;
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.entries.put(key, Entry { entry, readings: reading.into_iter().collect(), bytes });
        self.shrink();
        true
    }

    fn remove(&mut self, key: &TokenKey) {
        if let Some(entry) = self.entries.pop(key) {
            self.bytes = self.bytes.saturating_sub(entry.bytes);
        }
    }

    /// What an instance makes of the entry, which moves to the front.
    fn read(&mut self, key: &TokenKey, judge: Judge<'_>) -> Option<Verdict> {
        let entry = self.entries.get_mut(key)?;
        if let Some(known) = entry.known(judge.endpoint) {
            return Some(known.clone());
        }
        let verdict = judge.verdict(&entry.entry.answer());
        if entry.readings.len() >= MOST_READINGS {
            let (_, oldest) = entry.readings.remove(0);
            let size = oldest.size();
            entry.bytes = entry.bytes.saturating_sub(size);
            self.bytes = self.bytes.saturating_sub(size);
        }
        let size = verdict.size();
        entry.readings.push((Rc::clone(judge.endpoint), verdict.clone()));
        entry.bytes = entry.bytes.saturating_add(size);
        self.bytes = self.bytes.saturating_add(size);
        self.shrink();
        Some(verdict)
    }

    fn shrink(&mut self) {
        while self.entries.len() > self.most_entries || self.bytes > self.most_bytes {
            let Some((_, entry)) = self.entries.pop_lru() else {
                return;
            };
            self.bytes = self.bytes.saturating_sub(entry.bytes);
            self.turnover.evicted = self.turnover.evicted.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests;

//! Tokens that wait, because the provider has said when it wants to be asked about them again.
//!
//! A token waits alone: what a provider says to one caller must never keep another from being asked
//! about. What is remembered is bounded, and what makes room costs one call.

use std::rc::Rc;
use std::time::Duration;

use lru::LruCache;
use rustc_hash::FxBuildHasher;

use super::entry::StoredResponse;
use crate::provider::key::TokenKey;
use crate::time::MonotonicTime;

/// Most tokens that wait.
const MOST_ENTRIES: usize = 1024;

/// Most bytes that what they were told takes.
const MOST_BYTES: usize = 1024 * 1024;

/// What an entry takes beside its texts.
const OVERHEAD: usize = 192;

/// The tokens that wait, of one worker.
#[derive(Debug)]
pub(super) struct TokenWaits {
    entries: LruCache<TokenKey, Entry, FxBuildHasher>,
    bytes: usize,
}

/// A token that waits.
#[derive(Debug)]
struct Entry {
    wait: Wait,
    words: Rc<StoredResponse>,
}

/// How long a token waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait {
    /// Until when nobody asks about it.
    pub(super) until: MonotonicTime,
    /// Until when the provider does not want to be asked.
    pub(super) said: MonotonicTime,
    /// Whether an outdated verdict may serve meanwhile.
    pub(super) stale: bool,
}

impl Default for TokenWaits {
    fn default() -> TokenWaits {
        TokenWaits { entries: LruCache::unbounded_with_hasher(FxBuildHasher), bytes: 0 }
    }
}

impl TokenWaits {
    /// A token waits from now on, and this is what its requests are told.
    pub(super) fn begin(&mut self, key: TokenKey, wait: Wait, words: Rc<StoredResponse>) {
        self.end(&key);
        self.bytes = self.bytes.saturating_add(size(&words));
        self.entries.put(key, Entry { wait, words });
        while self.entries.len() > MOST_ENTRIES || self.bytes > MOST_BYTES {
            let Some((_, oldest)) = self.entries.pop_lru() else {
                return;
            };
            self.bytes = self.bytes.saturating_sub(size(&oldest.words));
        }
    }

    /// What a token's requests are told, if it waits.
    pub(super) fn of(
        &mut self,
        key: &TokenKey,
        now: MonotonicTime,
    ) -> Option<(Wait, Rc<StoredResponse>)> {
        // Only looked at: the oldest goes first, however often it is asked for.
        let entry = self.entries.peek(key)?;
        if entry.wait.until > now {
            return Some((entry.wait, Rc::clone(&entry.words)));
        }
        self.end(key);
        None
    }

    fn end(&mut self, key: &TokenKey) {
        if let Some(entry) = self.entries.pop(key) {
            self.bytes = self.bytes.saturating_sub(size(&entry.words));
        }
    }
}

impl Wait {
    /// How much of the provider's time is left, in whole seconds, and not before that.
    pub(super) fn seconds_left(self, now: MonotonicTime) -> u64 {
        let left = self.said.since(now).unwrap_or(Duration::ZERO);
        left.as_secs().saturating_add(u64::from(left.subsec_nanos() > 0))
    }
}

fn size(words: &StoredResponse) -> usize {
    words.size().saturating_add(OVERHEAD)
}

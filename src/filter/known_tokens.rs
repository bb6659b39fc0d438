//! Which tokens a provider has vouched for before, whether or not the verdict is still fresh.
//!
//! Half of the calls at a time are kept for them. It says nothing of a token now, and must never let
//! a request pass.

use std::collections::HashSet;

use rustc_hash::FxBuildHasher;

use crate::provider::key::TokenKey;

/// Most tokens that are remembered, at 16 bytes each and what a table needs.
const MOST: usize = 131_072;

/// Tokens that were vouched for, of one worker: two generations, of which the older one goes when the
/// newer one is full.
#[derive(Debug, Default)]
pub(super) struct KnownTokens {
    newer: HashSet<TokenKey, FxBuildHasher>,
    older: HashSet<TokenKey, FxBuildHasher>,
    most: usize,
}

impl KnownTokens {
    /// Remembers so many tokens, at most.
    pub(super) fn bound(&mut self, entries: usize) {
        self.most = entries.min(MOST);
        if self.newer.len().saturating_add(self.older.len()) > self.most {
            *self = KnownTokens { most: self.most, ..KnownTokens::default() };
        }
    }

    /// A provider has vouched for a token.
    pub(super) fn insert(&mut self, key: TokenKey) {
        if self.newer.contains(&key) || self.most == 0 {
            return;
        }
        if self.newer.len() >= self.most.div_ceil(2) {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(key);
    }

    /// A provider has refused a token.
    pub(super) fn remove(&mut self, key: &TokenKey) {
        self.newer.remove(key);
        self.older.remove(key);
    }

    /// Whether a provider has vouched for a token; one that is asked about again is remembered longer.
    pub(super) fn knows(&mut self, key: &TokenKey) -> bool {
        if self.newer.contains(key) {
            return true;
        }
        if self.older.remove(key) {
            self.insert(*key);
            return true;
        }
        false
    }
}

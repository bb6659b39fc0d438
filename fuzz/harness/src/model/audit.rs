//! After each event the state of each worker, its statistics and log, and its next timer must be
//! those of the model.

use oidc_token_connector::filter::{SiteEvent, Stats};

use super::sites::{Change, Site};
use super::{Step, Tally, World};

impl World {
    pub(super) fn audit(&mut self) {
        for at in 0..self.workers.len() {
            self.state(at);
            self.notices(at);
            self.dues(at);
        }
    }

    fn state(&self, at: usize) {
        let worker = &self.workers[at];
        let Tally { hits, negative_hits, shared_hits, misses, joined, stored, .. } = worker.tally;
        let Tally { failed_over, repeated, refused_by_cap, refused_by_breaker, .. } = worker.tally;
        let Tally { refused_by_wait, opened, probed, stale, .. } = worker.tally;
        let stats = worker.gate.stats();
        let asked = self.lookups.iter().filter(|asked| asked.worker == at);
        let expected = Stats {
            hits,
            negative_hits,
            shared_hits,
            misses,
            joined,
            stored,
            failed_over,
            repeated,
            refused_by_cap,
            refused_by_breaker,
            refused_by_wait,
            opened,
            probed,
            stale,
            calls: asked.filter(|asked| matches!(asked.step, Step::Asking(_))).count(),
            waiting: worker.streams.values().flatten().count(),
            open: worker.sites.values().map(Site::open).sum(),
            // Values that the model cannot know exactly.
            evicted: stats.evicted,
            expired: stats.expired,
            entries: stats.entries,
            bytes: stats.bytes,
        };
        assert_eq!(stats, expected, "worker {at} at {} ms", self.now);
        assert!(stats.entries <= worker.known.len());
        assert_eq!(stats.entries == 0, stats.bytes == 0);
    }

    fn notices(&mut self, at: usize) {
        let worker = &mut self.workers[at];
        let told = worker.gate.take_site_events();
        let mut told: Vec<_> = told
            .iter()
            .map(|notice| match notice {
                SiteEvent::Opened { site } => (site.cluster.as_str(), Change::Opened),
                SiteEvent::Closed { site } => (site.cluster.as_str(), Change::Closed),
                SiteEvent::ClientRefused { .. } => panic!("nothing is introspected"),
                SiteEvent::Deaf { .. } => panic!("no trace is so long that a call may try"),
            })
            .collect();
        let mut expected = std::mem::take(&mut worker.changes);
        let closed = expected.iter().filter(|(_, change)| *change == Change::Closed);
        worker.tally.closed += closed.count() as u64;
        told.sort_unstable();
        expected.sort_unstable();
        assert_eq!(told, expected, "what operators are told");
    }

    /// When the timer is needed next, in whole milliseconds.
    pub(super) fn next_due(&self, at: usize) -> Option<u64> {
        let due = self.workers[at].gate.next_due()?;
        Some(due.nanos().div_ceil(1_000_000))
    }

    /// The timer is needed for breakers at known moments, and for pauses within bounds: what it is
    /// needed for next tells more of these.
    fn dues(&mut self, at: usize) {
        let due = self.next_due(at);
        let worker = &self.workers[at];
        let sites = worker.sites.values();
        let breakers =
            sites.filter_map(|site| site.next_due(|settings| worker.has(settings))).min();
        let (mut earliest, mut latest, mut pauses) = (breakers, breakers, 0);
        for asked in self.lookups.iter().filter(|asked| asked.worker == at) {
            if let Step::Pausing { from, to, is_certain } = asked.step {
                pauses += 1;
                earliest = earliest.into_iter().chain([from]).min();
                latest = latest.into_iter().chain(is_certain.then_some(to)).min();
            }
        }
        let early = due.is_some_and(|due| earliest.is_none_or(|earliest| due < earliest));
        assert!(!early, "due {due:?}, though nothing is before {earliest:?}");
        assert!(latest.is_none_or(|latest| due.is_some_and(|due| due <= latest)), "due {latest:?}");
        let before_any_breaker = due.is_some_and(|due| breakers.is_none_or(|other| due < other));
        for asked in self.lookups.iter_mut().filter(|asked| asked.worker == at) {
            let Step::Pausing { from, to, is_certain } = &mut asked.step else { continue };
            match due {
                // It can be due for this lookup alone.
                Some(due) if pauses == 1 && before_any_breaker => {
                    (*from, *to, *is_certain) = (due, due, true);
                }
                Some(due) => *from = due.max(*from),
                None => asked.step = Step::Over,
            }
        }
    }
}

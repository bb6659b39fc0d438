//! Questions to providers: which site is asked, and what comes of an outage.

use oidc_token_connector::gate::{CallId, Decision};
use oidc_token_connector::outcome::Source;
use oidc_token_connector::userinfo::Call;

use super::check;
use super::sites::{Closed, Heard};
use super::{Ending, Fresh, Key, Made, Setup, Waiting, World};

impl World {
    /// The first site from this one on that may be asked; why not the first that may not.
    pub(super) fn open_site(
        &self,
        worker: usize,
        key: Key,
        setup: &Setup,
        from: usize,
    ) -> Result<usize, Closed> {
        let sites = &self.workers[worker].sites;
        let mut why = None;
        for (at, name) in key.sites().iter().enumerate().skip(from) {
            match sites.get(name).map_or(Ok(()), |site| site.is_open(setup, self.now)) {
                Ok(()) => return Ok(at),
                Err(closed) => why = why.or(Some(closed)),
            }
        }
        Err(why.unwrap_or(Closed::Shut))
    }

    /// A call is made.
    pub(super) fn make(
        &mut self,
        question: usize,
        site: usize,
        timeout: u64,
        id: CallId,
        call: &Call,
    ) {
        let asked = &mut self.questions[question];
        let (worker, key, number) = (asked.worker, asked.key, self.calls.len());
        key.is_asked_by(call, site);
        assert_eq!(call.timeout.as_millis(), u128::from(timeout));
        asked.call = Some(number);
        let site_name = key.sites()[site];
        self.workers[worker].sites.entry(site_name).or_default().asked(number);
        let twice = |made: &Made| self.questions[made.question].worker == worker && made.id == id;
        assert!(!self.calls.iter().any(twice), "a number was used again");
        let made =
            Made { question, id, key, site, asked: self.now, timeout, ended: None, is_mark: false };
        self.calls.push(made);
    }

    /// A call is over: its site hears of it.
    pub(super) fn over(&mut self, call: usize, heard: Heard) {
        let Made { question, key, site, .. } = self.calls[call];
        let asked = &mut self.questions[question];
        asked.call = None;
        if heard == Heard::Word {
            asked.word = Some(call);
        }
        let worker = &mut self.workers[asked.worker];
        let site = worker.sites.get_mut(key.sites()[site]).expect("it was asked");
        let was_shut = site.is_shut();
        worker.tally.opened += u64::from(site.over(call, heard, asked.lead, self.now));
        worker.tally.closed += u64::from(was_shut && !site.is_shut());
    }

    /// The site that is asked next, and how long it has.
    pub(super) fn next_site(&self, call: usize) -> Option<(usize, u64)> {
        let Made { question, key, site, .. } = self.calls[call];
        let asked = &self.questions[question];
        let left = asked.ends.saturating_sub(self.now).min(asked.lead.timeout);
        let next = self.open_site(asked.worker, key, asked.lead, site + 1).ok()?;
        (left > 0).then_some((next, left))
    }

    /// Nobody gave a verdict: the request is let pass by what was known, or gets the last that a
    /// provider really said, or learns that none did.
    pub(super) fn without_verdict(&mut self, waiting: &Waiting, decision: &Decision, last: Ending) {
        let Waiting { question, setup, source, .. } = *waiting;
        let asked = &self.questions[question];
        let (worker, key, word) = (asked.worker, asked.key, asked.word);
        if self.is_stale(worker, key, setup, decision) {
            return;
        }
        let said = word.and_then(|call| Some((call, self.calls[call].ended?.0)));
        let (call, ending) = said.unwrap_or((usize::MAX, last));
        check::decision(decision, source, setup, key, call, ending);
    }

    /// Whether it is let pass by what was known, as it may be, or even must.
    pub(super) fn is_stale(
        &mut self,
        worker: usize,
        key: Key,
        setup: &Setup,
        decision: &Decision,
    ) -> bool {
        let (known, fresh) = self.stale(worker, key, setup);
        if decision.record.source != Source::Stale {
            assert_ne!(fresh, Fresh::Surely, "it was known, and nobody answers");
            return false;
        }
        assert_ne!(fresh, Fresh::No, "nothing is known that may bridge this");
        let call = known.expect("something is known");
        let (ending, _) = self.calls[call].ended.expect("answered");
        check::decision(decision, Source::Stale, setup, key, call, ending);
        self.workers[worker].tally.stale += 1;
        true
    }
}

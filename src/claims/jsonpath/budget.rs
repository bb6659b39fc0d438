//! The limit on the work of paths run over one answer.

/// Budget for the paths of one kind run over one answer: those of header rules and filter state share one,
/// those of `require_claims` another, so that no requirement depends on which headers there are; a path to
/// the subject has its own. A step is at most about 12 ns of native work and twice
/// that in the module. The paths of a budget end within a few milliseconds, even the worst ones over
/// the worst answer of 64 KiB. One `$..*` over such an answer takes a quarter.
pub const ANSWER_STEPS: u32 = 250_000;

/// Steps that one evaluation may still take; shared by the paths of one kind.
#[derive(Debug)]
pub struct Budget {
    /// Steps left.
    pub steps: u32,
}

impl Budget {
    /// The budget for the paths of one kind run over one answer.
    pub fn for_answer() -> Budget {
        Budget { steps: ANSWER_STEPS }
    }

    /// Takes steps before their work is done.
    pub(super) fn take(&mut self, steps: usize) -> Result<(), OverBudget> {
        let left = u32::try_from(steps).ok().and_then(|steps| self.steps.checked_sub(steps));
        self.steps = left.ok_or(OverBudget)?;
        Ok(())
    }
}

/// What looking for a name among that many members costs, in steps. Names may agree in all but
/// their last byte, and the module compares byte by byte.
pub(super) fn search_steps(members: usize, name: &str) -> usize {
    const MEMBERS_PER_STEP: usize = 4;
    const BYTES_PER_STEP: usize = 8;
    let rounds = (name.len() / BYTES_PER_STEP).saturating_add(1);
    (members / MEMBERS_PER_STEP).saturating_add(1).saturating_mul(rounds)
}

/// The work that comes next is more than the budget has left.
#[derive(Debug)]
pub(super) struct OverBudget;

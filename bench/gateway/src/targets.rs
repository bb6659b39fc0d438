//! What is aimed at, in one table. A target is judged and told; it must never be asserted: figures
//! depend on the machine and on what else it does.

use crate::table::Table;

/// One figure that has a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    HitCpuToDoNothing,
    HitCpuToExtAuthz,
    HitRateToNoFilter,
    HitRateToExtAuthz,
    HitTailAdded,
    AsksCpuToExtAuthz,
    RefusedHitCpuToExtAuthz,
    RefusedBareCpuToExtAuthz,
    DayCallsToExtAuthz,
    DayMedianToExtAuthz,
    GrowthByUsers,
    GrowthByRegions,
    GrowthByHeader,
    WorkerMemory,
    FloodMemory,
    IdleCpu,
    IdleMemory,
    ModuleSize,
    StartCpu,
    FleetCalls,
}

use Aim::*;

enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

use Bound::{AtLeast, AtMost};

/// A figure, what it must keep, and the unit or the row that it is a multiple of.
struct Target(Aim, &'static str, Bound, &'static str);

/// Every target there is.
const TARGETS: &[Target] = &[
    Target(HitCpuToDoNothing, "hit, CPU", AtMost(1.06), "× the do-nothing filter"),
    Target(HitCpuToExtAuthz, "hit, CPU", AtMost(0.62), "× `ext_authz`"),
    Target(HitRateToNoFilter, "hit, requests/s", AtLeast(0.82), "× no filter"),
    Target(HitRateToExtAuthz, "hit, requests/s", AtLeast(1.6), "× `ext_authz`"),
    Target(HitTailAdded, "hit, p99 added at half load", AtMost(150.0), "µs over no filter"),
    Target(AsksCpuToExtAuthz, "every request asks, CPU", AtMost(1.10), "× `ext_authz`"),
    Target(
        RefusedHitCpuToExtAuthz,
        "bad token that is known, CPU",
        AtMost(0.6),
        "× the refusal of `ext_authz`",
    ),
    Target(RefusedBareCpuToExtAuthz, "no token, CPU", AtMost(0.6), "× the refusal of `ext_authz`"),
    Target(DayCallsToExtAuthz, "day, provider calls", AtMost(0.05), "× `ext_authz`"),
    Target(DayMedianToExtAuthz, "day, p50", AtMost(0.2), "× `ext_authz`"),
    Target(GrowthByUsers, "hit, CPU, 10 000 users known", AtMost(5.0), "% away from 10"),
    Target(GrowthByRegions, "hit, CPU, 10 regions", AtMost(5.0), "% away from 1"),
    Target(GrowthByHeader, "hit, CPU, one more header injected", AtMost(0.5), "µs"),
    Target(WorkerMemory, "memory of a worker, 10 000 users", AtMost(16.0), "MB over do-nothing"),
    Target(FloodMemory, "memory, 10⁶ tokens", AtMost(5.0), "% away from that after 10⁵"),
    Target(IdleCpu, "CPU, 100 idle instances", AtMost(0.1), "% of a processor over 1 instance"),
    Target(IdleMemory, "memory, 100 idle instances", AtMost(2.0), "MB over 1 instance"),
    Target(ModuleSize, "module size", AtMost(1.3), "MB"),
    Target(StartCpu, "start, CPU of Envoy and all in it", AtMost(1.0), "s"),
    Target(FleetCalls, "3 gateways by token, provider calls", AtMost(1.1), "× one gateway"),
];

/// A figure beside its target; not a number where it could not be measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Judged {
    pub(crate) aim: Aim,
    pub(crate) figure: f64,
}

impl Judged {
    pub(crate) fn new(aim: Aim, figure: f64) -> Self {
        Self { aim, figure }
    }
}

/// All targets in their order, with the figures that this run has for them.
pub(crate) fn table(judged: &[Judged]) -> Table {
    let mut table = Table::new(["what", "aim", "this run", "verdict"]);
    table.words = 1;
    for Target(aim, what, bound, unit) in TARGETS {
        for Judged { figure, .. } in judged.iter().filter(|judged| judged.aim == *aim) {
            let (words, met) = match bound {
                AtMost(most) => (format!("at most {most} {unit}"), figure <= most),
                AtLeast(least) => (format!("at least {least} {unit}"), figure >= least),
            };
            let verdict = match met {
                _ if figure.is_nan() => "not measured",
                true => "met",
                false => "missed",
            };
            table.row([(*what).to_owned(), words, precise(*figure), verdict.to_owned()]);
        }
    }
    table
}

/// Three significant digits where a figure is small, none behind the point where it is large.
fn precise(figure: f64) -> String {
    match figure.abs() {
        size if size.is_nan() => "-".to_owned(),
        size if size < 0.1 => format!("{figure:.4}"),
        size if size < 10.0 => format!("{figure:.2}"),
        _ => format!("{figure:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn met_and_missed() {
        let verdict = |aim, figure| {
            let table = table(&[Judged::new(aim, figure)]);
            table.rows[0].clone()
        };
        assert_eq!(
            verdict(HitCpuToDoNothing, 1.06),
            ["hit, CPU", "at most 1.06 × the do-nothing filter", "1.06", "met"]
        );
        assert_eq!(verdict(HitCpuToDoNothing, 1.0601)[3], "missed");
        assert_eq!(
            verdict(HitRateToExtAuthz, 1.6),
            ["hit, requests/s", "at least 1.6 × `ext_authz`", "1.60", "met"]
        );
        assert_eq!(verdict(HitRateToExtAuthz, 1.59)[3], "missed");
        assert_eq!(verdict(HitTailAdded, -12.3)[2..], ["-12", "met"]);
        assert_eq!(verdict(DayCallsToExtAuthz, 0.0312)[2..], ["0.0312", "met"]);
        assert_eq!(verdict(HitTailAdded, f64::NAN)[2..], ["-", "not measured"]);
    }

    #[test]
    fn every_figure_is_told_in_the_order_of_the_targets() {
        let table =
            table(&[Judged::new(DayMedianToExtAuthz, 0.1), Judged::new(HitCpuToDoNothing, 1.0)]);
        let what: Vec<&str> = table.rows.iter().map(|row| row[0].as_str()).collect();
        assert_eq!(what, ["hit, CPU", "day, p50"]);
    }
}

//! Which processor runs what, and how much of it a process has used. Linux only, like the rest of
//! the benchmark.

use std::fs;
use std::process::Command;
use std::time::Duration;

/// Clock ticks per second in `/proc/<pid>/stat`: USER_HZ, fixed at 100 in the interface between
/// kernel and programs on every architecture that Envoy is built for (proc(5), times(2)).
const TICKS_PER_SECOND: u64 = 100;

const TASKSET: &str = "taskset";

/// The core of the measured Envoy, and the cores of everything else.
pub(crate) enum Placement {
    /// `taskset` is there, and so are at least two processors.
    Pinned {
        /// Only for the measured Envoy.
        measured: usize,
        /// For provider, upstream and load.
        others: Vec<usize>,
    },
    /// Why nothing is pinned.
    Anywhere(&'static str),
}

impl Placement {
    /// The last processor for the measured Envoy: interrupts tend to land on the first.
    pub(crate) fn of_this_machine() -> Result<Self, String> {
        let status = fs::read_to_string("/proc/self/status")
            .map_err(|error| format!("/proc/self/status: {error}"))?;
        let mut cpus = allowed(&status).ok_or("/proc/self/status names no processors")?;
        if Command::new(TASKSET).arg("--version").output().is_err() {
            return Ok(Self::Anywhere("`taskset` is not on PATH (Debian package util-linux)"));
        }
        match cpus.pop() {
            Some(measured) if !cpus.is_empty() => Ok(Self::Pinned { measured, others: cpus }),
            _ => Ok(Self::Anywhere("this machine has one processor")),
        }
    }

    /// Moves a running process, with all its threads, to where the measured Envoy belongs.
    pub(crate) fn pin_measured(&self, pid: u32) -> Result<(), String> {
        match self {
            Self::Pinned { measured, .. } => pin(&[*measured], pid),
            Self::Anywhere(_) => Ok(()),
        }
    }

    /// Moves a running process, with all its threads, to where everything else belongs.
    pub(crate) fn pin_other(&self, pid: u32) -> Result<(), String> {
        match self {
            Self::Pinned { others, .. } => pin(others, pid),
            Self::Anywhere(_) => Ok(()),
        }
    }

    /// A command that runs where everything else belongs.
    pub(crate) fn other(&self, program: &str) -> Command {
        match self {
            Self::Pinned { others, .. } => {
                let mut command = Command::new(TASKSET);
                command.args(["--cpu-list", &list(others), program]);
                command
            }
            Self::Anywhere(_) => Command::new(program),
        }
    }

    /// For the reader of the figures.
    pub(crate) fn note(&self) -> String {
        match self {
            Self::Pinned { measured, others } => {
                format!("Measured Envoy on processor {measured}, everything else on {others:?}.")
            }
            Self::Anywhere(why) => format!("Nothing is pinned, figures will vary: {why}."),
        }
    }
}

fn pin(cpus: &[usize], pid: u32) -> Result<(), String> {
    let mut taskset = Command::new(TASKSET);
    taskset.args(["--all-tasks", "--pid", "--cpu-list", &list(cpus), &pid.to_string()]);
    match taskset.output() {
        Ok(done) if done.status.success() => Ok(()),
        Ok(done) => Err(format!("`{TASKSET}` failed: {}", String::from_utf8_lossy(&done.stderr))),
        Err(error) => Err(format!("cannot start `{TASKSET}`: {error}")),
    }
}

fn list(cpus: &[usize]) -> String {
    cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

/// Processor time of all threads of a process so far: to the nanosecond where the kernel keeps
/// scheduler statistics, else in clock ticks.
pub(crate) fn time_used(pid: u32) -> Result<Duration, String> {
    let threads = format!("/proc/{pid}/task");
    let ids = fs::read_dir(&threads).map_err(|error| format!("{threads}: {error}"))?;
    let statistics = ids.filter_map(Result::ok).map(|id| id.path().join("schedstat"));
    let times = statistics.map(|path| on_processor(&fs::read_to_string(path).ok()?));
    match times.sum::<Option<Duration>>() {
        Some(time) if !time.is_zero() => Ok(time),
        _ => time_in_ticks(pid),
    }
}

/// The first field of `/proc/<pid>/task/<id>/schedstat`, nanoseconds.
fn on_processor(schedstat: &str) -> Option<Duration> {
    let time = schedstat.split_whitespace().next()?;
    Some(Duration::from_nanos(time.parse().ok()?))
}

/// Processor time of a process so far, threads that have ended included, in clock ticks.
pub(crate) fn time_in_ticks(pid: u32) -> Result<Duration, String> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let ticks = ticks(&stat).ok_or_else(|| format!("{path}: cannot be understood: {stat}"))?;
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// Fields 14 and 15, utime and stime. The name in field 2 may hold blanks and brackets, so the
/// count starts after its end.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// The processors of the line `Cpus_allowed_list:`, for example `0-2,5`.
fn allowed(status: &str) -> Option<Vec<usize>> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let mut cpus = Vec::new();
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cpus.extend(first.parse::<usize>().ok()?..=last.parse().ok()?);
    }
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors() {
        let status = |list: &str| format!("Name:\tbench\nCpus_allowed_list:\t{list}\nx:\t1\n");
        assert_eq!(allowed(&status("0-1")), Some(vec![0, 1]));
        assert_eq!(allowed(&status("3")), Some(vec![3]));
        assert_eq!(allowed(&status("0-2,5,8-9")), Some(vec![0, 1, 2, 5, 8, 9]));
        assert_eq!(allowed(&status("")), None);
        assert_eq!(allowed("Name:\tbench\n"), None);
    }

    #[test]
    fn ticks_are_user_plus_system_time() {
        let stat = "77 (a (b) c) S 1 77 77 0 -1 4194560 900 0 3 0 150 25 7 9 20 0 12 0 1 2 3";
        assert_eq!(ticks(stat), Some(175));
        assert_eq!(ticks("77 (a) S 1"), None);
    }

    #[test]
    fn scheduler_statistics() {
        assert_eq!(
            on_processor("431115000 309274348 343\n"),
            Some(Duration::from_nanos(431_115_000))
        );
        assert_eq!(on_processor(""), None);
        assert_eq!(on_processor("a b c"), None);
    }

    #[test]
    fn our_own_time_grows_with_our_work() {
        let grows = |time_used: fn(u32) -> Result<Duration, String>| {
            let pid = std::process::id();
            let before = time_used(pid).unwrap();
            let mut sum = 0_u64;
            // What the threads of other tests have used leaves the sum when they end.
            while time_used(pid).unwrap() <= before {
                sum = std::hint::black_box(sum.wrapping_add(1));
            }
        };
        grows(time_used);
        grows(time_in_ticks);
        assert!(time_used(u32::MAX).is_err());
    }

    #[test]
    fn pinning_moves_the_process_and_wraps_the_load() {
        let placement = Placement::Pinned { measured: 3, others: vec![0, 1] };
        let wrapped = r#""taskset" "--cpu-list" "0,1" "wrk""#;
        assert_eq!(format!("{:?}", placement.other("wrk")), wrapped);
        let anywhere = Placement::Anywhere("x");
        assert_eq!(format!("{:?}", anywhere.other("wrk")), r#""wrk""#);

        // No process has this id: without `taskset` nothing is tried, with it the failure shows.
        assert_eq!(anywhere.pin_measured(u32::MAX), Ok(()));
        assert!(placement.pin_measured(u32::MAX).is_err());
        assert!(placement.pin_other(u32::MAX).is_err());
    }
}

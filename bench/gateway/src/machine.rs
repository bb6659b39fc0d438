//! The machine: which processor runs what, the processor time of a process, and the facts about the
//! machine for the reader of the figures. Linux only. It must name no path of the machine.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use integration::{envoy_binary, module, version};
use procfs::process::{Process, Status};
use procfs::{CpuInfo, Current};

/// The processor of the measured Envoy, and those of everything else, as `taskset` lists them.
pub(crate) struct Placement {
    measured: String,
    others: String,
}

impl Placement {
    /// The last processor for the measured Envoy: interrupts tend to land on the first.
    pub(crate) fn of_this_machine() -> Result<Self> {
        let allowed = Process::myself()?.status()?.cpus_allowed_list.unwrap_or_default();
        let cpus: Vec<String> = allowed
            .into_iter()
            .flat_map(|(first, last)| first..=last)
            .map(|cpu| cpu.to_string())
            .collect();
        match cpus.split_last() {
            Some((measured, others)) if !others.is_empty() => {
                Ok(Self { measured: measured.clone(), others: others.join(",") })
            }
            _ => bail!("got one processor, expected at least two"),
        }
    }

    /// Moves a running process, with all its threads, to where the measured Envoy belongs.
    pub(crate) fn pin_measured(&self, pid: u32) -> Result<()> {
        pin(&self.measured, pid)
    }

    /// Moves a running process, with all its threads, to where everything else belongs.
    pub(crate) fn pin_other(&self, pid: u32) -> Result<()> {
        pin(&self.others, pid)
    }

    /// A command that runs where everything else belongs.
    pub(crate) fn other(&self, program: &str) -> Command {
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &self.others, program]);
        command
    }

    /// A sentence about machine, tools, module and placement.
    pub(crate) fn description(&self) -> Result<String> {
        let info = CpuInfo::current()?;
        let text = |error: String| anyhow!(error);
        let size = std::fs::metadata(module().map_err(text)?)?.len();
        Ok(format!(
            "{}, {} processors, Linux {}; Envoy {}, wrk {}, {}; module of {} KiB. \
             Measured Envoy on processor {}, everything else on [{}].",
            info.model_name(0).unwrap_or("unknown processor"),
            info.num_cores(),
            std::fs::read_to_string("/proc/sys/kernel/osrelease")?.trim(),
            version(&envoy_binary().map_err(text)?).map_err(text)?,
            // It prints its version with its usage, and fails.
            said("wrk", &["--version"])?.split_whitespace().nth(1).unwrap_or_default(),
            said("h2load", &["--version"])?.trim(),
            size.div_ceil(1024),
            self.measured,
            self.others,
        ))
    }
}

fn pin(cpus: &str, pid: u32) -> Result<()> {
    done("taskset", &["--all-tasks", "--pid", "--cpu-list", cpus, &pid.to_string()])
}

/// Runs a command to its end, which must be a good one.
pub(crate) fn done(program: &str, arguments: &[&str]) -> Result<()> {
    let ended = Command::new(program).args(arguments).output();
    let ended = ended.with_context(|| format!("cannot start `{program}`"))?;
    if !ended.status.success() {
        bail!("`{program} {arguments:?}` failed: {}", String::from_utf8_lossy(&ended.stderr));
    }
    Ok(())
}

/// A command's output on both streams, whatever its exit code.
fn said(program: &str, arguments: &[&str]) -> Result<String> {
    let said = Command::new(program).args(arguments).output();
    let said = said.with_context(|| format!("`{program}` is not on PATH"))?;
    Ok(String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned())
}

/// Fails with the remedy where one of these tools is missing.
pub(crate) fn need(tools: &[(&str, &str)]) -> Result<()> {
    for (tool, package) in tools {
        said(tool, &["--version"])
            .with_context(|| format!("Debian and Ubuntu: apt-get install {package}"))?;
    }
    Ok(())
}

fn process(pid: u32) -> Result<Process> {
    Process::new(i32::try_from(pid)?).with_context(|| format!("process {pid}"))
}

/// Processor time of all threads of a process so far: to the nanosecond where the kernel keeps
/// scheduler statistics, else in clock ticks.
pub(crate) fn time_used(pid: u32) -> Result<Duration> {
    let tasks = process(pid)?.tasks()?;
    let times = tasks.map(|task| Some(task.ok()?.schedstat().ok()?.sum_exec_runtime));
    match times.sum::<Option<u64>>() {
        Some(time) if time > 0 => Ok(Duration::from_nanos(time)),
        _ => time_in_ticks(pid),
    }
}

/// Processor time of a process so far, threads that have ended included, in clock ticks.
pub(crate) fn time_in_ticks(pid: u32) -> Result<Duration> {
    let stat = process(pid)?.stat()?;
    Ok(Duration::from_millis((stat.utime + stat.stime) * 1000 / procfs::ticks_per_second()))
}

/// Megabytes of memory, 10^6 bytes each, that a process holds at the moment.
pub(crate) fn memory(pid: u32) -> Result<f64> {
    let Status { vmrss, .. } = process(pid)?.status()?;
    let kib = vmrss.with_context(|| format!("process {pid} holds no memory"))?;
    Ok(kib as f64 * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_time_and_memory_grow_with_work() {
        let pid = std::process::id();
        let before = memory(pid).unwrap();
        let held = std::hint::black_box(vec![1_u8; 64 << 20]);
        assert!(memory(pid).unwrap() > before + 32.0);
        drop(held);
        for time_used in [time_used, time_in_ticks] {
            let before = time_used(pid).unwrap();
            let mut sum = 0_u64;
            // The time of other tests' threads leaves the sum when they end.
            while time_used(pid).unwrap() <= before {
                sum = std::hint::black_box(sum.wrapping_add(1));
            }
        }
        assert!(time_used(i32::MAX as u32).is_err());
    }
}

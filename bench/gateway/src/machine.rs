//! What a run was made on, for the reader of its figures. It must name no place on the machine.

use std::fs;
use std::thread::available_parallelism;

use integration::{envoy_binary, module, version};

use crate::load::{h2load, wrk};

/// A sentence about machine, tools and module.
pub(crate) fn description() -> Result<String, String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cores = available_parallelism().map_err(|error| format!("processors: {error}"))?;
    let module = module()?;
    let size = fs::metadata(&module).map_err(|e| format!("{}: {e}", module.display()))?.len();
    Ok(format!(
        "{}, {cores} processors, Linux {}; Envoy {}, wrk {}, h2load {}; module of {} KiB.",
        processor(&read("/proc/cpuinfo")).unwrap_or("unknown processor"),
        read("/proc/sys/kernel/osrelease").trim(),
        version(&envoy_binary()?)?,
        wrk::version(),
        h2load::version(),
        size.div_ceil(1024),
    ))
}

/// Absent on some architectures.
fn processor(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(": ").map(|(_, name)| name.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_processor() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Some CPU @ 2.0GHz\nmodel name\t: Other\n";
        assert_eq!(processor(cpuinfo), Some("Some CPU @ 2.0GHz"));
        assert_eq!(processor("processor\t: 0\n"), None);
    }
}

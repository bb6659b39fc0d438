//! Starts processes that cannot outlive this one: the kernel kills them when it ends, however it
//! ends.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, mpsc};
use std::{fs, io, thread};

use tokio::net::TcpSocket;

use crate::logbook::LogBook;
use crate::provider::socket;
use crate::{DEADLINE, runtime};

/// A process of ours. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port of loopback that stays ours, also while nothing listens on it.
#[derive(Debug)]
pub struct Place {
    pub(crate) address: SocketAddr,
    _reserved: TcpSocket,
}

impl Place {
    /// Takes a free one.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    pub fn reserve() -> Place {
        let _entered = runtime().enter();
        let reserved = socket(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        Place { address: reserved.local_addr().expect("an address"), _reserved: reserved }
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

type Job = (Command, mpsc::Sender<io::Result<Child>>);

// PR_SET_PDEATHSIG fires when the *thread* that started the child ends, and test threads end before
// their process does. So one thread that lives as long as the process starts them all.
static STARTER: LazyLock<mpsc::Sender<Job>> = LazyLock::new(|| {
    let (jobs, inbox) = mpsc::channel::<Job>();
    thread::Builder::new()
        .name("starter".to_owned())
        .spawn(move || {
            for (mut command, answer) in inbox {
                let _ = answer.send(command.spawn());
            }
        })
        .expect("a thread can be started");
    jobs
});

/// Starts `command` bound to the life of this process.
pub(crate) fn start(mut command: Command) -> io::Result<Child> {
    die_with_parent(&mut command);
    let (answer, result) = mpsc::channel();
    STARTER.send((command, answer)).expect("the starter thread lives as long as the process");
    result.recv().expect("the starter thread answers every job")
}

/// Starts a server that prints `listening` when it does, and waits for that.
pub(crate) async fn listening(mut command: Command) -> Running {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Not the whole command: a key may be in its environment.
    let program = format!("{:?}", command.get_args());
    let mut child = start(command).expect("the program can be started");
    let said = LogBook::of(child.stdout.take().expect("stdout is piped"));
    let errors = LogBook::of(child.stderr.take().expect("stderr is piped"));
    let running = Running(child);
    let listening = said.find(|line| line.starts_with("listening"));
    let started = tokio::time::timeout(2 * DEADLINE, listening).await;
    assert!(
        matches!(started, Ok(Some(_))),
        "this server does not start: {program}\n{}",
        errors.text()
    );
    running
}

#[allow(unsafe_code)]
fn die_with_parent(command: &mut Command) {
    let parent = std::process::id();
    // SAFETY: between fork and exec only prctl and getppid are called, both async-signal-safe;
    // nothing is allocated on the success path.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // The parent may have ended between fork and prctl; then no signal would come.
            if u32::try_from(libc::getppid()) != Ok(parent) {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        });
    }
}

/// A line of `/proc/<process>/status` that is a size, in KiB: `VmRSS` is what it holds at the moment.
///
/// # Panics
///
/// If there is no such process, or no such line.
#[must_use]
pub fn kib(process: u32, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("the process runs");
    let found = status.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':'));
    let size = found.and_then(|size| size.trim().strip_suffix(" kB")?.parse().ok());
    size.unwrap_or_else(|| panic!("no {line} in {status}"))
}

/// Limits the address space of the process that `command` starts to this many bytes.
#[allow(unsafe_code)]
pub(crate) fn limit_addresses(command: &mut Command, bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: between fork and exec only setrlimit is called, with a pointer to what the closure
    // owns; nothing is allocated on the success path.
    unsafe {
        command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_AS, &raw const limit) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
}

/// Limits the address space of a running process to this many bytes beyond its present use.
#[allow(unsafe_code)]
pub(crate) fn limit_more_addresses(process: u32, more: u64) -> io::Result<()> {
    let bytes = (kib(process, "VmSize") << 10) + more;
    let process = process.try_into().map_err(io::Error::other)?;
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: the new limit lives through the call, and the old one is not requested.
    let done =
        unsafe { libc::prlimit(process, libc::RLIMIT_AS, &raw const limit, std::ptr::null_mut()) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

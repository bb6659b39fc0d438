//! Starts processes that cannot outlive this one: the kernel kills them when it ends, however it
//! ends.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::{LazyLock, mpsc};
use std::{io, thread};

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
            // The parent may have gone between fork and prctl; then nobody would send the signal.
            if u32::try_from(libc::getppid()) != Ok(parent) {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        });
    }
}

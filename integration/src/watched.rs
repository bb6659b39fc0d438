//! A file that Envoy watches, for what a control plane would send.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::target_dir;

/// A file for Envoy to watch, replaced at once. It goes when it is dropped.
#[derive(Debug)]
pub struct Watched {
    directory: PathBuf,
}

impl Watched {
    /// One that is not there yet.
    ///
    /// # Panics
    ///
    /// If nothing can be written under `target/`.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "each is another file")]
    pub fn new() -> Watched {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name =
            format!("watched-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = target_dir().join("rig").join(name);
        fs::create_dir_all(&directory).expect("a directory under target/");
        Watched { directory }
    }

    /// Its path.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.directory.join("watched")
    }

    /// Puts another in its place, as `path_config_source` with `watched_directory` wants it.
    ///
    /// # Panics
    ///
    /// If nothing can be written under `target/`.
    pub fn replace(&self, text: &str) {
        let next = self.directory.join("next");
        fs::write(&next, text).expect("a file under target/");
        fs::rename(next, self.file()).expect("a file under target/");
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

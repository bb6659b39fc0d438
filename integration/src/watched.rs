//! Files that Envoy watches, for what a control plane would send.

use std::fs;
use std::path::PathBuf;
use std::sync::mpsc;

use serde_json::{Value, json};

use crate::directory::Directory;
use crate::gateway::{Running, Setup};

/// A file for Envoy to watch, replaced at once. It goes when it is dropped.
#[derive(Debug)]
pub struct Watched(Directory);

impl Watched {
    /// One that is not there yet.
    ///
    /// # Panics
    ///
    /// If nothing can be written under `target/`.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "each is another file")]
    pub fn new() -> Watched {
        Watched(Directory::new().expect("a directory under target/"))
    }

    /// Its path.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.0.path().join("watched")
    }

    /// Puts another in its place, as `path_config_source` with `watched_directory` wants it.
    ///
    /// # Panics
    ///
    /// If nothing can be written under `target/`.
    pub fn replace(&self, text: &str) {
        let next = self.0.path().join("next");
        fs::write(&next, text).expect("a file under target/");
        fs::rename(next, self.file()).expect("a file under target/");
    }
}

/// An Envoy that has a part of its configuration from a file, as from a control plane.
pub struct Discovered {
    /// The Envoy and what is around it.
    pub running: Running,
    /// The part as it was at the start.
    pub resources: Vec<Value>,
    file: Watched,
}

impl Discovered {
    /// Starts one. `take` takes the part out of the finished bootstrap, and leaves the source of it, which
    /// it is given, in its place.
    ///
    /// # Panics
    ///
    /// If Envoy does not start, with its log.
    pub async fn start(
        setup: Setup,
        take: impl Fn(&mut Value, Value) -> Vec<Value> + Send + Sync + 'static,
    ) -> Discovered {
        let file = Watched::new();
        let path = file.file();
        let (give, taken) = mpsc::channel();
        let setup = setup.edit(move |bootstrap| {
            let source = json!({
                "path_config_source": {
                    "path": path,
                    "watched_directory": {"path": path.parent()},
                },
                "resource_api_version": "V3",
            });
            bootstrap["node"] = json!({"id": "gateway", "cluster": "gateway"});
            let resources = take(bootstrap, source);
            // Envoy wants to read the file at its start.
            fs::write(&path, text(&resources)).expect("a file under target/");
            give.send(resources).expect("somebody waits for them");
        });
        let running = setup.start().await;
        let resources = taken.recv().expect("the bootstrap has been edited");
        Discovered { running, resources, file }
    }

    /// Starts an Envoy whose only listener comes from the file.
    ///
    /// # Panics
    ///
    /// As [`Discovered::start`].
    pub async fn listener(setup: Setup) -> Discovered {
        let take = |bootstrap: &mut Value, source| {
            let mut listener = bootstrap["static_resources"]["listeners"][0].take();
            bootstrap["static_resources"]["listeners"] = json!([]);
            listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
            bootstrap["dynamic_resources"]["lds_config"] = source;
            vec![listener]
        };
        Discovered::start(setup, take).await
    }

    /// Puts others in their place.
    pub fn replace(&self, resources: &[Value]) {
        self.file.replace(&text(resources));
    }
}

fn text(resources: &[Value]) -> String {
    json!({"resources": resources}).to_string()
}

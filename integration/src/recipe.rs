//! A complete Envoy configuration of this repository, run as it is written: only addresses, ports, the
//! module's path, the trusted CA and what a test names are filled in.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::bootstrap::{address, name, parsed, point, set_module, trust_the_rig};
use crate::envoy::{Envoy, Options};
use crate::process::Place;

/// A configuration to be started.
pub struct Recipe {
    bootstrap: Value,
    options: Options,
}

impl Recipe {
    /// The configuration in `file`, below the project's root, with the module under test.
    ///
    /// # Panics
    ///
    /// If it cannot be read, is not YAML, or the module is missing.
    #[must_use]
    pub fn read(file: &str) -> Recipe {
        Recipe::of(parsed(file).unwrap_or_else(|why| panic!("{why}")))
    }

    /// A configuration that a tool of this repository made, with the module under test.
    ///
    /// # Panics
    ///
    /// If it is not YAML, or the module is missing.
    #[must_use]
    pub fn made(text: &str) -> Recipe {
        Recipe::of(serde_saphyr::from_str(text).unwrap_or_else(|why| panic!("{why}: {text}")))
    }

    fn of(mut bootstrap: Value) -> Recipe {
        bootstrap["admin"]["address"] = address("127.0.0.1", 0);
        set_module(&mut bootstrap, &crate::module().unwrap_or_else(|why| panic!("{why}")));
        trust_the_rig(&mut bootstrap);
        Recipe { bootstrap, options: Options::default() }
    }

    /// Puts `new` where `old` is written, in any text.
    ///
    /// # Panics
    ///
    /// If it is nowhere.
    #[must_use]
    pub fn replace(mut self, old: &str, new: &str) -> Recipe {
        assert!(replace(&mut self.bootstrap, old, new), "{old:?} is nowhere in the recipe");
        self
    }

    /// Lets its only listener listen there.
    #[must_use]
    pub fn listen(mut self, place: &Place) -> Recipe {
        self.bootstrap["static_resources"]["listeners"][0]["address"] =
            address("127.0.0.1", place.address().port());
        self
    }

    /// Leads a cluster to this address.
    ///
    /// # Panics
    ///
    /// If there is no such cluster.
    #[must_use]
    pub fn cluster(mut self, cluster: &str, at: SocketAddr) -> Recipe {
        let clusters = self.bootstrap["static_resources"]["clusters"].as_array_mut();
        let found = clusters.into_iter().flatten().find(|known| name(known) == cluster);
        point(found.unwrap_or_else(|| panic!("the recipe has no cluster {cluster}")), at);
        self
    }

    /// Sets a variable of Envoy's own environment.
    #[must_use]
    pub fn environment(mut self, variable: &str, value: &str) -> Recipe {
        if self.options.under.is_empty() {
            self.options.under.push("env".to_owned());
        }
        self.options.under.push(format!("{variable}={value}"));
        self
    }

    /// Starts Envoy.
    ///
    /// # Panics
    ///
    /// If Envoy does not start, with its log.
    pub async fn start(self) -> Envoy {
        let started = Envoy::start(&self.bootstrap, &self.options).await;
        started.unwrap_or_else(|failure| panic!("{failure}"))
    }
}

fn replace(value: &mut Value, old: &str, new: &str) -> bool {
    match value {
        Value::Array(items) => items.iter_mut().fold(false, |done, v| replace(v, old, new) | done),
        Value::Object(members) => {
            members.values_mut().fold(false, |done, v| replace(v, old, new) | done)
        }
        Value::String(text) if text.contains(old) => {
            *value = json!(text.replace(old, new));
            true
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

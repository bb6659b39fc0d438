//! The environment of the VM, as an argument: only the shell reads the real one.

use std::fmt;

/// Where the variables are that a configuration names.
#[derive(Clone, Copy)]
pub enum Environment<'e> {
    /// Nobody can know: tools that read a configuration away from its gateway. Every variable counts as
    /// given, with a text that is no secret.
    Unknown,
    /// This function knows each variable's value.
    Known(&'e dyn Fn(&str) -> Option<String>),
}

impl Environment<'_> {
    /// The value of a variable.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        match self {
            Environment::Unknown => Some(format!("${name}")),
            Environment::Known(get) => get(name),
        }
    }
}

impl fmt::Debug for Environment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Environment::Unknown => "Unknown",
            Environment::Known(_) => "Known",
        })
    }
}

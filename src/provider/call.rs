//! A call to a provider, as plain data for the shell to send.

use std::time::Duration;

/// The host counts in milliseconds and takes 0 for "never".
pub(crate) const LEAST: Duration = Duration::from_millis(1);

/// One HTTP call for the host to make. It has no `Debug`: it carries the token.
pub struct Call {
    /// The Envoy cluster that carries it.
    pub cluster: String,
    /// Request headers, pseudo-headers first.
    pub headers: HeaderList,
    /// When the host gives up, at least 1 ms: the host takes 0 for "never".
    pub timeout: Duration,
}

/// Headers to send, in one piece of memory: a call has eleven, and every request that asks makes one.
#[derive(Clone, PartialEq, Eq)]
pub struct HeaderList {
    text: String,
    /// Where each name and each value ends.
    ends: Vec<(usize, usize)>,
}

impl Default for HeaderList {
    /// An empty list with room for a usual call.
    fn default() -> HeaderList {
        HeaderList { text: String::with_capacity(512), ends: Vec::with_capacity(11) }
    }
}

impl HeaderList {
    /// Adds a header whose value consists of these parts.
    pub(crate) fn push(&mut self, name: &str, value: &[&str]) {
        self.text.push_str(name);
        let name_end = self.text.len();
        value.iter().for_each(|part| self.text.push_str(part));
        self.ends.push((name_end, self.text.len()));
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        let mut begin = 0;
        self.ends.iter().map(move |(name_end, end)| {
            let name = self.text.get(begin..*name_end).unwrap_or_default();
            let value = self.text.get(*name_end..*end).unwrap_or_default();
            begin = *end;
            (name, value)
        })
    }
}

//! The endpoints of providers as a configuration writes them, before they are what the filter needs.

use super::location::Location;
use super::names;
use super::uri::Uri;

/// The endpoints as written; `None` if `userinfo_endpoint` is absent or not an object.
#[derive(Debug)]
pub(super) struct Targets(pub(super) Option<Table>);

#[derive(Debug)]
pub(super) struct Table {
    pub(super) region_header: Option<String>,
    /// `None` if `regionCodeValue` could not be read, so that nothing can be said about codes.
    pub(super) codes: Option<Vec<String>>,
    pub(super) regions: Vec<Region>,
    pub(super) default: Option<Region>,
}

/// One region's endpoint as written.
#[derive(Debug)]
pub(super) struct Region {
    /// The region code, or `default`.
    pub(super) code: String,
    /// In order; at least one.
    pub(super) targets: Vec<Target>,
}

/// One site as written.
#[derive(Debug)]
pub(super) struct Target {
    /// Where it is called.
    pub(super) uri: Uri,
    /// Where the configuration says so.
    pub(super) place: Location,
}

impl Targets {
    /// The codes that are regions; `None` if that cannot be known.
    pub(super) fn codes(&self) -> Option<&[String]> {
        self.0.as_ref()?.codes.as_deref()
    }

    /// Whether the region code is read from this header, in any spelling of its name.
    pub(super) fn read_region_from(&self, name: &str) -> bool {
        let header = self.0.as_ref().and_then(|table| table.region_header.as_deref());
        header.is_some_and(|header| names::same(header, name))
    }

    /// Every site that could be read.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Target> {
        let regions = self.0.iter().flat_map(|table| table.regions.iter().chain(&table.default));
        regions.flat_map(|region| &region.targets)
    }
}

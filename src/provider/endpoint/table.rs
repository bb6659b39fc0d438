//! The endpoints of a policy at which tokens are validated.

use std::rc::Rc;

use crate::claims::rules::ClaimRule;
use crate::provider::endpoint::issuers::UnknownIssuer;
use crate::provider::endpoint::targets::UnknownRegion;
use crate::provider::key::KeyPrefix;
use crate::provider::method::ValidationMethod;
use crate::provider::settings::Site;

/// The endpoints.
#[derive(Debug)]
pub enum Endpoints {
    /// The endpoint's key is absent or not an object: every request with a token is refused.
    NotConfigured,
    /// The endpoints to choose from.
    Configured(EndpointTable),
}

impl Endpoints {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Rc<Endpoint>> {
        let table = match self {
            Endpoints::Configured(table) => Some(table),
            Endpoints::NotConfigured => None,
        };
        table.into_iter().flat_map(|table| table.regions.iter().chain(&table.default))
    }
}

/// The endpoints by region.
#[derive(Debug)]
pub struct EndpointTable {
    /// `regionCodeHeader`, lower-cased, if regions are configured.
    pub region_header: Option<String>,
    /// One per code of `regionCodeValue`, in the order written.
    pub regions: Vec<Rc<Endpoint>>,
    /// `defaultURI`; `None` refuses requests without a matching region.
    pub default: Option<Rc<Endpoint>>,
    /// What a code that is not configured gets.
    pub unknown_region: UnknownRegion,
    /// Where the token's issuer chooses: what a token of another issuer gets.
    pub unknown_issuer: Option<UnknownIssuer>,
}

/// The endpoint of a region, at one site or several, and what its answers become.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The region code as configured, the issuer's name, or `default`.
    pub region: Rc<str>,
    /// The issuer whose tokens go there, where that chooses.
    pub issuer: Option<Rc<str>>,
    /// How tokens are validated there.
    pub method: Rc<dyn ValidationMethod>,
    /// Where it is asked, in order; at least one.
    pub sites: Vec<Site>,
    /// The headers injected for this region.
    pub rules: Rc<[ClaimRule]>,
    /// What is left as filter state, the same for all regions.
    pub state: Rc<[ClaimRule]>,
    /// Whether a rule reads the token's own payload.
    pub reads_token: bool,
    /// What names a question to this endpoint, but for the token.
    pub key: KeyPrefix,
}

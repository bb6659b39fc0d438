//! What holds of the files in `deploy/`: they are what the CustomResourceDefinitions of Istio and Envoy
//! Gateway allow, their filter configurations load, their names agree with each other, and what they
//! say about safety is what the reference configuration says. Nothing here needs Envoy or a cluster.

#[cfg(test)]
mod alerts;
#[cfg(test)]
mod configurations;
#[cfg(test)]
mod files;
#[cfg(test)]
mod releases;
#[cfg(test)]
mod safety;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod schemas;

//! Checks of the files in `deploy/`: they conform to the CustomResourceDefinitions of Istio and
//! Envoy Gateway, their filter configurations load, their names agree with each other, and their
//! safety settings equal the reference configuration's. They must need neither Envoy nor a cluster.

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

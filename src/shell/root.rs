//! One filter configuration: read once, then shared by its streams.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use super::http::Stream;
use super::meter::Meter;
use super::{Filter, host, now};
use crate::config::{self, Egress, Endpoints};
use crate::gate::{Gate, StreamId};

/// How often deadlines are looked at. The host reports its own timeouts, so this bounds only a
/// report that was lost.
const TICK: Duration = Duration::from_millis(50);

/// A filter configuration as the host's root context.
#[derive(Default)]
pub(super) struct Root {
    filter: Option<Rc<Filter>>,
}

impl Context for Root {}

impl RootContext for Root {
    /// A pure function of the configuration's bytes: where it fails only in a worker, Envoy leaves
    /// the filter out and requests go through unauthenticated.
    fn on_configure(&mut self, size: usize) -> bool {
        let Ok(bytes) = host::configuration(size) else {
            // Not `false`: were this to happen in a worker alone, Envoy would leave the filter out.
            log::error!(
                "configuration: Envoy does not give it; every request is answered with 500"
            );
            return true;
        };
        match config::read(&bytes) {
            Err(problems) => {
                for problem in problems {
                    log::error!("configuration refused: {problem}");
                }
                false
            }
            Ok(loaded) => {
                for fault in &loaded.faults {
                    log::error!("configuration: {fault}");
                }
                if let Egress::Proxy { server, port } = &loaded.policy.egress {
                    log_egress(&loaded.policy.endpoints, server, *port);
                }
                let policy = Rc::new(loaded.policy);
                self.filter = Some(Rc::new(Filter {
                    gate: RefCell::new(Gate::new(Rc::clone(&policy))),
                    policy,
                    meter: Meter::of_vm(),
                }));
                host::set_tick_period(TICK);
                true
            }
        }
    }

    fn on_tick(&mut self) {
        let Some(filter) = &self.filter else { return };
        let late = filter.gate.borrow_mut().tick(now());
        for release in late {
            // A stream that is gone has been counted as such. Whoever is late is refused, so there
            // is nothing to resume.
            if host::put_in_effect(release.stream.0).is_ok() {
                filter.carry_out(&release.decision);
            }
        }
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::new(StreamId(id), self.filter.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// The proxy is a property of the cluster in Envoy: say which clusters must carry it.
fn log_egress(endpoints: &Endpoints, server: &str, port: u16) {
    let Endpoints::Configured(table) = endpoints else {
        return;
    };
    for endpoint in table.regions.iter().chain(&table.default) {
        log::info!(
            "cluster {} must reach {} through the forward proxy {server}:{port}",
            endpoint.cluster,
            endpoint.authority
        );
    }
}

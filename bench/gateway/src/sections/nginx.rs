//! The same job by nginx: `auth_request` at the UserInfo endpoint, with a cache of its answers. It reads no
//! claim and edits no header but `Authorization`.

use std::time::Duration;

use anyhow::Result;
use integration::Nginx;

use super::rows;
use crate::load::{self, Order};
use crate::machine::time_used;
use crate::measure::{Bench, CONNECTIONS, Case, in_turn, rounds_of};
use crate::numbers::median;
use crate::report::{Bar, Panel, Section, table};
use crate::servers::{PROVIDER, Rig, Server, UPSTREAM};

const BARE: &str = "nginx, no check";
const CHECKS: &str = "nginx: auth_request, cached";

/// What of nginx's configuration is about this.
fn configuration(rig: &Rig, bare: impl ToString, checks: impl ToString) -> String {
    let (bare, checks) = (bare.to_string(), checks.to_string());
    let [provider, upstream] = [PROVIDER, UPSTREAM].map(|server| rig.backend.at(server));
    format!(
        r#"
        proxy_cache_path cache keys_zone=checks:1m;
        upstream provider {{ server {provider}; keepalive 64; }}
        upstream upstream {{ server {upstream}; keepalive 64; }}
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        keepalive_requests 1000000000;
        server {{
            listen {bare};
            location / {{ proxy_pass http://upstream; }}
        }}
        server {{
            listen {checks};
            location / {{
                auth_request /check;
                proxy_set_header Connection "";
                proxy_set_header Authorization "";
                proxy_pass http://upstream;
            }}
            location = /check {{
                internal;
                proxy_pass http://provider/userinfo;
                proxy_pass_request_body off;
                proxy_set_header Connection "";
                proxy_set_header Content-Length "";
                proxy_cache checks;
                proxy_cache_key $http_authorization;
                proxy_cache_valid 200 1h;
            }}
        }}
        "#
    )
}

pub(crate) async fn run(bench: &Bench) -> Result<Section> {
    let (rounds, time) = if bench.quick { (2, 1) } else { (5, 3) };
    let time = Duration::from_secs(time);
    let rig = Rig::start(&bench.placement, &[Server::default()], rows::chains()?, 1).await?;
    let nginx = Nginx::serving(|bare, checks| configuration(&rig, bare, checks)).await;
    bench.placement.pin_measured(nginx.id())?;

    let by_nginx = |name: &str, at| {
        let case = Case::new(name, "none");
        let order = Order { at, ..case.order(&rig, time) };
        (case, order, nginx.id())
    };
    let by_envoy = |case: Case| {
        let order = case.order(&rig, time);
        (case, order, rig.measured.id())
    };
    let cases = [
        by_nginx(BARE, nginx.http1()),
        by_nginx(CHECKS, nginx.http2()),
        by_envoy(rows::no_filter()),
        by_envoy(rows::hit()),
    ];
    let measure = async |(case, order, process): &(Case, Order, u32)| {
        let before = time_used(*process)?;
        let load = load::run(&bench.placement, order)?;
        let used = time_used(*process)?.saturating_sub(before);
        load.verify(case.forwarded)?;
        let figure = used.as_secs_f64() * 1e6 / load.requests as f64;
        eprintln!("{}: {figure:.2}", case.name);
        Ok(figure)
    };
    // What is asked and connected once is no part of the figures.
    in_turn(&cases, 1, measure).await?;
    let seen = rig.backend.seen().await;
    let figures = in_turn(&cases, rounds, measure).await?;
    let asked = rig.backend.seen().await.since(&seen, PROVIDER);
    anyhow::ensure!(asked == 0, "the provider must not be asked, but saw {asked} requests");

    let figures: Vec<f64> = figures.into_iter().map(median).collect();
    let rows = cases.iter().zip(&figures).enumerate().map(|(n, ((case, ..), cpu))| {
        // Each pair is a proxy without a check and with one.
        let bare = figures[n / 2 * 2];
        let more = if n % 2 == 0 { String::new() } else { format!("{:+.1}", cpu - bare) };
        [case.name.clone(), format!("{cpu:.1}"), more]
    });
    Ok(Section {
        title: "Beside nginx",
        notes: vec![format!(
            "HTTP/1.1, {CONNECTIONS} connections, one known token; {}. nginx caches UserInfo \
             responses by the header `Authorization` for an hour, reads no claim and adds no \
             header. What a check adds compares two designs, the rest two proxies.",
            rounds_of(rounds, time)
        )],
        tables: vec![table(&["proxy", "CPU µs/request", "the check adds"], rows)],
        // The other bars are multiples of Envoy without a filter as well.
        bars: vec![Bar(Panel::Cpu, CHECKS.to_owned(), figures[1] / figures[2])],
        ..Section::default()
    })
}

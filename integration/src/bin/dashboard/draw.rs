//! Panels as SVG: where the dashboard has them, with its titles, units and legends.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

/// Width of the picture, and of one of the dashboard's 24 columns and rows, in pixels.
const WIDTH: f64 = 1200.0;
const COLUMN: f64 = WIDTH / 24.0;
const ROW: f64 = 26.0;
const GAP: f64 = 6.0;

const COLOURS: [&str; 8] =
    ["#0969da", "#cf222e", "#1a7f37", "#9a6700", "#8250df", "#bf3989", "#57606a", "#0a3069"];

/// A curve: its name in the legend, and seconds since the begin with their values.
pub(crate) struct Curve {
    name: String,
    points: Vec<(f64, f64)>,
}

impl Curve {
    /// A series of Prometheus.
    pub(crate) fn of(series: &Value, legend: &str, begin: u64) -> Curve {
        let labels = series["metric"].as_object();
        let mut name = legend.to_owned();
        for (label, value) in labels.into_iter().flatten() {
            name = name.replace(&format!("{{{{{label}}}}}"), value.as_str().unwrap_or_default());
        }
        let values = series["values"].as_array();
        let point = |pair: &Value| {
            let at = pair[0].as_f64()? - begin as f64;
            let value: f64 = pair[1].as_str()?.parse().ok()?;
            value.is_finite().then_some((at, value))
        };
        Curve { name, points: values.into_iter().flatten().filter_map(point).collect() }
    }
}

/// A panel of the dashboard with its curves.
pub(crate) struct Panel {
    pub(crate) title: String,
    /// Whether it shows the last value alone.
    is_number: bool,
    unit: String,
    /// Left, top, width, height, in the dashboard's columns and rows.
    place: [f64; 4],
    curves: Vec<Curve>,
}

impl Panel {
    pub(crate) fn of(panel: &Value, curves: Vec<Curve>) -> Panel {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let place = &panel["gridPos"];
        Panel {
            title: text(&panel["title"]),
            is_number: panel["type"] == "stat",
            unit: text(&panel["fieldConfig"]["defaults"]["unit"]),
            place: ["x", "y", "w", "h"].map(|side| place[side].as_f64().unwrap_or_default()),
            curves: curves.into_iter().filter(|curve| !curve.points.is_empty()).collect(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.curves.is_empty()
    }

    fn draw(&self, out: &mut String, span: f64) {
        let [x, y, w, h] = self.place;
        let (left, top) = (x * COLUMN + GAP / 2.0, y * ROW + GAP / 2.0);
        let (width, height) = (w * COLUMN - GAP, h * ROW - GAP);
        let _ = writeln!(
            out,
            "<g transform=\"translate({left:.0} {top:.0})\"><rect width=\"{width:.0}\" \
             height=\"{height:.0}\" rx=\"4\" fill=\"#fff\" stroke=\"#d0d7de\"/><text x=\"8\" y=\"17\" \
             class=\"t\">{}</text>",
            safe(&self.title)
        );
        match self.curves.first() {
            None => {
                let (middle, at) = (width / 2.0, height / 2.0);
                let _ =
                    writeln!(out, "<text x=\"{middle:.0}\" y=\"{at:.0}\" class=\"m\">none</text>");
            }
            Some(first) if self.is_number => {
                let last = first.points.last().map_or(0.0, |(_, value)| *value);
                let (middle, at) = (width / 2.0, height / 2.0 + 18.0);
                let shown = shown(last, &self.unit);
                let _ = writeln!(
                    out,
                    "<text x=\"{middle:.0}\" y=\"{at:.0}\" class=\"n\">{shown}</text>"
                );
            }
            Some(_) => self.draw_curves(out, [width, height], span),
        }
        out.push_str("</g>\n");
    }

    /// The curves, the largest value beside them, and the legend below.
    fn draw_curves(&self, out: &mut String, [width, height]: [f64; 2], span: f64) {
        let values = self.curves.iter().flat_map(|curve| &curve.points).map(|(_, value)| *value);
        let most = values.fold(0.0_f64, f64::max);
        let scale = if most > 0.0 { most } else { 1.0 };
        let per_line = (width / 150.0).floor().max(1.0) as usize;
        let lines = self.curves.len().div_ceil(per_line) as f64;
        let (from, floor) = (54.0, height - 10.0 - lines * 13.0);
        let (wide, high) = (width - from - 10.0, floor - 30.0);
        let top = shown(most, &self.unit);
        let _ = writeln!(
            out,
            "<text x=\"{:.0}\" y=\"36\" class=\"a\">{top}</text><text x=\"{:.0}\" y=\"{floor:.0}\" \
             class=\"a\">0</text><path d=\"M{from:.0} {floor:.0}h{wide:.0}M{from:.0} 30h{wide:.0}\" \
             stroke=\"#eaeef2\"/>",
            from - 6.0,
            from - 6.0
        );
        for (number, curve) in self.curves.iter().enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            let mut path = String::new();
            for (index, (at, value)) in curve.points.iter().enumerate() {
                let step = if index == 0 { 'M' } else { 'L' };
                let (x, y) = (from + wide * at / span, floor - high * value / scale);
                let _ = write!(path, "{step}{x:.1} {y:.1}");
            }
            let _ = writeln!(
                out,
                "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>"
            );
            let (column, line) = (number % per_line, number / per_line);
            let x = 12.0 + column as f64 * (width - 20.0) / per_line as f64;
            let y = height - 6.0 - (lines - 1.0 - line as f64) * 13.0;
            let _ = writeln!(
                out,
                "<text x=\"{x:.0}\" y=\"{y:.0}\" class=\"l\" fill=\"{colour}\">{}</text>",
                safe(&curve.name)
            );
        }
    }
}

/// A value with its unit, as people read it.
fn shown(value: f64, unit: &str) -> String {
    let number = |value: f64| match value.abs() {
        small if small < 10.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    };
    match unit {
        "percentunit" => format!("{} %", number(value * 100.0)),
        "reqps" => format!("{}/s", number(value)),
        "ms" => format!("{} ms", number(value)),
        "bytes" | "decbytes" => format!("{} kB", number(value / 1000.0)),
        _ => number(value),
    }
}

fn safe(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// All panels; the time axis has this length.
pub(crate) fn svg(panels: &[Panel], span: Duration) -> String {
    let rows = panels.iter().map(|panel| panel.place[1] + panel.place[3]).fold(0.0, f64::max);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH:.0} {0:.0}\" \
         font-family=\"sans-serif\">\n<style>.t{{font-size:12px;font-weight:bold;fill:#24292f}}\
         .n{{font-size:30px;text-anchor:middle;fill:#0969da}}.m{{font-size:12px;text-anchor:middle;\
         fill:#8c959f}}.a{{font-size:9px;text-anchor:end;fill:#57606a}}.l{{font-size:10px}}</style>\n\
         <rect width=\"{WIDTH:.0}\" height=\"{0:.0}\" fill=\"#f6f8fa\"/>\n",
        rows * ROW
    );
    for panel in panels {
        panel.draw(&mut out, span.as_secs_f64());
    }
    out.push_str("</svg>\n");
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_curve_has_its_legend_and_what_is_a_number() {
        let series = json!({
            "metric": {"region": "FR"},
            "values": [[100, "0.5"], [101, "NaN"], [102, "2"]],
        });
        let curve = Curve::of(&series, "calls of {{region}}", 100);
        assert_eq!(curve.name, "calls of FR");
        assert_eq!(curve.points, [(0.0, 0.5), (2.0, 2.0)]);
    }

    #[test]
    fn a_panel_stands_in_its_place_with_its_last_value() {
        let panel = json!({
            "type": "stat", "title": "Pass & co", "gridPos": {"x": 6, "y": 1, "w": 6, "h": 4},
            "fieldConfig": {"defaults": {"unit": "percentunit"}},
        });
        let curve = |values: &[(f64, f64)]| Curve { name: String::new(), points: values.to_vec() };
        let full = Panel::of(&panel, vec![curve(&[(0.0, 0.1), (1.0, 0.934)])]);
        let text = svg(&[full], Duration::from_secs(1));
        assert!(text.contains("translate(303 29)") && text.contains(">Pass &amp; co<"), "{text}");
        assert!(text.contains(">93 %<"), "{text}");
        let empty = Panel::of(&panel, vec![curve(&[])]);
        assert!(empty.is_empty() && svg(&[empty], Duration::from_secs(1)).contains(">none<"));
    }
}

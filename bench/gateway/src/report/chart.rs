//! The chart: a panel for each question, a bar for each way of checking, as SVG. It brings its own
//! background, so that it can be read on light and on dark pages.

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Bar, Panel};

const WIDTH: i32 = 860;
const LEFT: i32 = 340;
const RIGHT: i32 = 80;
const TITLE: i32 = 56;
const STEP: i32 = 30;
const THICK: i32 = 18;

const INK: RGBColor = RGBColor(36, 41, 47);
const OURS: RGBColor = RGBColor(9, 105, 218);
const OTHERS: RGBColor = RGBColor(140, 149, 159);

impl Panel {
    fn title(self) -> &'static str {
        match self {
            Panel::Cpu => "Processor time per request, Envoy without a filter = 1 (less is better)",
            Panel::Calls => {
                "Calls to the provider per 1000 requests of 10 000 users (less is better)"
            }
        }
    }

    fn shown(self, figure: f64) -> String {
        match self {
            Panel::Cpu => format!("{figure:.2}"),
            Panel::Calls => format!("{figure:.1}"),
        }
    }
}

/// Draws the panels that have bars from top to bottom.
pub(super) fn svg(bars: &[Bar]) -> Result<String> {
    let mut text = String::new();
    draw(bars, &mut text).map_err(|error| anyhow!("chart: {error}"))?;
    Ok(text)
}

fn draw(bars: &[Bar], text: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let of = |panel| bars.iter().filter(move |Bar(of, ..)| *of == panel);
    let panels: Vec<Panel> =
        [Panel::Cpu, Panel::Calls].into_iter().filter(|panel| of(*panel).count() > 0).collect();
    let height = TITLE * i32::try_from(panels.len())? + STEP * i32::try_from(bars.len())? + 16;
    let size = (u32::try_from(WIDTH)?, u32::try_from(height)?);
    let area = SVGBackend::with_string(text, size).into_drawing_area();
    area.fill(&WHITE)?;
    let write = |size: i32, across: HPos| {
        TextStyle::from(("sans-serif", size).into_font())
            .color(&INK)
            .pos(Pos::new(across, VPos::Center))
    };
    let mut top = 0;
    for panel in panels {
        area.draw(&Text::new(panel.title(), (20, top + TITLE / 2), write(20, HPos::Left)))?;
        top += TITLE;
        let longest = of(panel).map(|Bar(.., figure)| *figure).fold(0.0, f64::max);
        for Bar(_, name, figure) in of(panel) {
            let middle = top + STEP / 2;
            top += STEP;
            let length = (f64::from(WIDTH - LEFT - RIGHT) * figure / longest) as i32;
            let color = if name.starts_with("ours") { OURS } else { OTHERS };
            let corners = [(LEFT, middle - THICK / 2), (LEFT + length, middle + THICK / 2)];
            area.draw(&Rectangle::new(corners, color.filled()))?;
            area.draw(&Text::new(name.as_str(), (LEFT - 10, middle), write(16, HPos::Right)))?;
            let figure = panel.shown(*figure);
            area.draw(&Text::new(figure, (LEFT + length + 8, middle), write(16, HPos::Left)))?;
        }
    }
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Widths of the bars, in their order.
    fn lengths(svg: &str) -> Vec<i32> {
        let width = |line: &str| line.split("width=\"").nth(1)?.split('"').next()?.parse().ok();
        // The first is the background.
        svg.lines().filter(|line| line.contains("<rect")).skip(1).filter_map(width).collect()
    }

    #[test]
    fn bars_are_as_long_as_their_figures_within_each_panel() {
        let bar = |panel, name: &str, figure| Bar(panel, name.to_owned(), figure);
        let bars = [
            bar(Panel::Calls, "ext_authz", 1000.0),
            bar(Panel::Cpu, "no filter", 1.0),
            bar(Panel::Cpu, "ours", 2.0),
            bar(Panel::Calls, "ours, cached", 78.44),
        ];
        let svg = svg(&bars).unwrap();
        let full = WIDTH - LEFT - RIGHT;
        assert_eq!(lengths(&svg), [full / 2, full, full, full * 7844 / 100_000], "{svg}");
        for text in ["1.00", "2.00", "1000.0", "78.4", "no filter", Panel::Calls.title()] {
            assert!(svg.lines().any(|line| line.trim() == text), "{text}: {svg}");
        }
        let one = super::svg(&bars[1..3]).unwrap();
        assert!(!one.contains(Panel::Calls.title()) && one.contains(Panel::Cpu.title()), "{one}");
    }
}

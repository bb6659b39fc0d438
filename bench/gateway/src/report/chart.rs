//! The chart: a bar for each row, as SVG. It brings its own background, so that it can be read on
//! light and on dark pages.

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

const WIDTH: i32 = 860;
const LEFT: i32 = 340;
const RIGHT: i32 = 80;
const TOP: i32 = 56;
const STEP: i32 = 30;
const THICK: i32 = 18;

const INK: RGBColor = RGBColor(36, 41, 47);
const OURS: RGBColor = RGBColor(9, 105, 218);
const OTHERS: RGBColor = RGBColor(140, 149, 159);

/// Draws them from top to bottom: names, and microseconds of processor time per request.
pub(super) fn svg(bars: &[(String, f64)]) -> Result<String> {
    let mut text = String::new();
    draw(bars, &mut text).map_err(|error| anyhow!("chart: {error}"))?;
    Ok(text)
}

fn draw(bars: &[(String, f64)], text: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let height = TOP + STEP * i32::try_from(bars.len())? + 16;
    let size = (u32::try_from(WIDTH)?, u32::try_from(height)?);
    let area = SVGBackend::with_string(text, size).into_drawing_area();
    area.fill(&WHITE)?;
    let write = |size: i32, across: HPos| {
        TextStyle::from(("sans-serif", size).into_font())
            .color(&INK)
            .pos(Pos::new(across, VPos::Center))
    };
    let title = "Processor time of Envoy per request, microseconds (less is better)";
    area.draw(&Text::new(title, (20, 28), write(20, HPos::Left)))?;
    let longest = bars.iter().map(|(_, cpu)| *cpu).fold(0.0, f64::max);
    for ((name, cpu), place) in bars.iter().zip(0..) {
        let middle = TOP + STEP * place + STEP / 2;
        let length = (f64::from(WIDTH - LEFT - RIGHT) * cpu / longest) as i32;
        let color = if name.starts_with("ours") { OURS } else { OTHERS };
        let corners = [(LEFT, middle - THICK / 2), (LEFT + length, middle + THICK / 2)];
        area.draw(&Rectangle::new(corners, color.filled()))?;
        area.draw(&Text::new(name.as_str(), (LEFT - 10, middle), write(16, HPos::Right)))?;
        let figure = format!("{cpu:.1}");
        area.draw(&Text::new(figure, (LEFT + length + 8, middle), write(16, HPos::Left)))?;
    }
    area.present()?;
    Ok(())
}

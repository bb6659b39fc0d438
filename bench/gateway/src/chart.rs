//! The chart: a bar for each row, as SVG. It brings its own background, so that it can be read on
//! light and on dark pages.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bar {
    name: String,
    /// Microseconds of processor time per request.
    cpu: f64,
}

impl Bar {
    pub(crate) fn new(name: &str, cpu: f64) -> Self {
        Self { name: name.to_owned(), cpu }
    }
}

const WIDTH: i32 = 860;
const LEFT: i32 = 340;
const RIGHT: i32 = 80;
const TOP: i32 = 56;
const STEP: i32 = 30;
const THICK: i32 = 18;

const PAPER: RGBColor = RGBColor(255, 255, 255);
const INK: RGBColor = RGBColor(36, 41, 47);
const OURS: RGBColor = RGBColor(9, 105, 218);
const OTHERS: RGBColor = RGBColor(140, 149, 159);

/// Draws them from top to bottom.
pub(crate) fn svg(bars: &[Bar]) -> Result<String, String> {
    let mut text = String::new();
    draw(bars, &mut text).map_err(|error| format!("chart: {error}"))?;
    Ok(text)
}

fn draw(bars: &[Bar], text: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let height = TOP + STEP * i32::try_from(bars.len())? + 16;
    let size = (u32::try_from(WIDTH)?, u32::try_from(height)?);
    let area = SVGBackend::with_string(text, size).into_drawing_area();
    area.fill(&PAPER)?;
    let write = |size: i32, across: HPos| {
        TextStyle::from(("sans-serif", size).into_font())
            .color(&INK)
            .pos(Pos::new(across, VPos::Center))
    };
    let title = "Processor time of Envoy per request, microseconds (less is better)";
    area.draw(&Text::new(title, (20, 28), write(20, HPos::Left)))?;
    let longest = bars.iter().map(|bar| bar.cpu).fold(0.0, f64::max);
    for (bar, place) in bars.iter().zip(0..) {
        let middle = TOP + STEP * place + STEP / 2;
        let length = (f64::from(WIDTH - LEFT - RIGHT) * bar.cpu / longest) as i32;
        let color = if bar.name.starts_with("ours") { OURS } else { OTHERS };
        let corners = [(LEFT, middle - THICK / 2), (LEFT + length, middle + THICK / 2)];
        area.draw(&Rectangle::new(corners, color.filled()))?;
        area.draw(&Text::new(bar.name.as_str(), (LEFT - 10, middle), write(16, HPos::Right)))?;
        let figure = format!("{:.1}", bar.cpu);
        area.draw(&Text::new(figure, (LEFT + length + 8, middle), write(16, HPos::Left)))?;
    }
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_figure() {
        let svg = svg(&[Bar::new("ours: hit", 20.0), Bar::new("peer", 40.0)]).unwrap();
        let full = WIDTH - LEFT - RIGHT;
        assert!(svg.contains(&format!("width=\"{}\"", full / 2)), "{svg}");
        assert!(svg.contains(&format!("width=\"{full}\"")), "{svg}");
        for text in ["ours: hit", "peer", "20.0", "40.0"] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
        assert!(svg.contains("#0969DA") && svg.contains("#8C959F"), "{svg}");
    }
}

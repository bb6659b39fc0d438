//! `--record FILE`: the walk as a picture that plays by itself, an SVG: one step after the other, as on a
//! terminal. It draws what was printed, and must never add to it.

use std::fmt::Write as _;

/// How long each step is looked at, in seconds.
const STEP: f64 = 3.0;
/// How long the end stays.
const END: f64 = 4.0;
/// Lines of the window.
const ROWS: usize = 24;
/// Columns of the window; a longer line is cut.
const COLUMNS: usize = 104;
/// Height of a line and width of a column, in pixels.
const LINE: usize = 18;
const COLUMN: f64 = 7.8;
const MARGIN: usize = 16;

/// Draws the blocks that were printed, with their colours as a terminal gets them.
pub(crate) fn svg(blocks: &[String]) -> String {
    let blocks: Vec<Vec<&str>> = blocks.iter().map(|block| block.lines().collect()).collect();
    let seconds = STEP * blocks.len() as f64 + END;
    let share = |block: usize| STEP * block as f64 / seconds * 100.0;
    let (mut text, mut style, mut scroll) = (String::new(), String::new(), String::new());
    let mut row = 0;
    for (number, lines) in blocks.iter().enumerate() {
        let _ = writeln!(text, "<g class=\"b{number}\">");
        for line in lines {
            row += 1;
            let _ = writeln!(text, "<text y=\"{}\">{}</text>", row * LINE, spans(line));
        }
        text.push_str("</g>\n");
        let at = share(number);
        let up = row.saturating_sub(ROWS) * LINE;
        let _ = writeln!(scroll, "{at:.2}% {{ transform: translateY(-{up}px) }}");
        if number > 0 {
            let _ = writeln!(
                style,
                "@keyframes b{number} {{ 0% {{ opacity: 0 }} {at:.2}% {{ opacity: 1 }} }}\n.b{number} \
                 {{ animation: b{number} {seconds}s step-end infinite }}"
            );
        }
    }
    let (width, height) = (COLUMNS as f64 * COLUMN + 32.0, ROWS * LINE + 2 * MARGIN);
    let inner = ROWS * LINE + 8;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height}\" \
         viewBox=\"0 0 {width:.0} {height}\">\n<style>\n\
         text {{ font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; white-space: pre; \
         fill: #d0d7de }}\n\
         .bold {{ font-weight: bold; fill: #ffffff }}\n.dim {{ fill: #8b949e }}\n.red {{ fill: #ff7b72 \
         }}\n.green {{ fill: #7ee787 }}\n\
         @keyframes scroll {{\n{scroll}}}\n.all {{ animation: scroll {seconds}s step-end infinite \
         }}\n{style}</style>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#0d1117\"/>\n\
         <svg x=\"{MARGIN}\" y=\"{MARGIN}\" height=\"{inner}\"><g class=\"all\">\n{text}</g></svg>\n</svg>\n"
    )
}

/// A line with its colours as spans.
fn spans(line: &str) -> String {
    let (mut out, mut class, mut column) = (String::new(), "", 0);
    for (index, part) in line.split('\x1b').enumerate() {
        let shown = match part.strip_prefix('[').and_then(|rest| rest.split_once('m')) {
            Some((code, rest)) if index > 0 => {
                class = match code {
                    "1" => "bold",
                    "2" => "dim",
                    "31" => "red",
                    "32" => "green",
                    _ => "",
                };
                rest
            }
            _ => part,
        };
        let room: String = shown.chars().take(COLUMNS.saturating_sub(column)).collect();
        column += room.chars().count();
        if room.is_empty() {
            continue;
        }
        let safe = room.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _ = match class {
            "" => write!(out, "{safe}"),
            class => write!(out, "<tspan class=\"{class}\">{safe}</tspan>"),
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_become_spans_and_text_is_escaped() {
        assert_eq!(
            spans("\x1b[1mA & B\x1b[0m <c> \x1b[32m+ x\x1b[0m"),
            "<tspan class=\"bold\">A &amp; B</tspan> &lt;c&gt; <tspan class=\"green\">+ x</tspan>"
        );
        assert_eq!(spans(&"x".repeat(COLUMNS + 5)).len(), COLUMNS);
    }

    #[test]
    fn each_block_appears_after_the_one_before_and_the_last_is_in_sight() {
        let long = "line\n".repeat(ROWS);
        let svg = svg(&["first\n".to_owned(), long, "last <b>\n".to_owned()]);
        // 3 steps of 3 s, and 4 s at the end.
        assert!(svg.contains(".b1 { animation: b1 13s step-end infinite }"), "{svg}");
        assert!(svg.contains("@keyframes b2 { 0% { opacity: 0 } 46.15% { opacity: 1 } }"), "{svg}");
        let up = 2 * LINE;
        assert!(svg.contains(&format!("46.15% {{ transform: translateY(-{up}px) }}")), "{svg}");
        assert!(svg.contains("last &lt;b&gt;") && !svg.contains("<b>"), "{svg}");
    }
}

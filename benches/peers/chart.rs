//! The results as a bar chart.

use std::fmt::Write as _;

use crate::Bench;
use crate::candidates::Role;
use crate::results::{Column, title};

const LABELS: usize = 150;
const BARS: usize = 300;
const VALUES: usize = 90;
const PANEL: usize = LABELS + BARS + VALUES;
const LINE: usize = 20;
const PANELS_A_ROW: usize = 2;
const MARGIN: usize = 20;

/// An SVG with a panel for each column. The shortest bar is the best.
pub fn svg(bench: &Bench, columns: &[Column]) -> String {
    let height = (bench.candidates.len() + 2) * LINE;
    let rows = columns.len().div_ceil(PANELS_A_ROW);
    let (whole_width, whole_height) = (PANELS_A_ROW * (PANEL + MARGIN) + MARGIN, rows * height + MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {whole_width} {whole_height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for (index, column) in columns.iter().enumerate() {
        let x = MARGIN + index % PANELS_A_ROW * (PANEL + MARGIN);
        let y = MARGIN + index / PANELS_A_ROW * height;
        let _ = writeln!(svg, "<g transform=\"translate({x} {y})\">");
        panel(&mut svg, bench, column);
        svg.push_str("</g>\n");
    }
    svg + "</svg>\n"
}

fn panel(svg: &mut String, bench: &Bench, column: &Column) {
    let _ = writeln!(
        svg,
        "<text y=\"12\"><tspan font-weight=\"bold\">{}</tspan>, {}</text>",
        column.name, column.unit
    );
    let longest = column.values.iter().flatten().copied().fold(f64::MIN_POSITIVE, f64::max);
    for (index, candidate) in bench.candidates.iter().enumerate() {
        let y = (index + 1) * LINE;
        let baseline = y + 13;
        let bar = (column.values[index].unwrap_or(0.0) / longest).max(0.0) * BARS as f64;
        let colour = match candidate.role {
            Role::Sexton => "#1f6f4a",
            Role::Peer => "#8a94a0",
            Role::Bare | Role::Floor => "#d3d8de",
        };
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{baseline}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{LABELS}\" y=\"{y}\" width=\"{bar:.1}\" height=\"{}\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{baseline}\" fill=\"#444\">{}</text>",
            LABELS - 8,
            title(candidate),
            LINE - 4,
            LABELS as f64 + bar + 5.0,
            column.text(index)
        );
    }
}

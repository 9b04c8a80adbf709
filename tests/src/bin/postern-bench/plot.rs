//! How long a connect takes, against how much is there already, as an SVG.

use std::path::Path;

use plotters::prelude::*;

use crate::row::Row;

const WORK: &str = "connect 1 port";
const COLOURS: [RGBColor; 5] = [
    RGBColor(0x1b, 0x6f, 0xb3),
    RGBColor(0xc4, 0x4e, 0x1c),
    RGBColor(0x3a, 0x86, 0x3a),
    RGBColor(0x7a, 0x4f, 0xa3),
    RGBColor(0x60, 0x60, 0x60),
];

/// Who did the work, with the median in milliseconds at each size.
type Series<'a> = (&'a str, Vec<(f64, f64)>);

fn series(rows: &[Row]) -> Vec<Series<'_>> {
    let mut all: Vec<Series<'_>> = Vec::new();
    for row in rows.iter().filter(|row| row.work == WORK) {
        let Some(p50) = row.p50 else { continue };
        let point = (f64::from(row.size.max(1)), p50);
        match all.iter_mut().find(|(subject, _)| *subject == row.subject) {
            Some((_, points)) => points.push(point),
            None => all.push((&row.subject, vec![point])),
        }
    }
    all
}

/// Draws it; nothing if nothing was measured.
///
/// # Errors
/// In words: the file cannot be written.
pub(crate) fn draw(path: &Path, rows: &[Row]) -> Result<(), String> {
    let all = series(rows);
    if all.is_empty() {
        return Ok(());
    }
    drawn(path, &all).map_err(|error| format!("{}: {error}", path.display()))
}

fn drawn(path: &Path, all: &[Series<'_>]) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::new(path, (760, 440)).into_drawing_area();
    root.fill(&WHITE)?;
    let highest = all.iter().flat_map(|(_, points)| points).map(|(_, y)| *y).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(&root)
        .caption("Connect an endpoint with one port (median)", ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d((8.0..10_000.0).log_scale(), (0.5..highest * 2.0).log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(BLACK.mix(0.05))
        .x_desc("endpoints that are there already")
        .y_desc("milliseconds")
        .draw()?;
    for ((subject, points), colour) in all.iter().zip(COLOURS.iter().cycle()) {
        let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2));
        let colour = *colour;
        chart
            .draw_series(line)?
            .label(*subject)
            .legend(move |(x, y)| Rectangle::new([(x, y - 4), (x + 14, y + 4)], colour.filled()));
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 4, colour.filled())))?;
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
    root.present()?;
    Ok(())
}

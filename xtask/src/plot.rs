//! Pictures (PNG) of measured figures for the documentation.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use plotters::prelude::*;
use plotters::style::register_font;

/// Fonts of Debian (`fonts-dejavu-core`, `fonts-liberation`), one of which is enough.
const FONTS: &[&str] = &[
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/truetype/liberation/LiberationSans-Regular.ttf",
];
const SIZE: (u32, u32) = (960, 480);

/// One line of a picture.
pub(crate) struct Line<'a> {
    pub(crate) label: &'a str,
    pub(crate) points: Vec<(f64, f64)>,
}

/// What stands around the lines.
pub(crate) struct Labels<'a> {
    pub(crate) title: &'a str,
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
}

/// Writes lines over a common x; y begins at 0.
pub(crate) fn lines(file: &Path, labels: &Labels<'_>, lines: &[Line<'_>]) -> anyhow::Result<()> {
    load_font()?;
    draw(file, labels, lines).map_err(|error| anyhow!("{}: {error}", file.display()))
}

fn load_font() -> anyhow::Result<()> {
    let font = FONTS.iter().find_map(|file| std::fs::read(file).ok());
    let font = font.context("no font for pictures: sudo apt-get install fonts-dejavu-core")?;
    // plotters keeps a font for as long as the program lives.
    register_font("sans-serif", FontStyle::Normal, font.leak())
        .map_err(|_| anyhow!("the font can't be read"))
}

fn draw(
    file: &Path,
    labels: &Labels<'_>,
    lines: &[Line<'_>],
) -> Result<(), Box<dyn std::error::Error>> {
    let area = BitMapBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let (x, y) = ranges(lines);
    let mut chart = ChartBuilder::on(&area)
        .caption(labels.title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .x_desc(labels.x)
        .y_desc(labels.y)
        .light_line_style(WHITE)
        .label_style(("sans-serif", 14))
        .draw()?;
    for (at, line) in lines.iter().enumerate() {
        let color = Palette99::pick(at).to_rgba();
        chart
            .draw_series(LineSeries::new(line.points.iter().copied(), color))?
            .label(line.label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE)
        .border_style(BLACK)
        .label_font(("sans-serif", 14))
        .draw()?;
    area.present()?;
    Ok(())
}

/// All points, and a little room above.
fn ranges(lines: &[Line<'_>]) -> (Range<f64>, Range<f64>) {
    let all = || lines.iter().flat_map(|line| &line.points);
    let most = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max);
    let x_end = most(&mut all().map(|(x, _)| *x));
    let y_end = most(&mut all().map(|(_, y)| *y));
    (0.0..x_end, 0.0..y_end * 1.1)
}

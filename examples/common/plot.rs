//! Draws line charts as PNG files, and text on pictures, with `plotters` and the font in `examples/data`.

use super::picture;
use image::{RgbImage, imageops};
use plotters::prelude::*;
use plotters::style::register_font;
use std::error::Error;
use std::path::Path;

const WIDTH: u32 = 1000;
const HEIGHT: u32 = 620;
/// A chart is drawn this many times larger and then scaled down, because `plotters` does not antialias wide lines.
const FINER: u32 = 3;
/// If a chart has at most this many points, each is marked with a dot.
const DOTS: usize = 40;
const INK: RGBColor = RGBColor(45, 52, 64);
const LINE: RGBColor = RGBColor(37, 99, 200);
const FONT: &str = "examples";

/// Writes a chart of one line. The n-th value is drawn at x = n, counted from 1. A value that is not finite, or is too
/// large for a range of finite length, leaves a gap.
pub fn line_chart(
    path: impl AsRef<Path>,
    title: &str,
    x_label: &str,
    y_label: &str,
    values: &[f64],
) -> Result<(), Box<dyn Error>> {
    let mut chart = RgbImage::new(WIDTH * FINER, HEIGHT * FINER);
    draw(&mut chart, title, [x_label, y_label], values)?;
    picture::save(&imageops::resize(&chart, WIDTH, HEIGHT, imageops::FilterType::Triangle), path)
}

fn draw(picture: &mut RgbImage, title: &str, labels: [&str; 2], values: &[f64]) -> Result<(), Box<dyn Error>> {
    let finite = || values.iter().copied().filter(|value| is_finite(*value));
    // the range of y includes 0, is never empty, and has some room above
    let (low, high) = (finite().fold(0.0, f64::min), finite().fold(0.0, f64::max));
    let high = if high > low { high + (high - low) * 0.05 } else { low + 1.0 };
    let root = canvas(picture)?;
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, letters(32.0 * f64::from(FINER)))
        .margin(16 * FINER)
        .x_label_area_size(56 * FINER)
        .y_label_area_size(80 * FINER)
        .build_cartesian_2d(1..values.len().max(2), low..high)?;
    let mut mesh = chart.configure_mesh();
    mesh.x_desc(labels[0]).y_desc(labels[1]).label_style(letters(20.0 * f64::from(FINER)));
    mesh.set_all_tick_mark_size(6 * FINER);
    mesh.axis_style(INK.stroke_width(FINER))
        .bold_line_style(INK.mix(0.15).stroke_width(FINER))
        .light_line_style(TRANSPARENT);
    let power = |value: &f64| format!("{value:.1e}");
    if !(1e-3..1e5).contains(&(high - low)) {
        mesh.y_label_formatter(&power);
    }
    mesh.draw()?;
    let points: Vec<(usize, f64)> = (1..).zip(values.iter().copied()).collect();
    for run in points.split(|(_, value)| !is_finite(*value)) {
        // a point without neighbours has no line, so it is always marked with a dot
        let size = if run.len() == 1 || values.len() <= DOTS { 4 * FINER } else { 0 };
        let style = LINE.stroke_width(2 * FINER).filled();
        chart.draw_series(LineSeries::new(run.iter().copied(), style).point_size(size))?;
    }
    root.present()?;
    Ok(())
}

/// Returns whether a value can be drawn. The bound leaves room for the sum of two values.
fn is_finite(value: f64) -> bool {
    value.abs() < 1e300
}

/// Writes texts on a picture. Each position is the top left corner of its text.
pub fn write<'a>(
    picture: &mut RgbImage,
    texts: impl Iterator<Item = ([u32; 2], &'a str)>,
) -> Result<(), Box<dyn Error>> {
    let root = canvas(picture)?;
    for ([x, y], text) in texts {
        root.draw_text(text, &letters(18.0), (x.try_into()?, y.try_into()?))?;
    }
    root.present()?;
    Ok(())
}

/// Returns the drawing area with which `plotters` draws into a picture.
fn canvas(picture: &mut RgbImage) -> Result<DrawingArea<BitMapBackend<'_>, plotters::coord::Shift>, Box<dyn Error>> {
    let font = include_bytes!("../data/font.ttf");
    register_font(FONT, FontStyle::Normal, font).map_err(|_| "the font cannot be read")?;
    let size = picture.dimensions();
    Ok(BitMapBackend::with_buffer(picture, size).into_drawing_area())
}

fn letters(size: f64) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK)
}

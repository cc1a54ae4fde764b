//! Line charts as PNG files, with nothing but the `png` crate.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

const WIDTH: usize = 1000;
const HEIGHT: usize = 620;
/// The plot's area: left, top, right, bottom.
const AREA: [f64; 4] = [110.0, 92.0, 970.0, 540.0];
const LINE: f64 = 2.6;
/// Up to so many points are marked with a dot.
const DOTS: usize = 40;

pub type Rgb = [u8; 3];
const PAPER: Rgb = [255, 255, 255];
const PANEL: Rgb = [247, 249, 252];
const GRID: Rgb = [222, 227, 235];
const AXIS: Rgb = [120, 130, 145];
const INK: Rgb = [45, 52, 64];
const FAINT: Rgb = [95, 104, 118];
const COLOURS: [Rgb; 8] = [
    [37, 99, 200],
    [226, 106, 20],
    [22, 145, 90],
    [205, 50, 65],
    [125, 78, 195],
    [12, 150, 170],
    [200, 70, 150],
    [130, 110, 60],
];

/// Writes a chart of one line a series: its n-th value stands at x = n, from 1. A value that is not finite leaves a gap.
pub fn line_chart(
    path: impl AsRef<Path>,
    title: &str,
    x_label: &str,
    y_label: &str,
    series: &[(&str, &[f64])],
) -> io::Result<()> {
    let path = path.as_ref();
    let canvas = draw(title, x_label, y_label, series);
    canvas.save(path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn draw(title: &str, x_label: &str, y_label: &str, series: &[(&str, &[f64])]) -> Canvas {
    let [left, top, right, bottom] = AREA;
    let mut canvas = Canvas::new();
    canvas.rectangle(AREA, PANEL);
    canvas.text(left, 18.0, 3.0, INK, title);
    legend(&mut canvas, series);

    let longest = series.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
    let x = Axis::counts(longest, left, right);
    let values = series.iter().flat_map(|(_, values)| values.iter().copied());
    let y = Axis::values(values, bottom, top);
    for tick in x.ticks() {
        let at = x.place(tick).round();
        canvas.rectangle([at, top, at + 1.0, bottom], GRID);
        canvas.rectangle([at, bottom, at + 1.0, bottom + 6.0], AXIS);
        let label = x.label(tick);
        canvas.text(at - text_width(&label, 2.0) / 2.0, bottom + 12.0, 2.0, FAINT, &label);
    }
    for tick in y.ticks() {
        let at = y.place(tick).round();
        canvas.rectangle([left, at, right, at + 1.0], GRID);
        canvas.rectangle([left - 6.0, at, left, at + 1.0], AXIS);
        let label = y.label(tick);
        canvas.text(left - 12.0 - text_width(&label, 2.0), at - 7.0, 2.0, FAINT, &label);
    }
    canvas.rectangle([left, top, left + 1.0, bottom + 1.0], AXIS);
    canvas.rectangle([left, bottom, right, bottom + 1.0], AXIS);
    canvas.text((left + right - text_width(x_label, 2.0)) / 2.0, bottom + 42.0, 2.0, INK, x_label);
    canvas.text_upwards(12.0, (top + bottom + text_width(y_label, 2.0)) / 2.0, 2.0, INK, y_label);

    for (index, (_, values)) in series.iter().enumerate() {
        let points: Vec<Option<[f64; 2]>> =
            values.iter().enumerate().map(|(i, &v)| usable(v).then(|| [x.place((i + 1) as f64), y.place(v)])).collect();
        let mut mask = Mask::new();
        for pair in points.windows(2) {
            if let [Some(a), Some(b)] = pair {
                mask.capsule(*a, *b, LINE / 2.0);
            }
        }
        for (i, point) in points.iter().enumerate() {
            let neighbour = |j: Option<usize>| j.and_then(|j| points.get(j).copied().flatten()).is_some();
            let alone = !neighbour(i.checked_sub(1)) && !neighbour(Some(i + 1));
            if let Some(point) = point.filter(|_| alone || points.len() <= DOTS) {
                mask.capsule(point, point, 1.6 * LINE);
            }
        }
        canvas.blend(&mask, colour(index));
    }
    canvas
}

/// One row under the title; what does not fit is left out.
fn legend(canvas: &mut Canvas, series: &[(&str, &[f64])]) {
    let mut at = AREA[0];
    for (index, (name, _)) in series.iter().enumerate() {
        let mut mask = Mask::new();
        mask.capsule([at + 2.0, 65.0], [at + 24.0, 65.0], 2.0);
        canvas.blend(&mask, colour(index));
        canvas.text(at + 34.0, 58.0, 2.0, INK, name);
        at += 34.0 + text_width(name, 2.0) + 28.0;
    }
}

fn colour(index: usize) -> Rgb {
    COLOURS[index % COLOURS.len()]
}

/// Finite, and small enough for a range to be finite too.
fn usable(value: f64) -> bool {
    value.abs() < 1e300
}

// --- axes ---

/// A range of values that begins and ends at a tick, and where it lies on the canvas.
struct Axis {
    low: f64,
    high: f64,
    step: f64,
    from: f64,
    to: f64,
    /// No tick outside of these.
    first: f64,
    last: f64,
}

impl Axis {
    /// The numbers 1 to n.
    fn counts(n: usize, from: f64, to: f64) -> Axis {
        let last = n.max(1) as f64;
        let margin = ((last - 1.0) * 0.02).max(if last == 1.0 { 1.0 } else { 0.0 });
        let step = nice((last - 1.0) / 9.0).max(1.0);
        Axis { low: 1.0 - margin, high: last + margin, step, from, to, first: 1.0, last }
    }

    fn values(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Axis {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| usable(*value)) {
            low = low.min(value);
            high = high.max(value);
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        // a range near zero shows zero, and one without height gets some
        if low > 0.0 && low < 0.3 * high {
            low = 0.0;
        }
        if high - low <= 1e-9 * high.abs().max(low.abs()) {
            let room = if high == 0.0 { 1.0 } else { 0.1 * high.abs() };
            (low, high) = (low - room, high + room);
        }
        let step = nice((high - low) / 6.0);
        let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
        Axis { low, high, step, from, to, first: low, last: high }
    }

    fn place(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let (step, slack) = (self.step, 1e-6 * self.step);
        let (first, last) = ((self.first - slack) / step, (self.last + slack) / step);
        let (first, last) = (first.ceil() as i64, last.floor() as i64);
        (first..=last).map(move |i| i as f64 * step)
    }

    fn label(&self, tick: f64) -> String {
        let largest = self.low.abs().max(self.high.abs());
        let digit = (self.step.log10() + 1e-9).floor();
        if tick == 0.0 {
            "0".to_string()
        } else if largest >= 1e6 || digit < -5.0 {
            let decimals = (largest.log10().floor() - digit).max(0.0) as usize;
            format!("{tick:.decimals$e}")
        } else {
            let decimals = (-digit).max(0.0) as usize;
            format!("{tick:.decimals$}")
        }
    }
}

/// The smallest of 1, 2, 5 times a power of ten that is not below `step`.
fn nice(step: f64) -> f64 {
    let unit = 10f64.powf(step.max(f64::MIN_POSITIVE).log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    unit * factors.into_iter().find(|factor| factor * unit >= step * (1.0 - 1e-9)).unwrap_or(10.0)
}

// --- pixels ---

/// How much of each pixel a line covers, 0 to 1: a line that crosses itself is not darker there.
struct Mask(Vec<f32>);

impl Mask {
    fn new() -> Mask {
        Mask(vec![0.0; WIDTH * HEIGHT])
    }

    /// A segment with round ends.
    fn capsule(&mut self, a: [f64; 2], b: [f64; 2], radius: f64) {
        let reach = radius + 1.0;
        let span = |p: f64, q: f64, size: usize| {
            let clamp = |v: f64| v.clamp(0.0, size as f64) as usize;
            clamp((p.min(q) - reach).floor())..clamp((p.max(q) + reach).ceil())
        };
        let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
        let square = dx * dx + dy * dy;
        for row in span(a[1], b[1], HEIGHT) {
            for column in span(a[0], b[0], WIDTH) {
                let (px, py) = (column as f64 + 0.5 - a[0], row as f64 + 0.5 - a[1]);
                let along = if square > 0.0 { ((px * dx + py * dy) / square).clamp(0.0, 1.0) } else { 0.0 };
                let distance = (px - along * dx).hypot(py - along * dy);
                let covered = (radius + 0.5 - distance).clamp(0.0, 1.0) as f32;
                let pixel = &mut self.0[row * WIDTH + column];
                *pixel = pixel.max(covered);
            }
        }
    }
}

struct Canvas(Vec<Rgb>);

impl Canvas {
    fn new() -> Canvas {
        Canvas(vec![PAPER; WIDTH * HEIGHT])
    }

    /// From left and top up to, not including, right and bottom.
    fn rectangle(&mut self, [left, top, right, bottom]: [f64; 4], colour: Rgb) {
        let clamp = |v: f64, size: usize| v.clamp(0.0, size as f64) as usize;
        let (left, right) = (clamp(left, WIDTH), clamp(right, WIDTH));
        for row in clamp(top, HEIGHT)..clamp(bottom, HEIGHT) {
            self.0[row * WIDTH..][left.min(right)..right].fill(colour);
        }
    }

    fn blend(&mut self, mask: &Mask, colour: Rgb) {
        for (pixel, &covered) in self.0.iter_mut().zip(&mask.0).filter(|(_, covered)| **covered > 0.0) {
            for (channel, target) in pixel.iter_mut().zip(colour) {
                let (old, new) = (f32::from(*channel), f32::from(target));
                *channel = (old + (new - old) * covered).round() as u8;
            }
        }
    }

    /// Text whose first letter's upper left corner is at (x, y).
    fn text(&mut self, x: f64, y: f64, scale: f64, colour: Rgb, text: &str) {
        let (x, y) = (x.round(), y.round());
        for (column, row) in dots(text) {
            let (left, top) = (x + column as f64 * scale, y + row as f64 * scale);
            self.rectangle([left, top, left + scale, top + scale], colour);
        }
    }

    /// The same, read from below.
    fn text_upwards(&mut self, x: f64, y: f64, scale: f64, colour: Rgb, text: &str) {
        let (x, y) = (x.round(), y.round());
        for (column, row) in dots(text) {
            let (left, bottom) = (x + row as f64 * scale, y - column as f64 * scale);
            self.rectangle([left, bottom - scale, left + scale, bottom], colour);
        }
    }

    fn save(&self, path: &Path) -> io::Result<()> {
        let file = BufWriter::new(File::create(path)?);
        let mut encoder = png::Encoder::new(file, WIDTH as u32, HEIGHT as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(self.0.as_flattened())?;
        Ok(writer.finish()?)
    }
}

// --- letters ---

/// The inked dots of a text, as column and row.
pub(super) fn dots(text: &str) -> impl Iterator<Item = (usize, usize)> {
    text.chars().enumerate().flat_map(|(place, letter)| {
        let glyph = FONT[(letter as usize).checked_sub(32).filter(|i| *i < FONT.len()).unwrap_or('?' as usize - 32)];
        (0..5).flat_map(move |column| {
            (0..8).filter(move |row| glyph[column] >> row & 1 == 1).map(move |row| (place * 6 + column, row))
        })
    })
}

pub(super) fn text_width(text: &str, scale: f64) -> f64 {
    (text.chars().count() * 6).saturating_sub(1) as f64 * scale
}

/// The printable ASCII characters, 5 columns of 7 dots, the lowest bit on top; the eighth row is for the tails of g j p q y.
#[rustfmt::skip]
const FONT: [[u8; 5]; 95] = [
    *b"\x00\x00\x00\x00\x00", *b"\x00\x00\x5f\x00\x00", *b"\x00\x07\x00\x07\x00", *b"\x14\x7f\x14\x7f\x14", // space ! " #
    *b"\x24\x2a\x7f\x2a\x12", *b"\x23\x13\x08\x64\x62", *b"\x36\x49\x55\x22\x50", *b"\x00\x05\x03\x00\x00", // $ % & '
    *b"\x00\x1c\x22\x41\x00", *b"\x00\x41\x22\x1c\x00", *b"\x14\x08\x3e\x08\x14", *b"\x08\x08\x3e\x08\x08", // ( ) * +
    *b"\x00\x50\x30\x00\x00", *b"\x08\x08\x08\x08\x08", *b"\x00\x60\x60\x00\x00", *b"\x20\x10\x08\x04\x02", // , - . /
    *b"\x3e\x51\x49\x45\x3e", *b"\x00\x42\x7f\x40\x00", *b"\x42\x61\x51\x49\x46", *b"\x21\x41\x45\x4b\x31", // 0 1 2 3
    *b"\x18\x14\x12\x7f\x10", *b"\x27\x45\x45\x45\x39", *b"\x3c\x4a\x49\x49\x30", *b"\x01\x71\x09\x05\x03", // 4 5 6 7
    *b"\x36\x49\x49\x49\x36", *b"\x06\x49\x49\x29\x1e", *b"\x00\x36\x36\x00\x00", *b"\x00\x56\x36\x00\x00", // 8 9 : ;
    *b"\x08\x14\x22\x41\x00", *b"\x14\x14\x14\x14\x14", *b"\x00\x41\x22\x14\x08", *b"\x02\x01\x51\x09\x06", // < = > ?
    *b"\x32\x49\x79\x41\x3e", *b"\x7e\x11\x11\x11\x7e", *b"\x7f\x49\x49\x49\x36", *b"\x3e\x41\x41\x41\x22", // @ A B C
    *b"\x7f\x41\x41\x22\x1c", *b"\x7f\x49\x49\x49\x41", *b"\x7f\x09\x09\x09\x01", *b"\x3e\x41\x49\x49\x7a", // D E F G
    *b"\x7f\x08\x08\x08\x7f", *b"\x00\x41\x7f\x41\x00", *b"\x20\x40\x41\x3f\x01", *b"\x7f\x08\x14\x22\x41", // H I J K
    *b"\x7f\x40\x40\x40\x40", *b"\x7f\x02\x0c\x02\x7f", *b"\x7f\x04\x08\x10\x7f", *b"\x3e\x41\x41\x41\x3e", // L M N O
    *b"\x7f\x09\x09\x09\x06", *b"\x3e\x41\x51\x21\x5e", *b"\x7f\x09\x19\x29\x46", *b"\x46\x49\x49\x49\x31", // P Q R S
    *b"\x01\x01\x7f\x01\x01", *b"\x3f\x40\x40\x40\x3f", *b"\x1f\x20\x40\x20\x1f", *b"\x3f\x40\x38\x40\x3f", // T U V W
    *b"\x63\x14\x08\x14\x63", *b"\x07\x08\x70\x08\x07", *b"\x61\x51\x49\x45\x43", *b"\x00\x7f\x41\x41\x00", // X Y Z [
    *b"\x02\x04\x08\x10\x20", *b"\x00\x41\x41\x7f\x00", *b"\x04\x02\x01\x02\x04", *b"\x40\x40\x40\x40\x40", // \ ] ^ _
    *b"\x00\x01\x02\x04\x00", *b"\x20\x54\x54\x54\x78", *b"\x7f\x48\x44\x44\x38", *b"\x38\x44\x44\x44\x20", // ` a b c
    *b"\x38\x44\x44\x48\x7f", *b"\x38\x54\x54\x54\x18", *b"\x08\x7e\x09\x01\x02", *b"\x18\xa4\xa4\xa4\x7c", // d e f g
    *b"\x7f\x08\x04\x04\x78", *b"\x00\x44\x7d\x40\x00", *b"\x40\x80\x84\x7d\x00", *b"\x7f\x10\x28\x44\x00", // h i j k
    *b"\x00\x41\x7f\x40\x00", *b"\x7c\x04\x18\x04\x78", *b"\x7c\x08\x04\x04\x78", *b"\x38\x44\x44\x44\x38", // l m n o
    *b"\xfc\x24\x24\x24\x18", *b"\x18\x24\x24\x24\xfc", *b"\x7c\x08\x04\x04\x08", *b"\x48\x54\x54\x54\x20", // p q r s
    *b"\x04\x3f\x44\x40\x20", *b"\x3c\x40\x40\x20\x7c", *b"\x1c\x20\x40\x20\x1c", *b"\x3c\x40\x30\x40\x3c", // t u v w
    *b"\x44\x28\x10\x28\x44", *b"\x1c\xa0\xa0\xa0\x7c", *b"\x44\x64\x54\x4c\x44", *b"\x00\x08\x36\x41\x00", // x y z {
    *b"\x00\x00\x7f\x00\x00", *b"\x00\x41\x36\x08\x00", *b"\x08\x04\x08\x10\x08", // | } ~
];

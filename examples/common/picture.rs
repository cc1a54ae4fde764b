//! Pictures as PNG files, read and written, and colour maps; with nothing but the `png` crate.

use super::plot::{self, Rgb};
use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::path::Path;

pub const WHITE: Rgb = [255, 255, 255];
pub const INK: Rgb = [45, 52, 64];

/// From black over red and yellow to white.
pub const FIRE: [Rgb; 6] = [[8, 6, 24], [74, 16, 90], [168, 38, 84], [232, 94, 42], [252, 184, 56], [255, 252, 214]];
/// Round and back to where it begins.
pub const OCEAN: [Rgb; 6] = [[4, 10, 60], [24, 96, 170], [214, 240, 248], [252, 186, 60], [110, 40, 24], [4, 10, 60]];

/// Rows of red, green and blue from the top left.
#[derive(Clone)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pub rgb: Vec<u8>,
}

impl Picture {
    pub fn new(width: usize, height: usize, colour: Rgb) -> Picture {
        Picture { width, height, rgb: colour.repeat(width * height) }
    }

    /// Three bytes a pixel; what is missing is white, what is too much is left out.
    pub fn from_rgb(width: usize, height: usize, mut rgb: Vec<u8>) -> Picture {
        rgb.resize(width * height * 3, 255);
        Picture { width, height, rgb }
    }

    /// Reads a PNG of any kind; transparency is dropped.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Picture> {
        let path = path.as_ref();
        Picture::read(path).map_err(|error| named(path, error))
    }

    pub fn save(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        self.write(path).map_err(|error| named(path, error))
    }

    /// Draws a picture into this one; what lies outside is cut off.
    pub fn paste(&mut self, other: &Picture, x: usize, y: usize) {
        let columns = other.width.min(self.width.saturating_sub(x));
        for row in 0..other.height.min(self.height.saturating_sub(y)) {
            let (to, from) = (((y + row) * self.width + x) * 3, row * other.width * 3);
            self.rgb[to..to + columns * 3].copy_from_slice(&other.rgb[from..from + columns * 3]);
        }
    }

    pub fn rectangle(&mut self, x: usize, y: usize, width: usize, height: usize, colour: Rgb) {
        let (width, height) = (width.min(self.width.saturating_sub(x)), height.min(self.height.saturating_sub(y)));
        self.paste(&Picture::new(width, height, colour), x, y);
    }

    /// Writes ASCII, 7 dots of `scale` pixels high, from its top left corner.
    pub fn text(&mut self, x: usize, y: usize, scale: usize, colour: Rgb, text: &str) {
        for (column, row) in plot::dots(text) {
            self.rectangle(x + column * scale, y + row * scale, scale, scale, colour);
        }
    }

    /// Puts pictures side by side, `columns` a row, each with its caption above; one that is larger than the first is cut off.
    pub fn sheet(parts: &[(String, Picture)], columns: usize) -> Picture {
        const GAP: usize = 16;
        const CAPTION: usize = 26;
        let (width, height) =
            parts.first().map_or((0, 0), |(_, first)| (first.width + GAP, first.height + CAPTION + GAP));
        let columns = columns.clamp(1, parts.len().max(1));
        let rows = parts.len().div_ceil(columns);
        let mut sheet = Picture::new(GAP + width * columns, GAP + height * rows, WHITE);
        for (i, (caption, part)) in parts.iter().enumerate() {
            let (x, y) = (GAP + i % columns * width, GAP + i / columns * height);
            sheet.text(x, y, 2, INK, caption);
            sheet.paste(part, x, y + CAPTION);
        }
        sheet
    }

    fn read(path: &Path) -> io::Result<Picture> {
        let mut decoder = png::Decoder::new(BufReader::new(File::open(path)?));
        // palettes, small and large depths and transparent colours all become bytes
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        let mut reader = decoder.read_info()?;
        let size = reader.output_buffer_size().ok_or_else(|| io::Error::other("too large"))?;
        let mut bytes = vec![0; size];
        let frame = reader.next_frame(&mut bytes)?;
        bytes.truncate(frame.buffer_size());
        let channels = frame.color_type.samples();
        let rgb = bytes.chunks_exact(channels).flat_map(|p| if channels < 3 { [p[0]; 3] } else { [p[0], p[1], p[2]] });
        Ok(Picture::from_rgb(frame.width as usize, frame.height as usize, rgb.collect()))
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let too_large = |_| io::Error::other("too large a picture");
        let (width, height) = (u32::try_from(self.width), u32::try_from(self.height));
        let (width, height) = (width.map_err(too_large)?, height.map_err(too_large)?);
        let mut encoder = png::Encoder::new(BufWriter::new(File::create(path)?), width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.rgb)?;
        Ok(writer.finish()?)
    }
}

/// A colour map as `n` rows of red, green and blue: the colours of `stops`, and between them even blends.
pub fn palette(stops: &[Rgb], n: usize) -> Vec<f32> {
    let last = stops.len().saturating_sub(1);
    let colour = |i: usize| {
        let at = (i * last) as f32 / n.saturating_sub(1).max(1) as f32;
        let from = (at as usize).min(last.saturating_sub(1));
        [0, 1, 2].map(|c| {
            let [a, b] = [from, from + 1].map(|stop| stops.get(stop).map_or(0.0, |rgb| f32::from(rgb[c])));
            a + (b - a) * (at - from as f32)
        })
    };
    (0..n).flat_map(colour).collect()
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

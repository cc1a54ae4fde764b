//! Reads and writes PNG files with the crate `image`, arranges pictures in sheets, and makes colour maps.

use super::plot;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ImageFormat, ImageReader, Rgb, RgbImage, imageops};
use plotters::style::RGBColor;
use plotters::style::colors::colormaps::{ColorMap, DerivedColorMap};
use std::error::Error;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

/// A colour map from black through red and yellow to white.
pub const FIRE: [RGBColor; 6] = [
    RGBColor(8, 6, 24),
    RGBColor(74, 16, 90),
    RGBColor(168, 38, 84),
    RGBColor(232, 94, 42),
    RGBColor(252, 184, 56),
    RGBColor(255, 252, 214),
];
/// A cyclic colour map: its last colour is its first.
pub const OCEAN: [RGBColor; 6] = [
    RGBColor(4, 10, 60),
    RGBColor(24, 96, 170),
    RGBColor(214, 240, 248),
    RGBColor(252, 186, 60),
    RGBColor(110, 40, 24),
    RGBColor(4, 10, 60),
];

/// Reads a PNG of any kind; transparency is dropped.
pub fn open(path: impl AsRef<Path>) -> Result<RgbImage, Box<dyn Error>> {
    let path = path.as_ref();
    let named = |error: &dyn Error| format!("{}: {error}", path.display());
    let mut reader = ImageReader::open(path).map_err(|error| named(&error))?;
    // decode as PNG, whatever the file's extension is
    reader.set_format(ImageFormat::Png);
    Ok(reader.decode().map_err(|error| named(&error))?.into_rgb8())
}

/// Writes a picture as PNG.
pub fn save(picture: &RgbImage, path: impl AsRef<Path>) -> Result<(), Box<dyn Error>> {
    let path = path.as_ref();
    let file = File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
    // the file is a seventh smaller than one written by `RgbImage::save`
    let encoder = PngEncoder::new_with_quality(BufWriter::new(file), CompressionType::Default, FilterType::Adaptive);
    let written = picture.write_with_encoder(encoder);
    written.map_err(|error| format!("{}: {error}", path.display()).into())
}

/// Makes a picture from bytes of red, green and blue, row by row from the top left.
pub fn from_rgb(width: usize, height: usize, rgb: Vec<u8>) -> Result<RgbImage, Box<dyn Error>> {
    let picture = RgbImage::from_raw(width.try_into()?, height.try_into()?, rgb);
    picture.ok_or_else(|| format!("too few bytes for {width} × {height} pixels").into())
}

/// Arranges pictures in rows of `columns`, each below its caption. Pictures are cropped to the size of the first one.
pub fn sheet(parts: &[(String, RgbImage)], columns: usize) -> Result<RgbImage, Box<dyn Error>> {
    const GAP: u32 = 16;
    const CAPTION: u32 = 22;
    let (width, height) = parts.first().map_or((0, 0), |(_, first)| first.dimensions());
    let columns = columns.clamp(1, parts.len().max(1)) as u32;
    let rows = (parts.len() as u32).div_ceil(columns);
    let side = |n: u32, each: u32| n.checked_mul(each + GAP)?.checked_add(GAP);
    let size = side(columns, width).zip(side(rows, height + CAPTION)).ok_or("too large a sheet")?;
    let mut sheet = RgbImage::from_pixel(size.0, size.1, Rgb([255; 3]));
    let corner = |i: u32| [GAP + i % columns * (width + GAP), GAP + i / columns * (height + CAPTION + GAP)];
    for ((_, part), [x, y]) in parts.iter().zip((0..).map(corner)) {
        let part = imageops::crop_imm(part, 0, 0, width, height).to_image();
        imageops::replace(&mut sheet, &part, x.into(), (y + CAPTION).into());
    }
    plot::write(&mut sheet, parts.iter().zip((0..).map(corner)).map(|((caption, _), at)| (at, caption.as_str())))?;
    Ok(sheet)
}

/// Returns `n` rows of red, green and blue, from 0 to 255, which blend evenly between the colours of `stops`.
pub fn palette(stops: &[RGBColor], n: usize) -> Vec<f32> {
    let map = DerivedColorMap::new(stops);
    let last = n.saturating_sub(1).max(1) as f32;
    let colour = |i: usize| {
        let RGBColor(r, g, b) = map.get_color_normalized(i as f32, 0.0, last);
        [r, g, b].map(f32::from)
    };
    (0..n).flat_map(colour).collect()
}

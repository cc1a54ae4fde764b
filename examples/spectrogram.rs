//! Draws the spectrogram of a rising and a falling chirp, a steady tone and noise, by a short-time Fourier transform.
//!
//! ```text
//! cargo run --release --example spectrogram
//! ```

mod common;

use clap::Parser;
use common::picture::{self, FIRE, palette};
use common::say;
use cupric::{Array, DType, Device, Expr, PI, Rng, arange, fft, maximum, s};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Sampling rate, in samples per second.
const RATE: f64 = 16_000.0;
/// The range that the picture shows, in decibels below the loudest point.
const RANGE: f64 = 90.0;

/// Draws the spectrogram of a rising and a falling chirp, a steady tone and noise.
#[derive(Parser)]
struct Options {
    /// Where to compute
    #[arg(long, value_name = "cpu|gpu|gpu:N|best", default_value = "best")]
    device: String,
    /// Number of samples, at 16,000 per second
    #[arg(long, value_name = "N", default_value_t = 160_000, value_parser = common::positive)]
    samples: usize,
    /// Samples of a window
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = common::positive)]
    window: usize,
    /// Samples between the beginnings of windows
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = common::positive)]
    hop: usize,
    /// Where to put the picture
    #[arg(long, value_name = "FILE", default_value = "spectrogram.png")]
    out: PathBuf,
}

fn main() -> ExitCode {
    let options: Options = common::arguments("spectrogram");
    common::finish("spectrogram", run(&options))
}

fn run(options: &Options) -> Result<()> {
    let Options { samples, window, hop, ref out, .. } = *options;
    let device: Device = options.device.parse()?;
    let signal = signal(samples).to_device(&device)?;
    let started = Instant::now();
    // a Hann window fades each segment in and out, so that a tone between two frequencies does not spread over all
    let fade = 0.5 - 0.5 * (arange(0, window, 1, DType::F32) * (2.0 * PI / window as f64)).cos();
    let spectrum = fft::stft(&signal, fade, hop);
    let power = (spectrum.real().square() + spectrum.imag().square()).eval()?;
    device.synchronize()?;
    let took = started.elapsed().as_secs_f64();
    let [parts, frequencies] = power.dims()?;
    say(format_args!("{device}: {parts} transforms of {window} samples in {:.1} ms", took * 1e3))?;
    let middle = power.slice(s![parts / 2]).argmax(0).item::<i64>()?;
    say(format_args!("loudest in the middle: {:.0} Hz", middle as f64 * RATE / window as f64))?;
    // by Parseval's theorem a window has the power of its spectrum; all frequencies but 0 and RATE / 2 count twice
    let twice = power.sum(..) * 2.0 - power.slice(s![.., 0]).sum(..);
    let twice = if window % 2 == 0 { twice - power.slice(s![.., frequencies - 1]).sum(..) } else { twice };
    say(format_args!("mean power {:.4} in the windows", (twice / (parts * window * window) as f64).item::<f32>()?))?;
    draw(&power, out)
}

/// Returns the sum of a rising and a falling chirp, a steady tone and noise.
fn signal(samples: usize) -> Expr {
    // phases are computed in f64, because they grow to thousands of turns
    let t = arange(0, samples, 1, DType::F64) / samples as f64;
    let turns = samples as f64 / RATE;
    let tone = |phase: Expr| (phase * (2.0 * PI * turns)).sin().astype(DType::F32);
    let rising = tone(&t * 200.0 + t.pow(3) * 2400.0);
    let falling = tone(&t * 6500.0 - t.square() * 2800.0);
    let noise = Rng::new(1).normal([samples], DType::F32);
    rising + falling * 0.3 + tone(&t * 3000.0) * 0.1 + noise * 0.003
}

/// Draws the spectrogram: time runs to the right, frequency upward, and brightness shows decibels.
fn draw(power: &Array, out: &PathBuf) -> Result<()> {
    let [columns, rows] = power.dims()?;
    let colours = Array::from_vec(palette(&FIRE, 256), [256, 3])?.to_device(&power.device())?;
    let decibels = (maximum(power / power.max(..), 1e-12).log10() * 10.0 / RANGE + 1.0).clip(0.0, 1.0);
    let rgb = colours.take((decibels.t().flip(0) * 255.0).astype(DType::I32), 0).round().astype(DType::U8);
    picture::save(&picture::from_rgb(columns, rows, rgb.to_vec::<u8>()?)?, out)?;
    say(format_args!("the picture is in {}", out.display()))?;
    Ok(())
}

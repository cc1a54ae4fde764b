//! The probe of a device's arithmetic, much of which WGSL leaves open. It is one small shader, which runs when a caller
//! first asks for its findings. It also runs when the process opens its first software driver, because `at_exit.rs`
//! needs a shader to run.

use super::connection::Connection;
use super::device::{Gpu, driver_buffer};
use super::memory::DriverBuffer;
use crate::base::error::{Error, ErrorKind, Result};
use crate::plan::backend::Numerics;
use half::f16;

/// How many words of results `numerics.wgsl` writes for each line of operands.
const WIDTH: usize = 11;

/// Returns 512 lines of operands a, b and c: special values, then ordinary ones. If the device does not round to
/// nearest, at least one of so many lines shows it. 512 was chosen by hand; no benchmark compares other values.
fn operands() -> Vec<[f32; 3]> {
    let tiny = f32::from_bits(0x0000_1234);
    let mut all = vec![
        [f32::NAN, 1.0, 0.0],
        [1.0, f32::NAN, 0.0],
        [f32::INFINITY, 1.0, 0.0],
        [f32::INFINITY, f32::NEG_INFINITY, 0.0],
        [f32::NEG_INFINITY, 0.0, 1.0],
        [-0.0, -0.0, 0.0],
        [-0.0, 1.0, 0.0],
        [tiny, tiny, 0.0],
        [-tiny, 1.0, 0.0],
        [f32::MIN_POSITIVE, -f32::MIN_POSITIVE * 0.75, 0.0],
        [f32::MIN_POSITIVE, 0.5, 0.0],
        [1.0, 1e-9, 0.0],
        [1e8, 1.0, 0.0],
        [1e30, 1e-30, 0.0],
        [65519.0, 1.0, 0.0],
        [65520.0, 1.0, 0.0],
        [-1e5, 3.0, 0.0],
        [5.96e-8, 1.0, 0.0],
        [1e20, 7.0, 0.0],
        [-1e20, 7.0, 0.0],
        [2147483520.0, 3.0, 1.0],
        [1.0 + f32::EPSILON, 1.0 + f32::EPSILON, -1.0],
    ];
    // ordinary numbers between 2^-8 and 2^8, from a linear congruential generator
    let mut bits = 12345u32;
    let mut next = || {
        bits = bits.wrapping_mul(1664525).wrapping_add(1013904223);
        f32::from_bits((bits >> 9) | ((119 + (bits >> 4) % 16) << 23))
    };
    while all.len() < 512 {
        let (a, b) = (next(), next());
        all.push([a, b, -a * b]);
    }
    all
}

impl Gpu {
    /// Returns how the device's arithmetic behaves. The first call runs the probe, unless an earlier process kept its
    /// findings on disk.
    pub(super) fn known_numerics(&self) -> Result<Numerics> {
        if let Some(known) = self.numerics.get() {
            return Ok(*known);
        }
        let kept = self.disk.as_ref().and_then(|disk| disk.numerics()).map(unpack);
        match kept {
            Some(kept) => Ok(*self.numerics.get_or_init(|| kept)),
            None => self.probe(),
        }
    }

    /// Runs the probe on the device, and keeps its findings for later processes.
    pub(super) fn probe(&self) -> Result<Numerics> {
        let lines = operands();
        let words: Vec<u32> = lines.iter().flat_map(|l| [l[0].to_bits(), l[1].to_bits(), l[2].to_bits(), 0]).collect();
        let (input, output) = (self.allocate(words.len() * 4)?, self.allocate(lines.len() * WIDTH * 4)?);
        let (Some(from), Some(to)) = (driver_buffer(&input), driver_buffer(&output)) else {
            return Err(Error::with_line(ErrorKind::Internal, "numerics", "the buffer does not belong to a GPU", None));
        };
        // recorded work may still use buffers that came from the pool, so it is submitted before the probe
        self.submit_uses_of(from)?;
        self.submit_uses_of(to)?;
        self.connection.scoped("numerics", || run(&self.connection, &words, from, to))?;
        let mut bytes = Vec::new();
        self.read_now(&to.buffer, lines.len() * WIDTH * 4, &mut bytes)?;
        let found = judge(&lines, &bytemuck::pod_collect_to_vec::<u8, u32>(&bytes));
        self.disk.iter().for_each(|disk| disk.keep_numerics(pack(found)));
        Ok(*self.numerics.get_or_init(|| found))
    }
}

/// Returns the findings as bits, to be kept on disk.
fn pack(found: Numerics) -> u16 {
    let Numerics {
        nan,
        infinity,
        negative_zero,
        subnormals,
        no_folding,
        rounding,
        fma,
        no_contraction,
        division,
        sqrt,
        half,
        float_to_int,
    } = found;
    let all = [
        nan,
        infinity,
        negative_zero,
        subnormals,
        no_folding,
        rounding,
        fma,
        no_contraction,
        division,
        sqrt,
        half,
        float_to_int,
    ];
    all.iter().rev().fold(0, |bits, is| bits << 1 | *is as u16)
}

/// Returns the findings that [`pack`] turned into bits.
fn unpack(bits: u16) -> Numerics {
    let is = |n: u16| bits >> n & 1 == 1;
    Numerics {
        nan: is(0),
        infinity: is(1),
        negative_zero: is(2),
        subnormals: is(3),
        no_folding: is(4),
        rounding: is(5),
        fma: is(6),
        no_contraction: is(7),
        division: is(8),
        sqrt: is(9),
        half: is(10),
        float_to_int: is(11),
    }
}

/// Runs the probe's shader over lines of four words. Compiles it with all of wgpu's run-time checks, because its speed
/// does not matter.
fn run(connection: &Connection, words: &[u32], from: &DriverBuffer, to: &DriverBuffer) {
    let device = &connection.device;
    let source = wgpu::ShaderSource::Wgsl(include_str!("../../shaders/numerics.wgsl").into());
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: Default::default(),
        cache: None,
    });
    let bytes = std::num::NonZeroU64::new(words.len() as u64 * 4);
    // the shader computes the number of lines from the length of the binding
    let operands = wgpu::BufferBinding { buffer: &from.buffer, offset: 0, size: bytes };
    let entries = [
        wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(operands) },
        wgpu::BindGroupEntry { binding: 1, resource: to.buffer.as_entire_binding() },
    ];
    let layout = pipeline.get_bind_group_layout(0);
    let group =
        device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout: &layout, entries: &entries });
    connection.queue.write_buffer(&from.buffer, 0, bytemuck::cast_slice(words));
    let mut encoder = device.create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        // four words a line, 64 invocations a workgroup
        pass.dispatch_workgroups((words.len() / 4).div_ceil(64) as u32, 1, 1);
    }
    connection.queue.submit([encoder.finish()]);
}

/// Compares the device's results with the host's, and returns the findings.
fn judge(lines: &[[f32; 3]], results: &[u32]) -> Numerics {
    let same = |got: u32, want: f32| got == want.to_bits() || (want.is_nan() && f32::from_bits(got).is_nan());
    // whether a column of results is correct on all lines whose operands `picks` accepts
    let all = |picks: &dyn Fn(f32, f32) -> bool, column: usize, want: &dyn Fn(f32, f32, f32) -> f32| {
        lines.iter().zip(results.chunks(WIDTH)).all(|(&[a, b, c], r)| !picks(a, b) || same(r[column], want(a, b, c)))
    };
    let arithmetic = |picks: &dyn Fn(f32, f32) -> bool| {
        all(picks, 0, &|a, _, _| a) && all(picks, 1, &|a, b, _| a + b) && all(picks, 2, &|a, b, _| a * b)
    };
    let ordinary = |a: f32, b: f32| a.is_normal() && b.is_normal() && (a * b).is_normal() && (a + b).is_normal();
    let has = |f: fn(f32) -> bool| move |a: f32, b: f32| f(a) || f(b);
    // the exact result of a − a
    let nothing = |x: f32| if x.is_finite() { 0.0 } else { f32::NAN };
    let each = |column: usize, want: &dyn Fn(f32) -> u32| {
        lines.iter().zip(results.chunks(WIDTH)).all(|(l, r)| r[column] == want(l[0]))
    };
    Numerics {
        nan: arithmetic(&has(f32::is_nan)),
        infinity: arithmetic(&has(f32::is_infinite)),
        negative_zero: arithmetic(&has(|x| x.to_bits() == 0x8000_0000)),
        subnormals: arithmetic(&|a, b| [a, b, a + b, a * b].iter().any(|x| x.is_subnormal())),
        no_folding: all(&ordinary, 7, &|a, b, _| (a + b) - a) && all(&|_, _| true, 10, &|a, _, _| nothing(a)),
        rounding: all(&ordinary, 1, &|a, b, _| a + b) && all(&ordinary, 2, &|a, b, _| a * b),
        fma: all(&ordinary, 5, &f32::mul_add),
        no_contraction: all(&ordinary, 6, &|a, b, c| a * b + c),
        division: all(&ordinary, 3, &|a, b, _| a / b),
        sqrt: all(&|a, _| a.is_normal() && a > 0.0, 4, &|a, _, _| a.sqrt()),
        half: lines.iter().zip(results.chunks(WIDTH)).all(|(l, r)| {
            let want = f16::from_f32(l[0]);
            r[8] == want.to_bits() as u32 || (want.is_nan() && f16::from_bits(r[8] as u16).is_nan())
        }),
        float_to_int: each(9, &|a| a as i32 as u32),
    }
}

#[cfg(feature = "testing")]
mod tests {
    use super::*;

    crate::testing::unit_tests!(gpu_numerics: findings_are_kept_bit_by_bit);

    fn findings_are_kept_bit_by_bit() {
        assert!((0..12).all(|n| pack(unpack(1 << n)) == 1 << n));
        // the first and the last field have the lowest and the highest bit
        assert!(unpack(1).nan && unpack(1 << 11).float_to_int && !unpack(1 << 11).nan);
    }
}

//! What a device's arithmetic does where WGSL leaves it open: one small shader, run when somebody asks.

use super::device::Shared;
use super::memory::GpuMemory;
use crate::buffer::Buffer;
use crate::error::{Error, ErrorKind, Result};
use half::f16;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What a device's own f32 arithmetic keeps in plain shader text, as a probe found it. `true` is what IEEE 754 (or Rust)
/// does. Neither cupric's functions nor a program's formulas rely on what is `false` here, subnormal numbers and the
/// rounding of sums and products excepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Numerics {
    /// A NaN survives a load, a sum and a product.
    pub nan: bool,
    /// So does an infinity, and ∞ − ∞ and ∞ · 0 are NaN.
    pub infinity: bool,
    /// So does −0.
    pub negative_zero: bool,
    /// Subnormal numbers are not flushed to 0, as operands and as results of sums and products.
    pub subnormals: bool,
    /// `(a + b) − a` and `a − a` are computed as written. Formulas are on every device, whatever this says: kernels
    /// guard what one operation hands to the next. They do so too where the probe finds nothing, because a compiler
    /// decides for each kernel anew.
    pub no_folding: bool,
    /// Sums and products are rounded to nearest, ties to even.
    pub rounding: bool,
    /// `fma` rounds once.
    pub fma: bool,
    /// `a * b + c` rounds twice. In formulas it always does; inside a product of matrices the device may round once.
    pub no_contraction: bool,
    /// Quotients are correctly rounded.
    pub division: bool,
    /// Square roots are correctly rounded.
    pub sqrt: bool,
    /// The conversion to f16 rounds to nearest even, with overflow to ∞.
    pub half: bool,
    /// The conversion to i32 saturates, and NaN gives 0.
    pub float_to_int: bool,
}

/// Results of one line of operands in the shader.
const WIDTH: usize = 11;

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
    // ordinary numbers between 2^-8 and 2^8, from a small generator
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

pub(super) fn probe(shared: &Arc<Shared>) -> Result<Numerics> {
    let lines = operands();
    let words: Vec<u32> = lines.iter().flat_map(|l| [l[0].to_bits(), l[1].to_bits(), l[2].to_bits(), 0]).collect();
    let (input, output) = (shared.allocate(words.len() * 4)?, shared.allocate(lines.len() * WIDTH * 4)?);
    let raw = |b: &Buffer| b.memory::<GpuMemory>().and_then(|m| m.raw()).map(|r| r.buffer.clone());
    let (Some(from), Some(to)) = (raw(&input), raw(&output)) else {
        return Err(Error::new(ErrorKind::Internal, "numerics", "no buffer", None));
    };
    // what is recorded for their memory comes before the probe
    for buffer in [&input, &output] {
        if let Some(raw) = buffer.memory::<GpuMemory>().and_then(|m| m.raw()) {
            shared.flush_use(raw.batch.load(Relaxed))?;
        }
    }
    shared.scoped("numerics", || {
        let device = &shared.device;
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
        let operands = wgpu::BufferBinding { buffer: &from, offset: 0, size: bytes };
        let entries = [
            wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(operands) },
            wgpu::BindGroupEntry { binding: 1, resource: to.as_entire_binding() },
        ];
        let layout = pipeline.get_bind_group_layout(0);
        let group =
            device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout: &layout, entries: &entries });
        shared.queue.write_buffer(&from, 0, bytemuck::cast_slice(&words));
        let mut encoder = device.create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &group, &[]);
            pass.dispatch_workgroups(lines.len().div_ceil(64) as u32, 1, 1);
        }
        shared.queue.submit([encoder.finish()]);
    })?;
    let mut bytes = Vec::new();
    pollster::block_on(super::read(shared, Some((&to, 0)), lines.len() * WIDTH * 4, &mut bytes))?;
    Ok(judge(&lines, &bytemuck::pod_collect_to_vec::<u8, u32>(&bytes)))
}

/// Compares the device's results with the host's.
fn judge(lines: &[[f32; 3]], results: &[u32]) -> Numerics {
    let same = |got: u32, want: f32| got == want.to_bits() || (want.is_nan() && f32::from_bits(got).is_nan());
    // whether a result is right on all lines that `picks` takes
    let all = |picks: &dyn Fn(f32, f32) -> bool, column: usize, want: &dyn Fn(f32, f32, f32) -> f32| {
        lines.iter().zip(results.chunks(WIDTH)).all(|(&[a, b, c], r)| !picks(a, b) || same(r[column], want(a, b, c)))
    };
    let arithmetic = |picks: &dyn Fn(f32, f32) -> bool| {
        all(picks, 0, &|a, _, _| a) && all(picks, 1, &|a, b, _| a + b) && all(picks, 2, &|a, b, _| a * b)
    };
    let ordinary = |a: f32, b: f32| a.is_normal() && b.is_normal() && (a * b).is_normal() && (a + b).is_normal();
    let has = |f: fn(f32) -> bool| move |a: f32, b: f32| f(a) || f(b);
    // x − x
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

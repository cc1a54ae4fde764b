//! The probe of a device's arithmetic, much of which the specification of WGSL leaves open. It is one small shader,
//! which runs when a device is opened, because its findings decide how kernels convert f16 and divide. Later devices on
//! the same adapter, and later processes, use what the first probe found.

use super::adapter::Origin;
use super::batch::new_encoder;
use super::connection::{Connection, lock};
use super::disk::DiskCache;
use super::shader_file::shader_file;
use super::time_out::SubmittedWork;
use super::waiting::{Signal, Wait, Watch};
use crate::base::caps::{Half, NarrowHalf, Shrink, WidenHalf};
use crate::base::error::{Error, ErrorKind, Result};
use crate::plan::backend::Numerics;
use half::f16;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

/// How many words of results the entry point `main` of `numerics.wgsl` writes for each line of operands.
const WIDTH: usize = 10;
/// How many words of results the entry point `halves` of `numerics.wgsl` writes for each line of operands.
const HALVES_WIDTH: usize = 5;

/// What probes have found in this process, by the number of the adapter.
static FOUND: Mutex<Vec<(usize, Numerics)>> = Mutex::new(Vec::new());

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

/// Returns lines of operands for the conversions of f16. A line is a word with two f16, and an f32. The f16 are all
/// subnormal numbers, samples of the normal numbers and of NaN, and infinity. The f32 are a few special values, and for
/// each of these finite f16: the number itself, the point half way to the next f16, and the f32 just below and just
/// above that point.
fn halves() -> Vec<[u32; 2]> {
    // f16 has 1,024 numbers for each exponent. The step, 13, shares no factor with 1,024, so all combinations of low
    // bits occur in the sample
    let sampled = (0..0x500).chain((0x500..0x7c00).step_by(13));
    let mut floats: Vec<f32> = vec![f32::NAN, f32::INFINITY, f32::MAX, 65519.996, 65520.0, 65536.0, 1e-8, 1e-40];
    floats.push(f32::from_bits(0x7fff_ffff));
    for bits in sampled.clone() {
        let [x, next] = [bits, bits + 1].map(|b| f16::from_bits(b).to_f64().min(65536.0));
        let middle = ((x + next) / 2.0) as f32;
        floats.extend([x as f32, middle.next_down(), middle, middle.next_up()]);
    }
    let patterns = sampled.chain((0x7c00..=0x7fff).step_by(31)).collect::<Vec<u16>>();
    let lines = floats.iter().flat_map(|x| [*x, -*x]).enumerate().map(|(n, x)| {
        let pattern = patterns[n % patterns.len()] as u32;
        // vary the half of the word and the sign, so that each f16 occurs in both halves and with both signs
        [pattern << 16 | pattern ^ 0x8000 ^ (n as u32 & 1) << 15 | (n as u32 & 1) << 31, x.to_bits()]
    });
    lines.collect()
}

/// Finds out how a device's arithmetic behaves, while the device is being opened. Returns the error of the probe if it
/// fails. The findings are not kept for a device that a program has lent, because it may lack features, nor for a
/// test's device without features.
pub(super) async fn find(
    connection: &Arc<Connection>,
    watch: &Arc<Watch>,
    disk: Option<&Arc<DiskCache>>,
    origin: &Origin,
    shrink: Option<Shrink>,
) -> Result<Numerics> {
    let number = origin.number().filter(|_| shrink.is_none_or(|s| !s.webgpu));
    let is_it = |known: &&(usize, Numerics)| Some(known.0) == number;
    if let Some((_, known)) = lock(&FOUND).iter().find(is_it) {
        return Ok(*known);
    }
    // a software driver is always probed once in a process, because `at_exit.rs` needs it to have run a shader
    let kept = disk.filter(|_| number.is_some() && !connection.software).and_then(|disk| disk.numerics());
    let found = match kept {
        Some(kept) => unpack(kept),
        // by default wgpu panics if a program has lent a queue that does not belong to its device
        None => {
            let begun = catch_unwind(AssertUnwindSafe(|| Probe::begin(connection, watch)));
            let panicked = |_| {
                let detail = "the probe of the device's arithmetic panicked";
                Err(Error::with_line(ErrorKind::Internal, "numerics", detail, None))
            };
            begun.unwrap_or_else(panicked)?.finish().await?
        }
    };
    if let Some(number) = number {
        disk.iter().for_each(|disk| disk.keep_numerics(pack(found)));
        lock(&FOUND).push((number, found));
    }
    Ok(found)
}

/// Returns how a device with these findings converts f16.
pub(super) fn conversions(found: Numerics, shrink: Option<Shrink>) -> Half {
    if let Some(half) = shrink.and_then(|s| s.half) {
        return half;
    }
    let narrows = match (found.half, found.half_type) {
        (true, _) => NarrowHalf::Pack,
        (false, true) => NarrowHalf::Native,
        (false, false) => NarrowHalf::Integers,
    };
    let widens = match (found.half_to_float, found.half_sign) {
        (true, true) => WidenHalf::Unpack,
        (true, false) => WidenHalf::Signed,
        (false, _) => WidenHalf::Integers,
    };
    Half { widens, narrows }
}

/// A probe that runs on a device.
pub(super) struct Probe {
    lines: Vec<[f32; 3]>,
    pairs: Vec<[u32; 2]>,
    /// Whether the device has the type f16.
    native: bool,
    /// The buffer with the results, which can be read once `mapped` is ready.
    staging: wgpu::Buffer,
    mapped: Wait,
}

impl Probe {
    /// Submits the probe.
    pub fn begin(connection: &Arc<Connection>, watch: &Arc<Watch>) -> Result<Probe> {
        let lines = operands();
        let words: Vec<u32> = lines.iter().flat_map(|l| [l[0].to_bits(), l[1].to_bits(), l[2].to_bits(), 0]).collect();
        let pairs = halves();
        let of_halves: Vec<u32> = pairs.iter().flat_map(|[f16s, x]| [*f16s, *x, 0, 0]).collect();
        let native = connection.device.features().contains(wgpu::Features::SHADER_F16);
        let shapes = [("main", &words[..], WIDTH), ("halves", &of_halves[..], HALVES_WIDTH)];
        let staging = run(connection, shapes, native)?;
        let (signal, watching) = (Signal::default(), watch.clone());
        let set = signal.clone();
        staging.map_async(wgpu::MapMode::Read, .., move |result| watching.set(&set, result.is_ok()));
        let mapped = Wait::new(connection, watch, "numerics", &signal).of_a_self_test();
        Ok(Probe { lines, pairs, native, staging, mapped })
    }

    /// Waits for the results, and returns the findings.
    pub async fn finish(self) -> Result<Numerics> {
        let Probe { lines, pairs, native, staging, mapped } = self;
        mapped.await?;
        let fail = |detail: String| Error::with_line(ErrorKind::Internal, "numerics", detail, None);
        let view = staging.get_mapped_range(..).map_err(|e| fail(e.to_string()))?;
        let results = bytemuck::pod_collect_to_vec::<u8, u32>(&view);
        let (arithmetic, conversions) = results.split_at(lines.len() * WIDTH);
        let found = judge(&lines, arithmetic);
        let [widens, signs, packs, types] = judge_halves(&pairs, conversions);
        let half_type = native && types;
        Ok(Numerics { half: packs, half_type, half_to_float: widens, half_sign: signs, ..found })
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
        half_type,
        half_to_float,
        half_sign,
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
        half_type,
        half_to_float,
        half_sign,
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
        half_type: is(12),
        half_to_float: is(13),
        half_sign: is(14),
    }
}

/// Submits two entry points of the probe's shader, and returns the buffer that receives their results, one after
/// another. Each element of `entries` is the name of an entry point, its operands in lines of four words, and the
/// number of words of results that it writes for each line. `native` states whether the device has the type f16. The
/// shader is compiled with all of wgpu's run-time checks, because its speed does not matter.
fn run(connection: &Connection, entries: [(&str, &[u32], usize); 2], native: bool) -> Result<wgpu::Buffer> {
    let device = &connection.device;
    let bytes = |(_, words, width): &(&str, &[u32], usize)| (words.len() / 4 * width * 4) as u64;
    let total: u64 = entries.iter().map(bytes).sum();
    let buffer = |size: u64, usage: wgpu::BufferUsages| {
        device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    };
    connection.scoped("numerics", || {
        use wgpu::BufferUsages as U;
        let text = shader_file!("numerics.wgsl");
        let source = if native {
            format!("enable f16;\n{}", text.replace("return x;", "return f32(f16(x));"))
        } else {
            text.into()
        };
        let source = wgpu::ShaderSource::Wgsl(source.into());
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
        let staging = buffer(total, U::MAP_READ | U::COPY_DST);
        let mut encoder = new_encoder(connection);
        let mut at = 0;
        for entry in &entries {
            let (name, words, _) = *entry;
            let (from, to) = (
                buffer(words.len() as u64 * 4, U::STORAGE | U::COPY_DST),
                buffer(bytes(entry), U::STORAGE | U::COPY_SRC),
            );
            connection.queue.write_buffer(&from, 0, bytemuck::cast_slice(words));
            let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: None,
                layout: None,
                module: &module,
                entry_point: Some(name),
                compilation_options: Default::default(),
                cache: None,
            });
            let bindings = [(0, &from), (1, &to)];
            let entries =
                bindings.map(|(binding, b)| wgpu::BindGroupEntry { binding, resource: b.as_entire_binding() });
            let layout = pipeline.get_bind_group_layout(0);
            let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &layout,
                entries: &entries,
            });
            {
                let mut pass = encoder.begin_compute_pass(&Default::default());
                pass.set_pipeline(&pipeline);
                pass.set_bind_group(0, &group, &[]);
                // a line has four words, and a workgroup processes 64 lines, one in each invocation
                pass.dispatch_workgroups((words.len() / 4).div_ceil(64) as u32, 1, 1);
            }
            encoder.copy_buffer_to_buffer(&to, 0, &staging, at, bytes(entry));
            at += bytes(entry);
        }
        connection.submit(encoder.finish(), SubmittedWork { first_runs: 2, operations: 0 });
        staging
    })
}

/// Compares the device's conversions of f16 with the host's. Returns four findings: whether the device widens f16 to
/// f32 correctly, keeps the sign of a NaN that it widens, packs f32 into f16 correctly, and converts correctly to its
/// type f16 and back.
fn judge_halves(lines: &[[u32; 2]], results: &[u32]) -> [bool; 4] {
    let is_wide = |got: u32, bits: u32| {
        let want = f16::from_bits(bits as u16).to_f32();
        got == want.to_bits() || want.is_nan() && f32::from_bits(got).is_nan()
    };
    let is_narrow = |got: u32, x: u32| {
        let want = f16::from_f32(f32::from_bits(x));
        got == want.to_bits() as u32 || want.is_nan() && f16::from_bits(got as u16).is_nan()
    };
    let keeps_sign = |got: u32, bits: u32| got >> 31 == bits >> 15 & 1;
    let is_rounded = |got: u32, x: u32| is_wide(got, f16::from_f32(f32::from_bits(x)).to_bits() as u32);
    let mut right = [true; 4];
    for ([pair, x], r) in lines.iter().zip(results.chunks(HALVES_WIDTH)) {
        let widens = is_wide(r[0], pair & 0xffff) && is_wide(r[1], pair >> 16);
        right[0] &= mutant!(wrong_halves_trusted, true, widens);
        right[1] &= keeps_sign(r[0], pair & 0xffff) && keeps_sign(r[1], pair >> 16);
        right[2] &= is_narrow(r[2], *x);
        right[3] &= is_narrow(r[3], *x) && is_rounded(r[4], *x);
    }
    right
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
    // the exact result of x − x
    let nothing = |x: f32| if x.is_finite() { 0.0 } else { f32::NAN };
    let each = |column: usize, want: &dyn Fn(f32) -> u32| {
        lines.iter().zip(results.chunks(WIDTH)).all(|(l, r)| r[column] == want(l[0]))
    };
    Numerics {
        nan: arithmetic(&has(f32::is_nan)),
        infinity: arithmetic(&has(f32::is_infinite)),
        negative_zero: arithmetic(&has(|x| x.to_bits() == 0x8000_0000)),
        subnormals: arithmetic(&|a, b| [a, b, a + b, a * b].iter().any(|x| x.is_subnormal())),
        no_folding: all(&ordinary, 7, &|a, b, _| (a + b) - a) && all(&|_, _| true, 9, &|a, _, _| nothing(a)),
        rounding: all(&ordinary, 1, &|a, b, _| a + b) && all(&ordinary, 2, &|a, b, _| a * b),
        fma: all(&ordinary, 5, &f32::mul_add),
        no_contraction: all(&ordinary, 6, &|a, b, c| a * b + c),
        division: all(&ordinary, 3, &|a, b, _| a / b),
        sqrt: all(&|a, _| a.is_normal() && a > 0.0, 4, &|a, _, _| a.sqrt()),
        // the entry point `halves` probes these four properties, and `Probe::finish` sets them
        half: false,
        half_type: false,
        half_to_float: false,
        half_sign: false,
        float_to_int: each(8, &|a| a as i32 as u32),
    }
}

#[cfg(feature = "testing")]
mod tests {
    use super::*;

    crate::testing::unit_tests!(
        gpu_numerics: findings_are_kept_bit_by_bit, wrong_conversions_of_halves_are_found,
        each_finding_chooses_its_conversion
    );

    fn findings_are_kept_bit_by_bit() {
        assert!((0..15).all(|n| pack(unpack(1 << n)) == 1 << n));
        // the first field is the lowest bit, and the last field is the highest bit
        assert!(unpack(1).nan && unpack(1 << 14).half_sign && !unpack(1 << 14).nan);
    }

    /// Returns the results of a device that converts f16 correctly, except that `widen` and `narrow` change what it
    /// computes.
    fn converted(lines: &[[u32; 2]], widen: fn(f32) -> f32, narrow: fn(f32) -> u16) -> Vec<u32> {
        let wide = |bits: u32| widen(f16::from_bits(bits as u16).to_f32()).to_bits();
        let of = |[pair, x]: &[u32; 2]| {
            let narrow = narrow(f32::from_bits(*x)) as u32;
            let back = f16::from_bits(narrow as u16).to_f32().to_bits();
            [wide(pair & 0xffff), wide(pair >> 16), narrow, narrow, back]
        };
        lines.iter().flat_map(of).collect()
    }

    fn wrong_conversions_of_halves_are_found() {
        let nearest = |x: f32| f16::from_f32(x).to_bits();
        let truncated = |x: f32| f16::from_f32(x).to_f32().abs() > x.abs();
        assert!(truncated(1.0 + 2047.0 / 2048.0));
        let lines = halves();
        let judged =
            |widen: fn(f32) -> f32, narrow: fn(f32) -> u16| judge_halves(&lines, &converted(&lines, widen, narrow));
        assert_eq!(judged(|x| x, nearest), [true; 4]);
        // a device that flushes subnormal numbers to zero
        let flush = |x: f32| if x.abs() < 6.1e-5 { x * 0.0 } else { x };
        assert_eq!(judged(flush, nearest), [false, true, true, true]);
        assert_eq!(
            judged(|x| x, |x| f16::from_f32(if x.abs() < 6.1e-5 { x * 0.0 } else { x }).to_bits()),
            [true, true, false, false]
        );
        // a device that truncates
        let truncate = |x: f32| {
            let near = f16::from_f32(x);
            if near.to_f32().abs() > x.abs() { near.to_bits() - 1 } else { near.to_bits() }
        };
        assert_eq!(judged(|x| x, truncate), [true, true, false, false]);
        // a device that rounds ties away from zero
        let away = |x: f32| {
            let near = f16::from_f32(x);
            let next = f16::from_bits(near.to_bits().wrapping_add(1));
            let is_tie = x.abs() - near.to_f32().abs() == next.to_f32().abs() - x.abs();
            if is_tie { next.to_bits() } else { near.to_bits() }
        };
        assert_eq!(judged(|x| x, away), [true, true, false, false]);
        // a device that returns the largest finite number instead of infinity
        let saturate = |x: f32| f16::from_f32(x).to_bits() - (x.is_finite() && f16::from_f32(x).is_infinite()) as u16;
        assert_eq!(judged(|x| x, saturate), [true, true, false, false]);
        // a device that returns only positive NaN
        let positive = |x: f32| if x.is_nan() { f32::NAN } else { x };
        assert_eq!(judged(positive, nearest), [true, false, true, true]);
        // a device that leaves out the conversion to the type f16 and back
        let mut results = converted(&lines, |x| x, nearest);
        results.chunks_mut(HALVES_WIDTH).zip(&lines).for_each(|(r, [_, x])| r[4] = *x);
        assert_eq!(judge_halves(&lines, &results), [true, true, true, false]);
        // a device that loses the sign of −0
        assert_eq!(judged(|x| x, |x| f16::from_f32(x + 0.0).to_bits()), [true, true, false, false]);
    }

    fn each_finding_chooses_its_conversion() {
        let found = unpack(0);
        let of = |half, half_type, half_to_float, half_sign| {
            conversions(Numerics { half, half_type, half_to_float, half_sign, ..found }, None)
        };
        assert_eq!(of(false, false, false, true), Half::INTEGERS);
        assert_eq!(of(false, true, true, true), Half::HARDWARE);
        assert_eq!(of(false, true, true, false), Half { widens: WidenHalf::Signed, narrows: NarrowHalf::Native });
        assert_eq!(of(true, true, false, true), Half { widens: WidenHalf::Integers, narrows: NarrowHalf::Pack });
        let integers = Shrink { half: Some(Half::INTEGERS), ..Shrink::NONE };
        assert_eq!(conversions(unpack(u16::MAX), Some(integers)), Half::INTEGERS);
    }
}

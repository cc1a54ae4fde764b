//! Tests that threaded code computes the same bits as the tile interpreter, with random kernels: every function and
//! type that threaded code supports, in every layout, at every length of a last block.

use super::plans::plan_for;
use super::*;
use crate::graph::ufunc::logic::SELECT;
use crate::graph::ufunc::{Class, Ufunc, cast};
use crate::plan::kernel::{Caps, Step};
use half::{bf16, f16};

crate::testing::unit_tests! {
    cpu_threaded: threaded_code_gives_the_bits_of_loops, sums_of_products, threaded_code_on_many_threads
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }

    fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }

    /// Returns a random element as bytes: mostly a common number, sometimes a special one.
    fn element(&mut self, dtype: DType) -> [u8; 8] {
        let x = match self.below(8) {
            0 => {
                self.of(&[0.0, -0.0, 1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e-40, 1e-7, 3e38, 65520.0, -2.5])
            }
            _ => self.below(1 << 20) as f64 / 1e5 - 4.0,
        };
        let bits = match dtype {
            F32 => (x as f32).to_bits() as u64,
            F64 => x.to_bits(),
            F16 => f16::from_f64(x).to_bits() as u64,
            BF16 => bf16::from_f64(x).to_bits() as u64,
            // any byte but 0 counts as true
            Bool => self.below(3) as u64,
            _ if self.below(8) == 0 => self.of(&[0, u64::MAX, i64::MIN as u64, i64::MAX as u64]),
            _ => (self.below(1 << 16) as u64).wrapping_sub(100) << self.of(&[0, 0, 16]),
        };
        bits.to_le_bytes()
    }
}

/// Returns the elements as words, every NaN replaced by the same bits, because the payload of a computed NaN is
/// unspecified.
fn canonical(bytes: &[u8], dtype: DType) -> Vec<u64> {
    let word = |chunk: &[u8]| chunk.iter().rev().fold(0u64, |bits, byte| bits << 8 | *byte as u64);
    let is_nan = |bits: u64| match dtype {
        F32 => f32::from_bits(bits as u32).is_nan(),
        F64 => f64::from_bits(bits).is_nan(),
        F16 => f16::from_bits(bits as u16).is_nan(),
        BF16 => bf16::from_bits(bits as u16).is_nan(),
        _ => false,
    };
    bytes.chunks(dtype.size()).map(word).map(|bits| if is_nan(bits) { u64::MAX } else { bits }).collect()
}

/// Returns the strides and the offset of a load over `r` rows of `c` elements.
fn layout(random: &mut Random, [r, c]: [isize; 2]) -> ([isize; 2], isize) {
    match random.below(9) {
        0 => ([c + 3, 1], 1),
        1 => ([2 * c + 1, 2], 3),
        2 => ([-c, -1], r * c - 1),
        3 => ([1, 0], 0),
        4 => ([0, 1], 2),
        5 => ([0, 0], 1),
        6 => ([3, 3 * r], 0),
        _ => ([c, 1], 0),
    }
}

/// Returns a random kernel, all of whose values are computed in words of one size. If `in_place`, its first load reads
/// the memory that its first store writes.
fn random_kernel(random: &mut Random, [r, c]: [usize; 2], in_place: bool) -> Kernel {
    let wide = random.below(4) == 0;
    let types: &[DType] =
        if wide { &[F64, I64, U64, Bool] } else { &[F32, F32, F16, BF16, I32, U32, I8, U8, I16, U16, Bool] };
    let word = if wide { 8 } else { 4 };
    let padded = [c as isize + 5, 1];
    let (mut loads, mut values) = (vec![], vec![]);
    for n in 0..1 + random.below(4) {
        let (strides, offset) = if n == 0 && in_place { (padded, 0) } else { layout(random, [r as isize, c as isize]) };
        loads.push(load(n, random.of(types), &strides, offset));
        values.push(value(Op::Load(n), loads[n].dtype));
    }
    // a kernel of only bools has no words, so it gets a constant of the word size
    values.push(match wide {
        true => value(Op::Constant(1.5f64.to_bits()), F64),
        false => value(random.of(&[Op::Scalar(0), Op::Constant(0.75f32.to_bits() as u64)]), F32),
    });
    let rows: Vec<_> = all().chain([&SELECT]).collect();
    let operations = if random.below(12) == 0 { 90 } else { 2 + random.below(12) };
    while values.len() < loads.len() + 1 + operations {
        let recent = values.len().saturating_sub(6);
        let a = if random.below(3) == 0 {
            random.below(values.len())
        } else {
            recent + random.below(values.len() - recent)
        };
        let dtype = values[a].dtype;
        let of = |wanted: DType| (0..values.len()).filter(|v| values[*v].dtype == wanted).collect::<Vec<_>>();
        let new = match random.below(6) {
            0 => value(Op::Cast(a), random.of(types)),
            1 if cast::round(dtype).is_some() => value(Op::Round(a), dtype),
            _ => {
                let row = random.of(&rows);
                if row.threaded(dtype.compute(), word).is_none() {
                    continue;
                }
                let (same, bools) = (of(dtype), of(Bool));
                let operand = |n: usize| match (row.class, n) {
                    (Class::Select, 0) if std::ptr::eq(row, &SELECT) => bools.first().copied(),
                    _ => Some(if n + 1 == row.arity { a } else { same[same.len() / 2] }),
                };
                let Some(list) = (0..row.arity).map(operand).collect() else { continue };
                let gives_bool = matches!(row.class, Class::Compare | Class::Test | Class::Logical);
                value(Op::Ufunc(row, list), if gives_bool { Bool } else { dtype })
            }
        };
        values.push(new);
    }
    let mut stores = vec![store(0, values[values.len() - 1].dtype, &padded, values.len() - 1)];
    if in_place {
        stores[0].dtype = loads[0].dtype;
        values.push(value(Op::Cast(stores[0].value), loads[0].dtype));
        stores[0].value = values.len() - 1;
    }
    if random.below(3) == 0 {
        let v = random.below(values.len());
        // if a kernel writes the memory of a load, the planner never makes it store another loaded value
        let v = if in_place { values.len() - 1 } else { v };
        stores.push(store(1, values[v].dtype, &[c as isize, 1], v));
    }
    kernel(KernelKind::Elementwise, &[r, c], &[], loads, values, stores)
}

/// Plans the kernel for a device with these capabilities, runs it, and returns its outputs.
fn outputs(k: &Kernel, inputs: &[Vec<u64>], caps: &Caps, in_place: bool) -> Vec<Vec<u64>> {
    let cpu = Cpu::new(0, None);
    let mut buffers: Vec<_> = inputs.iter().map(|words| (cpu.adopt(words.clone()), 0)).collect();
    let elements = k.outer.iter().map(|n| n + 5).product::<usize>() + 8;
    let outs: Vec<_> = (0..k.stores.len()).map(|_| (cpu.adopt(vec![0x5555_5555_5555_5555u64; elements]), 0)).collect();
    if in_place {
        buffers[0].0 = outs[0].0.clone();
        let bytes: Vec<u8> = inputs[0][..elements].iter().flat_map(|word| word.to_le_bytes()).collect();
        cpu.upload(&outs[0].0, 0, &bytes).unwrap();
    }
    let inputs: Vec<_> = buffers.iter().map(|(b, offset)| (b, *offset)).collect();
    let bound: Vec<_> = outs.iter().map(|(b, offset)| (b, *offset)).collect();
    let scalars = [2.5f32.to_bits() as u64];
    let bindings = Bindings { inputs: &inputs, outputs: &bound, scalars: &scalars, lines: &NoLines, replaces: false };
    cpu.run(&plan_for(k.clone(), caps, in_place), bindings).unwrap();
    let read = |((out, _), store): (&(Buffer, usize), &Store)| {
        let bytes =
            pollster::block_on(cpu.download(out, 0, elements / store.dtype.size() * store.dtype.size())).unwrap();
        canonical(&bytes, store.dtype)
    };
    outs.iter().zip(&k.stores).map(read).collect()
}

/// Creates a random kernel, runs it as threaded code and by the tile interpreter, and compares the results ([`both`]).
fn compare(random: &mut Random, shape: [usize; 2], in_place: bool, threads_of: &[usize]) -> bool {
    let k = random_kernel(random, shape, in_place);
    both(random, k, shape, in_place, threads_of)
}

/// Runs a kernel as threaded code and by the tile interpreter, and compares the results. Returns whether threaded code
/// supports the kernel.
fn both(random: &mut Random, k: Kernel, shape: [usize; 2], in_place: bool, threads_of: &[usize]) -> bool {
    // the farthest element that a layout reads, in elements of at most 8 bytes
    let reach = (shape[0] + 5) * (3 * shape[1] + 8) + 8;
    let inputs = k.loads.iter().map(|load| {
        let bytes: Vec<u8> = (0..reach * 8 / load.dtype.size())
            .flat_map(|_| random.element(load.dtype).into_iter().take(load.dtype.size()))
            .collect();
        bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect()
    });
    let inputs: Vec<Vec<u64>> = inputs.collect();
    let mut here = caps();
    if random.below(2) == 0 {
        // with a last-level cache of 1 KiB nearly every contiguous store streams
        here.caches[2] = 1024;
    }
    let loops = Caps { threaded: false, ..caps() };
    let plan = plan_for(k.clone(), &here, in_place);
    let is_threaded = match &plan.steps[0] {
        Step::Nest(nest) => nest.schedule.tiles().is_some_and(|tiles| tiles.threaded),
        _ => false,
    };
    if is_threaded {
        let want = outputs(&k, &inputs, &loops, in_place);
        for n in threads_of {
            let got = threads(*n, || outputs(&k, &inputs, &here, in_place));
            assert!(got == want, "{n} threads, in place {in_place}: {k}");
        }
    }
    is_threaded
}

fn threaded_code_gives_the_bits_of_loops() {
    let mut random = Random(1);
    let mut count = 0;
    // every possible length of the last block, in rows that are long enough for threaded code
    for c in 1025..=1152 {
        for r in [1, 1, 3] {
            for in_place in [false, true] {
                count += compare(&mut random, [r, c], in_place, &[1]) as usize;
            }
        }
    }
    assert!(!caps().threaded || count > 500, "only {count} kernels were threaded");
}

/// Tests a sum or a difference of two products, or of a product and an operand, in either order. In threaded code, one
/// instruction computes both the product and the sum.
fn sums_of_products() {
    use crate::graph::ufunc::arithmetic::{add, multiply, square, subtract};
    let mut random = Random(3);
    let of = |row: &'static Ufunc, list: &[usize]| Op::Ufunc(row, list.iter().copied().collect());
    let mut count = 0;
    for dtype in [F32, F64] {
        for row in [&add, &subtract] {
            for list in [[4, 5], [5, 4], [4, 0], [0, 4], [6, 4], [4, 6], [6, 5], [5, 6]] {
                for [r, c] in [[1, 700], [3, 514]] {
                    let strides = |random: &mut Random| layout(random, [r as isize, c as isize]);
                    let loads: Vec<_> = (0..4)
                        .map(|n| {
                            let (strides, offset) = if n < 2 { ([c as isize, 1], 0) } else { strides(&mut random) };
                            load(n, dtype, &strides, offset)
                        })
                        .collect();
                    let mut values: Vec<_> = (0..4).map(|n| value(Op::Load(n), dtype)).collect();
                    values.push(value(of(&multiply, &[0, 1]), dtype));
                    values.push(value(of(&multiply, &[1, 2]), dtype));
                    values.push(value(of(&square, &[3]), dtype));
                    values.push(value(of(row, &list), dtype));
                    let stores = vec![store(0, dtype, &[c as isize + 5, 1], 7)];
                    let k = kernel(KernelKind::Elementwise, &[r, c], &[], loads, values, stores);
                    count += both(&mut random, k, [r, c], false, &[1]) as usize;
                }
            }
        }
    }
    assert!(!caps().threaded || count > 32, "only {count} kernels were threaded");
}

fn threaded_code_on_many_threads() {
    let mut random = Random(2);
    for shape in [[1, 70_001], [3, 30_007], [300, 401], [2000, 67], [5, 1100], [5, 1157], [2, 2050]] {
        for in_place in [false, true, false, true, false, false] {
            compare(&mut random, shape, in_place, &[1, 2, 3, 8]);
        }
    }
}

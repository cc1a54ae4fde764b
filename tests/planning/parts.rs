//! Concatenations and stacks: a GPU writes their parts with few kernels, also next to each other within words and
//! vectors. The results must have the CPU's bits.

#![cfg(feature = "gpu")]

use crate::kit::*;
use cupric::DType::*;
use cupric::*;

/// The number of elements from which a loop nest is large on a GPU (`LARGE` in `src/plan/schedule/groups.rs`).
const LARGE: usize = 1 << 18;

mod gpu {
    use super::*;

    /// The same array on the CPU and on the GPU, with random bits.
    struct Twins([Array; 2]);

    impl Twins {
        fn new(dice: &mut Dice, dtype: DType, shape: &[usize], gpu: &Device) -> Twins {
            let n = shape.iter().product();
            let bits: Vec<i64> = (0..n).map(|_| dice.next() as i64).collect();
            let integers = put(&Device::cpu(), bits, shape);
            // random numbers of every magnitude, whose sums round
            let on_cpu = match dtype.is_float() {
                true => (integers.astype(F64) / 2f64.powi(58)).astype(dtype),
                false => integers.astype(dtype),
            };
            let on_cpu = on_cpu.eval().unwrap();
            let on_gpu = on_cpu.to_device(gpu).unwrap();
            Twins([on_cpu, on_gpu])
        }

        /// A part with this shape: the array itself, a view, or an expression.
        fn part(&self, kind: usize, shape: &[usize]) -> [Expr; 2] {
            let axes: Vec<isize> = (0..shape.len() as isize).rev().collect();
            let turned: Vec<usize> = shape.iter().rev().copied().collect();
            self.0.each_ref().map(|x| match kind {
                0 => x.reshape(shape),
                1 => x.reshape(shape).flip(..),
                2 => x.reshape(turned.clone()).permute_dims(axes.clone()),
                3 if x.dtype() == Bool => x.reshape(shape).logical_not(),
                3 => x.reshape(shape) + x.reshape(shape).flip(..),
                _ => zeros(shape, x.dtype()),
            })
        }
    }

    fn agree(what: &str, [on_cpu, on_gpu]: [Expr; 2]) {
        let (want, got) = (read(&on_cpu).unwrap(), read(&on_gpu).unwrap());
        assert_eq!(want.len(), got.len(), "{what}");
        if let Some(at) = (0..want.len()).find(|i| want[*i] != got[*i]) {
            let end = (at + 8).min(want.len());
            panic!("{what}, element {at} of {}: {:x?} instead of {:x?}", want.len(), &got[at..end], &want[at..end]);
        }
    }

    /// The first GPU, and a GPU device marked as skipping branches, where all parts are written in one dispatch.
    fn devices() -> Vec<Device> {
        gpu(1).map(|d| vec![d, testing::gpu_that_skips_branches().unwrap()]).unwrap_or_default()
    }

    fn types(d: &Device) -> Vec<DType> {
        DType::ALL.into_iter().filter(|t| has(d, *t)).collect()
    }

    /// Concatenates or stacks parts. Each part is a pair: on the CPU and on the GPU.
    fn together(parts: &[[Expr; 2]], axis: isize, stacks: bool) -> [Expr; 2] {
        [0, 1].map(|device| {
            let list = parts.iter().map(|p| p[device].clone());
            if stacks { stack(list, axis) } else { concat(list, axis) }
        })
    }

    #[test]
    fn random_parts() {
        let (mut dice, devices) = (Dice::from(seed_of_turn(31)), devices());
        for round in 0..scaled(300).min(300 * devices.len()) {
            let d = &devices[round % 2];
            let types = types(d);
            let (t, rank, stacks) = (*dice.of(&types), 1 + dice.below(3), dice.below(2) == 0);
            let axis = dice.below(rank + stacks as usize);
            let mut shape: Vec<usize> = (0..rank).map(|_| 1 + dice.below(6)).collect();
            let uneven = !stacks && dice.below(2) == 0;
            let mut parts: Vec<[Expr; 2]> = vec![];
            for _ in 0..1 + dice.below(12) {
                if uneven {
                    shape[axis] = dice.below(5);
                }
                let twins = Twins::new(&mut dice, t, &shape, d);
                let kind = *dice.of(&[0, 0, 0, 1, 2, 3, 4]);
                parts.push(twins.part(kind, &shape));
                if dice.below(8) == 0 {
                    parts.push(parts[0].clone());
                    shape = read_shape(&parts[0][0]);
                }
            }
            let what = format!("round {round}: {} parts of {t}, the last {shape:?}, along {axis}", parts.len());
            agree(&what, together(&parts, axis as isize, stacks));
        }
    }

    fn read_shape(e: &Expr) -> Vec<usize> {
        e.shape().unwrap().to_vec()
    }

    #[test]
    fn large_stacks_of_each_type() {
        let (mut dice, devices) = (Dice::new(5), devices());
        for (number, t) in devices.first().map(types).unwrap_or_default().into_iter().enumerate() {
            let d = &devices[1];
            for count in [2, 3, 4, 8].into_iter().filter(|count| in_turn(number + count, 2)) {
                let n = LARGE / count.min(3) + 3;
                let parts: Vec<[Expr; 2]> =
                    (0..count).map(|i| Twins::new(&mut dice, t, &[n], d).part(i % 2, &[n])).collect();
                agree(&format!("{count} of {t}"), together(&parts, -1, true));
                let uneven: Vec<[Expr; 2]> = (parts.into_iter().enumerate())
                    .map(|(i, p)| p.map(|e| e.slice(s![..(n - 4 * i - number % 2 * (i / 2)) as isize])))
                    .collect();
                agree(&format!("{count} of {t}, one after another"), together(&uneven, 0, false));
            }
        }
    }

    #[test]
    fn stacks_that_begin_within_a_vector() {
        let Some(d) = gpu(1) else { return };
        let mut dice = Dice::new(6);
        for t in types(&d) {
            let (n, count) = (70, 4);
            let parts: Vec<[Expr; 2]> = (0..count).map(|_| Twins::new(&mut dice, t, &[n], &d).part(0, &[n])).collect();
            for before in [1, 2, 4] {
                let first = Twins::new(&mut dice, t, &[before], &d).part(0, &[before]);
                let all = together(&parts, -1, true).map(|e| e.reshape([n * count]));
                agree(&format!("{t} after {before}"), together(&[first, all], 0, false));
            }
        }
    }

    #[test]
    fn parts_are_few_kernels() {
        let Some(d) = devices().pop() else { return };
        let kernels = |e: Expr| e.plan().unwrap().kernels();
        let parts: Vec<Array> = (0..4).map(|i| put(&d, vec![i as f32; 165], &[33, 5])).collect();
        for axis in [0, 1] {
            assert_eq!(kernels(concat(&parts, axis)), 1);
            let doubled = parts.iter().map(|p| p * 2.0f32 + 1.0f32);
            assert_eq!(kernels(stack(doubled, axis)), 1);
            let uneven = |(i, p): (usize, &Array)| match axis {
                0 => p.slice(s![..33 - i as isize]),
                _ => p.slice(s![.., i as isize..]),
            };
            let joined = concat(parts.iter().enumerate().map(uneven), axis);
            let plan = joined.plan().unwrap();
            let before = d.stats().dispatches;
            joined.eval().unwrap();
            assert_eq!([plan.kernels(), plan.dispatches(), (d.stats().dispatches - before) as usize], [1; 3]);
        }
    }
}

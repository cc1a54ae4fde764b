//! Conversions between f32 and f16 or bf16: on the CPU with each instruction set, on a GPU by its hardware and by
//! integer arithmetic, in loops and in fused expressions. Every 16-bit number, and f32 numbers at and near the midpoint
//! between two neighbours. All NaNs count as equal.

use crate::kit::arrays::put;
use crate::kit::stage::Stage;
use crate::kit::*;
use cupric::DType::*;
use cupric::testing::{Half, WidenHalf};
use cupric::*;
use std::iter;

/// f32 numbers near every 16-bit number from +0 to infinity (`bits` is infinity's number) and near the midpoint to the
/// next, with both signs, and some random bits.
fn samples(bits: u16, number: impl Fn(u16) -> f32) -> Vec<f32> {
    let mut dice = Dice::new(1);
    let mut all = vec![];
    for low in 0..bits {
        let [a, b] = [low, low + 1].map(|bits| f64::from(number(bits)));
        // above the largest number, use the value that the format would continue with instead of infinity
        let b = if b.is_finite() { b } else { 2.0 * a - f64::from(number(low - 1)) };
        for x in [a, (a + b) / 2.0, b, a + (b - a) * dice.unit()].map(|x| x as f32) {
            all.extend([x, x.next_up(), x.next_down()].map(|x| if dice.one_in(2) { x } else { -x }));
        }
    }
    all.extend((0..200_000).map(|_| f32::from_bits(dice.next() as u32)));
    all.extend([f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, f32::MIN, 0.0, -0.0]);
    all
}

fn same<T: Element>(what: &str, got: &Expr, want: &[T]) -> usize {
    let got = got.to_vec::<T>().unwrap_or_else(|e| panic!("{what}: {e}"));
    let wrong = got.iter().zip(want).position(|(g, w)| canonical(*g) != canonical(*w));
    assert!(got.len() == want.len() && wrong.is_none(), "{what}, element {wrong:?}");
    want.len()
}

macro_rules! check {
    ($t:ident, $dtype:ident, $infinity:literal, $device:expr) => {{
        let device = $device;
        let all: Vec<$t> = (0..=u16::MAX).map($t::from_bits).collect();
        let wide: Vec<f32> = all.iter().map(|x| x.to_f32_const()).collect();
        let x = put(device, all.clone(), &[1 << 16]);
        // the value of a number after arithmetic on the device, which may flush subnormals
        let flushes = device.numerics().unwrap().is_some_and(|found| !found.subnormals);
        let number = |x: f32| if flushes && x.is_subnormal() { 0f32.copysign(x) } else { x };
        let mut count = same("widened", &x.astype(F32), &wide);
        count += same("widened in an expression", &(x.astype(F32) * 2.0), &wide.iter().map(|x| number(*x) * 2.0).collect::<Vec<_>>());
        count += same("read and written", &-&*x, &all.iter().map(|x| -*x).collect::<Vec<_>>());
        // at other positions within blocks, and with other strides
        count += same("read from the second on", &-x.slice(s![1..]), &all[1..].iter().map(|x| -*x).collect::<Vec<_>>());
        count += same("widened backward", &x.slice(s![..;-3]).astype(F32), &wide.iter().rev().step_by(3).copied().collect::<Vec<_>>());

        let list = samples($infinity, |bits| $t::from_bits(bits).to_f32_const());
        let want: Vec<$t> = list.iter().map(|x| $t::from_f32_const(*x)).collect();
        let y = put(device, list.clone(), &[list.len()]);
        count += same("narrowed", &y.astype($dtype), &want);
        count += same("narrowed in an expression", &(-&*y).astype($dtype), &want.iter().map(|x| -*x).collect::<Vec<_>>());
        count += same("narrowed from the second on", &y.slice(s![1..]).astype($dtype), &want[1..]);
        let rounded: Vec<f32> = want.iter().map(|x| x.to_f32_const()).collect();
        count += same("rounded", &y.astype($dtype).astype(F32), &rounded);
        count += same("rounded in an expression", &-(y.astype($dtype).astype(F32)), &rounded.iter().map(|x| -x).collect::<Vec<_>>());
        count
    }};
}

#[test]
fn conversions() {
    let cpu = Device::cpu();
    let mut stage = Stage::new(2, "conversions of 16 bits", &cpu);
    stage.count(check!(f16, F16, 0x7c00, &cpu) + check!(bf16, BF16, 0x7f80, &cpu));
}

#[test]
fn conversions_on_a_gpu() {
    let Some(gpu) = gpu(1) else { return };
    let signed = Half { widens: WidenHalf::Signed, ..Half::INTEGERS };
    let can_widen = gpu.numerics().unwrap().is_some_and(|found| found.half_to_float);
    let ways = [Some(signed).filter(|_| can_widen), Some(Half::INTEGERS)].into_iter().flatten();
    for device in iter::once(own(&gpu)).chain(ways.map(|half| testing::gpu_with_halves(half).unwrap())) {
        let mut stage = Stage::new(7, "conversions of 16 bits", &device);
        stage.count(check!(f16, F16, 0x7c00, &device) + check!(bf16, BF16, 0x7f80, &device));
    }
}

#[test]
fn a_gpu_reports_how_it_converts() {
    let Some(gpu) = gpu(1) else { return };
    let [found, integers] = [own(&gpu), testing::gpu_with_halves(Half::INTEGERS).unwrap()].map(|device| {
        let (limits, numerics) = (device.limits(), device.numerics().unwrap().unwrap());
        let plan = (put(&device, vec![f16::ONE; 3], &[3]) * 2.0).plan().unwrap().to_string();
        assert!(!(put(&device, vec![1f32; 3], &[3]) * 2.0).plan().unwrap().to_string().contains("f16:"));
        (limits.has_f16_widening, limits.has_f16_narrowing, numerics, plan)
    });
    assert_eq!((found.0, found.1), (found.2.half_to_float, found.2.half || found.2.half_type));
    assert_eq!(found.2, integers.2, "what the probe found does not depend on what is used");
    assert_eq!((integers.0, integers.1), (false, false));
    assert!(integers.3.ends_with("f16: widened by integers, narrowed by integers\n"), "{}", integers.3);
    assert_eq!(found.3 == integers.3, !found.0 && !found.1, "{}", found.3);
}

#[test]
fn every_instruction_set() {
    let mut stage = Stage::new(16, "conversions of 16 bits: instruction sets", &Device::cpu());
    stage.count(on_other_instruction_sets(module_path!(), &["conversions"]));
}

//! Tests of conditional stores and stores at computed positions, in kernels that are written by hand.

use super::*;
use crate::plan::kernel::{Chosen, Combine, Scattered};

crate::testing::unit_tests! {
    cpu_stores: a_condition_leaves_the_rest_as_it_was, positions_that_are_unique_are_set,
    positions_that_repeat_are_combined
}

/// Runs an elementwise kernel with one store over three i32 inputs (values, positions, conditions), into an output that
/// holds `before`, and returns the output. In the kernel, value 1 holds the positions, value 3 the values as `R`, and
/// value 4 the conditions.
fn choose<R: Element>(store: Store, values: [Vec<i32>; 3], before: &[R]) -> Vec<R> {
    let n = values[0].len();
    let k = kernel(
        KernelKind::Elementwise,
        &[n],
        &[],
        (0..3).map(|i| load(i, I32, &[1], 0)).collect(),
        vec![
            value(Op::Load(0), I32),
            value(Op::Load(1), I32),
            value(Op::Load(2), I32),
            value(Op::Cast(0), R::DTYPE),
            value(Op::Cast(2), Bool),
        ],
        vec![store],
    );
    let cpu = Cpu::new(0, None);
    let buffers: Vec<_> = values.into_iter().map(|v| cpu.adopt(v)).collect();
    let inputs: Vec<_> = buffers.iter().map(|b| (b, 0)).collect();
    let out = cpu.adopt(before.to_vec());
    cpu.run(&plan(k), bound(&inputs, &(&out, 0), &[0])).unwrap();
    R::from_bytes(&pollster::block_on(cpu.download(&out, 0, size_of_val(before))).unwrap()).unwrap()
}

fn chosen(condition: Option<usize>, combine: Option<Combine>) -> Option<Box<Chosen>> {
    let scattered = combine.map(|combine| Scattered { index: 1, stride: 2, extent: 4, combine });
    Some(Box::new(Chosen { condition, scattered }))
}

fn a_condition_leaves_the_rest_as_it_was() {
    let conditions = [1, 0, 0, -3, 1, 0, 1];
    let store = |strides: &[isize], dtype| Store { chosen: chosen(Some(4), None), ..store(0, dtype, strides, 3) };
    let values = |n: usize| [(1..=n as i32).collect(), vec![0; n], conditions[..n].to_vec()];
    assert_eq!(choose(store(&[1], U8), values(7), &[9u8; 8]), [1, 9, 9, 4, 5, 9, 7, 9]);
    assert_eq!(choose(store(&[2], I64), values(3), &[9i64; 6]), [1, 9, 9, 9, 9, 9]);
    // an array that is large enough for several tasks
    let n = 100_000;
    let store = Store { chosen: chosen(Some(4), None), ..super::store(0, U16, &[1], 3) };
    let many = [(0..n).collect(), vec![0; n as usize], (0..n).map(|i| i % 3 - 1).collect()];
    let want: Vec<u16> = (0..n).map(|i| if i % 3 == 1 { 77 } else { i as u16 }).collect();
    assert_eq!(choose(store, many, &vec![77u16; n as usize]), want);
}

fn positions_that_are_unique_are_set() {
    // a position outside the extent, on either side, writes nothing
    let positions = vec![3, 0, 4, -1, 2];
    let store = |condition| Store { chosen: chosen(condition, Some(Combine::Set)), ..store(0, I16, &[0], 3) };
    let values = [vec![1, 2, 3, 4, 5], positions, vec![1, 0, 1, 1, 1]];
    assert_eq!(choose(store(None), values.clone(), &[9i16; 8]), [2, 9, 9, 9, 5, 9, 1, 9]);
    assert_eq!(choose(store(Some(4)), values, &[9i16; 8]), [9, 9, 9, 9, 5, 9, 1, 9]);
}

fn positions_that_repeat_are_combined() {
    let values = [vec![5, -7, 5, 100, 30], vec![1, 1, 1, 0, 2], vec![1, 1, 1, 1, 0]];
    let run = |combine, condition| {
        let store = Store { chosen: chosen(condition, Some(combine)), ..store(0, I8, &[0], 3) };
        choose(store, values.clone(), &[60i8; 7])
    };
    assert_eq!(run(Combine::Add, None), [-96, 60, 63, 60, 90, 60, 60]);
    assert_eq!(run(Combine::Add, Some(4)), [-96, 60, 63, 60, 60, 60, 60]);
    assert_eq!(run(Combine::Min, None), [60, 60, -7, 60, 30, 60, 60]);
    assert_eq!(run(Combine::Max, None), [100, 60, 60, 60, 60, 60, 60]);
}

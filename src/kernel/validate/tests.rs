//! Plans that are broken in one place each.

use super::*;
use crate::dtype::DType;
use crate::kernel::{Fold, IndexMode, Lanes, Output};
use crate::layout::{Shape, Strides};
use crate::ufunc::arithmetic;
use smallvec::smallvec;

fn value(op: Op, dtype: DType, inner: bool) -> Value {
    Value { op, dtype, inner }
}

fn load(buffer: BufferRef, strides: &[isize]) -> Load {
    Load { buffer, dtype: DType::F32, strides: strides.into(), offset: 0 }
}

fn store(buffer: BufferRef, strides: &[isize], value: usize) -> Store {
    Store { buffer, dtype: DType::F32, strides: strides.into(), offset: 0, value }
}

fn kernel(kind: KernelKind, outer: &[usize], inner: &[usize]) -> Kernel {
    Kernel {
        kind,
        outer: outer.into(),
        inner: inner.into(),
        loads: vec![],
        values: vec![],
        stores: vec![],
        windows: vec![Window { start: smallvec![0; outer.len()], shape: outer.into() }],
        continues: false,
        name: "test",
        node: 7,
    }
}

/// `temp0 = (in0 + in1) * s0`, a take of it, and its sum along rows; then a product.
fn sound() -> Plan {
    use BufferRef::{Input, Output as Out, Temp};
    let mut chain = kernel(KernelKind::Elementwise, &[4, 8], &[]);
    chain.loads = vec![load(Input(0), &[8, 1]), load(Input(1), &[0, 1])];
    chain.values = vec![
        value(Op::Load(0), DType::F32, false),
        value(Op::Load(1), DType::F32, false),
        value(Op::Ufunc(&arithmetic::add, smallvec![0, 1]), DType::F32, false),
        value(Op::Scalar(0), DType::F32, false),
        value(Op::Ufunc(&arithmetic::multiply, smallvec![2, 3]), DType::F32, false),
    ];
    chain.stores = vec![store(Temp(0), &[8, 1], 4)];
    chain.windows = vec![
        Window { start: smallvec![0, 0], shape: smallvec![1, 8] },
        Window { start: smallvec![1, 0], shape: smallvec![3, 8] },
    ];
    let mut take = kernel(KernelKind::Elementwise, &[5], &[]);
    take.loads = vec![load(Temp(0), &[0])];
    take.values = vec![
        value(Op::Index { strides: Box::new(smallvec![1]), offset: 0 }, DType::I32, false),
        value(
            Op::Gather { load: 0, index: 0, stride: 1, extent: 32, mode: IndexMode::Clip, node: 3 },
            DType::F32,
            false,
        ),
    ];
    take.stores = vec![store(Out(0), &[1], 1)];
    let mut sum = kernel(KernelKind::Reduce(Lanes::Inner), &[4], &[8]);
    sum.loads = vec![load(Temp(0), &[8, 1])];
    sum.values =
        vec![value(Op::Load(0), DType::F32, true), value(Op::Reduce(Fold::of(&arithmetic::add), 0), DType::F32, false)];
    sum.stores = vec![store(Out(1), &[1], 1)];
    let mut product = kernel(KernelKind::Matmul, &[4, 4], &[8]);
    product.loads = vec![load(Temp(0), &[8, 0, 1]), load(Temp(0), &[0, 8, 1])];
    product.values = vec![value(Op::Dot, DType::F32, false)];
    product.stores = vec![store(Out(2), &[4, 1], 0)];
    let output = || Output { dtype: DType::F32, shape: Shape::new(), strides: Strides::new() };
    Plan {
        inputs: vec![DType::F32; 2],
        aliased: vec![true, false],
        id: 1,
        is_kept: false,
        scalars: vec![DType::F32],
        temps: vec![128],
        outputs: vec![output(), output(), output()],
        steps: [chain, take, sum, product].map(Step::Nest).to_vec(),
    }
}

/// Kernels of [`sound`] by what they are.
const CHAIN: usize = 0;
const TAKE: usize = 1;
const SUM: usize = 2;
const PRODUCT: usize = 3;

#[test]
fn a_sound_plan_passes() {
    assert!(validate(&sound()).is_ok());
    // nothing to do, in a space without an index
    let mut plan = sound();
    let mut empty = kernel(KernelKind::Elementwise, &[0, 3], &[]);
    plan.steps = vec![Step::Nest(empty.clone())];
    assert!(validate(&plan).is_ok());
    empty.windows.clear();
    plan.steps = vec![Step::Nest(empty)];
    assert!(validate(&plan).is_ok());
    // a clear of a temporary that is there
    plan.steps = vec![Step::Clear { temp: 0 }];
    assert!(validate(&plan).is_ok());
    plan.steps = vec![Step::Clear { temp: 1 }];
    assert!(validate(&plan).is_err());
}

#[test]
fn a_broken_plan_is_refused_with_its_node() {
    use BufferRef::{Input, Output as Out, Temp};
    // what is broken, and what the message says of it
    type Break = (fn(&mut [Kernel]), &'static str);
    let broken: [Break; 38] = [
        (|k| k[CHAIN].continues = true, "a further pass of no kernel"),
        (|k| k[CHAIN].inner = smallvec![2], "an inner space"),
        (|k| k[CHAIN].values.swap(1, 2), "reads value"),
        (|k| k[CHAIN].values[2].op = Op::Ufunc(&arithmetic::add, smallvec![0, 2]), "value 2 reads value 2"),
        (|k| k[CHAIN].values[2].op = Op::Ufunc(&arithmetic::add, smallvec![0]), "gives add 1 operands"),
        (|k| k[CHAIN].values[1].op = Op::Load(2), "reads load 2 of 2"),
        (|k| k[CHAIN].values[3].op = Op::Scalar(1), "reads scalar 1"),
        (|k| k[CHAIN].values[3].op = Op::Philox { index: 0, word: 0, slots: [0, 1, 2] }, "reads scalar 2"),
        (|k| k[CHAIN].values[3].op = Op::Philox { index: 0, word: 4, slots: [0; 3] }, "word 4 of four"),
        (|k| k[CHAIN].values[3].op = Op::Dot, "value 3 is a product"),
        (|k| k[CHAIN].values[3].op = Op::Reduce(Fold::of(&arithmetic::add), 0), "nothing is to be reduced"),
        (|k| k[CHAIN].values[1].inner = true, "a kernel that has none"),
        (|k| k[CHAIN].loads[0].buffer = Input(2), "load 0 of in2, which is not there"),
        (|k| k[CHAIN].loads[0].buffer = Temp(1), "load 0 of temp1, which is not there"),
        (|k| k[CHAIN].loads[0].buffer = Out(3), "load 0 of out3, which is not there"),
        (|k| k[CHAIN].loads[0].buffer = Temp(0), "before it is written"),
        (|k| k[CHAIN].loads[0].dtype = DType::F16, "load 0 of in0 as f16"),
        (|k| k[CHAIN].loads[1].strides = smallvec![1], "1 strides for 2 axes"),
        (|k| k[CHAIN].stores[0].value = 5, "store 0 of value 5"),
        (|k| k[CHAIN].stores[0].buffer = Input(0), "store 0 of f32 to in0"),
        (|k| k[CHAIN].stores[0].buffer = Temp(1), "store 0 of f32 to temp1"),
        (|k| k[CHAIN].stores[0].dtype = DType::I32, "store 0 of f32 as i32"),
        (|k| k[CHAIN].stores[0].strides = smallvec![1], "1 strides for 2 axes"),
        (|k| k[CHAIN].windows[1].shape[0] = 2, "windows of 24 of 32 indices"),
        (|k| k[CHAIN].windows[1].start[0] = 2, "a window [2, 0]"),
        (|k| k[CHAIN].windows[0].start[0] = 1, "windows that overlap"),
        (|k| k[CHAIN].windows[0].shape[0] = 0, "an empty window"),
        (|k| k[CHAIN].windows[0].shape = smallvec![8], "a window"),
        (|k| k[TAKE].values[0].dtype = DType::F32, "gathers by f32"),
        (|k| k[TAKE].values[0].op = Op::Index { strides: Box::new(smallvec![]), offset: 0 }, "0 strides for 1 axes"),
        (|k| k[SUM].values[0].inner = false, "which is at the outer level"),
        (|k| k[SUM].values[1] = value(Op::Cast(0), DType::F32, false), "reads an inner value"),
        (|k| k[SUM].values[1].op = Op::Scan(Fold::of(&arithmetic::add), 0), "scans outside a row kernel"),
        (
            |k| {
                k[SUM].kind = KernelKind::Row;
                k[SUM].values.push(value(Op::Scan(Fold::of(&arithmetic::add), 1), DType::F32, true));
            },
            "scans value 1, which is at the outer level",
        ),
        (|k| k[SUM].stores[0].value = 0, "store 0 of an inner value outside a row kernel"),
        (
            |k| {
                k[SUM].values.push(value(Op::Cast(1), DType::F32, true));
                k[SUM].values.push(value(Op::Reduce(Fold::of(&arithmetic::add), 2), DType::F32, false));
            },
            "outside a row kernel",
        ),
        (|k| k[PRODUCT].values.insert(0, value(Op::Load(0), DType::F32, false)), "does not start with its product"),
        (|k| k[PRODUCT].loads[0].strides[1] = 1, "factor 0 moves along axis 1"),
    ];
    for (i, (damage, says)) in broken.into_iter().enumerate() {
        let mut plan = sound();
        let mut kernels: Vec<Kernel> = plan.steps.iter().filter_map(Step::nest).cloned().collect();
        damage(&mut kernels);
        plan.steps = kernels.into_iter().map(Step::Nest).collect();
        let (error, node) = validate(&plan).expect_err(&format!("{i}: {says}"));
        assert!(error.to_string().contains(says), "{i}: {error}, not {says}");
        assert_eq!((error.kind(), node), (ErrorKind::Internal, 7), "{i}");
    }
    let mut plan = sound();
    plan.aliased.pop();
    assert!(validate(&plan).is_err());
}

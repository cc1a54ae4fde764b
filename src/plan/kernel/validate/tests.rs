//! Tests `validate` with a valid plan, and with plans that are each made invalid in one way.

use super::*;
use crate::base::dtype::DType;
use crate::base::layout::{Shape, Strides};
use crate::graph::ufunc::arithmetic;
use crate::plan::kernel::{
    AxisIndexing, Checks, Chosen, Combine, Details, Fold, Groups, IndexMode, Lanes, Method, Output, Pass, Passes,
    Position, Product, Scattered, Schedule, TileSchedule, Tiling, Work, WriteClass,
};
use smallvec::smallvec;

crate::testing::unit_tests! {
    kernel_validate: a_sound_plan_passes, a_broken_schedule_is_refused, a_broken_plan_is_refused_with_its_node,
    an_update_follows_a_write
}

fn value(op: Op, dtype: DType, inner: bool) -> Value {
    Value { op, dtype, inner }
}

fn load(buffer: BufferRef, strides: &[isize]) -> Load {
    Load { buffer, dtype: DType::F32, strides: strides.into(), offset: 0 }
}

fn store(buffer: BufferRef, strides: &[isize], value: usize) -> Store {
    Store { buffer, dtype: DType::F32, strides: strides.into(), offset: 0, value, chosen: None }
}

const PANELS: Method = Method::Panels { blocks: 1, left: false };

fn strategy(method: Method) -> Product {
    Product { method, turned: false, matrices: 1, parts: [1, 1], chains: 0, alone: true, hands_on: false }
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
        schedule: Schedule::default(),
        continues: false,
        name: "test",
        node: 7,
    }
}

fn scattered(index: usize, combine: Combine) -> Option<Box<Chosen>> {
    Some(Box::new(Chosen { condition: None, scattered: Some(Scattered { index, stride: 1, extent: 5, combine }) }))
}

fn scattered_over(extent: usize) -> Option<Box<Chosen>> {
    let scattered = Scattered { index: 0, stride: 1, extent, combine: Combine::Set };
    Some(Box::new(Chosen { condition: None, scattered: Some(scattered) }))
}

fn position(index: usize, extent: usize) -> Op {
    Op::Position(Box::new(Position { index, extent, mode: IndexMode::Check, from_end: None, name: "test", node: 0 }))
}

fn schedule(work: Work, passes: Option<Passes>) -> Schedule {
    Schedule { work, details: Some(Box::new(Details { writes: vec![], passes, checks: None, ordinary: None })) }
}

fn details(k: &mut Kernel) -> &mut Details {
    k.schedule.details.as_mut().expect("details")
}

fn tiles(tiling: Tiling) -> TileSchedule {
    TileSchedule { tiling, alone: true, shares_rows: false, threaded: false }
}

fn groups() -> Groups {
    Groups {
        size: 64,
        lanes: 4,
        shuffled: 1,
        held: 2,
        in_flight: 1,
        run: 1,
        tile: None,
        blocks: None,
        axes: [AxisIndexing::Any; 2],
        beside: false,
    }
}

fn pass(computes: &[u16], takes: &[u16], ends: &[u16]) -> Pass {
    Pass { computes: computes.into(), takes: takes.into(), ends: ends.into() }
}

/// Returns a valid plan of five kernels. The first computes `temp0 = (in0 + in1) * s0`. The others read `temp0` and
/// compute a gather, the sum of each row, the matrix product of `temp0` with its transpose, and each row minus its sum.
fn sound() -> ExecutionPlan {
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
            Op::Gather {
                load: 0,
                stride: 1,
                position: Box::new(Position {
                    index: 0,
                    extent: 32,
                    mode: IndexMode::Clip,
                    from_end: None,
                    name: "test",
                    node: 3,
                }),
            },
            DType::F32,
            false,
        ),
    ];
    take.stores = vec![store(Out(0), &[1], 1)];
    chain.schedule = schedule(Work::Tiles(tiles(Tiling::Rows { each: 4 })), None);
    take.schedule = schedule(Work::Groups(groups()), None);
    let looks = Checks { outer: smallvec![1], tiles: tiles(Tiling::Pieces { each: 64 }), passes: None };
    details(&mut take).checks = Some(looks);
    let mut sum = kernel(KernelKind::Reduce(Lanes::Inner), &[4], &[8]);
    sum.loads = vec![load(Temp(0), &[8, 1])];
    sum.values = vec![
        value(Op::Load(0), DType::F32, true),
        value(Op::reduce(Fold::of(&arithmetic::add), 0, DType::F32), DType::F32, false),
    ];
    sum.stores = vec![store(Out(1), &[1], 1)];
    let once = Passes { after: vec![0, 1], list: vec![pass(&[0], &[], &[1])] };
    sum.schedule = schedule(Work::Tiles(tiles(Tiling::Along { rows: 4, together: 1, cols: 8 })), Some(once));
    let mut product = kernel(KernelKind::Matmul, &[4, 4], &[8]);
    product.loads = vec![load(Temp(0), &[8, 0, 1]), load(Temp(0), &[0, 8, 1])];
    product.values = vec![value(Op::Dot { from: None, part: None }, DType::F32, false)];
    product.stores = vec![store(Out(2), &[4, 1], 0)];
    product.schedule = schedule(Work::Product(strategy(PANELS)), None);
    let mut row = kernel(KernelKind::Row, &[4], &[8]);
    row.loads = vec![load(Temp(0), &[8, 1])];
    row.values = vec![
        value(Op::Load(0), DType::F32, true),
        value(Op::reduce(Fold::of(&arithmetic::add), 0, DType::F32), DType::F32, false),
        value(Op::Ufunc(&arithmetic::subtract, smallvec![0, 1]), DType::F32, true),
    ];
    row.stores = vec![store(Out(3), &[8, 1], 2)];
    let twice = Passes { after: vec![0, 1, 1], list: vec![pass(&[0], &[], &[1]), pass(&[2], &[0], &[])] };
    row.schedule = schedule(Work::Groups(groups()), Some(twice));
    let output = || Output { dtype: DType::F32, shape: Shape::new(), strides: Strides::new() };
    ExecutionPlan {
        inputs: vec![DType::F32; 2],
        aliased: vec![true, false],
        id: 1,
        is_kept: false,
        kept: Default::default(),
        scalars: vec![DType::F32],
        temps: vec![128],
        outputs: vec![output(), output(), output(), output()],
        steps: [chain, take, sum, product, row].map(Step::Nest).to_vec(),
        model: Default::default(),
    }
}

fn sum() -> KernelReduction {
    KernelReduction::of(Fold::of(&arithmetic::add), 0, DType::F32)
}

fn part() -> KernelReduction {
    KernelReduction { gives: Gives::Component(1), ..sum() }
}

fn two_states() -> KernelReduction {
    KernelReduction { source: Source::States(smallvec![0, 0]), ..sum() }
}

/// The index of each kernel in the plan that [`sound`] returns.
const CHAIN: usize = 0;
const TAKE: usize = 1;
const SUM: usize = 2;
const PRODUCT: usize = 3;
const ROW: usize = 4;

fn a_sound_plan_passes() {
    assert!(validate(&sound()).is_ok());
    // a kernel without outer indices is valid with an empty window and without a window
    let mut plan = sound();
    let mut empty = kernel(KernelKind::Elementwise, &[0, 3], &[]);
    plan.steps = vec![Step::Nest(empty.clone())];
    assert!(validate(&plan).is_ok());
    empty.windows.clear();
    plan.steps = vec![Step::Nest(empty)];
    assert!(validate(&plan).is_ok());
    // a clear is valid if its temporary exists, and invalid otherwise
    plan.steps = vec![Step::Clear { temp: 0 }];
    assert!(validate(&plan).is_ok());
    plan.steps = vec![Step::Clear { temp: 1 }];
    assert!(validate(&plan).is_err());
}

/// Returns the passes of a kernel, for a test that makes them invalid.
fn passes(k: &mut Kernel) -> &mut Passes {
    details(k).passes.as_mut().expect("passes")
}

/// A change that makes the kernels of a valid plan invalid, and a part of the error message that it must cause.
type Break = (fn(&mut [Kernel]), &'static str);

fn a_broken_schedule_is_refused() {
    let product = |method| Work::Product(strategy(method));
    let broken: [Break; 23] = [
        (|k| k[CHAIN].schedule.work = Work::Undecided, "without a schedule"),
        (|k| details(&mut k[CHAIN]).writes = vec![WriteClass::Plain; 2], "a schedule of 2 stores, not 1"),
        (|k| k[CHAIN].schedule.work = Work::Tiles(tiles(Tiling::Pieces { each: 0 })), "empty tiles"),
        (|k| k[CHAIN].schedule.work = k[SUM].schedule.work, "for a kernel of another kind"),
        (|k| k[SUM].schedule.work = k[CHAIN].schedule.work, "for a kernel of another kind"),
        (|k| k[SUM].schedule.work = k[PRODUCT].schedule.work, "another kernel as a product"),
        (|k| k[PRODUCT].schedule.work = k[CHAIN].schedule.work, "a product by tiles"),
        (|k| details(&mut k[CHAIN]).passes = Some(Passes::default()), "passes for a kernel without"),
        (|k| k[SUM].schedule.details = None, "or no passes for a kernel with one"),
        (|k| k[TAKE].schedule.work = Work::Groups(Groups { lanes: 3, ..groups() }), "3 lanes of a group of 64"),
        (|k| k[TAKE].schedule.work = Work::Groups(Groups { lanes: 128, ..groups() }), "128 lanes of a group of 64"),
        (|k| k[TAKE].schedule.work = Work::Groups(Groups { in_flight: 2, ..groups() }), "2 loads in flight"),
        (|k| k[TAKE].schedule.work = Work::Groups(Groups { run: 3, ..groups() }), "3 consecutive elements"),
        (|k| details(&mut k[TAKE]).checks.as_mut().expect("checks").outer = smallvec![2], "checked over"),
        (|k| k[ROW].schedule.work = Work::Groups(Groups { held: 1, ..groups() }), "a row of 8 elements"),
        (|k| passes(&mut k[ROW]).after[2] = 0, "value 2 after 0 passes, not 1"),
        (|k| passes(&mut k[ROW]).list[1].takes.clear(), "value 2 of pass 1 is too early"),
        (|k| passes(&mut k[ROW]).list[0].takes.push(2), "which no pass has kept"),
        (|k| passes(&mut k[ROW]).list[0].computes.push(2), "pass 0 computes value 2"),
        (|k| passes(&mut k[ROW]).list[0].ends.push(0), "pass 0 ends in value 0"),
        (|k| passes(&mut k[ROW]).list[0].computes.clear(), "an operand of which it does not have"),
        (|k| passes(&mut k[ROW]).list[1].computes.clear(), "not in the last pass"),
        (|k| passes(&mut k[SUM]).list.clear(), "no pass ends in it"),
    ];
    for (i, (damage, says)) in broken.into_iter().enumerate() {
        let mut plan = sound();
        let mut kernels: Vec<Kernel> = plan.steps.iter().filter_map(Step::nest).cloned().collect();
        damage(&mut kernels);
        plan.steps = kernels.into_iter().map(Step::Nest).collect();
        let (error, _) = validate(&plan).expect_err(&format!("{i}: {says}"));
        assert!(error.to_string().contains(says), "{i}: {error}, not {says}");
    }
    for (strategy, dtype, says) in [
        (product(Method::Dots), DType::F32, ""),
        (product(PANELS), DType::F32, ""),
        (product(PANELS), DType::I8, ""),
        (product(Method::Direct), DType::F32, "which its strides do not suit"),
        (product(Method::Sums), DType::F32, "which its strides do not suit"),
        (product(Method::Dots), DType::I8, "which its strides do not suit"),
        (product(Method::Panels { blocks: 0, left: true }), DType::F32, "which its strides do not suit"),
        (
            Work::Product(Product { turned: true, ..strategy(Method::Sums) }),
            DType::F32,
            "which its strides do not suit",
        ),
        (
            Work::Product(Product { parts: [1, 0], ..strategy(PANELS) }),
            DType::F32,
            "tasks of a product without elements",
        ),
        (
            Work::Product(Product { chains: 1, parts: [2, 1], ..strategy(PANELS) }),
            DType::F32,
            "a product that divides k among tasks and is also cut",
        ),
        (
            Work::Product(Product { chains: 1, hands_on: true, ..strategy(PANELS) }),
            DType::F32,
            "a product that divides k among tasks and is also cut",
        ),
    ] {
        let mut plan = sound();
        let Step::Nest(k) = &mut plan.steps[PRODUCT] else { panic!("a kernel") };
        k.schedule.work = strategy;
        k.loads.iter_mut().for_each(|l| l.dtype = dtype);
        (k.values[0].dtype, k.stores[0].dtype) = (dtype, dtype);
        plan.outputs[2].dtype = dtype;
        let result = validate(&plan).map_err(|(e, _)| e.to_string());
        assert_eq!(result.is_ok(), says.is_empty(), "{result:?}");
        assert!(result.err().unwrap_or_default().contains(says));
    }
}

const BROKEN: &[Break] = &[
    (|k| k[CHAIN].continues = true, "a further pass without a kernel before it"),
    (|k| k[CHAIN].inner = smallvec![2], "an inner space"),
    (|k| k[CHAIN].values.swap(1, 2), "reads value"),
    (|k| k[CHAIN].values[2].op = Op::Ufunc(&arithmetic::add, smallvec![0, 2]), "value 2 reads value 2"),
    (|k| k[CHAIN].values[2].op = Op::Ufunc(&arithmetic::add, smallvec![0]), "passes add 1 operands"),
    (|k| k[CHAIN].values[1].op = Op::Load(2), "reads load 2 of 2"),
    (|k| k[CHAIN].values[3].op = Op::Scalar(1), "reads scalar 1"),
    (|k| k[CHAIN].values[3].op = Op::Philox { index: 0, word: 0, slots: [0, 1, 2] }, "reads scalar 2"),
    (|k| k[CHAIN].values[3].op = Op::Philox { index: 0, word: 12, slots: [0; 3] }, "word 12 of twelve"),
    (|k| k[CHAIN].values[3].op = Op::Dot { from: None, part: None }, "value 3 is a product"),
    (|k| k[CHAIN].values[3].op = Op::reduce(Fold::of(&arithmetic::add), 0, DType::F32), "nothing is to be reduced"),
    (|k| k[SUM].values[1].op = Op::Reduce(Box::new(sum().component(0, Some(0)))), "which is not a position"),
    (|k| k[SUM].values[1].op = Op::Reduce(Box::new(part())), "value 1 is component 1 of 1"),
    (|k| k[SUM].values[1].op = Op::Reduce(Box::new(two_states())), "reduces 2 of 1 components"),
    (|k| k[CHAIN].values[1].inner = true, "a kernel that has none"),
    (|k| k[CHAIN].loads[0].buffer = BufferRef::Input(2), "load 0 of in2, which does not exist"),
    (|k| k[CHAIN].loads[0].buffer = BufferRef::Temp(1), "load 0 of temp1, which does not exist"),
    (|k| k[CHAIN].loads[0].buffer = BufferRef::Output(4), "load 0 of out4, which does not exist"),
    (|k| k[CHAIN].loads[0].buffer = BufferRef::Temp(0), "before it is written"),
    (|k| k[CHAIN].loads[0].dtype = DType::F16, "load 0 of in0 as f16"),
    (|k| k[CHAIN].loads[1].strides = smallvec![1], "1 strides for 2 axes"),
    (|k| k[CHAIN].stores[0].value = 5, "store 0 of value 5"),
    (|k| k[CHAIN].stores[0].buffer = BufferRef::Input(0), "store 0 of f32 to in0"),
    (|k| k[CHAIN].stores[0].buffer = BufferRef::Temp(1), "store 0 of f32 to temp1"),
    (|k| k[CHAIN].stores[0].dtype = DType::I32, "store 0 of f32 as i32"),
    (|k| k[CHAIN].stores[0].strides = smallvec![1], "1 strides for 2 axes"),
    (|k| k[CHAIN].stores[0].only_if(3), "under a condition, value 3, that is not a bool"),
    (|k| k[CHAIN].stores[0].only_if(9), "under a condition, value 9"),
    (|k| k[CHAIN].stores[0].chosen = scattered(0, Combine::Set), "at value 0, which is not an i32"),
    (|k| k[TAKE].stores[0].chosen = scattered(0, Combine::Add), "combines f32, whose order would decide bits"),
    (|k| k[TAKE].stores[0].chosen = scattered_over(1 << 31), "at one of 2147483648 positions"),
    (|k| k[SUM].stores[0].only_if(0), "its kernel is not elementwise"),
    (|k| k[TAKE].values[0].op = Op::Cast(0), "value 0 reads value 0"),
    (|k| k[TAKE].values[1].op = position(0, 32), "value 1 is a position by i32"),
    (|k| k[CHAIN].windows[1].shape[0] = 2, "windows of 24 of 32 indices"),
    (|k| k[CHAIN].windows[1].start[0] = 2, "a window [2, 0]"),
    (|k| k[CHAIN].windows[0].start[0] = 1, "windows that overlap"),
    (|k| k[CHAIN].windows[0].shape[0] = 0, "an empty window"),
    (|k| k[CHAIN].windows[0].shape = smallvec![8], "a window"),
    (|k| k[TAKE].values[0].dtype = DType::F32, "gathers by f32"),
    (|k| k[TAKE].values[0].op = Op::Index { strides: Box::new(smallvec![]), offset: 0 }, "0 strides for 1 axes"),
    (|k| k[SUM].values[0].inner = false, "which is at the outer level"),
    (|k| k[SUM].values[1] = value(Op::Cast(0), DType::F32, false), "reads an inner value"),
    (|k| k[SUM].values[1].op = Op::scan(Fold::of(&arithmetic::add), 0, DType::F32), "scans outside a row kernel"),
    (
        |k| {
            k[SUM].kind = KernelKind::Row;
            k[SUM].values.push(value(Op::scan(Fold::of(&arithmetic::add), 1, DType::F32), DType::F32, true));
        },
        "scans value 1, which is at the outer level",
    ),
    (|k| k[SUM].stores[0].value = 0, "store 0 of an inner value outside a row kernel"),
    (
        |k| {
            k[SUM].values.push(value(Op::Cast(1), DType::F32, true));
            k[SUM].values.push(value(Op::reduce(Fold::of(&arithmetic::add), 2, DType::F32), DType::F32, false));
        },
        "outside a row kernel",
    ),
    (|k| k[PRODUCT].values.insert(0, value(Op::Load(0), DType::F32, false)), "does not start with its product"),
    (|k| k[PRODUCT].loads[0].strides[1] = 1, "factor 0 moves along axis 1"),
];

fn a_broken_plan_is_refused_with_its_node() {
    for (i, (damage, says)) in BROKEN.iter().enumerate() {
        let mut plan = sound();
        let mut kernels: Vec<Kernel> = plan.steps.iter().filter_map(Step::nest).cloned().collect();
        damage(&mut kernels);
        plan.steps = kernels.into_iter().map(Step::Nest).collect();
        let (error, node) = validate(&plan).expect_err(&format!("{i}: {says}"));
        assert!(error.to_string().contains(*says), "{i}: {error}, not {says}");
        assert_eq!((error.kind(), node), (ErrorKind::Internal, 7), "{i}");
    }
    let mut plan = sound();
    plan.aliased.pop();
    assert!(validate(&plan).is_err());
}

fn an_update_follows_a_write() {
    // a store that combines with a temporary is rejected before the temporary is written, and accepted after a plain
    // store
    let mut update = kernel(KernelKind::Elementwise, &[5], &[]);
    update.values = vec![value(Op::Index { strides: Box::new(smallvec![1]), offset: 0 }, DType::I32, false)];
    update.values.push(value(position(0, 5), DType::I32, false));
    update.stores = vec![Store { dtype: DType::I32, ..store(BufferRef::Temp(0), &[0], 1) }];
    update.schedule = schedule(Work::Tiles(tiles(Tiling::Pieces { each: 64 })), None);
    let plain = Step::Nest(update.clone());
    update.stores[0].chosen = scattered(1, Combine::Max);
    let mut plan = sound();
    plan.steps = vec![Step::Nest(update.clone())];
    let (error, _) = validate(&plan).expect_err("an update before a write");
    assert!(error.to_string().contains("updates temp0 before it is written"), "{error}");
    plan.steps.insert(0, plain);
    assert!(validate(&plan).is_ok());
}

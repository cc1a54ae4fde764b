//! Tests in which naga parses and validates the source that the generator writes, without a device.

mod four_elements;
mod products;

use super::*;
use crate::base::caps::product_tiles::VENDORS;
use crate::base::dtype::DType;
use crate::graph::ufunc;
use crate::graph::ufunc::Fold;
use crate::plan::kernel::{
    AxisIndexing, BufferRef, Caps, Chosen, Combine, IndexMode, KernelReduction, Lanes, Load, Position, Scattered,
    Schedule, Store, Tile, Value,
};
use smallvec::smallvec;

crate::testing::unit_tests! {
    gpu_wgsl: shader_files_are_valid_as_they_stand, the_header_has_the_fields_of_the_shader_file,
    parameters_lie_where_rust_writes_them, planted_faults_find_their_text, every_row_is_valid,
    every_conversion_is_valid, every_fold_is_valid, all_folds_together_fit_a_workgroup, folds_by_formulas_are_valid,
    every_scan_is_valid, other_operations_are_valid, stores_that_choose_are_valid
}

/// The size in bytes of the workgroup memory that WebGPU guarantees. wgpu does not check shaders against it.
const WORKGROUP_MEMORY: u32 = wgpu::Limits::defaults().max_compute_workgroup_storage_size;

/// Returns the size in bytes of the workgroup memory that a shader declares, counted as WebGPU does: each variable in
/// whole vectors of 16 bytes.
fn workgroup_memory(text: &str) -> u32 {
    let module = naga::front::wgsl::parse_str(text).unwrap();
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).unwrap();
    let variables = module.global_variables.iter().map(|(_, v)| v);
    let shared = variables.filter(|v| v.space == naga::AddressSpace::WorkGroup);
    shared.map(|v| layouter[v.ty].size.next_multiple_of(16)).sum()
}

fn validate(name: &str, features: naga::valid::Capabilities, text: &str) {
    let module = match naga::front::wgsl::parse_str(text) {
        Ok(module) => module,
        Err(e) => panic!("{name}: {}\n{text}", e.emit_to_string(text)),
    };
    let mut validator = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), features);
    if let Err(e) = validator.validate(&module) {
        panic!("{name}: {}\n{text}", e.emit_to_string(text));
    }
}

fn kernel(kind: KernelKind) -> Kernel {
    Kernel {
        kind,
        outer: smallvec![2, 3, 4],
        inner: if kind == KernelKind::Elementwise { smallvec![] } else { smallvec![5] },
        loads: Vec::new(),
        values: Vec::new(),
        stores: Vec::new(),
        windows: Vec::new(),
        schedule: Schedule::default(),
        continues: false,
        name: "test",
        node: 0,
    }
}

fn position(index: usize, mode: IndexMode) -> Box<Position> {
    Box::new(Position { index, extent: 7, mode, from_end: None, name: "test", node: 0 })
}

fn push(k: &mut Kernel, op: Op, dtype: DType, inner: bool) -> usize {
    k.values.push(Value { op, dtype, inner });
    k.values.len() - 1
}

fn load(k: &mut Kernel, dtype: DType, inner: bool) -> usize {
    let buffer = BufferRef::Input(k.loads.len());
    k.loads.push(Load { buffer, dtype, strides: smallvec![0; 4], offset: 0 });
    let n = k.loads.len() - 1;
    push(k, Op::Load(n), dtype, inner)
}

fn store(k: &mut Kernel, value: usize) {
    let dtype = k.values[value].dtype;
    k.stores.push(Store {
        buffer: BufferRef::Output(k.stores.len()),
        dtype,
        strides: smallvec![0; 4],
        offset: 0,
        value,
        chosen: None,
    });
}

/// Returns a variant with one binding per operand.
fn variant(k: &Kernel, form: &ParamPositions, how: StoreMode, lanes: u32) -> Variant {
    let mut slots: SmallVec<[Slot; 8]> = SmallVec::new();
    slots.extend(k.loads.iter().map(|l| Slot { words: words(l.dtype), access: Access::Read, width: 1 }));
    let mut stores = SmallVec::new();
    for s in &k.stores {
        let how = if packing(s.dtype) == 0 && !s.updates() { StoreMode::Direct } else { how };
        let access = if how == StoreMode::Atomic { Access::Atomic } else { Access::Write };
        stores.push((slots.len() as u8, how));
        slots.push(Slot { words: stored_words(s), access, width: 1 });
    }
    let loads = (0..k.loads.len() as u8).collect();
    Variant {
        slots,
        loads,
        stores,
        groups: Groups {
            size: 256,
            lanes: lanes as u16,
            shuffled: 1,
            held: 4,
            in_flight: 1,
            run: 1,
            tile: None,
            blocks: None,
            axes: [AxisIndexing::Any; 2],
            beside: false,
        },
        run: if how == StoreMode::Owned { 4 } else { 1 },
        params: form.params(4).unwrap(),
        fetches: SmallVec::new(),
        has_whole_runs: false,
        stores_whole: false,
        woven: 1,
        draws_blocks: false,
        nested: None,
        lines: None,
    }
}

/// Validates the source for [`Dialect::FULL`], and returns it. If the source has no f64, also validates the source for
/// a device without 64-bit integers, where pairs of words replace them.
fn validate_both(name: &str, k: &Kernel, form: &ParamPositions, variant: &Variant) -> String {
    let text = generate(k, form, variant, Dialect::FULL).unwrap();
    validate(name, naga::valid::Capabilities::all(), &text);
    // the planner checks the memory of a tile, which wgpu does not, and uses cooperative matrices only if a device has
    // enough memory
    let most = match (variant.groups.tile, variant.groups.blocks) {
        (Some(tile), _) => tile.memory(k.values[0].compute().size()) as u32,
        (None, None) => WORKGROUP_MEMORY,
        (None, Some(blocks)) => blocks.memory() as u32,
    };
    let fits = |text: &str| workgroup_memory(text) <= most;
    assert!(fits(&text), "{name}: {} bytes of workgroup memory", workgroup_memory(&text));
    if !text.contains("f64") {
        let mut least = naga::valid::Capabilities::empty();
        least.set(naga::valid::Capabilities::SUBGROUP, variant.groups.shuffled > 1);
        let pairs = generate(k, form, variant, Dialect::LEAST).unwrap();
        validate(name, least, &pairs);
        assert!(fits(&pairs), "{name}: {} bytes of workgroup memory", workgroup_memory(&pairs));
    }
    text
}

fn check(name: &str, k: &Kernel, how: StoreMode, lanes: u32) {
    let mut k = k.clone();
    crate::plan::schedule_nest(&mut k, &Caps::card("card")).unwrap();
    let k = &k;
    let form = ParamPositions::of(k);
    let mut variant = variant(k, &form, how, lanes);
    if k.kind == KernelKind::Matmul {
        return products::check_tiles(name, k, &form, variant);
    }
    for shuffled in [8, 1] {
        variant.groups.shuffled = shuffled;
        validate_both(name, k, &form, &variant);
    }
    variant.groups.in_flight = if k.kind == KernelKind::Row { 1 } else { 4 };
    if k.kind == KernelKind::Elementwise && how == StoreMode::Owned && !form.checks {
        four_elements::check(name, k, &form, &variant);
    }
    if matches!(k.kind, KernelKind::Reduce(_)) && lanes > 1 && !form.checks {
        four_elements::check_lanes(name, k, &form, &variant);
    }
    // a variant for a device with small workgroups
    variant.groups.size = lanes.max(64) as u16;
    variant.groups.axes = [AxisIndexing::One, AxisIndexing::Two];
    variant.groups.axes.rotate_left(usize::from(lanes != 32));
    let text = validate_both(name, k, &form, &variant);
    assert!(text.contains(&format!("const WORKGROUP = {}u;", variant.groups.size)), "{text}");
}

/// One dtype for each compute type.
const COMPUTE: [DType; 7] = [DType::Bool, DType::I32, DType::U32, DType::I64, DType::U64, DType::F32, DType::F64];

fn shader_files_are_valid_as_they_stand() {
    let library = library::needed("cp_block", Dialect::FULL);
    let own = "struct Axis {\n@align(16) extent: u32,\n}\n\
               struct Parameters {\n@size(64) header: Header,\n@align(16) axes: array<Axis, 8>,\n}\n\
               @group(1) @binding(0) var<uniform> params: Parameters;\n";
    let files = [("elementwise", ELEMENTWISE), ("reduce", REDUCE), ("row", ROW), ("matmul", MATMUL)];
    for (name, file) in files {
        // the text is a file with all its blocks, which contain every entry point, and with the signatures of the
        // functions that are written for each kernel
        validate(name, naga::valid::Capabilities::all(), &format!("{own}{FRAME}{library}{file}"));
    }
    let text = format!("{}\n{own}{FRAME}{library}{COOPERATIVE}", cooperative::ENABLES);
    validate("matmul_cooperative", naga::valid::Capabilities::all(), &text);
    let trees = ["tree", "tree_of_fours", "tree_by_shuffles", "tree_of_fours_by_shuffles"]
        .into_iter()
        .flat_map(|tree| [("plain", tree), ("cascade", tree)]);
    for (local, tree) in trees.chain([("position", "position_tree"), ("position", "position_tree_by_shuffles")]) {
        let more = if local == "position" { "position_of_fours" } else { "checks" };
        let fold = library::with_blocks(FOLD, &["declared by the generator", more, local, tree]);
        let fold = library::unrolled(&fold, &[("level", "LEVEL", 5)]);
        validate(local, naga::valid::Capabilities::all(), &format!("{own}{FRAME}{fold}"));
    }
    let scan = library::unrolled(SCAN, &[("set", "SET", 1), ("block", "BLOCK", 1)]);
    validate("scan", naga::valid::Capabilities::all(), &format!("{own}{FRAME}{scan}"));
}

fn the_header_has_the_fields_of_the_shader_file() {
    let (_, fields) = FRAME.split_once("struct Header {\n").expect("the struct");
    let (fields, _) = fields.split_once("\n}").expect("its end");
    let lines = fields.lines().map(str::trim).filter(|l| !l.starts_with("//"));
    let names: Vec<&str> = lines.map(|l| l.strip_suffix(": u32,").expect("a u32")).collect();
    assert_eq!(names, ParamHeader::FIELDS);
    assert!(names.len() <= HEADER && HEADER.is_multiple_of(4));
    // word 0 is not read because of a bug of Mesa 22.3 (see the shader file), so it must not be `run_time_zero`
    assert!(names[0] == "unread" && names.contains(&"run_time_zero"), "{names:?}");
    let shaders = [FRAME, FOLD, SCAN, ELEMENTWISE, REDUCE, ROW, MATMUL];
    assert!(shaders.iter().all(|s| !s.contains("header.unread")));
    let mut words = [1; HEADER];
    ParamHeader { outer_size: 2, contiguous_along_k: 3, ..ParamHeader::default() }.write(&mut words);
    assert_eq!(words, [0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1]);
}

/// Returns the members of a WGSL struct with their offsets in bytes, and the size of the struct.
fn members(module: &naga::Module, name: &str) -> (Vec<(String, u32)>, u32) {
    let (_, found) = module.types.iter().find(|(_, t)| t.name.as_deref() == Some(name)).expect(name);
    let naga::TypeInner::Struct { members, span } = &found.inner else { panic!("{name} is no struct") };
    (members.iter().map(|m| (m.name.clone().expect("a name"), m.offset)).collect(), *span)
}

fn parameters_lie_where_rust_writes_them() {
    for wide in [DType::I32, DType::I64] {
        let mut k = kernel(KernelKind::Elementwise);
        let x = load(&mut k, DType::I32, false);
        load(&mut k, DType::F16, false);
        push(&mut k, Op::Scalar(7), DType::F32, false);
        push(&mut k, Op::Scalar(2), DType::F32, false);
        let i = push(&mut k, Op::Index { strides: Box::new(smallvec![1; 3]), offset: 5 }, wide, false);
        let gather = Op::Gather { load: 1, stride: 3, position: position(x, IndexMode::Clip) };
        let g = push(&mut k, gather, DType::F16, false);
        store(&mut k, g);
        store(&mut k, i);
        let form = ParamPositions::of(&k);
        let variant = variant(&k, &form, StoreMode::Atomic, 1);
        let text = generate(&k, &form, &variant, Dialect::FULL).unwrap();
        let module = naga::front::wgsl::parse_str(&text).unwrap();

        let (fields, size) = members(&module, "Parameters");
        let word = |name: &str| fields.iter().find(|f| f.0 == name).map(|f| f.1 as usize / 4).expect(name);
        assert_eq!((word("header"), word("scalar0"), word("scalar1")), (0, HEADER, HEADER + 2));
        assert_eq!((word("gather5_stride"), word("gather5_extent")), (HEADER + 4, HEADER + 5));
        let columns = ["in0", "in1", "out0", "out1", "index4"];
        for (c, name) in columns.iter().enumerate() {
            assert_eq!(word(&format!("offset_{name}")), form.offsets + c);
        }
        assert_eq!(word("axes"), form.table * 4);
        assert!(size <= variant.params * 16);

        let (fields, size) = members(&module, "Axis");
        assert_eq!((fields[0].0.as_str(), fields[0].1, size as usize), ("extent", 0, form.row * 16));
        for (c, name) in columns.iter().enumerate() {
            assert_eq!(fields[c + 1], (format!("stride_{name}"), 4 * (c as u32 + 1)));
        }
        assert_eq!(fields.len(), 1 + form.columns);

        let (fields, _) = members(&module, "Header");
        assert!(fields.iter().enumerate().all(|(n, f)| f.1 as usize == 4 * n), "{fields:?}");
    }
}

/// Some faults of `src/base/mutants.rs` are planted by replacing a part of a shader. This test checks that the shaders
/// contain these parts, because otherwise the faults would change nothing.
fn planted_faults_find_their_text() {
    assert_eq!(REDUCE.matches("LANES < inner {").count(), 3, "last_element_twice");
    assert!(REDUCE.contains("if left > 3u {"), "four_past_a_row");
    assert!(library::block(FOLD, "tree").contains("    workgroupBarrier();\n"), "barrier_removed");
    assert!(library::block(FOLD, "position").contains("position < best"), "argmax_last_of_ties_on_gpu");
    assert!(library::block(SCAN, "scan").contains("            workgroupBarrier();\n"), "scan_barrier_removed");
    assert!(library::block(SCAN, "scan").contains("(blocks_before, combine"), "scan_carry_dropped_on_gpu");
    let bincount = shader_file!("bincount.wgsl");
    assert!(bincount.contains("atomicStore(&counts[counter], 0u);"), "workgroup_counters_not_cleared");
}

fn every_row_is_valid() {
    for row in ufunc::all().chain([&ufunc::logic::SELECT]) {
        for dtype in COMPUTE.into_iter().filter(|d| row.on_gpu(d.compute())) {
            let mut k = kernel(KernelKind::Elementwise);
            let mut args: SmallVec<[usize; 3]> = SmallVec::new();
            if row.class == ufunc::Class::Select {
                args.push(load(&mut k, DType::Bool, false));
            }
            while args.len() < row.arity {
                args.push(load(&mut k, dtype, false));
            }
            let result = row.class.result(dtype);
            let v = push(&mut k, Op::Ufunc(row, args), result, false);
            store(&mut k, v);
            check(&format!("{} {dtype}", row.name), &k, StoreMode::Owned, 1);
        }
    }
}

fn every_conversion_is_valid() {
    for from in DType::ALL {
        for to in DType::ALL {
            let mut k = kernel(KernelKind::Elementwise);
            let x = load(&mut k, from, false);
            let y = push(&mut k, Op::Cast(x), to, false);
            let z = push(&mut k, Op::Round(y), to, false);
            store(&mut k, z);
            check(&format!("{from} to {to}"), &k, StoreMode::Atomic, 1);
            check(&format!("{from} to {to}"), &k, StoreMode::Owned, 1);
        }
    }
}

fn every_fold_is_valid() {
    for row in ufunc::all().filter(|r| r.reduce.is_some()) {
        for dtype in COMPUTE.into_iter().filter(|d| row.on_gpu(d.compute())) {
            for kind in [KernelKind::Reduce(Lanes::Inner), KernelKind::Row] {
                for lanes in [1, 32, 256] {
                    let mut k = kernel(kind);
                    let x = load(&mut k, dtype, true);
                    let r = push(&mut k, Op::reduce(Fold::of(row), x, dtype), dtype, false);
                    store(&mut k, r);
                    check(&format!("{} {dtype}", row.name), &k, StoreMode::Atomic, lanes);
                }
            }
        }
    }
    for dtype in DType::ALL {
        for lanes in [1, 256] {
            let mut k = kernel(KernelKind::Reduce(Lanes::Inner));
            let x = load(&mut k, dtype, true);
            for fold in [*ufunc::ARGMIN, *ufunc::ARGMAX] {
                let r = push(&mut k, Op::reduce(fold, x, dtype), DType::I32, false);
                store(&mut k, r);
            }
            check(&format!("arg {dtype}"), &k, StoreMode::Atomic, lanes);
        }
    }
}

/// Checks that the largest row kernel fits: it has every fold of the table of functions, with every type, at once.
/// Lanes exchange the results of all folds of a type through one array, so no kernel of the planner needs more memory.
fn all_folds_together_fit_a_workgroup() {
    let mut k = kernel(KernelKind::Row);
    for dtype in COMPUTE {
        let x = load(&mut k, dtype, true);
        for row in ufunc::all().filter(|r| r.reduce.is_some() && r.on_gpu(dtype.compute())) {
            push(&mut k, Op::reduce(Fold::of(row), x, dtype), dtype, false);
        }
        for fold in [*ufunc::ARGMIN, *ufunc::ARGMAX] {
            push(&mut k, Op::reduce(fold, x, dtype), DType::I32, false);
        }
    }
    // a gather with a checked index, because the lanes of a row exchange the result of this check too
    load(&mut k, DType::F32, true);
    let data = k.loads.len() - 1;
    let index = k.values.iter().position(|v| matches!(v.op, Op::Load(_)) && v.dtype == DType::I32).unwrap();
    let op = Op::Gather { load: data, stride: 1, position: position(index, IndexMode::Check) };
    let taken = push(&mut k, op, DType::F32, true);
    store(&mut k, taken);
    crate::plan::schedule_nest(&mut k, &Caps::card("card")).unwrap();
    let form = ParamPositions::of(&k);
    let text = generate(&k, &form, &variant(&k, &form, StoreMode::Direct, 256), Dialect::FULL).unwrap();
    assert!(text.contains("shared_checks") && text.contains("shared_positions"), "{text}");
    let bytes = workgroup_memory(&text);
    // i32, u32, f32, positions and checks use 4 bytes for each lane, and i64, u64 and f64 use 8
    assert_eq!(bytes, 256 * (5 * 4 + 3 * 8), "{text}");
    assert!(bytes <= WORKGROUP_MEMORY);
}

/// Validates the formulas of every fold: of elements or of states, with the result or a component as the value.
fn folds_by_formulas_are_valid() {
    let table = ufunc::all().filter(|r| r.reduce.is_some()).map(Fold::of).chain([*ufunc::ARGMIN, *ufunc::ARGMAX]);
    for fold in table {
        let fold = Fold::new(ufunc::Definition { form: ufunc::Form::Formulas, ..(*fold).clone() }).unwrap();
        let takes =
            |d: &DType| fold.takes(*d).is_ok() && fold.functions(*d).iter().all(|(row, compute)| row.on_gpu(*compute));
        for dtype in COMPUTE.into_iter().filter(takes) {
            for (kind, lanes) in [(KernelKind::Reduce(Lanes::Inner), 1), (KernelKind::Row, 32)] {
                let mut k = kernel(kind);
                let x = load(&mut k, dtype, true);
                let base = push(&mut k, Op::Index { strides: Box::new(smallvec![1; 4]), offset: 5 }, DType::I32, false);
                let whole = KernelReduction::of(fold, x, dtype);
                let counted = whole.component(0, fold.counts().then_some(base));
                let types: Vec<DType> = (0..fold.state.len()).map(|n| fold.stored(n, dtype)).collect();
                let states: Vec<usize> = types.iter().map(|d| load(&mut k, *d, true)).collect();
                let total = whole.of_states(&states);
                let results = [(whole, fold.result_type(dtype)), (total.component(0, None), types[0])];
                for (r, d) in results.into_iter().chain([(counted, types[0]), (total, fold.result_type(dtype))]) {
                    let v = push(&mut k, Op::Reduce(Box::new(r)), d, false);
                    store(&mut k, v);
                }
                check(&format!("{fold:?} {dtype} by formulas"), &k, StoreMode::Atomic, lanes);
            }
        }
    }
}

fn every_scan_is_valid() {
    for row in ufunc::all().filter(|r| r.reduce.is_some()) {
        for dtype in COMPUTE.into_iter().filter(|d| row.on_gpu(d.compute())) {
            for lanes in [32, 256] {
                let fold = Fold::of(row);
                let mut k = kernel(KernelKind::Row);
                let x = load(&mut k, dtype, true);
                let s = push(&mut k, Op::scan(fold, x, dtype), dtype, true);
                let again = push(&mut k, Op::scan(fold, s, dtype), dtype, true);
                let total = push(&mut k, Op::scan(fold, x, dtype), dtype, false);
                let best = push(&mut k, Op::reduce(fold, s, dtype), dtype, false);
                [s, again, total, best].into_iter().for_each(|v| store(&mut k, v));
                check(&format!("scan {} {dtype}", row.name), &k, StoreMode::Owned, lanes);
                let mut k = kernel(KernelKind::Row);
                let x = load(&mut k, dtype, true);
                let total = push(&mut k, Op::scan(fold, x, dtype), dtype, false);
                store(&mut k, total);
                check(&format!("total {} {dtype}", row.name), &k, StoreMode::Atomic, lanes);
            }
        }
    }
}

fn other_operations_are_valid() {
    for dtype in COMPUTE {
        for bits in [0, 1, u64::MAX, 1 << 63, 0x8000_0000, 0x7fc0_0000, 0x3f80_0000, 0x4048_f5c3, 0x7ff << 52] {
            let mut k = kernel(KernelKind::Elementwise);
            let c = push(&mut k, Op::Constant(bits), dtype, false);
            let s = push(&mut k, Op::Scalar(3), dtype, false);
            store(&mut k, c);
            store(&mut k, s);
            check(&format!("constant {bits:x} {dtype}"), &k, StoreMode::Owned, 1);
        }
    }
    for dtype in [DType::I8, DType::U16, DType::I32, DType::U32, DType::I64, DType::U64] {
        for mode in [IndexMode::Check, IndexMode::Clip, IndexMode::Wrap] {
            for kind in [KernelKind::Elementwise, KernelKind::Row, KernelKind::Reduce(Lanes::Inner)] {
                let mut k = kernel(kind);
                let inner = kind != KernelKind::Elementwise;
                let x = load(&mut k, dtype, inner);
                load(&mut k, DType::F16, inner);
                let g = Op::Gather { load: 1, stride: 3, position: position(x, mode) };
                let g = push(&mut k, g, DType::F16, inner);
                let v = match inner {
                    true => {
                        push(&mut k, Op::reduce(Fold::of(&ufunc::arithmetic::add), g, DType::F32), DType::F32, false)
                    }
                    false => g,
                };
                store(&mut k, v);
                check(&format!("gather {dtype} {mode:?}"), &k, StoreMode::Atomic, 32);
            }
        }
    }
    for dtype in [DType::I32, DType::U32, DType::I64] {
        let mut k = kernel(KernelKind::Elementwise);
        let i = push(&mut k, Op::Index { strides: Box::new(smallvec![1; 3]), offset: 5 }, dtype, false);
        let p = push(&mut k, Op::Position(position(i, IndexMode::Wrap)), DType::I32, false);
        store(&mut k, p);
        check(&format!("position {dtype}"), &k, StoreMode::Direct, 1);
        let mut k = kernel(KernelKind::Elementwise);
        let i = push(&mut k, Op::Index { strides: Box::new(smallvec![1; 3]), offset: 5 }, dtype, false);
        let a = push(&mut k, Op::Philox { index: i, word: 0, slots: [0, 1, 2] }, DType::U32, false);
        let b = push(&mut k, Op::Philox { index: i, word: 3, slots: [0, 1, 2] }, DType::U32, false);
        for v in [i, a, b] {
            store(&mut k, v);
        }
        check(&format!("philox {dtype}"), &k, StoreMode::Owned, 1);
    }
}

fn stores_that_choose_are_valid() {
    for dtype in DType::ALL {
        let is_combined = |c: &Option<Combine>| c.is_none_or(|c| !c.reads() || dtype.is_integer());
        let combines = [None, Some(Combine::Set), Some(Combine::Add), Some(Combine::Min), Some(Combine::Max)];
        for combine in combines.into_iter().filter(is_combined) {
            if dtype.size() == 8 && matches!(combine, Some(Combine::Min | Combine::Max)) {
                continue;
            }
            for with_condition in [false, true] {
                let mut k = kernel(KernelKind::Elementwise);
                let x = load(&mut k, dtype, false);
                let index = load(&mut k, DType::I32, false);
                let c = load(&mut k, DType::Bool, false);
                store(&mut k, x);
                let scattered = combine.map(|combine| Scattered { index, stride: 3, extent: 7, combine });
                let condition = with_condition.then_some(c);
                k.stores[0].chosen = Some(Box::new(Chosen { condition, scattered }));
                check(&format!("{combine:?} {dtype} {with_condition}"), &k, StoreMode::Atomic, 1);
            }
        }
    }
}

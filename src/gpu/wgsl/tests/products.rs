//! Tests of the source of matrix products.

use super::super::cooperative::UNROLLED;
use super::*;
use crate::base::caps::Cooperative;
use crate::base::caps::product_tiles::CooperativeTile;

crate::testing::unit_tests! {
    gpu_wgsl_products: every_matmul_is_valid, products_that_go_on_from_sums_are_valid, sums_of_chains_are_valid,
    products_by_cooperative_matrices_are_valid
}

/// Validates the source with the tiles of all vendors, and with the tiles of narrow products.
pub(super) fn check_tiles(name: &str, k: &Kernel, form: &ParamPositions, mut variant: Variant) {
    let tiles = VENDORS.map(|v| v.tiles.single).into_iter().chain([Tile::LEAST, Tile { padded: false, ..Tile::PLAIN }]);
    let is_wide = k.loads[..2].iter().any(|load| load.dtype.size() > 4);
    let by_vectors = [[Fetch::Whole, Fetch::AlongK], [Fetch::AlongK, Fetch::Whole], [Fetch::Each; 2]];
    for (tile, fetches) in tiles.zip(by_vectors.into_iter().cycle()) {
        let fetches = if is_wide { [Fetch::Each; 2] } else { fetches };
        (variant.groups.tile, variant.groups.size) = (Some(tile), tile.invocations() as u16);
        variant.fetches = fetches.into_iter().collect();
        let text = validate_both(name, k, form, &variant);
        // the shader adds products for several k at a time, and for one k at a time at the end
        let multiplied = text.matches("= add_step(").count();
        let steps = tile.unrolled as usize + 1;
        assert_eq!(multiplied, steps * tile.each.iter().map(|n| *n as usize / 4).product::<usize>(), "{text}");
        let is_numbered =
            ["left_ROW", "right_COLUMN", "_VECTOR", "FACTOR", "// for each"].iter().all(|word| !text.contains(word));
        assert!(is_numbered, "{text}");
    }
    for ([batch, m, n], fetches) in [[1, 1, 1], [1, 9, 300], [5, 3, 2]].into_iter().zip(by_vectors) {
        let tile = Tile::narrow(batch, [m, n], 128, 8);
        (variant.groups.tile, variant.groups.size) = (Some(tile), tile.invocations() as u16);
        assert_eq!((tile.invocations(), tile.is_valid()), (128, true), "{tile}");
        variant.fetches = if is_wide { SmallVec::new() } else { fetches.into_iter().collect() };
        validate_both(name, k, form, &variant);
    }
}

fn every_matmul_is_valid() {
    for a in DType::ALL.into_iter().filter(|d| *d != DType::Bool) {
        for value in [a, a.sum()] {
            let mut k = kernel(KernelKind::Matmul);
            for n in 0..3 {
                k.loads.push(Load { buffer: BufferRef::Input(n), dtype: a, strides: smallvec![0; 4], offset: 0 });
            }
            let dot = push(&mut k, Op::Dot { from: None, part: None }, value, false);
            let bias = push(&mut k, Op::Load(2), a, false);
            let bias = push(&mut k, Op::Cast(bias), value, false);
            let sum = push(&mut k, Op::Ufunc(&ufunc::arithmetic::add, smallvec![dot, bias]), value, false);
            store(&mut k, sum);
            check(&format!("matmul {a} {value}"), &k, StoreMode::Owned, 1);
        }
    }
}

fn products_that_go_on_from_sums_are_valid() {
    for dtype in [DType::F32, DType::F16, DType::I64] {
        let mut k = kernel(KernelKind::Matmul);
        for (n, dtype) in [dtype, dtype, dtype.compute().dtype()].into_iter().enumerate() {
            k.loads.push(Load { buffer: BufferRef::Input(n), dtype, strides: smallvec![0; 4], offset: 0 });
        }
        let dot = push(&mut k, Op::Dot { from: Some(2), part: None }, dtype, false);
        store(&mut k, dot);
        check(&format!("matmul {dtype} from sums"), &k, StoreMode::Owned, 1);
    }
}

fn sums_of_chains_are_valid() {
    for dtype in [DType::F32, DType::F64, DType::U64] {
        let mut k = kernel(KernelKind::Reduce(Lanes::Inner));
        k.inner = smallvec![1_000];
        let chain = load(&mut k, dtype, true);
        let sum = push(&mut k, Op::reduce(*ufunc::SUM_OF_CHAINS, chain, dtype), dtype, false);
        store(&mut k, sum);
        for lanes in [1, 32, 256] {
            check(&format!("sum of chains of {dtype}, {lanes} lanes"), &k, StoreMode::Atomic, lanes);
        }
    }
}

fn products_by_cooperative_matrices_are_valid() {
    for (side, a, from) in
        [(8, DType::F16, None), (16, DType::F16, None), (8, DType::U8, None), (16, DType::F16, Some(2))]
    {
        let mut k = kernel(KernelKind::Matmul);
        for (n, dtype) in [a, DType::F16, DType::F32].into_iter().enumerate() {
            k.loads.push(Load { buffer: BufferRef::Input(n), dtype, strides: smallvec![0; 4], offset: 0 });
        }
        let dot = push(&mut k, Op::Dot { from, part: None }, DType::F16, false);
        let bias = push(&mut k, Op::Load(2), DType::F32, false);
        let sum = push(&mut k, Op::Ufunc(&ufunc::arithmetic::add, smallvec![dot, bias]), DType::F16, false);
        store(&mut k, sum);
        let mut caps = Caps::card("card");
        caps.cooperative = vec![Cooperative { shape: [side; 3], types: ["f16", "f32"].map(str::to_string) }];
        crate::plan::schedule_nest(&mut k, &caps).unwrap();
        let form = ParamPositions::of(&k);
        let mut variant = variant(&k, &form, StoreMode::Owned, 1);
        variant.groups = k.schedule.groups().unwrap();
        let small = variant.groups.blocks.unwrap();
        assert_eq!((small.side as u32, small.tile, variant.groups.size), (side, CooperativeTile::SMALL, 128));
        let wholes = [Fetch::Each, Fetch::Whole, Fetch::AlongK];
        for (tile, fetch) in [
            (CooperativeTile::SMALL, wholes[0]),
            (CooperativeTile::LARGE, wholes[1]),
            (CooperativeTile::LARGE, wholes[2]),
        ] {
            let blocks = CooperativeTile { tile, ..small };
            variant.groups.blocks = Some(blocks);
            variant.groups.size = 32 * blocks.count() as u16;
            variant.fetches = smallvec![fetch, fetch, Fetch::Each];
            let width = |dtype: DType| if fetch == Fetch::Each { 1 } else { words_of_four(dtype) as u8 };
            variant.slots[0].width = width(a);
            variant.slots[1].width = width(DType::F16);
            let text = validate_both("matmul_cooperative", &k, &form, &variant);
            let [rows, columns] = blocks.block().map(|n| n / side as usize);
            let operations = text.matches("coopMultiplyAdd(").count();
            assert_eq!((operations, text.contains("ROW ")), (UNROLLED * rows * columns, false), "{text}");
            // the planner counts the bytes of workgroup memory; wgpu does not check them
            let module = naga::front::wgsl::parse_str(&text).unwrap();
            let shared = module.global_variables.iter().filter(|(_, v)| v.space == naga::AddressSpace::WorkGroup);
            let bytes: u32 = shared.map(|(_, v)| module.types[v.ty].inner.size(module.to_ctx())).sum();
            let is_turned = fetch == Fetch::Whole;
            assert!(bytes as usize == blocks.memory() || is_turned && (bytes as usize) < blocks.memory(), "{bytes}");
            assert_eq!(text.contains("coopLoad<Left>"), is_turned, "{text}");
            // bits of f16 are moved; other types are converted
            let moves = text.contains("bitcast<f16>(u16((words[0] >> 0u) & 0xffffu))");
            assert!(fetch == Fetch::Each || moves, "{text}");
        }
    }
}

//! Checks that the schedule of a kernel has the properties on which backends rely. A backend itself rejects a schedule
//! for other hardware, such as workgroups on a CPU.

use super::{Check, ensure};
use crate::base::caps::product_tiles::CooperativeTile;
use crate::base::dtype::DType;
use crate::plan::kernel::{
    Groups, Kernel, KernelKind, MOST_OF_CHAINS, Matrices, Passes, Product, SCAN_BLOCK, SCAN_RUN, Tile, TileSchedule,
    Tiling, Work, takes, takes_parts,
};

/// Checks the schedule of a kernel that has at least one outer index.
pub(super) fn schedule(k: &Kernel) -> Check {
    let s = &k.schedule;
    let writes = s.details.as_ref().map_or(0, |d| d.writes.len());
    let counts = writes == 0 || writes == k.stores.len();
    ensure(counts, || format!("a schedule of {writes} stores, not {}", k.stores.len()))?;
    let has_inner = match k.kind {
        KernelKind::Elementwise | KernelKind::Matmul => false,
        KernelKind::Reduce(_) | KernelKind::Row => true,
    };
    match (k.kind, &s.work) {
        (_, Work::Undecided) => return Err("a kernel without a schedule".to_string()),
        (KernelKind::Matmul, Work::Product(p)) => product(k, p)?,
        (_, Work::Product(_)) | (KernelKind::Matmul, Work::Tiles(_)) => {
            return Err("a product by tiles, or another kernel as a product".to_string());
        }
        (_, Work::Tiles(t)) => tiles(t, has_inner)?,
        (_, Work::Groups(g)) => groups(k, g)?,
    }
    ensure(s.passes().is_some() == has_inner, || {
        "passes for a kernel without an inner space, or no passes for a kernel with one".to_string()
    })?;
    if let Some(p) = s.passes() {
        passes(k, p)?;
        stored_values(k, p)?;
    }
    let Some(checks) = s.checks() else { return Ok(()) };
    let fits = checks.outer.len() == k.outer.len() && checks.outer.iter().zip(&k.outer).all(|(c, n)| *c == 1 || c == n);
    ensure(fits, || format!("indices checked over {:?} of {:?}", checks.outer, k.outer))?;
    tiles(&checks.tiles, has_inner)?;
    checks.passes.as_ref().map_or(Ok(()), |p| passes(k, p))
}

/// Checks that tiles are not empty, and that the kind of tiling is one for inner dimensions exactly if the kernel has
/// inner dimensions (`has_inner`).
fn tiles(t: &TileSchedule, has_inner: bool) -> Check {
    let (sizes, inner) = match t.tiling {
        Tiling::Pieces { each } | Tiling::Rows { each } => ([each, 1], false),
        Tiling::Blocks { rows, cols } => ([rows, cols], false),
        Tiling::Along { rows, together, cols } => ([rows.min(together), cols], true),
        Tiling::Across { rows, cols } => ([rows, cols], true),
    };
    if let Tiling::Along { rows, together, .. } = t.tiling {
        ensure(together <= rows, || format!("tiles of {together} rows in tasks of {rows}"))?;
    }
    ensure(!sizes.contains(&0), || format!("empty tiles: {:?}", t.tiling))?;
    ensure(inner == has_inner, || format!("{:?} for a kernel of another kind", t.tiling))
}

/// Checks how a GPU kernel is divided among workgroups:
///
/// * The sizes of workgroups and lanes are powers of two, because lanes combine partial results by halving their
///   number.
/// * There are shaders for the numbers of loads in flight and of consecutive elements, and for the tile.
/// * The lanes of a row kernel can hold its row.
fn groups(k: &Kernel, g: &Groups) -> Check {
    let halves = g.size.is_power_of_two() && g.lanes.is_power_of_two() && g.lanes <= g.size;
    ensure(halves, || format!("{} lanes of a group of {}", g.lanes, g.size))?;
    let of_tile = |t: Tile| t.is_valid() && t.invocations() == g.size as usize && k.kind == KernelKind::Matmul;
    let counts = matches!(g.in_flight, 1 | 4) && g.tile.is_none_or(of_tile);
    ensure(matches!(g.run, 1 | 2 | 4), || format!("{} consecutive elements an invocation", g.run))?;
    ensure(counts, || format!("{} loads in flight, groups of {}, tile {:?}", g.in_flight, g.size, g.tile))?;
    let is_half = k.kind == KernelKind::Matmul && k.values.first().is_some_and(|v| v.dtype == DType::F16);
    let suits = |b: CooperativeTile| {
        let is_known = matches!(b.side, 8 | 16) && matches!(b.tile, CooperativeTile::SMALL | CooperativeTile::LARGE);
        is_known && is_half && g.tile.is_none() && g.size as usize >= b.count()
    };
    ensure(g.blocks.is_none_or(suits), || format!("{:?} for {:?}", g.blocks, k.kind))?;
    let block = g.lanes as usize * SCAN_RUN;
    let scans = !k.scans() || k.inner_size() <= block || block == SCAN_BLOCK;
    ensure(scans, || format!("a scan in blocks of {block}"))?;
    let room = g.lanes as usize * g.held as usize;
    let holds = k.kind != KernelKind::Row || room >= k.inner_size();
    ensure(holds, || format!("a row of {} elements for lanes that hold {room}", k.inner_size()))
}

/// Checks a matrix product for a CPU: the kernel computes only the product, the loops can convert both operands and the
/// result to and from the type of the computation, and the strides suit the method.
fn product(k: &Kernel, p: &Product) -> Check {
    let ([value], [a, b], [store]) = (&k.values[..], &k.loads[..], &k.stores[..]) else {
        return Err("a product with an epilogue of its own".to_string());
    };
    let fits = |d: DType| takes(d, value.compute());
    let typed = (k.inner_size() == 0 || fits(a.dtype) && fits(b.dtype)) && fits(store.dtype);
    ensure(typed, || format!("a product of {} and {} in {}", a.dtype, b.dtype, store.dtype))?;
    let Some(matrices) = Matrices::of(k) else { return Err("a product without two matrices".to_string()) };
    ensure(p.matrices > 0 && !p.parts.contains(&0), || "tasks of a product without elements".to_string())?;
    let count = k.outer.iter().product::<usize>();
    let whole = p.parts == [1, 1] && !p.hands_on && count == matrices.m * matrices.n && count <= MOST_OF_CHAINS;
    ensure(p.chains == 0 || whole, || "a product that divides k among tasks and is also cut".to_string())?;
    let seen = if p.turned { matrices.turned() } else { matrices };
    ensure(k.inner_size() == 0 || seen.suit(p.method), || {
        format!("a product by {:?}, which its strides do not suit", p.method)
    })
}

/// Checks that a product on a CPU passes the parts of its result only to a next kernel that can process parts. `next`
/// is the next step of the plan, if it is a kernel.
pub(super) fn hands_on(k: &Kernel, next: Option<&Kernel>) -> Check {
    let hands_on = k.schedule.product().is_some_and(|p| p.hands_on);
    let takes = !hands_on || next.is_some_and(|next| takes_parts(next, k));
    ensure(takes, || "a product that passes its parts to a step that cannot process them".to_string())
}

/// Checks for each value that the recorded number of passes before it is right, and that the value is known when a pass
/// reads it. An inner value (one element per inner index) must be computed earlier in the same pass or kept from an
/// earlier pass. An outer value (one element per outer index) must depend only on passes that have ended.
fn passes(k: &Kernel, p: &Passes) -> Check {
    let values = &k.values;
    let in_lanes = matches!(k.schedule.work, Work::Groups(_));
    ensure(p.after.len() == values.len(), || format!("passes of {} values", p.after.len()))?;
    for (n, value) in values.iter().enumerate() {
        let before = value.op.operands().iter().map(|a| p.after[*a]).max().unwrap_or(0);
        let after = before as usize + value.ends_pass(in_lanes) as usize;
        ensure(p.after[n] as usize == after, || format!("value {n} after {} passes, not {after}", p.after[n]))?;
    }
    let (mut computed, mut here) = (vec![false; values.len()], vec![false; values.len()]);
    for (number, pass) in p.list.iter().enumerate() {
        here.fill(false);
        for v in pass.takes.iter().map(|v| *v as usize) {
            let kept = computed.get(v).is_some_and(|c| *c);
            ensure(kept, || format!("pass {number} takes value {v}, which no pass has kept"))?;
            here[v] = true;
        }
        for v in pass.computes.iter().map(|v| *v as usize) {
            let known = v < values.len() && values[v].inner && p.after[v] as usize <= number;
            ensure(known, || format!("pass {number} computes value {v}"))?;
            let reads = |a: &usize| if values[*a].inner { here[*a] } else { p.after[*a] as usize <= number };
            ensure(values[v].op.operands().iter().all(reads), || format!("value {v} of pass {number} is too early"))?;
            here[v] = true;
        }
        for v in pass.ends.iter().map(|v| *v as usize) {
            let ends = values.get(v).is_some_and(|v| v.ends_pass(in_lanes)) && p.after[v] as usize == number + 1;
            ensure(ends, || format!("pass {number} ends in value {v}"))?;
            let has = |a: &usize| if values[*a].inner { here[*a] } else { p.after[*a] as usize <= number };
            let has = values[v].op.operands().iter().all(has);
            ensure(has, || format!("pass {number} ends in value {v}, an operand of which it does not have"))?;
            computed[v] |= values[v].inner;
        }
        (0..values.len()).filter(|v| here[*v]).for_each(|v| computed[v] = true);
    }
    Ok(())
}

/// Checks that each stored value is known when it is stored. An inner value (one element per inner index) must be known
/// in the last pass. An outer value (one element per outer index) must be known after the passes that compute the
/// reductions and totals on which it depends.
fn stored_values(k: &Kernel, p: &Passes) -> Check {
    let mut needed = vec![false; k.values.len()];
    k.stores.iter().for_each(|s| needed[s.value] = true);
    for v in (0..k.values.len()).rev().filter(|v| !k.values[*v].inner).collect::<Vec<_>>() {
        let is_reduction = k.values[v].ends_pass(false);
        if !needed[v] {
            continue;
        }
        let ends = || p.list.iter().any(|pass| pass.ends.contains(&(v as u16)));
        ensure(!is_reduction || ends(), || format!("value {v} is stored, and no pass ends in it"))?;
        if !is_reduction {
            k.values[v].op.operands().iter().for_each(|a| needed[*a] = true);
        }
    }
    let last = p.list.last();
    let has = |v: u16| last.is_some_and(|pass| pass.computes.contains(&v) || pass.takes.contains(&v));
    let stored = k.stores.iter().filter(|s| k.values[s.value].inner).find(|s| !has(s.value as u16));
    stored.map_or(Ok(()), |s| Err(format!("value {} is stored, and not in the last pass", s.value)))
}

//! Splits the kernel of a matrix product for the CPU into several kernels. The CPU's loops for products can convert
//! elements between narrow and wide types (f16 and f32, for example), but do nothing else. So kernels before the
//! product copy operands that have another type. The operations on the result (the epilogue) become a kernel after the
//! product, which may receive each part of the result as soon as it is computed (`plan/schedule/products.rs`).

use crate::base::dtype::DType;
use crate::base::layout::{Shape, Strides, c_strides, common_strides, copied, product};
use crate::plan::kernel::{BufferRef, Kernel, KernelKind, Load, Op, Schedule, Step, Store, Value, Window, takes};
use smallvec::SmallVec;

/// Returns the kernels into which the kernel of a product is split: copies of the operands that need one, the product
/// itself, and the operations on its result (the epilogue) if there are any. `temp` allocates a temporary with the
/// given number of bytes.
pub(crate) fn passes(kernel: Kernel, temp: &mut dyn FnMut(usize) -> BufferRef) -> Vec<Kernel> {
    let rank = kernel.outer.len();
    let Some(Value { op: Op::Dot { .. }, dtype, .. }) = kernel.values.first() else { return vec![kernel] };
    let wanted = dtype.compute().dtype();
    let in_place = match (&kernel.values[..], &kernel.stores[..]) {
        ([_], [store]) => store.value == 0 && takes(store.dtype, dtype.compute()),
        _ => false,
    };
    let mut passes = vec![];
    let mut loads = kernel.loads[..2].to_vec();
    // load 0 is the m × k operand, without an axis n, and load 1 is the k × n operand, without an axis m
    for (operand, absent) in [(0, rank - 1), (1, rank - 2)] {
        if let Some(copy) = operand_copy(temp, &kernel, operand, absent, wanted) {
            loads[operand] = copy.1;
            passes.push(copy.0);
        }
    }
    if in_place {
        passes.push(Kernel { loads, ..kernel });
    } else {
        // the axes of a product that reads sliding windows (`axes.rs`) are in the order of its operands: give the
        // temporary the axis order of the result's memory, so that the epilogue reads and writes in the same order
        let strides = match &kernel.stores[..] {
            [store, ..] if kernel.inner.len() > 1 => {
                common_strides(&kernel.outer, std::iter::once(&store.strides[..rank]))
            }
            _ => c_strides(&kernel.outer),
        };
        let buffer = temp(kernel.outer_size().saturating_mul(wanted.size()));
        passes.push(Kernel {
            outer: copied(&kernel.outer),
            inner: copied(&kernel.inner),
            loads,
            values: kernel.values[..1].to_vec(),
            stores: vec![store(buffer, wanted, strides.clone(), 0)],
            windows: kernel.windows.clone(),
            schedule: Schedule::default(),
            ..kernel
        });
        passes.push(epilogue(kernel, Load { buffer, dtype: wanted, strides, offset: 0 }));
    }
    for (i, pass) in passes.iter_mut().enumerate() {
        pass.continues = i > 0;
    }
    passes
}

/// Returns a store that writes value number `value` to a buffer with these strides, from element 0 on.
pub(super) fn store(buffer: BufferRef, dtype: DType, strides: Strides, value: usize) -> Store {
    Store { buffer, dtype, strides, offset: 0, value, chosen: None }
}

/// Returns the elementwise kernel that does the operations on a product's result (its epilogue). This kernel reads the
/// stored product through the load `product`.
pub(super) fn epilogue(mut kernel: Kernel, product: Load) -> Kernel {
    let rank = kernel.outer.len();
    kernel.kind = KernelKind::Elementwise;
    kernel.inner = Shape::new();
    kernel.values[0].op = Op::Load(kernel.loads.len());
    kernel.loads.push(product);
    for v in &mut kernel.values {
        v.inner = false;
    }
    // keep only the loads that the epilogue reads: the loads of the product's operands have strides along k, which is
    // not an axis here
    let mut number = vec![usize::MAX; kernel.loads.len()];
    let mut loads = vec![];
    for v in &mut kernel.values {
        let Some(n) = v.op.load_mut() else { continue };
        let operand = mutant!(operands_lost_to_the_epilogue, if *n < 2 { kernel.loads.len() - 1 } else { *n }, *n);
        if number[operand] == usize::MAX {
            number[operand] = loads.len();
            let mut load = kernel.loads[operand].clone();
            load.strides.truncate(rank);
            loads.push(load);
        }
        *n = number[operand];
    }
    kernel.loads = loads;
    kernel
}

/// Lets a product write to the memory of the result of the elementwise kernel after it (its epilogue), if this result
/// has the same type and strides. The epilogue then works in place, and the product needs no temporary. This must not
/// be done for a plan with a target: the product may read the target, and an error in the epilogue would leave the
/// target half written.
pub(super) fn write_to_results(steps: &mut [Step]) {
    for i in 1..steps.len() {
        let (before, next) = steps.split_at_mut(i);
        let (Step::Nest(product), Step::Nest(next)) = (&mut before[i - 1], &mut next[0]) else { continue };
        let (KernelKind::Matmul, KernelKind::Elementwise, true) = (product.kind, next.kind, next.continues) else {
            continue;
        };
        let [stored] = &mut product.stores[..] else { continue };
        let is_alike = |s: &&Store| {
            s.is_plain() && s.dtype == stored.dtype && s.strides == stored.strides && s.offset == stored.offset
        };
        let Some(result) = next.stores.iter().find(is_alike).map(|s| s.buffer) else { continue };
        next.loads.iter_mut().filter(|l| l.buffer == stored.buffer).for_each(|l| l.buffer = result);
        stored.buffer = result;
    }
}

/// Returns a kernel that copies an operand to the type and order that the product needs, and the load by which the
/// product reads the copy. Returns `None` if the product can read the operand itself. `absent` is the axis, m or n,
/// that the operand does not have.
fn operand_copy(
    temp: &mut dyn FnMut(usize) -> BufferRef,
    kernel: &Kernel,
    operand: usize,
    absent: usize,
    wanted: DType,
) -> Option<(Kernel, Load)> {
    let (load, rank) = (&kernel.loads[operand], kernel.outer.len());
    if kernel.inner_size() == 0 || takes(load.dtype, wanted.compute()) {
        return None;
    }
    // the copy runs over the batch axes, the operand's own m or n, and k
    let own_axis = if absent == rank - 2 { rank - 1 } else { rank - 2 };
    let mut dims: Shape = kernel.outer[..rank - 2].iter().copied().chain([kernel.outer[own_axis]]).collect();
    let mut source: Strides = load.strides[..rank - 2].iter().copied().chain([load.strides[own_axis]]).collect();
    // the copy has length 1 along a batch axis over which the operand is broadcast; if k consists of several axes, the
    // copy merges them
    for (d, s) in dims[..rank - 2].iter_mut().zip(&source) {
        if *s == 0 {
            *d = 1;
        }
    }
    source.extend_from_slice(&load.strides[rank..]);
    dims.extend_from_slice(&kernel.inner);
    let mut to = c_strides(&dims);
    if absent == rank - 2 {
        // the second operand is k × n, but the copy's last axes are listed as n, k…; for the memory order k × n, n gets
        // stride 1, and the strides along k are multiplied by n
        let n = dims[rank - 2] as isize;
        to[rank - 2] = 1;
        to[rank - 1..].iter_mut().for_each(|t| *t *= n);
    }
    let buffer = temp(product(&dims).saturating_mul(wanted.size()));
    // the strides by which the product reads the copy: 0 along axes of length 1, because the operand may be broadcast
    // along them
    let mut strides: Strides = SmallVec::from_elem(0, rank);
    for d in (0..rank - 1).filter(|d| dims[*d] != 1) {
        strides[if d == rank - 2 { own_axis } else { d }] = to[d];
    }
    let innermost = to[to.len() - 1].max(1);
    let steps = c_strides(&kernel.inner);
    strides.extend(steps.iter().map(|s| s * innermost));
    let copy = Kernel {
        kind: KernelKind::Elementwise,
        windows: vec![Window { start: SmallVec::from_elem(0, dims.len()), shape: dims[..].into() }],
        outer: dims,
        inner: Shape::new(),
        loads: vec![Load { strides: source, ..load.clone() }],
        values: vec![
            Value { op: Op::Load(0), dtype: load.dtype, inner: false },
            Value { op: Op::Cast(0), dtype: wanted, inner: false },
        ],
        stores: vec![store(buffer, wanted, to, 1)],
        schedule: Schedule::default(),
        continues: false,
        name: kernel.name,
        node: kernel.node,
    };
    Some((copy, Load { buffer, dtype: wanted, strides, offset: 0 }))
}

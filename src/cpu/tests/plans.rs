//! Builds plans of kernels that tests write by hand.

use crate::base::dtype::DType::{self, *};
use crate::base::layout::{Shape, Strides};
use crate::plan::kernel::{BufferRef, Caps, ExecutionPlan, Kernel, KernelKind, Output, Step};

/// Returns the dtype of each buffer that `wanted` selects (inputs or outputs), in the order of their numbers. A number
/// that no kernel uses gets bool.
fn operands(kernels: &[Kernel], wanted: impl Fn(BufferRef) -> bool) -> Vec<DType> {
    let mut dtypes = vec![];
    let loads = kernels.iter().flat_map(|k| k.loads.iter().map(|l| (l.buffer, l.dtype)));
    let stores = kernels.iter().flat_map(|k| k.stores.iter().map(|s| (s.buffer, s.dtype)));
    for (buffer, dtype) in loads.chain(stores).filter(|(buffer, _)| wanted(*buffer)) {
        let (BufferRef::Input(n) | BufferRef::Temp(n) | BufferRef::Output(n)) = buffer;
        dtypes.resize(dtypes.len().max(n + 1), Bool);
        dtypes[n] = dtype;
    }
    dtypes
}

/// Returns the plan of one kernel, with the temporaries and further kernels that a product may need. The first input
/// may be the same memory as the output.
pub(super) fn plan(kernel: Kernel) -> ExecutionPlan {
    plan_for(kernel, &super::super::caps(), true)
}

/// Returns the plan of one kernel for a device. If `aliased`, the first input may be the same memory as the output.
pub(super) fn plan_for(kernel: Kernel, caps: &Caps, aliased: bool) -> ExecutionPlan {
    let mut temps = vec![];
    let mut temp = |bytes| {
        temps.push(bytes);
        BufferRef::Temp(temps.len() - 1)
    };
    let kernels = match kernel.kind {
        KernelKind::Matmul => crate::plan::product_passes(kernel, &mut temp),
        _ => vec![kernel],
    };
    let mut kernels = kernels;
    kernels.iter_mut().for_each(|k| crate::plan::schedule_nest(k, caps).unwrap());
    let inputs = operands(&kernels, |buffer| matches!(buffer, BufferRef::Input(_)));
    let of = |dtype: &DType| Output { dtype: *dtype, shape: Shape::new(), strides: Strides::new() };
    let outputs = operands(&kernels, |buffer| matches!(buffer, BufferRef::Output(_))).iter().map(of).collect();
    let steps = kernels.into_iter().map(Step::Nest).collect();
    let aliased = (0..inputs.len()).map(|i| i == 0 && aliased).collect();
    ExecutionPlan {
        inputs,
        aliased,
        id: 0,
        is_kept: false,
        kept: Default::default(),
        scalars: vec![F32],
        temps,
        outputs,
        steps,
        model: Default::default(),
    }
}

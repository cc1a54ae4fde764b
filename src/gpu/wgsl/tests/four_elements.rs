//! Tests of the source of kernels whose invocations process four elements each.

use super::*;

/// Validates the source of an elementwise kernel whose invocations process four elements, with each load fetched in
/// each way.
pub(super) fn check(name: &str, k: &Kernel, form: &ParamPositions, variant: &Variant) {
    const WAYS: [Fetch; 5] = [Fetch::Each, Fetch::Same, Fetch::Whole, Fetch::Across, Fetch::WholeAcross];
    if !k.stores.iter().all(|s| s.is_plain()) {
        return;
    }
    if k.loads.is_empty() {
        let draws_blocks = k.values.iter().any(|v| matches!(v.op, Op::Philox { .. }));
        validate_both(&format!("{name} by blocks"), k, form, &Variant { draws_blocks, ..variant.clone() });
        return;
    }
    for (first, wide, class) in
        (0..WAYS.len()).flat_map(|n| [(n, false, AxisIndexing::Any), (n, true, AxisIndexing::Two)])
    {
        let mut variant = variant.clone();
        variant.groups.axes[0] = class;
        for (n, load) in k.loads.iter().enumerate() {
            let wanted = WAYS[(first + n) % WAYS.len()];
            // elements of 8 bytes are not processed four at a time, and workgroup memory has room for one square
            let fits = load.dtype.size() <= 4 && (n == 0 || !wanted.is_across());
            let fetch = if fits { wanted } else { Fetch::Each };
            if wide && matches!(fetch, Fetch::Whole | Fetch::WholeAcross) {
                variant.slots[n].width = words_of_four(load.dtype) as u8;
            }
            variant.fetches.push(fetch);
        }
        for (n, s) in k.stores.iter().enumerate().filter(|(_, s)| wide && s.dtype.size() <= 4) {
            variant.slots[k.loads.len() + n].width = words_of_four(s.dtype) as u8;
        }
        validate_both(&format!("{name}, four elements at a time"), k, form, &variant);
    }
}

/// Validates the source of a reduction whose invocations process four lanes, with each load within a row fetched in
/// each way.
pub(super) fn check_lanes(name: &str, k: &Kernel, form: &ParamPositions, variant: &Variant) {
    const WAYS: [Fetch; 3] = [Fetch::Whole, Fetch::Each, Fetch::Same];
    if k.combines_in_sequence() || k.loads.is_empty() {
        return;
    }
    for (first, wide) in (0..WAYS.len()).flat_map(|n| [(n, false), (n, true)]) {
        let mut variant = variant.clone();
        variant.groups.size /= 4;
        for (n, load) in k.loads.iter().enumerate() {
            let plain = k.values.iter().filter(|v| v.op.load() == Some(n));
            let fits = load.dtype.size() <= 4 && { plain }.all(|v| v.inner && matches!(v.op, Op::Load(_)));
            let fetch = if fits { WAYS[(first + n) % WAYS.len()] } else { Fetch::Each };
            if wide && fetch == Fetch::Whole {
                variant.slots[n].width = words_of_four(load.dtype) as u8;
            }
            variant.fetches.push(fetch);
        }
        validate_both(&format!("{name}, four elements at a time"), k, form, &variant);
    }
}

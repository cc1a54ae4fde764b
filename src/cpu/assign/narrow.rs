//! Finds sums whose elements are bools or 8- or 16-bit integers, so that the fold reads these elements and no step widens
//! them.

use super::*;
use crate::graph::ufunc::{Form, arithmetic};

/// The input of a sum of narrow elements.
pub(super) struct NarrowInput {
    /// The value whose elements are summed.
    pub value: usize,
    pub dtype: DType,
    /// The cast that only the sum reads, if there is one. It needs no step.
    pub cast: Option<usize>,
    /// Whether the value is a load that only the sum reads. Its elements are then left in their storage type.
    pub raw: bool,
}

impl Assigner<'_> {
    /// Returns the narrow elements that a reduction can read instead of its input. Returns `None` if it is not a sum of
    /// integers of 32 or 64 bits, if these are not widened from narrow elements, or if the widened elements are needed
    /// by something else too.
    pub(super) fn narrow_input(&self, r: &KernelReduction) -> Option<NarrowInput> {
        /// The minimum length of a row whose elements are not widened. Loops over several shorter rows are faster.
        const LEAST: usize = 16;
        let kernel = self.kernel;
        let values = &kernel.values;
        let Form::Function(row) = r.fold.form else { return None };
        let short = self.program.order == TileOrder::Rows && kernel.inner_size() < LEAST;
        if !std::ptr::eq(row, &arithmetic::add) || short || self.program.goal != Goal::Stores {
            return None;
        }
        let input = self.alias_of(*r.inputs().first()?);
        if !matches!(values[input].compute(), Compute::I32 | Compute::U32 | Compute::I64 | Compute::U64) {
            return None;
        }
        let (value, from) = if let Op::Cast(a) = values[input].op
            && values[input].dtype.size() >= 4
        {
            (self.alias_of(a), values[a].compute())
        } else {
            (input, values[input].compute())
        };
        let cast = (value != input).then_some(input);
        if cast.is_some_and(|cast| self.readers(cast) > 1) || self.kept >> value & 1 == 1 {
            return None;
        }
        if !values[value].inner || self.is_uniform(value) {
            return None;
        }
        let load = if let Op::Load(n) = values[value].op { Some(kernel.loads[n].dtype) } else { None };
        let raw = load.is_some() && self.readers(value) == 1;
        let dtype = match load {
            _ if from == Compute::Bool => DType::Bool,
            // an alias of the load with the other sign would be widened differently
            Some(dtype) if raw && dtype.size() < 4 && !dtype.is_float() && dtype.compute() == from => dtype,
            _ => return None,
        };
        Some(NarrowInput { value, dtype, cast, raw })
    }

    /// Makes the steps of a pass leave these elements narrow. Returns the ids of the pointers that the sum reads.
    pub(super) fn read_narrow(&mut self, narrow: &NarrowInput, last: &mut [u8; 128]) -> [usize; 3] {
        last[narrow.value] = u8::MAX;
        self.unneeded |= narrow.cast.map_or(0, |cast| 1 << cast);
        self.raw |= (narrow.raw as u128) << narrow.value;
        self.register_ids(&[narrow.value], true)
    }

    /// Leaves the bytes of bools as they are if only functions read them that accept any byte except 0 as true.
    pub(super) fn leave_bytes(&mut self) {
        let kernel = self.kernel;
        let values = &kernel.values;
        if kernel.loads.iter().all(|load| load.dtype != DType::Bool) {
            return;
        }
        let mut bytes = 0u128;
        for (v, value) in values.iter().enumerate() {
            if matches!(value.op, Op::Load(n) if kernel.loads[n].dtype == DType::Bool) {
                bytes |= 1 << v;
            }
        }
        for value in values {
            let accepts = matches!(&value.op, Op::Ufunc(row, _) if row.properties.takes_any_byte);
            if !accepts {
                value.op.operands().iter().for_each(|a| bytes &= !(1 << self.alias_of(*a)));
            }
        }
        let stored = kernel.stores.iter().flat_map(|s| s.operands());
        self.bytes = stored.fold(bytes, |bytes, a| bytes & !(1 << self.alias_of(a)));
    }

    /// Returns how many steps, reductions and stores read a value.
    pub(super) fn readers(&self, v: usize) -> usize {
        let values = self.kernel.values.iter().enumerate().filter(|(w, _)| self.alias_of(*w) == *w);
        let read = values.flat_map(|(_, value)| value.op.operands());
        read.chain(self.kernel.stores.iter().flat_map(|s| s.operands())).filter(|a| self.alias_of(*a) == v).count()
    }
}

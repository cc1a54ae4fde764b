//! The families of GPU kernels, and those of them that a driver computes wrongly as `selftest.rs` has found: their steps are refused
//! where a plan is prepared.

use super::wgsl::packing;
use crate::base::error::{Error, ErrorKind};
use crate::graph::routine::{
    ARGSORT, ARGTOPK, BINCOUNT, COMPRESS, NONZERO, REDUCE_AT, Routine, SELECT, SORT, SUM_BY_KEY,
};
use crate::plan::kernel::{Kernel, KernelKind, Op, Plan, Step};

/// Kernels that share what a driver may compile wrongly. A kernel belongs to one family by its kind, and to others by how it reads and
/// writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Family {
    Elementwise,
    /// Kernels that read or write elements of 8 or 16 bits, of which a word holds several.
    Packed,
    Gathers,
    Scatters,
    Reductions,
    Rows,
    Scans,
    Products,
    /// Products of which each invocation computes one element.
    NarrowProducts,
    Sorts,
    Counts,
    Masks,
    SumsByKey,
}

impl Family {
    pub const ALL: [Family; 13] = [
        Family::Elementwise,
        Family::Packed,
        Family::Gathers,
        Family::Scatters,
        Family::Reductions,
        Family::Rows,
        Family::Scans,
        Family::Products,
        Family::NarrowProducts,
        Family::Sorts,
        Family::Counts,
        Family::Masks,
        Family::SumsByKey,
    ];

    /// The family's name in messages, a plural.
    pub fn name(self) -> &'static str {
        match self {
            Family::Elementwise => "elementwise kernels",
            Family::Packed => "elements of 8 and 16 bits",
            Family::Gathers => "reads at computed positions",
            Family::Scatters => "writes at computed positions",
            Family::Reductions => "reductions",
            Family::Rows => "kernels of whole rows",
            Family::Scans => "scans",
            Family::Products => "products of matrices",
            Family::NarrowProducts => "products of narrow matrices",
            Family::Sorts => "sorts",
            Family::Counts => "counts of values",
            Family::Masks => "choices by masks",
            Family::SumsByKey => "sums by keys",
        }
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }

    /// The family of a routine, none of one that has no trial.
    fn of_routine(row: &Routine) -> Option<Family> {
        let families = [
            (Family::Sorts, &[&SORT, &ARGSORT, &ARGTOPK, &SELECT][..]),
            (Family::Counts, &[&BINCOUNT]),
            (Family::Masks, &[&NONZERO, &COMPRESS]),
            (Family::SumsByKey, &[&SUM_BY_KEY, &REDUCE_AT]),
        ];
        families.into_iter().find(|(_, rows)| rows.contains(&row)).map(|(family, _)| family)
    }
}

/// The families of a kernel, a bit each.
fn of_kernel(kernel: &Kernel) -> u16 {
    let groups = kernel.schedule.groups();
    // products by cooperative matrices have a self-test of their own, which decides whether there are any
    if groups.is_some_and(|g| g.cooperative > 0) {
        return 0;
    }
    let kind = match kernel.kind {
        KernelKind::Elementwise => Family::Elementwise,
        KernelKind::Reduce(_) => Family::Reductions,
        KernelKind::Row if kernel.scans() => Family::Scans,
        KernelKind::Row => Family::Rows,
        KernelKind::Matmul if groups.is_some_and(|g| g.part().is_none()) => Family::NarrowProducts,
        KernelKind::Matmul => Family::Products,
    };
    let mut dtypes = kernel.loads.iter().map(|l| l.dtype).chain(kernel.stores.iter().map(|s| s.dtype));
    let more = [
        (Family::Packed, dtypes.any(|t| packing(t) > 0)),
        (Family::Gathers, kernel.values.iter().any(|v| matches!(v.op, Op::Gather { .. }))),
        (Family::Scatters, kernel.stores.iter().any(|s| s.scattered().is_some())),
    ];
    more.into_iter().filter(|(_, has)| *has).fold(kind.bit(), |bits, (family, _)| bits | family.bit())
}

/// The families of a step, a bit each.
fn of_step(step: &Step) -> u16 {
    match step {
        Step::Nest(kernel) => of_kernel(kernel),
        Step::Routine(call) => Family::of_routine(call.row).map_or(0, Family::bit),
        Step::Clear { .. } => 0,
    }
}

/// What a self-test has found wrong.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Wrong {
    /// The families, a bit each.
    bits: u16,
    /// For each of them what the test saw: which element of which trial is what instead of what.
    seen: Vec<(Family, String)>,
}

impl Wrong {
    /// Adds a family, unless it is there.
    pub fn add(&mut self, family: Family, seen: String) {
        if self.bits & family.bit() == 0 {
            self.bits |= family.bit();
            self.seen.push((family, seen));
        }
    }

    /// A line for each family.
    #[cfg(feature = "testing")]
    pub fn lines(&self) -> Vec<String> {
        self.seen.iter().map(|(family, seen)| format!("{}: {seen}", family.name())).collect()
    }

    /// The numbers of the families with what was seen, for the disk.
    pub fn pack(&self) -> Vec<(u8, String)> {
        self.seen.iter().map(|(family, seen)| (*family as u8, seen.clone())).collect()
    }

    /// What [`Wrong::pack`] has packed.
    pub fn unpack(packed: Vec<(u8, String)>) -> Wrong {
        let mut wrong = Wrong::default();
        for (number, seen) in packed {
            if let Some(family) = Family::ALL.get(number as usize) {
                wrong.add(*family, seen);
            }
        }
        wrong
    }

    /// The error of a plan that has a step of a family that is wrong, with the step's node. `device` is the device's name.
    pub fn refusal(&self, plan: &Plan, device: &str) -> Option<(Error, usize)> {
        if self.bits == 0 {
            return None;
        }
        plan.steps.iter().find_map(|step| {
            let bits = mutant!(wrong_kernels_run, 0, of_step(step) & self.bits);
            let (family, seen) = self.seen.iter().find(|(family, _)| bits & family.bit() != 0)?;
            let (name, node) = match step {
                Step::Nest(kernel) => (kernel.name, kernel.node),
                Step::Routine(call) => (call.row.name, call.node),
                Step::Clear { .. } => return None,
            };
            let detail = format!(
                "the driver of {device} computes {} wrongly: in the self-test, {seen}; run this on the CPU, or update the driver",
                family.name()
            );
            Some((Error::with_line(ErrorKind::Unsupported, name, detail, None), node))
        })
    }
}

#[cfg(feature = "testing")]
mod tests {
    use super::*;
    use crate::graph::routine::ROWS;

    crate::testing::unit_tests!(gpu_families: families_have_their_numbers, every_routine_has_a_family);

    fn families_have_their_numbers() {
        assert!(Family::ALL.iter().enumerate().all(|(n, family)| *family as usize == n));
        let mut wrong = Wrong::default();
        Family::ALL.into_iter().for_each(|f| wrong.add(f, f.name().to_string()));
        assert_eq!(Wrong::unpack(wrong.pack()), wrong);
        // what another version has written
        assert_eq!(Wrong::unpack(vec![(200, "?".to_string())]), Wrong::default());
    }

    fn every_routine_has_a_family() {
        assert!(ROWS.iter().all(|row| Family::of_routine(row).is_some()));
    }
}

//! Emits the reductions and scans of a pass.

use super::products::ProductInput;
use super::*;
use crate::cpu::fold::{FoldSpec, ProductFactors};
use crate::cpu::scan::ScanSpec;

impl Assigner<'_> {
    /// Adds to `pass` the reductions that end with the pass. Sets the entries of `last` for the values that reductions
    /// and scans read, so that the registers of these values are never freed.
    pub(super) fn folds(&mut self, scheduled: &kernel::Pass, pass: &mut TilePass, last: &mut [u8; 128]) -> Result<()> {
        let kernel = self.kernel;
        let values = &kernel.values;
        let mut first_of_walk: SmallVec<[&KernelReduction; 2]> = SmallVec::new();
        for v in scheduled.ends.iter().map(|v| *v as usize) {
            if let Op::Reduce(r) = &values[v].op {
                r.inputs().iter().for_each(|a| last[self.alias_of(*a)] = u8::MAX);
                let size = values[v].compute().size();
                // A reduction may combine the same elements as an earlier one and only return another component of its
                // state, such as the index of a maximum. It is not computed again, but becomes another result of the
                // earlier reduction.
                let walk = first_of_walk.iter().position(|w| w.shares_walk(r));
                let narrow = self.narrow_input(r);
                let product = self.product_input(r);
                let spec = match walk {
                    None => Some(self.fold(
                        r,
                        narrow.as_ref().map(|n| n.dtype),
                        product.as_ref().map(ProductInput::factors),
                    )?),
                    Some(_) => None,
                };
                let slot = self.arena.lasting(self.program.outer.size() * size);
                let result = ReductionResult { gives: r.gives, id: v, slot, size };
                match (walk, spec) {
                    (Some(walk), _) => pass.reductions[walk].results.push(result),
                    (None, Some(spec)) => {
                        first_of_walk.push(r);
                        let args = match (&narrow, &product) {
                            (Some(narrow), _) => self.read_narrow(narrow, last),
                            (None, Some(product)) => self.read_factors(product, last),
                            (None, None) => self.register_ids(&r.inputs(), true),
                        };
                        let base = r.base().map(|b| self.alias_of(b));
                        let results = smallvec![result];
                        let bounds = r.fold.bounds().filter(|_| r.fold.is_plain());
                        pass.reductions.push(PassReduction { args, base, results, spec, bounds });
                    }
                    (None, None) => {}
                }
            }
            if let Op::Scan(r) = &values[v].op {
                // If only the total of a scan is used, the scan is emitted after all other steps of the pass. So the
                // registers of its operands must not be freed before.
                r.inputs().iter().for_each(|a| last[self.alias_of(*a)] = u8::MAX);
            }
        }
        Ok(())
    }

    fn fold(
        &mut self,
        r: &KernelReduction,
        narrow: Option<DType>,
        factors: Option<ProductFactors>,
    ) -> Result<FoldSpec> {
        let kernel = self.kernel;
        let width = if self.program.order == TileOrder::Cols { self.program.inner.cols } else { 1 };
        let compute = kernel.values[r.inputs()[0]].compute();
        let shape = [kernel.outer_size(), kernel.inner_size()];
        let Some(mut spec) = FoldSpec::new(r, (compute, narrow, factors), kernel.kind, shape, width) else {
            return Err(internal(
                kernel.name,
                format!("reduction {} is not implemented for {}", r.fold.name, r.element),
            ));
        };
        if let Op::Load(n) = kernel.values[self.alias_of(r.inputs()[0])].op {
            spec = spec.with_stored(r, kernel.loads[n].dtype);
        }
        spec.at = self.arena.lasting(spec.bytes());
        Ok(spec)
    }

    /// Adds a scan to the program, and returns its index in `Program::scans`. If `only_total` is true, no step reads an
    /// element of the scan but the last one of a row.
    pub(super) fn scan(&mut self, r: &KernelReduction, compute: Compute, only_total: bool) -> Result<usize> {
        let width = if self.program.order == TileOrder::Cols { self.program.inner.cols } else { 1 };
        let Some(mut spec) = ScanSpec::new(r, compute, self.kernel.inner_size(), width) else {
            return Err(internal(
                self.kernel.name,
                format!("scan {} is not implemented for {}", r.fold.name, compute.name()),
            ));
        };
        if only_total {
            spec = spec.only_total(r);
        }
        spec.at = self.arena.lasting(spec.bytes());
        self.program.scans.push(spec);
        Ok(self.program.scans.len() - 1)
    }
}

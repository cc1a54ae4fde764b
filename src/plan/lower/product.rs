//! Lowers a matrix product: to one value that the loops for products compute, or to a sum of products.

use super::*;

impl Lowering<'_> {
    /// Adds the loads of the two operands of a matmul, and its value: [`Op::Dot`], which is then the first value, or the
    /// sum of products if the space sums.
    pub(super) fn dot(&mut self, node: usize) -> Lowered<()> {
        let n = &self.p.arena.nodes[node];
        for (i, a) in n.args.iter().enumerate() {
            let map = self.space.operand_of_product(n.shape.len(), i, &self.p.arena.nodes[*a].shape);
            let Some((source, map)) = map.and_then(|map| self.p.source_of(*a, map)) else { return Err(node) };
            let place = self.resolve(source, &map);
            let dtype = self.p.arena.nodes[*a].dtype;
            // `Op::Dot` reads loads 0 and 1, so `x · x` has two loads too
            self.draft.loads.push(Load { buffer: place.0, dtype, strides: place.1, offset: place.2 });
        }
        self.draft.computes.push(node);
        let dtype = n.dtype;
        if !self.space.sums {
            self.push(Op::Dot { from: None, part: None }, dtype, false, true);
            return Ok(());
        }
        // the outer dimensions are sorted by the strides of the first operand, which is the larger one
        let outer = self.space.outer;
        self.draft.reduction_strides[..outer].copy_from_slice(&self.draft.loads[0].strides[..outer]);
        let factors = [0, 1].map(|load| {
            let own = self.draft.loads[load].dtype;
            let v = self.push(Op::Load(load), own, true, false);
            if own == dtype { v } else { self.push(Op::Cast(v), dtype, true, false) }
        });
        let product = self.push(Op::Ufunc(&arithmetic::multiply, factors.into_iter().collect()), dtype, true, false);
        self.push(Op::reduce(Fold::of(&arithmetic::add), product, dtype), dtype, false, true);
        Ok(())
    }

    /// Returns the value of the kernel's product, if `map` refers, at each index, to the element that the kernel
    /// computes at this index. An axis of length 1 has only one index, so the map along it does not matter.
    pub(super) fn product(&self, node: usize, map: &View) -> Lowered<usize> {
        let shape = &self.p.arena.nodes[node].shape;
        let n = map.shape.len();
        let same = |own: &View, j: usize| {
            own.offset[j] == map.offset[j] && own.coef[j * n..(j + 1) * n] == map.coef[j * n..(j + 1) * n]
        };
        match &self.space.to_product {
            Some(own) if self.space.matmul == Some(node) => {
                let all = (0..shape.len()).all(|j| shape[j] == 1 || same(own, j));
                // `dot` has added the factors, if any, and then the product, which is the first outer value
                let value = self.draft.values.iter().position(|v| !v.inner);
                if all { value.ok_or(node) } else { Err(node) }
            }
            _ => Err(node),
        }
    }
}

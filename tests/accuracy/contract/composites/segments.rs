//! Trials of sums over segments (rows that have the same key), against plain loops.

use super::*;

impl Trial<'_> {
    /// A sum of elements: floats are judged by the bound `tree`, integers must be exact.
    fn tree_of(&self, terms: &[u64]) -> Want {
        if !self.d.is_float() {
            return Want::Bits(terms.iter().map(|b| number::integer(self.d, *b)).sum::<i128>() as u64);
        }
        let (mut sum, mut size) = (Dd::from(0.0), 0.0);
        for x in self.reals(terms) {
            (sum, size) = (sum + x.into(), size + x.abs());
        }
        let steps = (terms.len().max(1) as f64).log2().ceil() + 16.0;
        self.near(sum, steps * self.u() * size + f64::MIN_POSITIVE)
    }

    pub fn segments(&mut self) -> Result<Vec<Call>> {
        let ((a, _), (b, _)) = (self.draw(&[K, M]), self.draw(&[N, M]));
        let (x, y) = (self.array(&(a.clone(), vec![K, M]))?, self.array(&(b.clone(), vec![N, M]))?);
        let keys: Vec<usize> = (0..K).map(|_| self.dice.below(N)).collect();
        let i = kit::array(DType::I32, &keys.iter().map(|k| *k as u64).collect::<Vec<_>>(), &[K], self.device)?;
        // the elements of a column, from the rows that `of` chooses
        let column = |c: usize, of: &dyn Fn(usize) -> bool| -> Vec<u64> {
            (0..K).filter(|r| of(*r)).map(|r| a[r * M + c]).collect()
        };
        let by_key = |c: usize, s: usize| column(c, &|r| keys[r] == s);
        let places = || (0..N).flat_map(|s| (0..M).map(move |c| (s, c)));
        let t = match self.d {
            d if d.is_float() => d,
            d if d.is_unsigned_integer() => DType::U64,
            _ => DType::I64,
        };
        let (e, want): (Expr, Vec<Want>) = match self.name() {
            "index_add" => {
                let with = |(s, c): (usize, usize)| [by_key(c, s), vec![b[s * M + c]]].concat();
                (y.index_add(0, &i, &x), places().map(|p| self.tree_of(&with(p))).collect())
            }
            "segment_sum" => (x.segment_sum(&i, N), places().map(|(s, c)| self.tree_of(&by_key(c, s))).collect()),
            "bincount_weighted" => {
                let e = i.bincount_weighted(x.slice(s![.., 1]), N + 1);
                (e, (0..N + 1).map(|s| self.tree_of(&by_key(1, s))).collect())
            }
            "histogram_weighted" => {
                let e = i.histogram_weighted(x.slice(s![.., 1]), N, Some((0.0, N as f64))).0;
                (e, (0..N).map(|s| self.tree_of(&by_key(1, s))).collect())
            }
            _ => {
                let begins = [0, 5, 5, 60];
                let at = kit::array(DType::I64, &begins.map(|b| b as u64), &[N], self.device)?;
                let end = |s: usize| begins.get(s + 1).map_or(K, |e| *e).max(begins[s] + 1);
                let rows = |s: usize, c: usize| column(c, &|r| r >= begins[s] && r < end(s));
                (x.reduce_at(&at, 0), places().map(|(s, c)| self.tree_of(&rows(s, c))).collect())
            }
        };
        Ok(vec![Call { what: "sums", e, dtype: t, want }])
    }
}

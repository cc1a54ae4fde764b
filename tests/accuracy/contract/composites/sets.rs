//! Trials of set functions and of `nonzero`, against plain loops. The length of their results depends on the elements.

use super::*;

impl Trial<'_> {
    /// Draws small whole numbers, so that many are zero and many are equal.
    fn few(&mut self, n: usize, last: i64) -> Vec<u64> {
        let d = self.d;
        let of = |v: i64| match d {
            DType::Bool => u64::from(v > 0),
            d if d.is_float() => number::round(d, v as f64),
            d if d.is_unsigned_integer() => v.max(0) as u64,
            d => number::wrap(d, v as i128),
        };
        (0..n).map(|_| of(self.dice.between(-2, last))).collect()
    }

    /// The distinct values in ascending order.
    fn different(&self, of: impl Iterator<Item = u64>) -> Vec<u64> {
        let mut all: Vec<u64> = of.collect();
        all.sort_by(|a, b| self.order(*a, *b));
        all.dedup();
        all
    }

    pub fn sets(&mut self) -> Result<Vec<Call>> {
        let (a, b) = (self.few(M * K, 4), self.few(9, 2));
        let (x, y) = (self.array(&(a.clone(), vec![M, K]))?, self.array(&(b.clone(), vec![9]))?);
        let values = self.different(a.iter().copied());
        let count = |v: &u64| a.iter().filter(|x| *x == v).count() as u64;
        let first = |v: &u64| a.iter().position(|x| x == v).expect("a value of these") as u64;
        let place = |x: &u64| values.iter().position(|v| v == x).expect("a value of these") as u64;
        // an element is zero if no bit is set, because −0 does not occur here
        let found: Vec<u64> = (0..a.len()).filter(|i| a[*i] != 0).map(|i| i as u64).collect();
        let (rows, columns) = (|i: &u64| i / K as u64, |i: &u64| i % K as u64);
        let d = self.d;
        let call = |what, dtype, e: Array, want: Vec<u64>| {
            let want = want.into_iter().map(Want::Bits).collect();
            Call { what, e: e.into(), dtype, want }
        };
        let own = |e: Array, want: &[u64]| call("values", d, e, want.to_vec());
        let whole = |what, e: Array, want: Vec<u64>| call(what, DType::I64, e, want);
        let counts = || values.iter().map(count).collect();
        let inverse = || a.iter().map(place).collect();
        Ok(match self.name() {
            "flatnonzero" => vec![whole("positions", x.flatnonzero()?, found)],
            "argwhere" => {
                vec![whole("rows", x.argwhere()?, found.iter().flat_map(|i| [rows(i), columns(i)]).collect())]
            }
            "nonzero" => {
                let of = [found.iter().map(rows).collect(), found.iter().map(columns).collect()];
                x.nonzero()?.into_iter().zip(of).map(|(e, want)| whole("positions", e, want)).collect()
            }
            "unique_values" => vec![own(x.unique_values()?, &values)],
            "unique_counts" => {
                let u = x.unique_counts()?;
                vec![own(u.values, &values), whole("counts", u.counts, counts())]
            }
            "unique_inverse" => {
                let u = x.unique_inverse()?;
                vec![own(u.values, &values), whole("inverse", u.inverse_indices, inverse())]
            }
            "unique_all" => {
                let u = x.unique_all()?;
                vec![
                    own(u.values, &values),
                    whole("first positions", u.indices, values.iter().map(first).collect()),
                    whole("inverse", u.inverse_indices, inverse()),
                    whole("counts", u.counts, counts()),
                ]
            }
            "isin" => vec![call("answers", DType::Bool, x.isin(&y).eval()?, {
                a.iter().map(|x| u64::from(b.contains(x))).collect()
            })],
            "intersect" => vec![own(x.intersect(&y)?, &self.different(a.iter().copied().filter(|x| b.contains(x))))],
            "union" => vec![own(x.union(&y)?, &self.different(a.iter().chain(&b).copied()))],
            _ => vec![own(x.setdiff(&y)?, &self.different(a.iter().copied().filter(|x| !b.contains(x))))],
        })
    }
}

//! Trials of functions that are built from sorts and searches, against plain loops.

use super::*;
use std::cmp::Ordering;

/// The quantiles that the trials compute.
const QUANTILES: [f64; 4] = [0.1, 0.37, 0.5, 0.93];

impl Trial<'_> {
    pub(super) fn order(&self, a: u64, b: u64) -> Ordering {
        match self.d.is_float() {
            true => number::real(self.d, a).partial_cmp(&number::real(self.d, b)).expect("numbers"),
            false => number::integer(self.d, a).cmp(&number::integer(self.d, b)),
        }
    }

    fn argsorted(&self, row: &[u64]) -> Vec<usize> {
        let mut places: Vec<usize> = (0..row.len()).collect();
        places.sort_by(|i, j| self.order(row[*i], row[*j]));
        places
    }

    /// For each element, the position of the extreme value among the elements of the row up to it.
    fn running(&self, row: &[u64], better: Ordering) -> Vec<usize> {
        let mut best = 0;
        let mut next = |i: usize| {
            best = if self.order(row[i], row[best]) == better { i } else { best };
            best
        };
        (0..row.len()).map(&mut next).collect()
    }

    pub fn orders(&mut self) -> Result<Vec<Call>> {
        let ((a, _), (b, _)) = (self.draw(&[M, K]), self.draw(&[M, K]));
        let (x, y) = (self.array(&(a.clone(), vec![M, K]))?, self.array(&(b.clone(), vec![M, K]))?);
        let rows: Vec<&[u64]> = a.chunks(K).collect();
        let orders: Vec<Vec<usize>> = rows.iter().map(|r| self.argsorted(r)).collect();
        let bits = |v: Vec<u64>| v.into_iter().map(Want::Bits).collect::<Vec<_>>();
        let values = |places: &[Vec<usize>], k: usize| {
            bits(rows.iter().zip(places).flat_map(|(r, o)| o[..k].iter().map(|i| r[*i])).collect())
        };
        let positions = |places: &[Vec<usize>], k: usize| {
            bits(places.iter().flat_map(|o| o[..k].iter().map(|i| *i as u64)).collect())
        };
        let own = |e: Expr, want| vec![Call { what: "elements", e, dtype: self.d, want }];
        let whole = |e: Expr, want| vec![Call { what: "positions", e, dtype: DType::I64, want }];
        let both = |(v, p): (Expr, Expr), places: &[Vec<usize>], k| {
            [own(v, values(places, k)), whole(p, positions(places, k))].into_iter().flatten().collect()
        };
        let least: Vec<u64> = orders[0].iter().map(|i| rows[0][*i]).collect();
        let is_before = |v: u64, x: u64| self.order(v, x) != Ordering::Greater;
        let found = || bits(a.iter().map(|x| least.iter().filter(|v| is_before(**v, *x)).count() as u64).collect());
        let sorted = x.slice(s![0]).sort(0);
        Ok(match self.name() {
            "sort" => own(x.sort(-1), values(&orders, K)),
            "argsort" => whole(x.argsort(-1), positions(&orders, K)),
            "partition" => own(x.partition(9, -1).slice(s![.., 9..10]), {
                bits(rows.iter().zip(&orders).map(|(r, o)| r[o[9]]).collect())
            }),
            "argpartition" => whole(x.argpartition(9, -1), positions(&orders, K)),
            "topk" => both(x.topk(11, -1, false), &orders, 11),
            "lexsort" => {
                let each = rows.iter().zip(b.chunks(K)).map(|(a, b)| {
                    let mut places: Vec<usize> = (0..K).collect();
                    places.sort_by(|i, j| self.order(b[*i], b[*j]).then(self.order(a[*i], a[*j])));
                    places
                });
                whole(lexsort([&x, &y], -1), positions(&each.collect::<Vec<_>>(), K))
            }
            "searchsorted" => whole(searchsorted(&sorted, &x, Side::Right, None), found()),
            "digitize" => whole(x.digitize(&sorted, false), found()),
            "cummax_with_positions" | "cummin_with_positions" => {
                let largest = self.name() == "cummax_with_positions";
                let better = if largest { Ordering::Greater } else { Ordering::Less };
                let places: Vec<Vec<usize>> = rows.iter().map(|r| self.running(r, better)).collect();
                let e = if largest { x.cummax_with_positions(-1) } else { x.cummin_with_positions(-1) };
                both(e, &places, K)
            }
            "histogram" | "histogram2d" => self.histograms(&x, &y, [&a, &b])?,
            "interp" => self.interpolated()?,
            _ => self.quantiles(&x, &rows, &orders),
        })
    }

    fn histograms(&self, x: &Expr, y: &Expr, [a, b]: [&[u64]; 2]) -> Result<Vec<Call>> {
        let span = if self.d.is_float() { (-1.25, 1.0) } else { (0.0, 5.0) };
        let bins = [7, 3];
        let (counts, edges) = match self.name() {
            "histogram" => {
                let (counts, edges) = x.histogram(bins[0], Some(span));
                (counts, vec![edges])
            }
            _ => {
                let (counts, first, second) = x.histogram2d(y, bins, Some([span; 2]));
                (counts, vec![first, second])
            }
        };
        let edges: Vec<Vec<f64>> = edges
            .iter()
            .map(|e| Ok(kit::read(e)?.into_iter().map(|bits| number::real(self.float(), bits)).collect()))
            .collect::<Result<_>>()?;
        let place = |x: u64, edges: &[f64]| {
            let (x, n) = (self.real(x), edges.len() - 1);
            (0..n).find(|i| edges[*i] <= x && (x < edges[i + 1] || i + 1 == n && x == edges[n]))
        };
        let all = edges.iter().map(|e| e.len() - 1).product();
        let mut want = vec![0u64; all];
        for (x, y) in a.iter().zip(b) {
            let found = [place(*x, &edges[0]), edges.get(1).map_or(Some(0), |e| place(*y, e))];
            if let [Some(i), Some(j)] = found {
                want[i * edges.get(1).map_or(1, |e| e.len() - 1) + j] += 1;
            }
        }
        let want = want.into_iter().map(Want::Bits).collect();
        Ok(vec![Call { what: "counts", e: counts, dtype: DType::I64, want }])
    }

    fn quantiles(&self, x: &Expr, rows: &[&[u64]], orders: &[Vec<usize>]) -> Vec<Call> {
        let middle = [0.5];
        let (e, qs): (Expr, &[f64]) = match self.name() {
            "median" => (x.median(-1), &middle),
            "nanmedian" => (x.nanmedian(-1), &middle),
            "quantile" => (x.quantile(QUANTILES, -1, QuantileMethod::Linear), &QUANTILES),
            "nanquantile" => (x.nanquantile(QUANTILES, -1, QuantileMethod::Linear), &QUANTILES),
            "nanpercentile" => (x.nanpercentile(QUANTILES.map(|q| q * 100.0), -1, QuantileMethod::Linear), &QUANTILES),
            _ => (x.percentile(QUANTILES.map(|q| q * 100.0), -1, QuantileMethod::Linear), &QUANTILES),
        };
        // the integers of 64 bits become f64
        let is_wide = self.d.is_integer() && self.d.size() == 8;
        let of = |q: f64, row: &[u64], order: &[usize]| {
            let q = if self.name().ends_with("percentile") { q * 100.0 / 100.0 } else { q };
            let v = (K - 1) as f64 * q;
            let at = |i: usize| match (is_wide, row[order[i.min(K - 1)]]) {
                (true, bits) => number::integer(self.d, bits) as f64,
                (false, bits) => self.real(bits),
            };
            let (low, high, share) = (at(v as usize), at(v as usize + 1), v - v.floor());
            let exact = Dd::from(low) + (Dd::from(high) - low.into()) * share.into();
            self.by_bound(Real { value: exact.hi, rest: exact.lo }, &[low, high])
        };
        let want = qs.iter().flat_map(|q| rows.iter().zip(orders).map(|(r, o)| of(*q, r, o)));
        let dtype = if is_wide { DType::F64 } else { self.float() };
        vec![Call { what: "quantiles", e, dtype, want: want.collect() }]
    }

    fn interpolated(&mut self) -> Result<Vec<Call>> {
        let (a, _) = self.small(&[4 * M, K]);
        let ((mut points, _), (values, _)) = (self.small(&[K]), self.small(&[K]));
        points.sort_by(|a, b| self.order(*a, *b));
        let [x, xp, fp] =
            [(a.clone(), vec![4 * M, K]), (points.clone(), vec![K]), (values.clone(), vec![K])].map(|v| self.array(&v));
        let e = interp(x?, xp?, fp?);
        let (xp, fp) = (self.reals(&points), self.reals(&values));
        let of = |x: f64| match xp.iter().rposition(|p| *p <= x) {
            None => self.by_bound(fp[0], &[]),
            Some(i) if i == K - 1 => self.by_bound(fp[i], &[]),
            Some(i) => {
                let share = (Dd::from(x) - xp[i].into()) / (Dd::from(xp[i + 1]) - xp[i].into());
                let exact = Dd::from(fp[i]) + (Dd::from(fp[i + 1]) - fp[i].into()) * share;
                self.by_bound(Real { value: exact.hi, rest: exact.lo }, &[fp[i], fp[i + 1]])
            }
        };
        let want = self.reals(&a).into_iter().map(of).collect();
        Ok(vec![Call { what: "values", e, dtype: self.float(), want }])
    }
}

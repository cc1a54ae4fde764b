//! Generates the tables of the guide (`src/guide`) and compares them with the files.
//! `CUPRIC_BLESS=1 cargo test --features testing --test arrays guide` rewrites the tables.
//!
//! The pairs of NumPy's and cupric's expressions are in this file. Ours is evaluated and must give what NumPy gave
//! (`tests/data/guide.txt`, written by `make_guide.py`, which reads NumPy's expressions from this file).

use cupric::*;
use std::fs;
use std::path::PathBuf;

const LINES: &str = include_str!("guide.rs");
const EXPECTED: &str = include_str!("../data/guide.txt");

/// The value of one of our expressions: its shape and its elements (none if they are random).
pub trait Seen {
    fn seen(&self) -> Result<(Vec<usize>, Vec<f64>)>;
}

impl Seen for Expr {
    fn seen(&self) -> Result<(Vec<usize>, Vec<f64>)> {
        Ok((self.shape()?.to_vec(), self.astype(DType::F64).to_vec()?))
    }
}

impl Seen for &Expr {
    fn seen(&self) -> Result<(Vec<usize>, Vec<f64>)> {
        (**self).seen()
    }
}

impl Seen for Array {
    fn seen(&self) -> Result<(Vec<usize>, Vec<f64>)> {
        (**self).seen()
    }
}

impl Seen for f32 {
    fn seen(&self) -> Result<(Vec<usize>, Vec<f64>)> {
        Ok((vec![], vec![f64::from(*self)]))
    }
}

impl Seen for bool {
    fn seen(&self) -> Result<(Vec<usize>, Vec<f64>)> {
        Ok((vec![], vec![f64::from(*self)]))
    }
}

impl Seen for Vec<f32> {
    fn seen(&self) -> Result<(Vec<usize>, Vec<f64>)> {
        Ok((vec![self.len()], self.iter().map(|x| f64::from(*x)).collect()))
    }
}

impl Seen for &[usize] {
    fn seen(&self) -> Result<(Vec<usize>, Vec<f64>)> {
        Ok((vec![self.len()], self.iter().map(|x| *x as f64).collect()))
    }
}

/// Compares one of our expressions with NumPy's result.
pub fn check(expected: &str, numpy: &str, ours: &dyn Seen) -> Result<()> {
    let line = expected.lines().find(|l| l.split('\t').next() == Some(numpy));
    let line = line.unwrap_or_else(|| panic!("{numpy}: not in the golden file; run tests/data/make_guide.py"));
    let mut fields = line.split('\t').skip(1);
    let mut numbers = || -> Vec<f64> {
        let words = fields.next().expect("a field").split_whitespace();
        words.map(|w| w.parse().expect("a number")).collect()
    };
    let (shape, want) = (numbers(), numbers());
    let (got_shape, got) = ours.seen()?;
    assert_eq!(got_shape.iter().map(|n| *n as f64).collect::<Vec<_>>(), shape, "{numpy}: shape");
    for (g, w) in got.iter().zip(&want) {
        let near = (g - w).abs() <= 1e-5 * w.abs().max(1e-3) || g == w || g.is_nan() && w.is_nan();
        assert!(near, "{numpy}: {got:?} instead of {want:?}");
    }
    assert!(want.is_empty() || got.len() == want.len(), "{numpy}: {got:?} instead of {want:?}");
    Ok(())
}

/// Compares NumPy's expression with ours.
macro_rules! same {
    ($numpy:literal, $ours:expr) => {
        check(EXPECTED, $numpy, &$ours)?
    };
}

/// Compares a variable after statements that write to it.
macro_rules! write {
    ($x:ident, $numpy:literal, $ours:expr) => {{
        let mut $x = $x.clone();
        $ours;
        check(EXPECTED, $numpy, &$x)?
    }};
}

#[test]
#[rustfmt::skip]
#[allow(clippy::too_many_lines, reason = "a line for each pair")]
fn numpy_and_cupric_side_by_side() -> Result<()> {
    // make_guide.py defines the same variables
    let x = array![[1.5, 0.5, 2., 0.5], [2.5, 4.5, 1., 3.], [2.5, 1.5, 2.5, 4.]];
    let y = array![[1., 2., 3., 4.], [5., 6., 7., 8.], [9., 10., 11., 12.]];
    let v = array![4., 1., 3., 2.];
    let n = array![7, -3, 5, 2];
    let i = array![2, 0, 1];
    let m = x.greater(2.0).eval()?;

    // ## Making arrays
    same!("np.array([[1, 2], [3, 4]], dtype=np.float32)", array![[1., 2.], [3., 4.]]);
    same!("np.zeros((2, 3), dtype=np.float32)", zeros([2, 3], DType::F32));
    same!("np.ones_like(x)", ones_like(&x));
    same!("np.full((2, 3), 7.0)", full([2, 3], 7.0, DType::F32));
    same!("np.arange(0, 10, 3)", arange(0, 10, 3, DType::I32));
    same!("np.linspace(0, 1, 5)", linspace(0.0, 1.0, 5, DType::F32));
    same!("np.logspace(0, 2, 5)", logspace(0.0, 2.0, 5, 10.0, DType::F32));
    same!("np.geomspace(1, 8, 4)", geomspace(1.0, 8.0, 4, DType::F32));
    same!("np.eye(3)", eye(3, DType::F32));
    same!("np.eye(3, 4, k=1)", eye_shifted(3, 4, 1, DType::F32));
    same!("np.tri(3, 4)", tri(3, 4, 0, DType::F32));
    same!("np.diag(v, 1)", v.diag(1));
    same!("np.diagflat(x[:1], -1)", x.slice(s![..1]).diagflat(-1));
    same!("np.indices((2, 3))", indices([2, 3], DType::I32));
    same!("np.meshgrid(v, i)[0]", meshgrid([&v, &i], Indexing::Xy)[0]);
    same!("np.meshgrid(v, i, indexing='ij')[1]", meshgrid([&v, &i], Indexing::Ij)[1]);
    same!("np.asarray(list_of_floats).reshape(2, 3)", Array::from_vec(vec![1f32, 2., 3., 4., 5., 6.], [2, 3])?);
    same!("np.random.default_rng(0).normal(size=(2, 3))", Rng::new(0).normal([2, 3], DType::F32));
    same!("np.random.default_rng(0).random((2, 3))", Rng::new(0).uniform([2, 3], DType::F32));

    // ## Random numbers
    let mut rng = Rng::new(0);
    same!("rng.integers(0, 6, 5)", rng.integers(0, 6, [5], DType::I32));
    same!("rng.exponential(2.0, 5)", rng.exponential(2.0, [5], DType::F32));
    same!("rng.gumbel(0.0, 1.0, 5)", rng.gumbel(0.0, 1.0, [5], DType::F32));
    same!("rng.laplace(0.0, 1.0, 5)", rng.laplace(0.0, 1.0, [5], DType::F32));
    same!("rng.logistic(0.0, 1.0, 5)", rng.logistic(0.0, 1.0, [5], DType::F32));
    same!("rng.standard_cauchy(5)", rng.cauchy(0.0, 1.0, [5], DType::F32));
    same!("rng.lognormal(0.0, 1.0, 5)", rng.lognormal(0.0, 1.0, [5], DType::F32));
    same!("rng.weibull(1.5, 5)", rng.weibull(1.5, [5], DType::F32));
    same!("rng.pareto(3.0, 5)", rng.pareto(3.0, [5], DType::F32));
    same!("rng.rayleigh(2.0, 5)", rng.rayleigh(2.0, [5], DType::F32));
    same!("rng.triangular(0, 1, 3, 5)", rng.triangular(0.0, 1.0, 3.0, [5], DType::F32));
    same!("rng.gamma(2.5, 1.0, 5)", rng.gamma(2.5, 1.0, [5], DType::F32));
    same!("rng.chisquare(3.0, 5)", rng.chisquare(3.0, [5], DType::F32));
    same!("rng.beta(2.0, 3.0, 5)", rng.beta(2.0, 3.0, [5], DType::F32));
    same!("rng.dirichlet([1, 2], 5)", rng.dirichlet(&[1.0, 2.0], [5], DType::F32));
    same!("rng.multivariate_normal([0, 1], np.eye(2), 5)", rng.multivariate_normal(array![0., 1.], eye(2, DType::F32), [5]));
    same!("rng.geometric(0.25, 5)", rng.geometric(0.25, [5]));
    same!("rng.poisson(3.5, 5)", rng.poisson(3.5, [5]));
    same!("rng.poisson(v, (5, 4))", rng.poisson(&v, [5, 4]));
    same!("rng.binomial(10, 0.3, 5)", rng.binomial(10, 0.3, [5]));
    same!("rng.binomial(10, v / 4)", rng.binomial(10, &v / 4.0, [4]));
    same!("rng.multinomial(9, [0.25, 0.75], 5)", rng.multinomial(9, array![0.25, 0.75], [5]));
    same!("rng.permutation(5)", rng.permutation(5));
    same!("rng.permutation(x, axis=1)", rng.shuffle(&x, 1));
    same!("rng.choice(5, 3)", rng.choice(5, [3]));
    same!("rng.choice(5, 3, replace=False)", rng.choice_without_replacement(5, 3));
    same!("rng.choice(v, 3)", v.take(rng.choice(4, [3]), 0));
    same!("rng.choice(4, 3, p=v / v.sum())", rng.choice_weighted(&v, [3]));
    same!("rng.choice(4, 3, replace=False, p=v / v.sum())", rng.choice_weighted_without_replacement(&v, 3));

    // ## Looking at them
    same!("x.shape", x.shape());
    same!("x.astype(np.float16)", x.astype(DType::F16));
    same!("x.ravel().tolist()", x.to_vec::<f32>()?);
    same!("x.sum().item()", x.sum(..).item::<f32>()?);
    same!("x.copy()", x.clone());

    // ## Arithmetic
    same!("x + y", &x + &y);
    same!("1 / x", 1.0 / &x);
    same!("x ** 2", x.pow(2));
    same!("x // 2", x.floor_divide(2));
    same!("x % 2", &x % 2);
    same!("-x", -&x);
    same!("np.exp(x)", x.exp());
    same!("np.arctan2(x, y)", x.atan2(&y));
    same!("np.maximum(x, y)", maximum(&x, &y));
    same!("np.clip(x, 1, 2)", x.clip(1.0, 2.0));
    same!("np.where(x > 2, x, 0)", select(x.greater(2.0), &x, 0.0));
    same!("n << 2", &n << 2);
    same!("np.round(x / 3, 2)", (&x / 3.0).round_to(2));
    same!("np.divmod(n, 3)[0]", n.divmod(3).0);
    same!("np.modf(x)[0]", x.modf().0);
    same!("np.frexp(x)[1]", x.frexp().1);
    same!("np.ldexp(v, i[0])", v.ldexp(i.slice(s![0])));
    same!("np.heaviside(n, 0.5)", n.heaviside(0.5));
    same!("np.gcd(n, 10)", n.gcd(10));
    same!("np.lcm(n, 10)", n.lcm(10));
    same!("np.clip(x, 1, None)", x.clip_lower(1.0));
    same!("np.clip(x, None, 2)", x.clip_upper(2.0));
    same!("np.nan_to_num(x)", x.nan_to_num());
    same!("np.nan_to_num(x, nan=1, posinf=2, neginf=3)", x.nan_to_num_with(1.0, 2.0, 3.0));
    same!("np.polyval([2, 0, -1], x)", x.polyval([2, 0, -1]));

    // ## Comparing
    same!("x > 2", x.greater(2.0));
    same!("(x > 1) & (x < 3)", x.greater(1.0) & x.less(3.0));
    same!("~m", !&m);
    same!("x == y", x.equal(&y));
    same!("np.array_equal(x, y)", array_equal(&x, &y)?);
    same!("np.isnan(x)", x.isnan());
    same!("np.isclose(x, y, 0.1, 0.5)", x.isclose(&y, 0.1, 0.5, false));
    same!("np.allclose(x, x + 1e-7)", x.allclose(&x + 1e-7, 1e-5, 1e-8, false));

    // ## Reductions
    same!("x.sum()", x.sum(..));
    same!("x.mean(axis=0)", x.mean(0));
    same!("x.max(axis=-1, keepdims=True)", x.max(keep(-1)));
    same!("x.sum(axis=(0, 1))", x.sum((0, 1)));
    same!("x.std(axis=0, ddof=1)", x.std_corrected(0, 1.0));
    same!("x.argmax(axis=1)", x.argmax(1));
    same!("x.argmin()", x.argmin(..));
    same!("np.count_nonzero(m)", m.count_nonzero(..));
    same!("m.any(axis=0)", m.any(0));
    same!("np.ptp(x, axis=0)", x.ptp(0));
    same!("np.average(x, axis=1, weights=v)", x.average(1, &v));
    same!("np.nansum(x, axis=0)", x.nansum(0));
    same!("np.nanmean(x)", x.nanmean(..));
    same!("np.nanmin(x, axis=1)", x.nanmin(1));
    same!("np.nanmax(x, axis=1)", x.nanmax(1));
    same!("np.nanvar(x, axis=0)", x.nanvar(0));
    same!("np.nanstd(x, axis=0, ddof=1)", x.nanstd_corrected(0, 1.0));
    same!("np.nanargmin(x, axis=1)", x.nanargmin(1));
    same!("np.nanargmax(x)", x.nanargmax(..));
    same!("np.cov(x)", x.cov(true, 1.0));
    same!("np.corrcoef(x)", x.corrcoef(true));
    same!("np.bincount(i, minlength=4)", i.bincount(4));
    same!("np.bincount(i, weights=np.arange(i.size), minlength=4)", i.bincount_weighted(arange(0, 3, 1, DType::F32), 4));
    same!("np.add.reduceat(x, [0, 2], axis=1)", x.reduce_at(array![0, 2], 1));
    same!("np.sort(x, axis=0)", x.sort(0));
    same!("np.argsort(x, axis=1, kind='stable')", x.argsort(1));
    same!("np.sort(x, axis=1)[:, ::-1]", x.sort(descending(1)));
    same!("np.sort(x, axis=1)[:, ::-1][:, :2]", x.topk(2, 1, true).0);
    same!("np.argsort(x, axis=1, kind='stable')[:, :2]", x.argtopk(2, 1, false));
    same!("np.partition(v, 2)[2]", v.partition(2, 0).slice(s![2]));
    same!("v[np.argpartition(v, 2)[2]]", v.take(v.argpartition(2, 0).slice(s![2]), 0));
    same!("np.lexsort((x[0], x[2]))", lexsort([x.slice(s![0]), x.slice(s![2])], 0));
    same!("np.searchsorted(np.sort(v), x, side='right')", searchsorted(v.sort(0), &x, Side::Right, None));
    same!("np.digitize(x, np.sort(v))", x.digitize(v.sort(0), false));
    same!("np.interp(x, np.sort(v), v)", interp(&x, v.sort(0), &v));
    same!("np.histogram(x, 4, (0, 4))[0]", x.histogram(4, Some((0.0, 4.0))).0);
    same!("np.histogram(x, np.sort(v))[0]", x.histogram_with_edges(v.sort(0)));
    same!("np.histogram(v, 2, (0, 4), weights=v)[0]", v.histogram_weighted(&v, 2, Some((0.0, 4.0))).0);
    same!("np.histogram2d(x[0], x[1], [2, 3])[0]", x.slice(s![0]).histogram2d(x.slice(s![1]), [2, 3], None).0);
    same!("np.median(x, axis=1)", x.median(1));
    same!("np.nanmedian(x)", x.nanmedian(..));
    same!("np.quantile(x, 0.25, axis=0)", x.quantile(0.25, 0, QuantileMethod::Linear));
    same!("np.percentile(x, [10, 90], method='hazen')", x.percentile([10.0, 90.0], .., QuantileMethod::Hazen));
    same!("np.nanquantile(x, 0.25, axis=0)", x.nanquantile(0.25, 0, QuantileMethod::Linear));
    same!("np.nanpercentile(x, [10, 90])", x.nanpercentile([10.0, 90.0], .., QuantileMethod::Linear));
    same!("np.cumsum(x, axis=1)", x.cumulative_sum(1));
    same!("np.cumsum(x[:, ::-1], axis=1)[:, ::-1]", x.cumulative_sum(reverse(1)));
    same!("np.cumprod(x, axis=1)", x.cumulative_prod(1));
    same!("np.maximum.accumulate(x, axis=0)", x.cummax(0));
    same!("np.minimum.accumulate(x, axis=0)", x.cummin(0));
    same!("np.logaddexp.accumulate(x, axis=1)", x.logcumsumexp(1));
    same!("np.logaddexp.reduce(x, axis=1)", x.logsumexp(1));
    same!("scipy.special.softmax(x, axis=1)", x.softmax(1));

    // ## Products
    same!("x @ y.T", x.matmul(y.t()));
    same!("np.dot(v, v)", v.matmul(&v));
    same!("np.matmul(x, v)", matmul(&x, &v));
    same!("np.vecdot(x, y)", x.vecdot(&y, -1));
    same!("np.inner(x, y)", x.inner(&y));
    same!("np.outer(v, v)", v.outer(&v));
    same!("np.tensordot(x, y, axes=2)", tensordot(&x, &y, 2));
    same!("np.tensordot(x, y, axes=([0], [0]))", tensordot(&x, &y, ([0], [0])));
    same!("np.einsum('ij,kj->ik', x, y)", einsum("ij,kj->ik", [&x, &y]));
    same!("np.einsum('...i,i', x, v)", einsum("...i,i", [&x, &v]));
    same!("np.kron(v, v)", v.kron(&v));
    same!("np.cross(x[:, :3], y[:, 1:])", x.slice(s![.., ..3]).cross(y.slice(s![.., 1..]), -1));
    same!("np.trace(x, offset=1)", x.trace(1, 0, 1));
    same!("np.linalg.matrix_power(x[:, :3], 3)", x.slice(s![.., ..3]).matrix_power(3));
    same!("np.linalg.multi_dot([x, y.T, x])", multi_dot([&x, &y.t(), &x]));
    same!("np.linalg.norm(x, axis=1)", x.norm(1));
    same!("np.linalg.norm(x, ord=3, axis=1)", x.vector_norm(1, 3.0));
    same!("np.linalg.norm(x)", x.norm(..));
    same!("np.linalg.norm(x, ord=np.inf)", x.matrix_norm(.., MatrixNorm::Infinity));
    same!("np.convolve(v, i, 'same')", convolve(&v, &i, WindowMode::Same));
    same!("np.correlate(v, i)", correlate(&v, &i, WindowMode::Valid));
    Ok(())
}

#[test]
#[rustfmt::skip]
fn shapes_and_moves_side_by_side() -> Result<()> {
    let x = array![[1.5, 0.5, 2., 0.5], [2.5, 4.5, 1., 3.], [2.5, 1.5, 2.5, 4.]];
    let v = array![4., 1., 3., 2.];

    // ## Slices and shapes: views, as in NumPy
    same!("x[1]", x.slice(s![1]));
    same!("x[1:, ::2]", x.slice(s![1.., ..;2]));
    same!("x[:, ::-1]", x.slice(s![.., ..;-1]));
    same!("x[..., -1]", x.slice(s![..., -1]));
    same!("x[:, np.newaxis]", x.slice(s![.., NewAxis]));
    same!("x.T", x.t());
    same!("np.transpose(x.reshape(3, 2, 2), (2, 0, 1))", x.reshape([3, 2, 2]).permute_dims([2, 0, 1]));
    same!("x.reshape(2, -1)", x.reshape([2, -1]));
    same!("np.squeeze(x[:, :1])", x.slice(s![.., ..1]).squeeze(..));
    same!("np.expand_dims(v, 1)", v.expand_dims(1));
    same!("np.moveaxis(x, 0, -1)", x.moveaxis(0, -1));
    same!("np.swapaxes(x, 0, 1)", x.swapaxes(0, 1));
    same!("np.ravel(x)", x.ravel());
    same!("np.atleast_2d(v)", v.atleast_2d());
    same!("np.atleast_3d(x)", x.atleast_3d());
    same!("np.atleast_1d(v.sum())", v.sum(..).atleast_1d());
    same!("np.rot90(x)", x.rot90(1, (0, 1)));
    same!("np.unstack(x)[1]", x.unstack(0)?[1]);
    same!("np.split(x, 2, axis=1)[1]", x.split(2, 1)?[1]);
    same!("np.split(v, [1, 3])[1]", v.split([1, 3], 0)?[1]);
    same!("np.array_split(v, 3)[0]", v.array_split(3, 0)?[0]);
    same!("np.broadcast_arrays(x, v)[1]", broadcast_arrays([&x, &v])[1]);
    same!("np.array(np.broadcast_shapes((3, 1), (4,)))", &broadcast_shapes([&[3usize, 1][..], &[4]])?[..]);
    same!("np.broadcast_to(v, (3, 4))", v.broadcast_to([3, 4]));
    same!("np.flip(x, 0)", x.flip(0));
    same!("np.diagonal(x)", x.diagonal(0));
    same!("np.lib.stride_tricks.sliding_window_view(v, 2)", v.sliding_windows(2, 0));
    same!("np.lib.stride_tricks.sliding_window_view(x, (2, 2))", x.sliding_windows([2, 2], ..));
    Ok(())
}

#[test]
#[rustfmt::skip]
fn sets_side_by_side() -> Result<()> {
    let x = array![[1.5, 0.5, 2., 0.5], [2.5, 4.5, 1., 3.], [2.5, 1.5, 2.5, 4.]];
    let v = array![4., 1., 3., 2.];
    let n = array![7, -3, 5, 2];
    let i = array![2, 0, 1];

    // ## Sets
    same!("np.unique_values(x)", x.unique_values()?);
    same!("np.unique_counts(x).counts", x.unique_counts()?.counts);
    same!("np.unique_inverse(x).inverse_indices", x.unique_inverse()?.inverse_indices);
    same!("np.unique_all(x).indices", x.unique_all()?.indices);
    same!("np.isin(x, v)", x.isin(&v));
    same!("np.intersect1d(n, i)", n.intersect(&i)?);
    same!("np.union1d(x, v)", x.union(&v)?);
    same!("np.setdiff1d(v, i)", v.setdiff(&i)?);
    Ok(())
}

#[test]
#[rustfmt::skip]
fn picks_and_joins_side_by_side() -> Result<()> {
    let x = array![[1.5, 0.5, 2., 0.5], [2.5, 4.5, 1., 3.], [2.5, 1.5, 2.5, 4.]];
    let y = array![[1., 2., 3., 4.], [5., 6., 7., 8.], [9., 10., 11., 12.]];
    let v = array![4., 1., 3., 2.];
    let n = array![7, -3, 5, 2];
    let i = array![2, 0, 1];

    // ## Picking and joining
    same!("np.take(x, i, axis=0)", x.take(&i, 0));
    same!("x[i]", x.take(&i, 0));
    same!("np.take(v, n, mode='wrap')", v.take(Wrap(&n), 0));
    same!("np.take(v, n, mode='clip')", v.take(Clip(&n), 0));
    same!("np.take_along_axis(x, np.argmax(x, 1, keepdims=True), 1)", x.take_along_axis(x.argmax(keep(1)), 1));
    same!("np.select([x > 4, x > 2], [y, -y], 0)", select_many([x.greater(4), x.greater(2)], [(*y).clone(), -&y], 0.0));
    same!("x[i, i]", x.take_at((&i, &i)));
    same!("x[i[:, None], i]", x.take_at((i.expand_dims(1), &i)));
    same!("x.ravel()[n % 12]", x.ravel().take_at(Wrap((&n,))));
    same!("x[x > 2]", x.compress(x.greater(2.0))?);
    same!("x[v[:3] > 2]", x.compress(v.slice(s![..3]).greater(2.0))?);
    same!("np.compress(v > 2, x, axis=1)", x.compress_along(v.greater(2.0), 1)?);
    same!("np.flatnonzero(x > 2)", x.greater(2.0).flatnonzero()?);
    same!("np.nonzero(x > 2)[1]", x.greater(2.0).nonzero()?[1]);
    same!("np.argwhere(x > 2)", x.greater(2.0).argwhere()?);
    write!(x, "x[i, i] = 9", x.set_at((&i, &i), 9)?);
    write!(x, "x[i] = v", x.set_at((&i,), &v)?);
    write!(x, "x[x > 2] = 0", x.set_where(x.greater(2.0), 0)?);
    write!(x, "np.put(x, i, v[:3])", x.update(|x| x.put(&i, v.slice(s![..3])))?);
    write!(x, "np.put(x, n, 0, mode='clip')", x.update(|x| x.put(Clip(&n), 0))?);
    write!(x, "np.put(x, n, 0, mode='wrap')", x.update(|x| x.put(Wrap(&n), 0))?);
    write!(x, "np.put_along_axis(x, np.argmax(x, 1, keepdims=True), 0, 1)", x.update(|x| x.put_along_axis(x.argmax(keep(1)), 0, 1))?);
    same!("np.choose(i, [v[1:], v[:3], i])", i.choose([v.slice(s![1..]), v.slice(s![..3]), (*i).clone()]));
    same!("np.choose(n, [1, 2], mode='clip')", n.clip(0, 1).choose([1, 2]));
    same!("np.choose(n, [1, 2], mode='wrap')", (&n % 2).choose([1, 2]));
    same!("np.array(np.unravel_index(i, (2, 3)))[1]", i.unravel_index([2, 3])[1]);
    same!("np.ravel_multi_index((i, i), (3, 4))", ravel_multi_index([&i, &i], [3, 4]));
    same!("np.ravel_multi_index((n, n), (3, 4), mode='clip')", ravel_multi_index(Clip([&n, &n]), [3, 4]));
    same!("np.ravel_multi_index((n, n), (3, 4), mode='wrap')", ravel_multi_index(Wrap([&n, &n]), [3, 4]));
    same!("np.concatenate((x, y), axis=0)", concat([&x, &y], 0));
    same!("np.concatenate((x, v), axis=None)", concat([&x, &v], ..));
    same!("np.stack((x, y), axis=-1)", stack([&x, &y], -1));
    same!("np.vstack((x, v))", vstack([&x, &v]));
    same!("np.hstack((x, y))", hstack([&x, &y]));
    same!("np.dstack((v, v))", dstack([&v, &v]));
    same!("np.column_stack((v, y.T))", column_stack([&*v, &y.t()]));
    same!("np.block([[x, y], [y, x]])", block([[&x, &y], [&y, &x]]));
    same!("np.roll(x, 1, axis=0)", x.roll(1, 0));
    same!("np.roll(x, 1)", x.roll(1, ..));
    same!("np.repeat(x, 2, axis=1)", x.repeat(2, 1));
    same!("np.repeat(x, [2, 0, 1], axis=0)", x.repeat([2, 0, 1], 0));
    same!("np.tile(v, (2, 2))", v.tile([2, 2]));
    same!("np.pad(v, 1)", v.pad(1, Pad::constant(0)));
    same!("np.pad(x, ((1, 0), (2, 2)), mode='reflect')", x.pad([(1, 0), (2, 2)], Pad::Reflect));
    same!("np.insert(v, [1, 3], 9)", v.insert([1, 3], 9, 0));
    same!("np.delete(x, 1, axis=0)", x.delete(1, 0));
    same!("np.delete(v, slice(None, None, 2))", v.delete(s![..;2], 0));
    same!("np.tril(x)", x.tril(0));
    same!("np.triu(x, 1)", x.triu(1));

    // ## Differences
    same!("np.diff(x, axis=1)", x.diff(1, 1));
    same!("np.diff(v, n=2, prepend=0)", v.diff_with(2, 0, Some(&zeros((), DType::F32)), None));
    same!("np.ediff1d(v)", v.ediff1d(None, None));
    same!("np.gradient(v, 0.5)", v.gradient(0.5, 0));
    same!("np.trapezoid(x, dx=0.5, axis=0)", x.trapezoid(0.5, 0));
    Ok(())
}

#[test]
#[rustfmt::skip]
fn writes_side_by_side() -> Result<()> {
    let x = array![[1.5, 0.5, 2., 0.5], [2.5, 4.5, 1., 3.], [2.5, 1.5, 2.5, 4.]];
    let y = array![[1., 2., 3., 4.], [5., 6., 7., 8.], [9., 10., 11., 12.]];
    let v = array![4., 1., 3., 2.];

    // ## Writing
    write!(x, "x[...] = 0", x.fill(0.0)?);
    write!(x, "x[0] = v", x.set(s![0], &v)?);
    write!(x, "x[:, 1:3] = 7", x.set(s![.., 1..3], 7.0)?);
    write!(x, "np.fill_diagonal(x, 7)", x.fill_diagonal(7)?);
    write!(x, "x += 1", x.update(|x| x + 1.0)?);
    write!(x, "x[:, ::2] *= 10", x.slice_mut(s![.., ..;2]).update(|p| p * 10.0)?);
    write!(x, "np.add(y, 1, out=x)", x.assign(&y + 1.0)?);
    write!(x, "x[x > 2] = 0", x.update(|x| select(x.greater(2.0), 0.0, x))?);
    Ok(())
}

/// Compares the text between a table's markers in a file with the table. With `CUPRIC_BLESS`, replaces it.
pub fn holds(file: &str, table: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let [begin, end] = ["<!-- begin: written by the tests -->\n\n", "\n<!-- end -->"];
    let (head, rest) = text.split_once(begin).unwrap_or_else(|| panic!("{file} has no table's beginning"));
    let (old, tail) = rest.split_once(end).unwrap_or_else(|| panic!("{file} has no table's end"));
    if old == table {
        return;
    }
    if std::env::var_os("CUPRIC_BLESS").is_some_and(|v| v == "1") {
        return fs::write(&path, format!("{head}{begin}{table}{end}{tail}")).expect("a writable file");
    }
    panic!(
        "{file} is not what the tests say; CUPRIC_BLESS=1 cargo test --features testing --test arrays guide writes it"
    );
}

#[test]
fn the_numpy_chapter_shows_these_lines() {
    let mut table = String::new();
    // a `|` ends a table cell, even within code
    let cell = |code: &str| format!("`{}`", code.replace('|', "\\|"));
    for line in LINES.lines().map(str::trim) {
        if let Some(title) = line.strip_prefix("// ## ") {
            table += &format!("\n### {title}\n\n| NumPy, CuPy | cupric |\n|---|---|\n");
        }
        let Some(pair) = line.strip_prefix("same!(\"").or(line.strip_prefix("write!(x, \"")) else { continue };
        let (numpy, ours) = pair.split_once("\", ").expect("two parts");
        let ours = ours.strip_suffix(");").expect("an end of the line");
        table += &format!("| {} | {} |\n", cell(numpy), cell(ours));
    }
    holds("src/guide/numpy.md", table.trim_start());
}

#[test]
fn the_tour_is_that_of_the_example() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let read = |file| fs::read_to_string(root.join(file)).expect("a readable file");
    let (page, example) = (read("docs/TOUR.md"), read("examples/tour.rs"));
    let (_, tour) = page.split_once("## A tour").expect("a chapter");
    let tour = tour.split("```rust").nth(1).and_then(|t| t.split("```").next()).expect("a tour");
    let statements = tour.lines().map(|l| l.split("//").next().unwrap_or_default().trim());
    let mut count = 0;
    // in the example, the device is an option and errors do not panic, so these lines differ
    for line in statements.filter(|l| (l.starts_with("let ") || l.starts_with("w.")) && !l.contains("Device::best")) {
        let line = line.split(".eval().unwrap_err()").next().unwrap_or(line).trim_start_matches("let e = (&w");
        assert!(example.contains(line), "examples/tour.rs lacks {line}");
        count += 1;
    }
    assert!(count > 10, "{count} statements");
}

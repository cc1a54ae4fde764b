//! Compares the Python Array API standard (2025.12) with cupric: one line for each of its constants and functions. Our
//! expression is evaluated, and must give what NumPy gave under the standard's name (`tests/data/array_api.txt`,
//! written by `make_guide.py`, which reads NumPy's expressions from this file). `docs/array-api.md` shows these lines;
//! `CUPRIC_BLESS=1 cargo test --features testing --test arrays array_api` rewrites that page.

use crate::guide::{check, holds};
use cupric::*;
use std::fs;
use std::path::Path;

const LINES: &str = include_str!("array_api.rs");
const EXPECTED: &str = include_str!("../data/array_api.txt");

/// Compares NumPy's expression under the standard's name with ours.
macro_rules! same {
    ($numpy:literal, $ours:expr) => {
        check(EXPECTED, $numpy, &$ours)?
    };
}

#[test]
#[rustfmt::skip]
fn values_and_types() -> Result<()> {
    let x = array![[1.5, 0.5, 2., 0.5], [2.5, 4.5, 1., 3.], [2.5, 1.5, 2.5, 4.]];
    let v = array![4., 1., 3., 2.];

    // ## Constants
    same!("np.array(np.e)", full((), E, DType::F64));
    same!("np.array(np.inf)", full((), INF, DType::F64));
    same!("np.array(np.nan)", full((), NAN, DType::F64));
    same!("x[:, np.newaxis]", x.slice(s![.., NewAxis]));
    same!("np.array(np.pi)", full((), PI, DType::F64));

    // ## Creation functions
    same!("np.arange(0, 10, 3)", arange(0, 10, 3, DType::I32));
    same!("np.asarray([[1.0, 2.0], [3.0, 4.0]])", array![[1., 2.], [3., 4.]]);
    same!("np.empty((0, 2))", empty([0, 2], DType::F32));
    same!("np.empty_like(x[:0])", empty_like(&x.slice(s![..0])));
    same!("np.eye(3, 4, k=1)", eye_shifted(3, 4, 1, DType::F32));
    // SAFETY: the tensor is valid, and no other code has it.
    #[cfg(feature = "dlpack")]
    same!("np.from_dlpack(x)", unsafe { Array::from_dlpack(x.to_dlpack()?.into_raw()) }?);
    same!("np.full((2, 3), 7.0)", full([2, 3], 7.0, DType::F32));
    same!("np.full_like(x, 7)", full_like(&x, 7));
    same!("np.linspace(0, 1, 5)", linspace(0.0, 1.0, 5, DType::F32));
    same!("np.meshgrid(v, v[1:])[0]", meshgrid([&v, &v.slice(s![1..])], Indexing::Xy)[0]);
    same!("np.ones((2, 3))", ones([2, 3], DType::F32));
    same!("np.ones_like(x)", ones_like(&x));
    same!("np.tril(x)", x.tril(0));
    same!("np.triu(x, k=1)", x.triu(1));
    same!("np.zeros((2, 3))", zeros([2, 3], DType::F32));
    same!("np.zeros_like(x)", zeros_like(&x));

    // ## Data type functions
    same!("np.astype(x, np.int32)", x.astype(DType::I32));
    same!("np.can_cast(np.int8, np.float32)", DType::I8.can_cast(DType::F32));
    same!("np.finfo(np.float32).eps", DType::F32.finfo().map_or(0.0, |info| info.eps as f32));
    same!("np.iinfo(np.int16).max", DType::I16.iinfo().map_or(0.0, |info| info.max as f32));
    same!("np.isdtype(x.dtype, 'real floating')", x.dtype().is_float());
    same!("np.result_type(np.int8, x) == np.float32", DType::I8.promote(x.dtype()) == Some(DType::F32));
    Ok(())
}

#[test]
#[rustfmt::skip]
fn elementwise_functions() -> Result<()> {
    let x = array![[1.5, 0.5, 2., 0.5], [2.5, 4.5, 1., 3.], [2.5, 1.5, 2.5, 4.]];
    let y = array![[1., 2., 3., 4.], [5., 6., 7., 8.], [9., 10., 11., 12.]];
    let u = array![0.25, -0.5, 0.75, 0.];
    let n = array![7, -3, 5, 2];
    let k = array![1, 2, 3, 12];
    let m = x.greater(2.0).eval()?;
    let q = array![true, true, false, false];

    // ## Elementwise functions
    same!("np.abs(x)", x.abs());
    same!("np.acos(u)", u.acos());
    same!("np.acosh(x)", x.acosh());
    same!("np.add(x, y)", &x + &y);
    same!("np.asin(u)", u.asin());
    same!("np.asinh(x)", x.asinh());
    same!("np.atan(x)", x.atan());
    same!("np.atan2(x, y)", x.atan2(&y));
    same!("np.atanh(u)", u.atanh());
    same!("np.bitwise_and(n, k)", &n & &k);
    same!("np.bitwise_invert(n)", !&n);
    same!("np.bitwise_left_shift(n, 2)", &n << 2);
    same!("np.bitwise_or(n, k)", &n | &k);
    same!("np.bitwise_right_shift(n, 1)", &n >> 1);
    same!("np.bitwise_xor(n, k)", &n ^ &k);
    same!("np.ceil(x)", x.ceil());
    same!("np.clip(x, 1, 2)", x.clip(1.0, 2.0));
    same!("np.conj(x + 1j * y).imag", Complex::new(&x, &y).conj().imag());
    same!("np.copysign(x, y)", x.copysign(&y));
    same!("np.cos(x)", x.cos());
    same!("np.cosh(x)", x.cosh());
    same!("np.divide(x, y)", &x / &y);
    same!("np.equal(x, y)", x.equal(&y));
    same!("np.exp(x)", x.exp());
    same!("np.expm1(x)", x.expm1());
    same!("np.floor(x)", x.floor());
    same!("np.floor_divide(x, y)", x.floor_divide(&y));
    same!("np.greater(x, y)", x.greater(&y));
    same!("np.greater_equal(x, y)", x.greater_equal(&y));
    same!("np.hypot(x, y)", x.hypot(&y));
    same!("np.imag(x + 1j * y)", Complex::new(&x, &y).imag());
    same!("np.isfinite(x)", x.isfinite());
    same!("np.isinf(x)", x.isinf());
    same!("np.isnan(x)", x.isnan());
    same!("np.less(x, y)", x.less(&y));
    same!("np.less_equal(x, y)", x.less_equal(&y));
    same!("np.log(x)", x.log());
    same!("np.log10(x)", x.log10());
    same!("np.log1p(x)", x.log1p());
    same!("np.log2(x)", x.log2());
    same!("np.logaddexp(x, y)", x.logaddexp(&y));
    same!("np.logical_and(m, q)", m.logical_and(&q));
    same!("np.logical_not(m)", m.logical_not());
    same!("np.logical_or(m, q)", m.logical_or(&q));
    same!("np.logical_xor(m, q)", m.logical_xor(&q));
    same!("np.maximum(x, y)", maximum(&x, &y));
    same!("np.minimum(x, y)", minimum(&x, &y));
    same!("np.multiply(x, y)", &x * &y);
    same!("np.negative(x)", -&x);
    same!("np.nextafter(x, y)", x.nextafter(&y));
    same!("np.not_equal(x, y)", x.not_equal(&y));
    same!("np.positive(x)", x.positive());
    same!("np.pow(x, y)", x.pow(&y));
    same!("np.real(x + 1j * y)", Complex::new(&x, &y).real());
    same!("np.reciprocal(x)", x.reciprocal());
    same!("np.remainder(x, y)", x.remainder(&y));
    same!("np.round(x)", x.round());
    same!("np.sign(x)", x.sign());
    same!("np.signbit(x)", x.signbit());
    same!("np.sin(x)", x.sin());
    same!("np.sinh(x)", x.sinh());
    same!("np.sqrt(x)", x.sqrt());
    same!("np.square(x)", x.square());
    same!("np.subtract(x, y)", &x - &y);
    same!("np.tan(x)", x.tan());
    same!("np.tanh(x)", x.tanh());
    same!("np.trunc(x)", x.trunc());
    Ok(())
}

#[test]
#[rustfmt::skip]
fn functions_of_axes() -> Result<()> {
    let x = array![[1.5, 0.5, 2., 0.5], [2.5, 4.5, 1., 3.], [2.5, 1.5, 2.5, 4.]];
    let y = array![[1., 2., 3., 4.], [5., 6., 7., 8.], [9., 10., 11., 12.]];
    let v = array![4., 1., 3., 2.];
    let i = array![2, 0, 1];
    let m = x.greater(2.0).eval()?;

    // ## Indexing functions
    same!("np.take(x, i, axis=0)", x.take(&i, 0));
    same!("np.take_along_axis(x, i[:, None], axis=1)", x.take_along_axis(i.expand_dims(1), 1));

    // ## Linear algebra functions
    same!("np.matmul(x, v)", matmul(&x, &v));
    same!("np.matrix_transpose(x)", x.matrix_transpose());
    same!("np.tensordot(x, y, axes=2)", tensordot(&x, &y, 2));
    same!("np.vecdot(x, y)", x.vecdot(&y, -1));

    // ## Manipulation functions
    same!("np.broadcast_arrays(x, v)[1]", broadcast_arrays([&x, &v])[1]);
    same!("np.array(np.broadcast_shapes((3, 1), (4,)))", &broadcast_shapes([&[3usize, 1][..], &[4]])?[..]);
    same!("np.broadcast_to(v, (3, 4))", v.broadcast_to([3, 4]));
    same!("np.concat((x, y), axis=0)", concat([&x, &y], 0));
    same!("np.expand_dims(v, axis=1)", v.expand_dims(1));
    same!("np.flip(x, axis=0)", x.flip(0));
    same!("np.moveaxis(x, 0, -1)", x.moveaxis(0, -1));
    same!("np.permute_dims(x, (1, 0))", x.permute_dims([1, 0]));
    same!("np.repeat(x, 2, axis=1)", x.repeat(2, 1));
    same!("np.reshape(x, (2, -1))", x.reshape([2, -1]));
    same!("np.roll(x, 1, axis=0)", x.roll(1, 0));
    same!("np.squeeze(x[:, :1], axis=1)", x.slice(s![.., ..1]).squeeze(1));
    same!("np.stack((x, y), axis=-1)", stack([&x, &y], -1));
    same!("np.tile(v, (2, 2))", v.tile([2, 2]));
    same!("np.unstack(x)[1]", x.unstack(0)?[1]);

    // ## Searching functions
    same!("np.argmax(x, axis=1)", x.argmax(1));
    same!("np.argmin(x)", x.argmin(..));
    same!("np.count_nonzero(m)", m.count_nonzero(..));
    same!("np.nonzero(m)[1]", m.nonzero()?[1]);
    same!("np.searchsorted(np.sort(v), x)", searchsorted(v.sort(0), &x, Side::Left, None));
    same!("np.where(m, x, y)", select(&m, &x, &y));

    // ## Set functions
    same!("np.isin(x, v)", x.isin(&v));
    same!("np.unique_all(x).indices", x.unique_all()?.indices);
    same!("np.unique_counts(x).counts", x.unique_counts()?.counts);
    same!("np.unique_inverse(x).inverse_indices", x.unique_inverse()?.inverse_indices);
    same!("np.unique_values(x)", x.unique_values()?);

    // ## Sorting functions
    same!("np.argsort(x, axis=1, stable=True)", x.argsort(1));
    same!("np.sort(x, axis=0)", x.sort(0));

    // ## Statistical functions
    same!("np.cumulative_prod(x, axis=1)", x.cumulative_prod(1));
    same!("np.cumulative_sum(x, axis=1, include_initial=True)", x.cumulative_sum(include_initial(1)));
    same!("np.max(x, axis=1)", x.max(1));
    same!("np.mean(x, axis=0, keepdims=True)", x.mean(keep(0)));
    same!("np.min(x)", x.min(..));
    same!("np.prod(x, axis=1)", x.prod(1));
    same!("np.std(x, axis=0, correction=1)", x.std_corrected(0, 1.0));
    same!("np.sum(x, axis=(0, 1))", x.sum((0, 1)));
    same!("np.var(x, axis=0)", x.var(0));

    // ## Utility functions
    same!("np.all(m)", m.all(..));
    same!("np.any(m, axis=0)", m.any(0));
    same!("np.diff(x, n=1, axis=1)", x.diff(1, 1));
    Ok(())
}

#[test]
#[rustfmt::skip]
fn extensions() -> Result<()> {
    let x = array![[1.5, 0.5, 2., 0.5], [2.5, 4.5, 1., 3.], [2.5, 1.5, 2.5, 4.]];
    let y = array![[1., 2., 3., 4.], [5., 6., 7., 8.], [9., 10., 11., 12.]];
    let v = array![4., 1., 3., 2.];

    // ## Extension: linalg
    same!("np.linalg.cholesky(x @ x.T)", linalg::cholesky(x.matmul(x.t()), linalg::Triangle::Lower));
    same!("np.linalg.cross(x[:, :3], y[:, :3])", x.slice(s![.., ..3]).cross(y.slice(s![.., ..3]), -1));
    same!("np.linalg.det(x[:, :3])", linalg::det(x.slice(s![.., ..3])));
    same!("np.linalg.diagonal(x)", x.diagonal(0));
    same!("np.linalg.eig(x[:, :3])[0]", linalg::eig(x.slice(s![.., ..3])).0.real());
    same!("np.linalg.eigh(x[:, :3])[0]", linalg::eigh(x.slice(s![.., ..3])).0);
    same!("np.linalg.eigvals(x[:, :3])", linalg::eigvals(x.slice(s![.., ..3])).real());
    same!("np.linalg.eigvalsh(x[:, :3])", linalg::eigvalsh(x.slice(s![.., ..3])));
    same!("np.linalg.inv(x[:, :3])", linalg::inv(x.slice(s![.., ..3])));
    same!("np.linalg.matmul(x, v)", matmul(&x, &v));
    same!("np.linalg.matrix_norm(x)", x.matrix_norm(.., MatrixNorm::Frobenius));
    same!("np.linalg.matrix_power(x[:, :3], 3)", x.slice(s![.., ..3]).matrix_power(3));
    same!("np.linalg.matrix_rank(x)", linalg::matrix_rank(&x, None));
    same!("np.linalg.matrix_transpose(x)", x.matrix_transpose());
    same!("np.linalg.outer(v, v)", v.outer(&v));
    same!("np.linalg.pinv(x)", linalg::pinv(&x, None));
    same!("np.linalg.qr(x)[1]", linalg::qr(&x, linalg::Mode::Reduced).1);
    same!("np.linalg.slogdet(x[:, :3])[1]", linalg::slogdet(x.slice(s![.., ..3])).1);
    same!("np.linalg.solve(x[:, :3], y)", linalg::solve(x.slice(s![.., ..3]), &y));
    same!("np.linalg.svd(x)[1]", linalg::svd(&x, linalg::Mode::Complete).1);
    same!("np.linalg.svdvals(x)", linalg::svdvals(&x));
    same!("np.linalg.tensordot(x, y, axes=2)", tensordot(&x, &y, 2));
    same!("np.linalg.trace(x)", x.trace(0, 0, 1));
    same!("np.linalg.vecdot(x, y)", x.vecdot(&y, -1));
    same!("np.linalg.vector_norm(x, axis=1)", x.vector_norm(1, 2.0));

    // ## Extension: fft
    same!("np.fft.fft(v).real", fft::fft(&v, -1).real());
    same!("np.fft.ifft(v, norm='ortho').imag", fft::ifft(&v, fft::Options::new(-1).norm(fft::Norm::Ortho)).imag());
    same!("np.fft.fftn(x).real", fft::fftn(&x, ..).real());
    same!("np.fft.ifftn(x, axes=(0,)).real", fft::ifftn(&x, 0).real());
    same!("np.fft.rfft(x, n=6).real", fft::rfft(&x, fft::Options::new(-1).lengths(6)).real());
    same!("np.fft.irfft(v, n=5)", fft::irfft(&v, fft::Options::new(-1).lengths(5)));
    same!("np.fft.rfftn(x).real", fft::rfftn(&x, ..).real());
    same!("np.fft.irfftn(x, s=(3, 5), axes=(0, 1))", fft::irfftn(&x, fft::Options::new((0, 1)).lengths((3, 5))));
    same!("np.fft.hfft(v, n=5)", fft::hfft(&v, fft::Options::new(-1).lengths(5)));
    same!("np.fft.ihfft(v).imag", fft::ihfft(&v, -1).imag());
    same!("np.fft.fftfreq(5, d=0.5)", fft::fftfreq(5, 0.5, DType::F32));
    same!("np.fft.rfftfreq(5, d=0.5)", fft::rfftfreq(5, 0.5, DType::F32));
    same!("np.fft.fftshift(x)", fft::fftshift(&x, ..));
    same!("np.fft.ifftshift(x, axes=0)", fft::ifftshift(&x, 0));
    Ok(())
}

/// The standard's name in a line of this file: the name of `np.linalg.outer(` is `linalg.outer`.
fn name(line: &str) -> Option<String> {
    let at = line.strip_prefix("same!(\"")?;
    let at = at.strip_prefix("np.array(").unwrap_or(at);
    let rest = &at[at.find("np.")? + 3..];
    Some(rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "._".contains(*c)).collect())
}

#[test]
fn the_page_shows_these_lines() {
    let cell = |code: &str| format!("`{}`", code.replace('|', "\\|"));
    let (mut table, mut here) = (String::new(), 0);
    for line in LINES.lines().map(str::trim) {
        if let Some(title) = line.strip_prefix("// ## ") {
            table += &format!("\n## {title}\n\n| Array API | cupric |\n|---|---|\n");
        }
        let Some(name) = name(line).filter(|n| !n.is_empty()) else { continue };
        here += 1;
        let end = line.strip_suffix(");").expect("an end of the line");
        let (_, ours) = end.split_once("\", ").expect("two parts");
        table += &format!("| `{name}` | {} |\n", cell(ours));
    }
    let counts = format!("{here} of {here} names are there.\n");
    holds("docs/array-api.md", &format!("{counts}{table}"));
}

#[test]
fn every_name_of_the_standard_has_a_line() {
    let mut names: Vec<String> = LINES.lines().filter_map(|l| name(l.trim())).filter(|n| !n.is_empty()).collect();
    names.sort();
    let mut standard: Vec<&str> = include_str!("../data/array_api_names.txt").split_whitespace().collect();
    standard.sort_unstable();
    assert_eq!(names, standard);
}

/// Appends the text of every source file of the library.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => sources(&path, text),
            false => *text += &fs::read_to_string(path).expect("a readable file"),
        }
    }
}

/// A search of the documentation finds each NumPy name that the guide and the lines above use: the name is a function's
/// own name, or a `doc(alias)` of one.
#[test]
fn the_documentation_finds_every_name_of_numpy() {
    let mut text = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut text);
    let aliases: Vec<&str> = text.lines().map(str::trim).filter(|l| l.starts_with("#[doc(alias")).collect();
    let own = |name: &str| {
        let forms = [
            format!("pub fn {name}("),
            format!("pub unsafe fn {name}("),
            format!("pub fn {name}<"),
            format!("    {name} |"),
            format!("    {name} 0;"),
            format!("    {name} 1;"),
        ];
        testing::rows().iter().any(|r| r.name() == name) || forms.iter().any(|f| text.contains(f))
    };
    let lines = [LINES, include_str!("guide.rs")].map(str::lines).into_iter().flatten().map(str::trim);
    let numpy = lines.filter_map(|l| l.strip_prefix("same!(\"").or(l.strip_prefix("write!(x, \"")));
    let mut lost: Vec<&str> = vec![];
    for line in numpy {
        // `np.array(np.f(…))` only shows a tuple as an array, so we take the inner name
        let line = line.strip_prefix("np.array(np.").map_or(line, |rest| &line[line.len() - rest.len() - 3..]);
        let Some(rest) = line.strip_prefix("np.").or(line.strip_prefix("rng.")) else { continue };
        let path = &rest[..rest.find(|c: char| !(c.is_ascii_alphanumeric() || "._".contains(c))).unwrap_or(rest.len())];
        let name = if path.ends_with("accumulate") { path } else { path.rsplit('.').next().unwrap_or(path) };
        let quoted = format!("\"{name}\"");
        if rest[path.len()..].starts_with('(') && !own(name) && !aliases.iter().any(|a| a.contains(&quoted)) {
            lost.push(path);
        }
    }
    assert!(lost.is_empty(), "no documentation is found for {lost:?}");
}

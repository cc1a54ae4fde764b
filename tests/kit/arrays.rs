//! Arrays from elements and back, and comparisons that say where they failed.

use cupric::{Array, DType, Device, Element, Expr, Result, bf16, f16};

/// Makes an array of elements with a shape on a device.
pub fn put<T: Element>(d: &Device, elements: impl Into<Vec<T>>, shape: &[usize]) -> Array {
    Array::from_vec(elements.into(), shape).unwrap().to_device(d).unwrap()
}

/// Converts f64 literals to f32 elements.
pub fn f(v: &[f64]) -> Vec<f32> {
    v.iter().map(|x| *x as f32).collect()
}

/// The dtype with this name.
pub fn dtype(name: &str) -> Option<DType> {
    DType::ALL.into_iter().find(|d| d.name() == name)
}

/// Evaluates `$body` with `$t` as an alias of the Rust type of a dtype.
macro_rules! with_type {
    ($dtype:expr, $t:ident => $body:expr) => {
        with_type!($dtype, $t => $body, Bool bool, U8 u8, I8 i8, U16 u16, I16 i16, U32 u32, I32 i32, U64 u64, I64 i64,
            F16 f16, BF16 bf16, F32 f32, F64 f64)
    };
    ($dtype:expr, $t:ident => $body:expr, $($variant:ident $type:ty),*) => {
        match $dtype {
            $(DType::$variant => {
                type $t = $type;
                $body
            })*
            other => panic!("{other} is not known here"),
        }
    };
}

/// Makes an array on a device from the bits of its elements.
pub fn array(dtype: DType, bits: &[u64], shape: &[usize], device: &Device) -> Result<Array> {
    let bytes: Vec<u8> = bits.iter().flat_map(|b| b.to_le_bytes().into_iter().take(dtype.size())).collect();
    with_type!(dtype, T => Array::from_vec(T::from_bytes(&bytes).unwrap(), shape)?.to_device(device))
}

/// The elements of an expression as bits, in C order.
pub fn read(e: &Expr) -> Result<Vec<u64>> {
    let dtype = e.dtype()?;
    let bytes = with_type!(dtype, T => T::bytes(&e.to_vec::<T>()?).to_vec());
    let word = |b: &[u8]| b.iter().rev().fold(0, |w, b| w << 8 | *b as u64);
    Ok(bytes.chunks(dtype.size()).map(word).collect())
}

/// Asserts that an expression has these elements; a NaN equals every NaN, and −0 does not equal +0.
#[track_caller]
pub fn same<T: Element>(e: &Expr, want: &[T]) {
    let got = match e.to_vec::<T>() {
        Ok(v) => v,
        Err(e) => panic!("error: {e}"),
    };
    let bits = |x: &T| canonical(*x);
    let g: Vec<_> = got.iter().map(bits).collect();
    let w: Vec<_> = want.iter().map(bits).collect();
    if g != w {
        let at = g.iter().zip(&w).position(|(a, b)| a != b);
        let i = at.unwrap_or(0);
        panic!(
            "{} elements, {} wanted; first difference at {at:?}\n got {:?}\nwant {:?}",
            g.len(),
            w.len(),
            &got[i.min(got.len())..(i + 12).min(got.len())],
            &want[i.min(want.len())..(i + 12).min(want.len())]
        );
    }
}

/// The bits of an element, with one value for all NaNs.
pub fn canonical<T: Element>(x: T) -> u64 {
    #[allow(clippy::eq_op)]
    if x != x {
        return u64::MAX;
    }
    let one = [x];
    let bytes = T::bytes(&one);
    let mut out = [0u8; 8];
    out[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(out)
}

/// Asserts that each element, cast to f32, is near the wanted one, within the error `bound(wanted)`.
#[track_caller]
pub fn near(e: &Expr, want: &[f64], bound: impl Fn(f64) -> f64) {
    let got: Vec<f64> = e.astype(DType::F32).to_vec::<f32>().unwrap().into_iter().map(|x| x as f64).collect();
    assert_eq!(got.len(), want.len(), "number of elements");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let ok = g == w || g.is_nan() && w.is_nan() || (g - w).abs() <= bound(*w);
        assert!(ok, "element {i}: got {g:e}, want {w:e}, off by {:e}, allowed {:e}", (g - w).abs(), bound(*w));
    }
}

/// The error of an expression, as text. Fails if it evaluates.
#[track_caller]
pub fn error(e: &Expr) -> String {
    match e.eval() {
        Ok(a) => panic!("no error, but shape {:?} dtype {}", a.shape(), a.dtype()),
        Err(e) => e.to_string(),
    }
}

/// Parses a file that a script of `data/` wrote: each line has a name, a shape and elements, with tabs between.
pub fn golden(text: &'static str) -> impl Iterator<Item = (&'static str, Vec<usize>, Vec<f64>)> {
    text.lines().map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        let shape = fields[1].split_whitespace().map(|n| n.parse().unwrap()).collect();
        (fields[0], shape, fields[2].split_whitespace().map(|n| n.parse().unwrap()).collect())
    })
}

/// The shape and the elements of an expression, as f64.
pub fn numbers(e: &Expr) -> Result<(Vec<usize>, Vec<f64>)> {
    let a = e.eval()?.to_device(&Device::cpu())?;
    Ok((a.shape().to_vec(), a.astype(DType::F64).to_vec()?))
}

/// The multiple of n·ε that `docs/CONTRACT.md` allows for an error of a factorisation, which its row names.
pub fn factor_bound(error: &str) -> f64 {
    let page = include_str!("../../docs/CONTRACT.md");
    let row = page.lines().find_map(|line| line.strip_prefix(&format!("| `{error}` | ")));
    let cell = row.and_then(|row| row.split(" | ").nth(1));
    cell.and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("CONTRACT.md has no bound of `{error}`"))
}

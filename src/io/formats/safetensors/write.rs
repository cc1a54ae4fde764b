//! Writing safetensors files. The header needs only shapes and dtypes, which are known before anything is evaluated, so
//! arrays are evaluated and written one by one.

use super::header::METADATA;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::replace::{Stopped, replace};
use crate::graph::expr::{Expr, Operand, strong};
use crate::io::{printable, stopped};
use std::io::Write;
use std::panic::Location;
use std::path::Path;

/// A file to be written. `header` includes the length before it, and `tensors` are in the order of their data.
struct Draft {
    header: Vec<u8>,
    tensors: Vec<Expr>,
}

/// Returns a string as a JSON literal.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl Draft {
    fn new<N: AsRef<str>, A: Operand, K: AsRef<str>, V: AsRef<str>>(
        arrays: impl IntoIterator<Item = (N, A)>,
        metadata: impl IntoIterator<Item = (K, V)>,
        op: &'static str,
        at: Loc,
    ) -> Result<Draft> {
        let wrong = |detail: String| Error::with_line(ErrorKind::Argument, op, detail, at);
        let mut list = vec![];
        for (name, array) in arrays {
            let expr = strong(array.into_expr(), at);
            let (name, dtype) = (name.as_ref().to_string(), expr.dtype()?);
            expr.shape()?;
            if name == METADATA {
                return Err(wrong(format!("the name {METADATA} is reserved by the format")));
            }
            list.push((name, dtype, expr));
        }
        let pairs: Vec<(String, String)> =
            metadata.into_iter().map(|(k, v)| (k.as_ref().to_string(), v.as_ref().to_string())).collect();
        let twice = |mut names: Vec<&str>| {
            names.sort_unstable();
            let pair = names.windows(2).find(|pair| pair[0] == pair[1]);
            pair.map(|pair| wrong(format!("two entries have the name {}", printable(pair[0].as_bytes()))))
        };
        let names = list.iter().map(|(name, ..)| name.as_str()).collect();
        if let Some(e) = twice(names).or(twice(pairs.iter().map(|(k, _)| k.as_str()).collect())) {
            return Err(e);
        }
        // arrays with larger elements come first. Because the data begins at a multiple of 8, every array then begins
        // at a multiple of its element size
        list.sort_by_key(|(_, dtype, _)| std::cmp::Reverse(dtype.size()));
        let mut entries = vec![];
        if !pairs.is_empty() {
            let pairs: Vec<String> = pairs.iter().map(|(k, v)| format!("{}:{}", quoted(k), quoted(v))).collect();
            entries.push(format!("{}:{{{}}}", quoted(METADATA), pairs.join(",")));
        }
        let mut begin = 0u64;
        for (name, dtype, expr) in &list {
            let shape = expr.shape()?;
            let bytes = crate::base::layout::product(shape).checked_mul(dtype.size());
            let end = bytes.and_then(|bytes| begin.checked_add(bytes as u64));
            let end = end.ok_or_else(|| {
                wrong(format!("{} of shape {shape:?} has too many bytes", printable(name.as_bytes())))
            })?;
            let lengths: Vec<String> = shape.iter().map(usize::to_string).collect();
            let (name, dtype, shape) = (quoted(name), dtype.facts().safetensors, lengths.join(","));
            entries.push(format!(r#"{name}:{{"dtype":"{dtype}","shape":[{shape}],"data_offsets":[{begin},{end}]}}"#));
            begin = end;
        }
        let mut text = format!("{{{}}}", entries.join(",")).into_bytes();
        text.resize(text.len().next_multiple_of(8), b' ');
        if text.len() as u64 > super::MAX_HEADER {
            return Err(wrong(format!(
                "a header of {} bytes; the format allows at most {}",
                text.len(),
                super::MAX_HEADER
            )));
        }
        let header = [&(text.len() as u64).to_le_bytes()[..], &text].concat();
        Ok(Draft { header, tensors: list.into_iter().map(|(_, _, expr)| expr).collect() })
    }

    /// Writes the file.
    fn write(self, to: &mut dyn Write, at: Loc) -> Result<(), Stopped> {
        to.write_all(&self.header)?;
        for expr in self.tensors {
            let size = expr.dtype()?.size();
            expr.pieces(at, &mut |bytes| match cfg!(target_endian = "little") {
                true => to.write_all(bytes),
                false => bytes.chunks_exact(size).try_for_each(|element| {
                    let mut swapped = [0; 8];
                    swapped[..size].copy_from_slice(element);
                    swapped[..size].reverse();
                    to.write_all(&swapped[..size])
                }),
            })?;
        }
        Ok(to.flush()?)
    }
}

/// Writes named arrays and metadata (strings by name) to a file of the format
/// [safetensors](https://huggingface.co/docs/safetensors/index#format): see [`SafeTensors`](crate::SafeTensors). Every
/// dtype is supported. The file replaces an existing one as a whole, as with [`Expr::to_npy`]. (Feature `safetensors`.)
///
/// Arrays and expressions are evaluated and written one by one, large expressions block by block. Arrays of large
/// elements come first, so that every array begins at a multiple of its element size.
///
/// # Errors
/// Returns [`ErrorKind::Argument`] if two arrays or two metadata keys have the same name, or if an array has the name
/// `__metadata__`. Also returns the errors of the evaluation, and [`ErrorKind::Io`] if the file cannot be written.
/// After an error, an existing file is unchanged.
///
/// ```
/// use cupric::{DType, SafeTensors, array, save_safetensors};
/// let path = std::env::temp_dir().join(format!("cupric-doc-save-{}.safetensors", std::process::id()));
/// let x = array![1., 2.];
/// save_safetensors(&path, [("x", x.astype(DType::BF16)), ("2x", &x * 2.0)], [("format", "np")])?;
/// assert_eq!(SafeTensors::open(&path)?.read("x")?.dtype(), DType::BF16);
/// # std::fs::remove_file(path).ok();
/// # Ok::<(), cupric::Error>(())
/// ```
#[doc(alias("save_file", "serialize_file"))]
#[track_caller]
pub fn save_safetensors<N: AsRef<str>, A: Operand, K: AsRef<str>, V: AsRef<str>>(
    path: impl AsRef<Path>,
    arrays: impl IntoIterator<Item = (N, A)>,
    metadata: impl IntoIterator<Item = (K, V)>,
) -> Result<()> {
    const OP: &str = "save_safetensors";
    let (path, at) = (path.as_ref(), Location::caller());
    let draft = Draft::new(arrays, metadata, OP, at)?;
    replace(path, |file| draft.write(file, at)).map_err(|e| stopped(e, Some(path), OP, at))
}

/// Writes arrays like [`save_safetensors`], to any writer, and returns the writer. (Feature `safetensors`.)
///
/// # Errors
/// Returns the errors of [`save_safetensors`]. After an error, a part of the file may have been written.
///
/// ```
/// use cupric::{array, write_safetensors};
/// let none: [(&str, &str); 0] = [];
/// let bytes = write_safetensors(vec![], [("x", array![1., 2.])], none)?;
/// assert_eq!(&bytes[8..15], br#"{"x":{""#);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn write_safetensors<W: Write, N: AsRef<str>, A: Operand, K: AsRef<str>, V: AsRef<str>>(
    mut to: W,
    arrays: impl IntoIterator<Item = (N, A)>,
    metadata: impl IntoIterator<Item = (K, V)>,
) -> Result<W> {
    const OP: &str = "write_safetensors";
    let at = Location::caller();
    let draft = Draft::new(arrays, metadata, OP, at)?;
    draft.write(&mut to, at).map_err(|e| stopped(e, None, OP, at))?;
    Ok(to)
}

//! Arrays in memory-mapped files. The system loads pages of the file when they are touched, and drops them when memory
//! is short.

use crate::array::Array;
use crate::array::device::Device;
use crate::base::dtype::DType;
use crate::base::error::{ErrorKind, Fault, Loc, Result};
use crate::base::layout::{Layout, Shape, c_strides};
use crate::io::{self, Field, Length, format_fault, io_fault, named, opened, split_header};
use memmap2::Mmap;
use std::ops::Range;
use std::panic::Location;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

type Fallible<T> = Result<T, Fault>;

/// A memory-mapped file. Arrays that use its memory keep a clone, so the file stays mapped as long as such an array
/// exists.
#[derive(Clone, Debug)]
pub struct Mapped(Arc<Mmap>);

impl Mapped {
    /// Maps a file into memory.
    ///
    /// # Safety
    /// Nobody may change the file while this value, a clone of it, or an array that uses its memory exists.
    pub unsafe fn open(path: &Path) -> Fallible<Mapped> {
        let file = opened(path)?;
        let about = file.metadata().map_err(io_fault)?;
        if !about.is_file() {
            return Err(Fault::new(ErrorKind::Io, "not a file that can be mapped"));
        }
        // SAFETY: the caller promises that nobody changes the file while the map exists.
        unsafe { Mmap::map(&file) }.map(|map| Mapped(Arc::new(map))).map_err(io_fault)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns an array that uses the memory of the elements in a range of the file. The range must have the size in
    /// bytes that `dtype` and `layout` need. Returns `None` if the elements do not begin at a multiple of their size,
    /// or if there are no elements, because an array cannot use such memory.
    pub fn lend(&self, range: Range<usize>, dtype: DType, layout: Layout, at: Loc) -> Fallible<Option<Array>> {
        let bytes = &self.0[range];
        if dtype == DType::Bool
            && let Some((i, b)) = bytes.iter().enumerate().find(|(_, b)| **b > 1)
        {
            return Err(format_fault(format!("bool element {i} is the byte {b}, not 0 or 1")));
        }
        if bytes.is_empty() || !bytes.as_ptr().addr().is_multiple_of(dtype.size()) {
            return Ok(None);
        }
        let start = NonNull::from(bytes).cast::<u8>();
        // SAFETY: the bytes of a map are initialised and do not move while the map exists, and the clone of `self`
        // keeps the map alive. Nobody changes the bytes, because the caller of `Mapped::open` has promised this.
        let buffer = unsafe { Device::lend((start, bytes.len()), Box::new(self.clone())) };
        Ok(Some(Array::new(buffer, layout, dtype, at)))
    }
}

impl Array {
    /// Maps a NumPy [`.npy`](https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html) file into memory,
    /// and returns an array on the CPU that uses it. Only the header is read; the system loads pages when they are
    /// touched, as with `numpy.load(.., mmap_mode="c")`. The array never writes to the file: a write to it allocates
    /// new memory. (Feature `mmap`.)
    ///
    /// Bools are all read once, because each must be 0 or 1. If the elements are in the other byte order, or do not
    /// begin at a multiple of their size, the file is read as by [`Array::from_npy`].
    ///
    /// # Safety
    /// Nobody may change the file, in this process or another, while the array or a view of it exists, because the
    /// library assumes that its elements do not change. If the file is shortened, the system ends the process when it
    /// touches a missing page (`SIGBUS`). Replacing the whole file by a new one of the same name, as
    /// [`Expr::to_npy`](crate::Expr::to_npy) does, is allowed, because the mapped file itself is then not changed.
    ///
    /// # Errors
    /// Returns the errors of [`Array::from_npy`], and [`ErrorKind::Io`] for a file that cannot be mapped, such as a
    /// pipe.
    ///
    /// ```
    /// use cupric::{Array, array};
    /// let path = std::env::temp_dir().join(format!("cupric-doc-map-{}.npy", std::process::id()));
    /// array![[1., 2.], [3., 4.]].to_npy(&path)?;
    /// // SAFETY: nobody changes the file of this example.
    /// let x = unsafe { Array::map_npy(&path) }?;
    /// assert_eq!(x.sum(0).to_vec::<f32>()?, [4., 6.]);
    /// # drop(x);
    /// # std::fs::remove_file(path).ok();
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("memmap", "mmap_mode", "open_memmap"))]
    #[track_caller]
    pub unsafe fn map_npy(path: impl AsRef<Path>) -> Result<Array> {
        let (path, at) = (path.as_ref(), Location::caller());
        // SAFETY: the caller promises that nobody changes the file while the map exists.
        let array = unsafe { Mapped::open(path) }.and_then(|map| mapped_npy(&map, at));
        array.map_err(|f| named(f, path).at("map_npy", at))
    }
}

fn mapped_npy(map: &Mapped, at: Loc) -> Fallible<Array> {
    let file = map.bytes();
    let (header, data) = split_header(file)?;
    // `Header::size` has checked that the number of bytes does not overflow
    let bytes = header.size()? * header.dtype.size();
    if !header.swap && data.len() == bytes {
        let layout = match header.fortran {
            false => Layout::c(&header.shape),
            true => {
                let reversed: Shape = header.shape.iter().rev().copied().collect();
                let strides = c_strides(&reversed).into_iter().rev().collect();
                Layout { shape: header.shape.clone(), strides, offset: 0 }
            }
        };
        if let Some(array) = map.lend(file.len() - bytes..file.len(), header.dtype, layout, at)? {
            return Ok(array);
        }
    }
    io::read(file, Length::Known(file.len() as u64), Field::Real, at)
}

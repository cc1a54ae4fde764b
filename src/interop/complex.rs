//! Complex numbers in NumPy's files: dtypes complex64 and complex128, whose parts are next to each other in memory.

use crate::base::error::Result;
use crate::io::{self, Field, named};
use crate::ops::complex::Complex;
use std::panic::Location;
use std::path::Path;
#[cfg(feature = "npz")]
use {
    crate::io::{
        formats::{Npz, NpzWriter},
        stopped,
    },
    std::io::{Read, Seek, Write},
};

impl Complex {
    /// Reads complex numbers from a NumPy `.npy` file with dtype complex64 or complex128 onto the CPU. Both parts of
    /// the result are views of one array. The same format versions, byte orders, orders of axes and limits apply as for
    /// [`Array::from_npy`](crate::Array::from_npy).
    ///
    /// # Errors
    /// Returns the errors of `Array::from_npy`, and an error of [`ErrorKind::Format`](crate::ErrorKind::Format) if the
    /// dtype is not complex.
    ///
    /// ```
    /// use cupric::{Complex, array};
    /// let path = std::env::temp_dir().join(format!("cupric-doc-complex-{}.npy", std::process::id()));
    /// Complex::new(array![1., 2.], array![3., -4.]).to_npy(&path)?;
    /// assert_eq!(Complex::from_npy(&path)?.to_string(), "[1.+3.j 2.-4.j]");
    /// # std::fs::remove_file(path).ok();
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias = "load")]
    #[track_caller]
    pub fn from_npy(path: impl AsRef<Path>) -> Result<Complex> {
        let (path, at) = (path.as_ref(), Location::caller());
        let parts = io::read_file(path, Field::Complex, at).map_err(|f| named(f, path).at("Complex::from_npy", at))?;
        Ok(Complex::from_interleaved(parts))
    }

    /// Evaluates both parts and writes them to a NumPy `.npy` file with dtype complex64 or complex128, in C order. It
    /// writes the same bytes as `numpy.save`, and replaces the file as [`Expr::to_npy`](crate::Expr::to_npy) does.
    ///
    /// # Errors
    /// Returns the errors of `Expr::to_npy`, and an error of [`ErrorKind::DType`](crate::ErrorKind::DType) for parts of
    /// f16 and bf16, because NumPy has no such complex numbers.
    #[doc(alias = "save")]
    #[track_caller]
    pub fn to_npy(&self, path: impl AsRef<Path>) -> Result<()> {
        io::write_file(path.as_ref(), &self.to_interleaved(), Field::Complex, Location::caller())
    }
}

#[cfg(feature = "npz")]
impl<R: Read + Seek> Npz<R> {
    /// Reads an array of complex numbers from the archive by its name: see [`Npz::read`] and [`Complex::from_npy`].
    /// (Feature `npz`.)
    ///
    /// # Errors
    /// Returns the errors of [`Npz::read`], and an error of [`ErrorKind::Format`](crate::ErrorKind::Format) if the
    /// dtype is not complex.
    ///
    /// ```
    /// use cupric::{Complex, Npz, NpzWriter, array};
    /// let mut writer = NpzWriter::new(vec![]);
    /// writer.write_complex("z", &Complex::new(array![1., 2.], 0.5))?;
    /// let mut archive = Npz::new(std::io::Cursor::new(writer.finish()?))?;
    /// assert_eq!(archive.read_complex("z")?.to_string(), "[1.+0.5j 2.+0.5j]");
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn read_complex(&mut self, name: &str) -> Result<Complex> {
        let parts = self.find(name, Field::Complex, "Npz::read_complex", Location::caller())?;
        Ok(Complex::from_interleaved(parts))
    }
}

#[cfg(feature = "npz")]
impl<W: Write> NpzWriter<W> {
    /// Evaluates an array of complex numbers and adds it to the archive under a name: see [`NpzWriter::write`] and
    /// [`Complex::to_npy`]. (Feature `npz`.)
    ///
    /// # Errors
    /// Returns the errors of [`NpzWriter::write`] and of [`Complex::to_npy`].
    #[track_caller]
    pub fn write_complex(&mut self, name: &str, z: &Complex) -> Result<()> {
        const OP: &str = "NpzWriter::write_complex";
        let at = Location::caller();
        let done = self.write_at(name, &z.to_interleaved(), Field::Complex, OP, at);
        done.map_err(|e| stopped(e, None, OP, at))
    }
}

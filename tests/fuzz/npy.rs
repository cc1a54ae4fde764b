//! The `.npy` reader: any bytes give a typed error or an array, with at most the file's size plus 1 MiB of memory.

use super::memory::peak;
use cupric::{Array, ErrorKind};

pub fn run(bytes: &[u8]) {
    let (result, used) = peak(|| Array::from_npy_bytes(bytes));
    assert!(used <= bytes.len() + (1 << 20), "{used} bytes allocated for a file of {}", bytes.len());
    let x = match result {
        Ok(x) => x,
        Err(e) => {
            assert_eq!(e.kind(), ErrorKind::Format, "{e}");
            let text = e.to_string();
            assert!(text.len() < 1000 && !text.contains('\n'), "{text}");
            return;
        }
    };
    // the array is not larger than the file, and writing and reading it again gives the same bytes
    assert!(x.size() * x.dtype().size() < bytes.len(), "{:?} of {}", x.shape(), x.dtype());
    let written = x.to_npy_bytes().expect("every dtype that is read is written");
    let again = Array::from_npy_bytes(&written).expect("what is written is read");
    assert_eq!((again.shape(), again.dtype()), (x.shape(), x.dtype()));
    assert_eq!(again.to_npy_bytes().expect("as before"), written);
}

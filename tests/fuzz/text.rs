//! Tables of numbers: any bytes give an error or an array, with proportional memory. Byte 0 chooses dtype and format.

use super::memory::peak;
use cupric::{Array, DType, ErrorKind, TextFormat};

pub fn run(bytes: &[u8]) {
    let Some((mode, text)) = bytes.split_first() else { return };
    let dtype = DType::ALL[usize::from(mode & 15) % DType::ALL.len()];
    let format = match mode >> 4 {
        0 => TextFormat::new(),
        1 => TextFormat::csv(),
        2 => TextFormat::csv().delimiter(';').missing("0").comments("#"),
        3 => TextFormat::csv().header(),
        4 => TextFormat::csv().names(["d", "a"]),
        5 => TextFormat::new().columns([1, 0, 1]).max_rows(3),
        6 => TextFormat::new().skip_rows(1).delimiter('\t'),
        _ => TextFormat::csv().columns([2]),
    };
    let (result, used) = peak(|| Array::from_text_reader(text, dtype, &format));
    assert!(used <= 64 * bytes.len() + (1 << 14), "{used} bytes allocated for {}", bytes.len());
    let x = match result {
        Ok(x) => x,
        Err(e) => {
            assert!(matches!(e.kind(), ErrorKind::Format | ErrorKind::Argument), "{e}");
            let text = e.to_string();
            assert!(text.len() < 1000 && !text.contains('\n'), "{text}");
            return;
        }
    };
    assert!(x.ndim() == 2 && x.dtype() == dtype, "{x:?}");
    // writing and reading the array again gives the same bits
    for format in [TextFormat::new(), TextFormat::csv()] {
        let written = x.to_text_writer(vec![], &format).expect("numbers are written");
        let again = Array::from_text_reader(&written[..], dtype, &format).expect("what is written is read");
        if x.size() > 0 {
            assert_eq!(again.shape(), x.shape());
            // all NaNs are written alike, so we compare the texts
            assert_eq!(again.to_text_writer(vec![], &format).expect("as before"), written);
        }
    }
}

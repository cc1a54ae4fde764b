//! Archives of arrays: any bytes give typed errors or arrays, with memory in proportion to the unpacked size.

use super::memory::peak;
use cupric::{ErrorKind, Npz, NpzWriter};
use std::io::Cursor;

pub fn run(bytes: &[u8]) {
    let (result, used) = peak(|| Npz::new(Cursor::new(bytes)));
    assert!(used <= bytes.len() + (1 << 18), "{used} bytes allocated for an archive of {}", bytes.len());
    let mut archive = match result {
        Ok(archive) => archive,
        Err(e) => return check(&e),
    };
    let names: Vec<String> = archive.names().map(String::from).collect();
    let mut writer = NpzWriter::compressed(vec![]);
    let mut read = vec![];
    for name in names {
        // deflate packs at most 1,032 bytes into one; buffers double as they grow, and are then moved
        let (result, used) = peak(|| archive.read(&name));
        assert!(used <= 3 * 1032 * bytes.len() + (1 << 20), "{used} bytes allocated for a member in {}", bytes.len());
        match result {
            Ok(x) => {
                // names in a foreign archive may be ones that our writer does not accept
                if writer.write(&name, &x).is_ok() {
                    read.push((name, x));
                }
            }
            Err(e) => check(&e),
        }
    }
    let written = writer.finish().expect("a vector takes all");
    let mut again = Npz::new(Cursor::new(&written)).expect("what is written is read");
    for (name, x) in read {
        let y = again.read(&name).expect("what is written is read");
        assert_eq!((y.shape(), y.dtype()), (x.shape(), x.dtype()));
        assert_eq!(y.to_bytes().expect("elements"), x.to_bytes().expect("elements"));
    }
}

fn check(e: &cupric::Error) {
    assert!(matches!(e.kind(), ErrorKind::Format | ErrorKind::Unsupported | ErrorKind::LimitExceeded), "{e}");
    let text = e.to_string();
    // messages contain names, and a member's name may have 65,535 bytes
    assert!(text.len() < 70_000 && !text.contains('\n'), "{text}");
}

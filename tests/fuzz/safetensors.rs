//! Safetensors files: any bytes give a typed error or tensors, with at most a few times the file's size of memory.

use super::memory::peak;
use cupric::{ErrorKind, SafeTensors, write_safetensors};
use std::io::Cursor;

pub fn run(bytes: &[u8]) {
    let (result, used) = peak(|| SafeTensors::new(Cursor::new(bytes)));
    assert!(used <= 12 * bytes.len() + (1 << 16), "{used} bytes allocated for a file of {}", bytes.len());
    let mut model = match result {
        Ok(model) => model,
        Err(e) => return check(&e),
    };
    let names: Vec<String> = model.names().map(String::from).collect();
    let mut read = vec![];
    for name in names {
        let (result, used) = peak(|| model.read(&name));
        assert!(used <= bytes.len() + (1 << 16), "{used} bytes allocated for a tensor of {}", bytes.len());
        match result {
            Ok(x) => read.push((name, x)),
            Err(e) => check(&e),
        }
    }
    let total: usize = read.iter().map(|(_, x)| x.size() * x.dtype().size()).sum();
    assert!(total <= bytes.len(), "no byte is of two tensors");
    let metadata: Vec<(String, String)> = model.metadata().map(|(k, v)| (k.into(), v.into())).collect();
    let pairs = metadata.iter().map(|(k, v)| (k, v));
    let written = write_safetensors(vec![], read.iter().map(|(n, x)| (n, x)), pairs).expect("what is read is written");
    let mut again = SafeTensors::new(Cursor::new(&written)).expect("what is written is read");
    assert!(again.metadata().eq(model.metadata()));
    for (name, x) in read {
        let y = again.read(&name).expect("what is written is read");
        assert_eq!((y.shape(), y.dtype()), (x.shape(), x.dtype()));
        assert_eq!(y.to_bytes().expect("elements"), x.to_bytes().expect("elements"));
    }
}

fn check(e: &cupric::Error) {
    assert!(matches!(e.kind(), ErrorKind::Format | ErrorKind::Unsupported), "{e}");
    let text = e.to_string();
    assert!(text.len() < 1000 && !text.contains('\n'), "{text}");
}

//! Tests of the file on disk: written contents are read again, and a damaged file is not read.

use super::*;

crate::testing::unit_tests! {
    gpu_disk: what_is_written_is_read, what_is_damaged_is_not_read,
    what_was_not_used_leaves_first, the_larger_of_two_pipelines_stays, the_version_is_that_of_the_package
}

fn contents() -> Contents {
    let shaders = (0..5u8).map(|n| (hash(&n), Arc::from(vec![n; n as usize]))).collect();
    Contents { numerics: Some(0b101), cooperative: Some(true), shaders, pipelines: vec![7; 100] }
}

fn what_is_written_is_read() {
    let bytes = contents().encode("a purpose").unwrap();
    let read = Contents::decode(&bytes, "a purpose").unwrap();
    assert_eq!((read.numerics, read.cooperative, &read.pipelines), (Some(0b101), Some(true), &vec![7; 100]));
    assert_eq!(read.shaders, contents().shaders);
    assert_eq!(read.encode("a purpose").unwrap(), bytes);
    assert!(Contents::decode(&bytes, "another purpose").is_none());
    assert!(Contents::decode(&bytes, "a purpos").is_none());
}

fn what_is_damaged_is_not_read() {
    let bytes = contents().encode("p").unwrap();
    for n in 0..bytes.len() {
        assert!(Contents::decode(&bytes[..n], "p").is_none(), "cut at {n}");
        let mut changed = bytes.clone();
        changed[n] ^= 1 << (n % 8);
        assert!(Contents::decode(&changed, "p").is_none(), "changed at {n}");
    }
}

fn what_was_not_used_leaves_first() {
    let used = HashSet::from([hash(&4u8), hash(&3u8)]);
    let kept = |most: usize| {
        let mut contents = contents();
        contents.keep_within(most, &used);
        let lengths: Vec<usize> = contents.shaders.values().map(|s| s.len()).collect();
        (lengths.iter().sum::<usize>(), contents.shaders.contains_key(&hash(&4u8)))
    };
    assert_eq!(kept(10), (10, true));
    let (bytes, has) = kept(9);
    assert!(has && (7..=9).contains(&bytes), "{bytes}");
    assert_eq!(kept(7), (7, true));
    assert!(kept(6).0 <= 6);
    assert_eq!(kept(0).0, 0);
}

fn the_larger_of_two_pipelines_stays() {
    assert_eq!(chosen(Some(vec![1; 5]), vec![2; 4]), [1; 5]);
    assert_eq!(chosen(Some(vec![1; 3]), vec![2; 4]), [2; 4]);
    // a lost device has no pipelines
    assert_eq!(chosen(None, vec![2; 4]), [2; 4]);
    assert!(chosen(Some(vec![1; MOST_PIPELINES + 1]), vec![2; 4]).is_empty());
}

fn the_version_is_that_of_the_package() {
    // In a checkout, the version is in a line `naga = { … }`. In a package, for which cargo rewrites the file, it is in
    // a table `[dependencies.naga]`
    let manifest = include_str!("../../../Cargo.toml");
    let lines = manifest.lines().filter(|l| l.starts_with("naga = "));
    let tables = manifest.split(".naga]\n").skip(1).filter_map(|table| table.lines().next());
    let versions: Vec<&str> = lines.chain(tables).collect();
    assert!(versions.len() >= 2, "{versions:?}");
    versions.iter().for_each(|v| assert!(v.contains(&format!("version = \"{NAGA}\"")), "{v}"));
}

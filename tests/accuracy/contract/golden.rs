//! Reference values of the f64 functions: `tests/data/f64.txt`, which `make_f64.py` computes with mpmath.

use super::bound::Real;
use crate::kit::number;
use cupric::DType;
use std::collections::HashMap;
use std::sync::LazyLock;

/// The operands and reference results of one function.
#[derive(Default)]
pub struct Points {
    pub columns: Vec<Vec<u64>>,
    pub results: HashMap<[u64; 3], Real>,
}

static ALL: LazyLock<HashMap<String, Points>> = LazyLock::new(|| {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/f64.txt");
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut all: HashMap<String, Points> = HashMap::new();
    let mut name = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if let ["#", function, arity] = words[..] {
            name = function.to_string();
            let arity = arity.parse().unwrap_or_else(|e| panic!("{path}: {line}: {e}"));
            all.insert(name.clone(), Points { columns: vec![vec![]; arity], results: HashMap::new() });
            continue;
        }
        let points = all.get_mut(&name).unwrap_or_else(|| panic!("{path}: {line}"));
        let bits = |w: &str| u64::from_str_radix(w, 16).unwrap_or_else(|e| panic!("{path}: {line}: {e}"));
        let (operands, result) = words.split_at(points.columns.len());
        let mut key = [0; 3];
        for (i, w) in operands.iter().enumerate() {
            key[i] = bits(w);
            points.columns[i].push(key[i]);
        }
        let value = f64::from_bits(bits(result[0]));
        let part: f64 = result[1].parse().unwrap_or_else(|e| panic!("{path}: {line}: {e}"));
        // the rest is below half a ULP of the value, and an f64 holds it unless the value is tiny
        points.results.insert(key, Real { value, rest: part / 256.0 * number::ulp(DType::F64, value) });
    }
    all
});

/// The reference values of a function, if the file has any.
pub fn points(function: &str) -> Option<&'static Points> {
    ALL.get(function)
}

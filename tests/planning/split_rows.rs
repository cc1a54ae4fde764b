//! Searches for a position in rows that the planner splits: the parts count from their own first element.

use cupric::DType::*;
use cupric::testing::{Caps, cpu_within, named_caps};
use cupric::*;

/// The planner splits the row, and threads divide its parts: their positions start at the part's first element.
#[test]
fn positions_of_a_shared_part_of_a_split_row() {
    let caps = Caps { max_reduce: [1 << 17; 2], ..named_caps("cpu").unwrap() };
    let d = cpu_within(&caps).unwrap();
    let mut numbers = vec![0f32; 2 * 300_000];
    (numbers[250_000], numbers[300_000 + 299_999]) = (1.0, 1.0);
    let x = Array::from_vec(numbers, [2, 300_000]).unwrap().to_device(&d).unwrap();
    for threads in 1..=4 {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let found = pool.install(|| x.argmax(1).to_vec::<i64>().unwrap());
        assert_eq!(found, [250_000, 299_999], "{threads} threads");
    }
}

/// Parts of split rows that are not longer than a tile, and follow one another in memory.
#[test]
fn positions_of_short_parts_of_split_rows() {
    for limit in [64, 512, 1024, 2048, 4096] {
        let d = cpu_within(&Caps { max_reduce: [limit; 2], ..named_caps("cpu").unwrap() }).unwrap();
        for dtype in [F32, F64, I32] {
            for (rows, n) in [(5, 2 * limit), (37, 2 * limit), (5, 3 * limit + 17), (37, 3 * limit + 17)] {
                // the extremes are at another place in each row
                let place = |row: usize| row * 31 % n;
                let mut numbers = vec![0f32; rows * n];
                (0..rows).for_each(|row| numbers[row * n + place(row)] = -1.0);
                let x = Array::from_vec(numbers, [rows, n]).unwrap().to_device(&d).unwrap().astype(dtype);
                let want: Vec<i64> = (0..rows).map(|row| place(row) as i64).collect();
                let what = format!("{rows} rows of {n} {dtype}, parts of {limit}");
                assert_eq!(x.argmin(1).to_vec::<i64>().unwrap(), want, "{what}");
                assert_eq!((-&x).argmax(1).to_vec::<i64>().unwrap(), want, "{what}, of negatives");
            }
        }
    }
}

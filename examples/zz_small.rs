use cupric::*;
fn main() {
    let n: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let len: usize = std::env::args().nth(2).unwrap().parse().unwrap();
    let a = Array::from_vec(vec![1.0f32; len], [len]).unwrap();
    let b = Array::from_vec(vec![2.0f32; len], [len]).unwrap();
    let t = std::time::Instant::now();
    for _ in 0..n {
        let _ = std::hint::black_box((&a + &b).eval().unwrap());
    }
    eprintln!("{} ns", t.elapsed().as_nanos() / n as u128);
}

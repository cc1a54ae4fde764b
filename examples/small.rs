use cupric::*;
fn main() -> Result<()> {
    let a = array![1., 2., 3., 4., 5., 6., 7., 8.];
    let b = array![1., 2., 3., 4., 5., 6., 7., 8.];
    let t = std::time::Instant::now();
    let n = 3_000_000;
    for _ in 0..n {
        std::hint::black_box((&a + &b).eval()?);
    }
    println!("{} ns", t.elapsed().as_nanos() / n);
    Ok(())
}

use crate::kit::Dice;
use crate::matrices::Matrices;
use cupric::linalg::*;
use cupric::*;
use std::time::Instant;

#[test]
#[ignore]
fn timings() {
    let d = &Device::cpu();
    let dice = &mut Dice::new(1);
    for t in [DType::F64, DType::F32] {
        for (count, n) in [(10_000, 4), (1000, 32), (1, 100), (1, 500), (1, 1500)] {
            let mut g = Matrices::random(dice, count, n, n);
            (0..count * n).for_each(|i| g.elements[i * n + i % n] += n as f64);
            let a = g.put(d, t);
            let p = ((&a + a.matrix_transpose()) * 0.5).eval().unwrap();
            let b = Matrices::random(dice, count, n, 1).put(d, t);
            let time = |name: &str, f: &dyn Fn() -> Expr| {
                let mut best = f64::MAX;
                let start = Instant::now();
                let mut runs = 0;
                while runs < 3 || start.elapsed().as_secs_f64() < 0.5 {
                    let s = Instant::now();
                    f().eval().unwrap();
                    best = best.min(s.elapsed().as_secs_f64());
                    runs += 1;
                }
                println!("{t} {name} {count}x{n} {:.3} ms", best * 1e3);
            };
            time("cholesky", &|| cholesky(&p, Triangle::Lower));
            time("solve", &|| solve(&a, &b));
            time("inv", &|| inv(&a));
            time("lu", &|| {
                let (_, l, u) = lu(&a);
                l + u
            });
            time("matmul", &|| a.matmul(&a));
        }
    }
}

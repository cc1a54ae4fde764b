use cupric::*;
use std::time::Instant;
fn time(name: &str, f: impl Fn() -> Result<()>) {
    let mut best = f64::MAX;
    let mut all = vec![];
    for _ in 0..9 {
        let t = Instant::now();
        f().unwrap();
        all.push(t.elapsed().as_secs_f64() * 1e3);
    }
    all.sort_by(f64::total_cmp);
    best = best.min(all[0]);
    println!("{name}: best {best:.2} ms, median {:.2}", all[4]);
}
fn main() -> Result<()> {
    let mut rng = Rng::new(1);
    for (n, c, s, f, last, half) in [
        (8usize, 64usize, 32usize, 64usize, false, false),
        (8, 64, 32, 64, true, false),
        (8, 64, 32, 64, false, true),
        (32, 1, 28, 32, false, false),
        (8, 3, 64, 64, false, false),
    ] {
        let dt = if half { DType::F16 } else { DType::F32 };
        let xs = if last { vec![n, s, s, c] } else { vec![n, c, s, s] };
        let ws = if last { vec![f, 3, 3, c] } else { vec![f, c, 3, 3] };
        let x = rng.normal(&xs[..], dt).eval()?;
        let w = rng.normal(&ws[..], dt).eval()?;
        let conv = if last { Conv::default().same().channels_last() } else { Conv::default().same() };
        println!("-- {n} {c} {s} {f} last {last} half {half}");
        let a = rng.normal([f, c * 9], dt).eval()?;
        let b = rng.normal([c * 9, n * s * s], dt).eval()?;
        time("product", || {
            a.matmul(&b).eval()?;
            Ok(())
        });
        time("y", || {
            x.conv2d(&w, conv.clone()).eval()?;
            Ok(())
        });
        time("relu y", || {
            x.conv2d(&w, conv.clone()).relu().eval()?;
            Ok(())
        });
        let y = x.conv2d(&w, conv.clone()).eval()?;
        time("dx", || {
            let l = x.conv2d(&w, conv.clone());
            let [dx] = vjp(&l, &y, [&x]);
            dx.eval()?;
            Ok(())
        });
        time("dw", || {
            let l = x.conv2d(&w, conv.clone());
            let [dw] = vjp(&l, &y, [&w]);
            dw.eval()?;
            Ok(())
        });
    }
    Ok(())
}

use cupric::*;
fn check(d: &Device) -> Result<()> {
    let mut rng = Rng::new(3);
    for (shape, axes) in [
        (vec![7usize, 1000], vec![1i32]),
        (vec![1000, 7], vec![0]),
        (vec![5000], vec![0]),
        (vec![3, 50, 41], vec![0, 2]),
        (vec![3, 50, 41], vec![1]),
        (vec![130, 70], vec![0, 1]),
    ] {
        let x = rng.normal(shape.clone()).eval()?;
        let y = x.to_device(d)?;
        let ax: Vec<i32> = axes.clone();
        let f = |x: &Expr| -> Vec<Expr> {
            let a = &ax[..];
            let mut v = vec![
                x.sum(a),
                x.mean(a),
                x.var(a),
                x.max(a),
                (x * 2.0).min(a),
                x.logsumexp(a),
                x.softmax(a).t().eval().unwrap().sum(..),
                x.argmax(..),
                x.argmin(..),
                x.greater(0.0).count_nonzero(a),
                x.astype(DType::F16).sum(a),
            ];
            if a.len() == 1 {
                v.push(x.argmax(a));
                v.push((x * 3.0).argmin(a));
            }
            v
        };
        for (i, (p, q)) in f(&x).iter().zip(f(&y)).enumerate() {
            let (p, q) = (p.astype(DType::F64).to_vec::<f64>()?, q.astype(DType::F32).to_vec::<f32>()?);
            let bad = p.iter().zip(&q).filter(|(a, b)| (*a - **b as f64).abs() > 1e-3 * (1.0 + a.abs())).count();
            if bad > 0 || p.len() != q.len() {
                println!(
                    "{d} {shape:?} {axes:?} #{i}: {bad} of {} differ: {:?} {:?}",
                    p.len(),
                    &p[..p.len().min(5)],
                    &q[..q.len().min(5)]
                );
            }
        }
    }
    Ok(())
}
fn main() -> Result<()> {
    check(&cupric::testing::shrunk_cpu()?)?;
    if std::env::args().nth(1).is_some() {
        check(&Device::gpu()?)?;
        check(&cupric::testing::shrunk_gpu(65536, 4)?)?;
    }
    let d = Device::gpu().unwrap_or(Device::cpu());
    println!("{:?}", d.memory());
    Ok(())
}

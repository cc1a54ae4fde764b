use cupric::*;
fn main() -> Result<()> {
    let d: Device = std::env::args().nth(1).unwrap_or("cpu".into()).parse()?;
    let x = array![[1., 2., 3.], [4., 5., 6.]].to_device(&d)?;
    let y = &x * 2.5 + 1.2;
    println!("{}", y.plan()?);
    println!("{:?}", y.to_vec::<f32>()?);
    println!("{:?}", x.t().to_vec::<f32>()?);
    println!("{:?}", x.sum(0).to_vec::<f32>()?);
    println!("{:?}", x.sum(1).to_vec::<f32>()?);
    println!("{}", x.softmax(-1).plan()?);
    println!("{:?}", x.softmax(-1).to_vec::<f32>()?);
    let z = (&x - x.mean(0)) / x.std(0);
    println!("{}", z.plan()?);
    println!("{:?}", z.to_vec::<f32>()?);
    let b = array![1., -100., 3.].to_device(&d)?;
    let m = (x.t().matmul(&x) + &b).relu();
    println!("{}", m.plan()?);
    println!("{:?}", m.to_vec::<f32>()?);
    println!("{}", (&x - &b).square().mean(..).plan()?);
    println!("{:?}", (&x - &b).square().mean(..).item::<f32>()?);
    println!("{:?}", x.var(..).item::<f32>()?);
    println!("{:?} {:?}", x.argmax(1).to_vec::<i32>()?, x.argmin(..).item::<i32>()?);
    println!("{:?}", x.take(array![1, 0, -1].to_device(&d)?, 1).to_vec::<f32>()?);
    println!("{:?}", concat([&x, &x], 0).to_vec::<f32>()?);
    let mut w = (&x + 0.0).eval()?;
    w.assign(&w * 0.5 + &b)?;
    println!("{:?}", w.to_vec::<f32>()?);
    w.set(s![.., 1], 7.0)?;
    println!("{:?}", w.to_vec::<f32>()?);
    println!("{:?}", Rng::new(1).normal([4]).to_device(&d)?.to_vec::<f32>()?);
    println!("{:?}", x.astype(DType::F16).to_vec::<f16>()?);
    println!("{:?}", x.less(3.0).to_vec::<bool>()?);
    println!("{:?} {:?}", d.stats(), d.memory());
    Ok(())
}

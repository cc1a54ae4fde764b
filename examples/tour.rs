//! A tour of the library in forty lines: `cargo run --release --example tour`.

use cupric::{Device, Result, Rng, array, s};

fn main() -> Result<()> {
    // where the work is done: a hardware GPU if there is one, else the CPU (CUPRIC_DEVICE=cpu|gpu|gpu:1 decides instead)
    let device = Device::best()?;
    println!("on {device}");

    // arrays are made on the CPU and cross only when told to
    let x = array![[1., 2., 3.], [4., 5., 6.]].to_device(&device)?;

    // an operation gives an expression: nothing has run yet, and nothing can fail here
    let y = (&x * 2.5 + 1.2).sqrt();
    // all of it is one kernel, which the plan shows
    println!("{}", y.plan()?);
    // what runs it can fail, and gives a Result
    println!("y = {:?}", y.to_vec::<f32>()?);

    // axes count from either end; a softmax over rows reads each row once
    let p = x.softmax(-1).eval()?;
    println!("softmax in {} kernel(s): {:?}", x.softmax(-1).plan()?.kernels(), p.to_vec::<f32>()?);
    println!("its rows sum to {:?}, the mean is {}", p.sum(-1).to_vec::<f32>()?, p.mean(..).item::<f32>()?);

    // slices and transposes are views: no element is copied
    println!("every second column, backwards: {:?}", x.slice(s![.., ..;-2]).to_vec::<f32>()?);
    println!("x · xᵀ = {:?}", x.matmul(x.t()).to_vec::<f32>()?);

    // writes happen in place where nobody else holds the memory, and never show in another array
    let mut w = x.eval()?;
    w.update(|w| w * 0.5)?;
    w.set(s![.., 0], 9.0)?;
    println!("w = {:?}, x = {:?}", w.to_vec::<f32>()?, x.to_vec::<f32>()?);

    // random numbers are the same on every device
    let mut rng = Rng::new(42);
    let noise = rng.normal([1000]).to_device(&device)?;
    println!("1000 normals: mean {:.3}, deviation {:.3}", noise.mean(..).item::<f32>()?, noise.std(..).item::<f32>()?);

    // an error is carried to where the expression is run, and names the line that made it
    if let Err(error) = (&x + array![1., 2.].to_device(&device)?).eval() {
        println!("{error}");
    }
    Ok(())
}

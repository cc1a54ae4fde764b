//! Runs ten thousand Kalman filters at once. Each follows a body in the plane by noisy observations of its position. A
//! step of all filters is a few products of batches of small matrices, and a batched solution of linear equations.
//!
//! ```text
//! cargo run --release --example kalman -- --filters 100000
//! ```

mod common;

use clap::Parser;
use common::say;
use cupric::linalg::solve;
use cupric::{Array, DType, Device, Expr, Rng, array, concat, eval_all, eye, s, zeros};
use std::process::ExitCode;
use std::time::Instant;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Seconds from one step to the next.
const SECONDS: f64 = 0.1;
/// The standard deviation of a body's acceleration in each direction.
const ACCELERATION: f64 = 1.0;

/// Runs many Kalman filters at once: each follows a body in the plane by noisy observations of its position.
#[derive(Parser)]
struct Options {
    /// Where to compute
    #[arg(long, value_name = "cpu|gpu|gpu:N|best", default_value = "best")]
    device: String,
    /// Bodies, each with a filter of its own
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = common::positive)]
    filters: usize,
    /// Steps
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = common::positive)]
    steps: usize,
}

fn main() -> ExitCode {
    let options: Options = common::arguments("kalman");
    common::finish("kalman", run(&options))
}

fn run(options: &Options) -> Result<()> {
    let Options { filters, steps, .. } = *options;
    let device: Device = options.device.parse()?;
    let on_device = |e: Expr| e.to_device(&device);
    let mut rng = Rng::new(0);
    // a body's state is a column of its position and its velocity
    let dt = SECONDS;
    let moves =
        on_device(array![[1., 0., dt, 0.], [0., 1., 0., dt], [0., 0., 1., 0.], [0., 0., 0., 1.]].astype(DType::F32))?;
    let pushes = on_device(array![[dt * dt / 2., 0.], [0., dt * dt / 2.], [dt, 0.], [0., dt]].astype(DType::F32))?;
    let sees = on_device(eye(4, DType::F32).slice(s![..2]))?;
    let pushed = (pushes.matmul(pushes.t()) * ACCELERATION.powi(2)).eval()?;
    // about half of the bodies are observed well (noise 0.1), and the others badly (noise 1)
    let blur = on_device(rng.uniform([filters, 1, 1], DType::F32).round() * 0.9 + 0.1)?;
    let blurred = (eye(2, DType::F32) * blur.square()).eval()?;
    let mut bodies = on_device(concat(
        &[rng.normal([filters, 2, 1], DType::F32) * 5.0, rng.normal([filters, 2, 1], DType::F32)],
        1,
    ))?;
    let mut state = on_device(zeros([filters, 4, 1], DType::F32))?;
    let mut doubt = on_device((eye(4, DType::F32) * 25.0).broadcast_to([filters, 4, 4]))?;
    let (mut seen, mut took) = (state.slice(s![.., ..2]).eval()?, 0.0);
    for _ in 0..steps {
        let push = rng.normal([filters, 2, 1], DType::F32) * ACCELERATION;
        bodies = (moves.matmul(&bodies) + pushes.matmul(push)).eval()?;
        seen = (sees.matmul(&bodies) + rng.normal([filters, 2, 1], DType::F32) * &blur).eval()?;
        device.synchronize()?;
        let started = Instant::now();
        // predict each state and its covariance, then correct both by the observation
        let expected = moves.matmul(&state);
        let unsure = moves.matmul(&doubt).matmul(moves.t()) + &pushed;
        let of_seen = sees.matmul(&unsure);
        let gain = solve(of_seen.matmul(sees.t()) + &blurred, &of_seen).matrix_transpose();
        let surprise = &seen - sees.matmul(&expected);
        let next = [&expected + gain.matmul(surprise), &unsure - gain.matmul(&of_seen)];
        [state, doubt] = eval_all([&next[0], &next[1]])?;
        device.synchronize()?;
        took += started.elapsed().as_secs_f64();
    }
    let each = took / steps as f64;
    let rate = filters as f64 / each / 1e6;
    say(format_args!(
        "{device}: {filters} filters, {steps} steps of {:.2} ms: {rate:.2} million updates a second",
        each * 1e3
    ))?;
    let off = |places: &Expr, of: f64| -> Result<f32> {
        let error = (places - bodies.slice(s![.., ..2])).square().sum(1);
        let chosen = ((&blur - of).abs().less(0.01)).reshape([-1, 1]).astype(DType::F32);
        Ok(((error * &chosen).sum(..) / chosen.sum(..)).sqrt().item::<f32>()?)
    };
    for (name, of) in [("seen well", 0.1), ("seen badly", 1.0)] {
        let (before, after) = (off(&seen, of)?, off(&state.slice(s![.., ..2]), of)?);
        say(format_args!("bodies {name}: what is seen is {before:.3} off the truth, the filters are {after:.3} off"))?;
    }
    let claimed: Array = (doubt.diagonal(0).slice(s![.., ..2]).sum(-1).mean(..)).sqrt().eval()?;
    say(format_args!("the filters themselves expect to be {:.3} off in the mean of all", claimed.item::<f32>()?))?;
    Ok(())
}

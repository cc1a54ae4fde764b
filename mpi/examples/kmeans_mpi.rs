//! Groups the rows of a file by k-means on several ranks; no rank holds the whole file.
//!
//! ```text
//! mpirun -n 4 target/release/examples/kmeans_mpi --data rows.npy --groups 8
//! ```
//!
//! Each rank maps its rows of the file, and finds the centre nearest to each row. For each centre it adds up its rows
//! and counts them. One `all_reduce` of these sums and counts gives every rank the new centres. Its size does not
//! depend on the number of rows.

mod common;

use clap::Parser;
use common::{Result, device, hash, say, say_traffic};
use cupric::{Array, DType, Expr, Rng, arange, concat, eval_all, s, select};
use cupric_mpi::{Comm, Reduce, Sharded};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// The number of rows whose distances a rank computes at a time.
const BLOCK: usize = 1 << 14;

/// Groups the rows of a .npy file by k-means, on several ranks.
#[derive(Parser)]
#[command(name = "kmeans_mpi")]
struct Options {
    /// Where each rank computes
    #[arg(long, value_name = "cpu|gpu|gpu:N|best", default_value = "cpu")]
    device: String,
    /// A .npy file of floats with a point per row [default: a temporary file of random points]
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Number of random points
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = common::positive)]
    rows: usize,
    /// How many groups to find
    #[arg(long, value_name = "K", default_value_t = 8, value_parser = common::positive)]
    groups: usize,
    /// How many steps to make
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = common::positive)]
    iterations: usize,
}

fn main() -> ExitCode {
    let options: Options = common::arguments("kmeans_mpi");
    common::finish("kmeans_mpi", Comm::run(|comm| run(comm, &options)))
}

fn run(comm: &Comm, options: &Options) -> Result<()> {
    let k = options.groups;
    let device = device(comm, &options.device)?;
    let (path, is_own) = match &options.data {
        Some(path) => (path.clone(), false),
        None => (random_points(comm, options.rows)?, true),
    };
    // SAFETY: nobody changes the file while the program runs; a file of random points belongs to this job.
    let x = unsafe { Sharded::map_npy(comm, &path) };
    comm.barrier()?;
    if is_own && comm.rank() == 0 {
        // the mapped memory stays valid until the last rank has unmapped it
        std::fs::remove_file(&path)?;
    }
    let x = x?;
    let [rows, columns] = x.shape()[..] else {
        return Err(format!("{}: a matrix is needed, not shape {:?}", path.display(), x.shape()).into());
    };
    if rows < k || !x.local().dtype().is_float() {
        let dtype = x.local().dtype();
        return Err(format!("{}: {rows} rows of {dtype} cannot be put into {k} groups", path.display()).into());
    }
    say(comm, format_args!("{} ranks on {device}: {rows} × {columns}, {k} groups", comm.size()))?;

    // the first centres are rows at equal distances, which lie on several ranks
    let starts: Vec<i64> = (0..k).map(|i| (i * rows / k) as i64).collect();
    let own = comm.shard(rows);
    let mine: Vec<i64> =
        starts.iter().filter(|i| own.contains(&(**i as usize))).map(|i| i - own.start as i64).collect();
    let mine = Array::from_vec(mine.clone(), [mine.len()])?;
    let mut centres = comm.all_gather(x.local().take(&mine, 0).astype(DType::F32), 0)?.to_device(&device)?;
    let started = Instant::now();
    for iteration in 1..=options.iterations {
        let mut sums = (&centres * 0.0).eval()?;
        let mut counts = sums.slice(s![.., 0]).eval()?;
        let mut loss = sums.slice(s![0, 0]).eval()?;
        for from in (0..own.len()).step_by(BLOCK) {
            let rows = x.local().slice(s![from..(from + BLOCK).min(own.len())]).to_device(&device)?;
            let part = assigned(&rows.astype(DType::F32).eval()?, &centres, k);
            let [a, b, c] = eval_all([&(&sums + &part[0]), &(&counts + &part[1]), &(&loss + &part[2])])?;
            (sums, counts, loss) = (a, b, c);
        }
        // one message holds the sums, the counts and the loss
        let all = concat([sums.reshape(-1), counts.reshape(-1), loss.reshape(-1)], 0);
        let all = comm.all_reduce(&all, Reduce::Sum)?;
        let sums = all.slice(s![..k * columns]).reshape([k, columns]);
        let counts = all.slice(s![k * columns..k * columns + k]).expand_dims(1);
        // a centre that is nearest to no row does not change
        centres = select(counts.greater(0), sums / &counts, &centres).eval()?;
        let loss = all.slice(s![k * columns + k]).item::<f32>()? / rows as f32;
        say(comm, format_args!("iteration {iteration:3}  mean squared distance {loss:.4}"))?;
    }
    say(comm, format_args!("{:.2} s", started.elapsed().as_secs_f64()))?;
    say_traffic(comm)?;
    say(comm, format_args!("hash of the centres: {:016x}", hash(&[centres])?))?;
    Ok(())
}

/// Returns the sum and the number of the rows that are nearest to each centre, and the sum of all squared distances.
fn assigned(x: &Array, centres: &Array, k: usize) -> [Expr; 3] {
    // |x - c|² = |x|² - 2 x·c + |c|², and the first term is the same for every centre
    let score = centres.square().sum(-1) - x.matmul(centres.t()) * 2.0;
    let one_hot = score.argmin(-1).expand_dims(1).equal(arange(0, k, 1, DType::I64)).astype(DType::F32);
    let loss = (score.min(-1) + x.square().sum(-1)).sum(..);
    [one_hot.t().matmul(x), one_hot.sum(0), loss]
}

/// Writes a file of random points around a few centres; each rank writes its rows.
fn random_points(comm: &Comm, rows: usize) -> Result<PathBuf> {
    let id = comm.broadcast(Array::from_vec(vec![std::process::id()], [1])?, 0)?.item::<u32>()?;
    let path = std::env::temp_dir().join(format!("cupric-kmeans-{id}.npy"));
    let own = comm.shard(rows);
    // each block of rows has its own seed, so that the file does not depend on the number of ranks
    let (columns, block) = (16, 1000);
    let mut parts = vec![];
    for from in (own.start / block..own.end.div_ceil(block)).map(|i| i * block) {
        let mut rng = Rng::new(from as u64);
        let around = (arange(0, block, 1, DType::I64) + from) % 8;
        let points = rng.normal([block, columns], DType::F32) + around.astype(DType::F32).expand_dims(1) * 2.0;
        parts.push(points.slice(s![own.start.max(from) - from..own.end.min(from + block) - from]).eval()?);
    }
    let local = match parts.is_empty() {
        true => cupric::zeros([0, columns], DType::F32).eval()?,
        false => concat(&parts, 0).eval()?,
    };
    Sharded::new(comm, &local, 0)?.to_npy(Path::new(&path))?;
    Ok(path)
}

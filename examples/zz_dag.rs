//! scratch
use cupric::*;
use std::time::Instant;
fn rss(what: &str) -> f64 {
    let s = std::fs::read_to_string("/proc/self/status").unwrap();
    let g = |k: &str| {
        s.lines().find(|l| l.starts_with(k)).unwrap().split_whitespace().nth(1).unwrap().parse::<f64>().unwrap()
    };
    g(what) / 1024.0
}
fn main() {
    let n: usize = std::env::args().nth(1).map_or(100_000, |a| a.parse().unwrap());
    let mode = std::env::args().nth(2).unwrap_or_default();
    let x = Array::from_vec(vec![1f32, 2., 3., 4., 5., 6., 7., 8.], [8]).unwrap();
    let mut seed = 12345u64;
    let mut rnd = move || {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as usize
    };
    let mut nodes: Vec<Expr> = vec![(&x * 1.0f32 + 0.5).into(), &x * 0.5];
    let t = Instant::now();
    while nodes.len() < n {
        let m = nodes.len();
        let (a, b) = match mode.as_str() {
            "chain" => (m - 1, 0),
            "prev" => (m - 1, rnd() % m),
            "window" => (m - 1 - rnd() % m.min(100), m - 1 - rnd() % m.min(100)),
            _ => (rnd() % m, rnd() % m),
        };
        let (a, b) = (&nodes[a], &nodes[b]);
        let e = match rnd() % 4 {
            0 => a + b,
            1 => a * b,
            2 => a - b,
            _ => a.maximum(b),
        };
        nodes.push(e);
    }
    println!("build {:?} rss {:.0} MB", t.elapsed(), rss("VmRSS"));
    let base = rss("VmRSS");
    let t = Instant::now();
    let roots: Vec<Expr> = if mode == "all" {
        nodes.iter().rev().step_by(n / 1000 + 1).cloned().collect()
    } else if mode == "sinks" {
        let mut level: Vec<Expr> = nodes.clone();
        while level.len() > 1 {
            level = level.chunks(2).map(|c| if c.len() == 2 { &c[0] + &c[1] } else { c[0].clone() }).collect();
        }
        level
    } else {
        // everything reachable: sum of last few
        vec![nodes.last().unwrap().clone()]
    };
    if std::env::args().nth(3).is_some() {
        println!("{}", testing::zz(&roots[0]));
        println!("plan {:?} peak {:.0}", t.elapsed(), rss("VmHWM"));
        return;
    }
    if mode == "plan" {
        let p = roots[0].plan().unwrap();
        println!("plan {:?} kernels {} peak {:.0} MB over {:.0}", t.elapsed(), p.kernels(), rss("VmHWM"), base);
        return;
    }
    let out = eval_all(&roots).unwrap();
    println!(
        "eval {:?} peak {:.0} MB, {:.0} B/node over base",
        t.elapsed(),
        rss("VmHWM"),
        (rss("VmHWM") - base) * 1048576.0 / n as f64
    );
    let v = out[0].to_vec::<f32>().unwrap();
    println!("{:?}", &v[..2]);
    let t = Instant::now();
    drop(nodes);
    drop(roots);
    println!("drop {:?}", t.elapsed());
}

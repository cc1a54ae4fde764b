//! Finds the basic blocks, the loops and the hot path in the machine code of a kernel, and counts the instructions on
//! the hot path. `--help` defines the hot path.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Counts of the instructions that a lane executes, with the iterations of loops.
#[derive(Clone, Copy, Default, Debug)]
pub struct Cost {
    /// Vector instructions. `multiply_adds` counts the multiply-adds among them.
    pub vector: f64,
    pub multiply_adds: f64,
    /// Scalar loads. `waits` counts the waits for memory.
    pub scalar_loads: f64,
    pub waits: f64,
    /// Bytes loaded from main memory, and bytes stored to it.
    pub loaded: f64,
    pub stored: f64,
    /// Loads of more than a word from main memory. `word_loads` are loads of at most a word, which is one element.
    wide_loads: f64,
    word_loads: f64,
    /// Bytes of workgroup memory that are accessed. `accesses` counts memory instructions of any kind.
    shared: f64,
    accesses: f64,
    /// Reports of indices out of range, which kernels write by an atomic maximum.
    errors: f64,
    /// Bytes loaded from places to which the same block then stores: words of which a store changes only a part.
    changed: f64,
}

/// The work of a lane, according to the plan and the constants of the shader.
#[derive(Clone, Copy, Default, Debug)]
pub struct Work {
    /// Elements that one lane computes, or multiply-adds in a matrix product.
    pub elements: f64,
    /// Bytes that a lane loads, and bytes that it stores, for an element.
    pub bytes: [f64; 2],
    /// The number of loads for an element.
    pub loads: f64,
    /// For a matrix product by tiles: the lengths along k of the product, of a chain and of a tile, and a lane's sums.
    pub tile: Option<[f64; 4]>,
    /// The number of invocations of a workgroup.
    pub group: f64,
}

/// The figures of a kernel's machine code.
#[derive(Default, Debug)]
pub struct Figures {
    pub hot: Cost,
    /// Scalar loads and waits in one iteration of each loop.
    pub in_loops: [usize; 2],
    /// Memory instructions on the hot path, by their names, without the iterations of loops.
    pub accesses: BTreeMap<String, usize>,
    /// The number of loops whose trip count is not known. Their instructions count once.
    pub unknown_loops: usize,
    /// How often each block of the hot path runs, by its label.
    pub runs: HashMap<String, f64>,
}

struct Block {
    label: String,
    cost: Cost,
    /// The index of each successor, and whether it is reached by a jump.
    next: Vec<(usize, bool)>,
    /// Whether the condition of the branch depends on elements that the kernel has loaded, or on floats.
    on_data: bool,
    /// Whether the block starts the second side of a divergent condition. A wave whose lanes agree runs only one side.
    inverts: bool,
    accesses: Vec<String>,
}

struct Loop {
    first: usize,
    last: usize,
    trips: f64,
    is_known: bool,
}

pub fn figures(assembly: &str, work: &Work) -> Figures {
    let blocks = blocks(assembly);
    let mut loops = loops(&blocks);
    // the first path gives the bytes that an iteration moves, and so the number of iterations, which the second path
    // uses
    let path = path(&blocks, &loops);
    trips(&blocks, &mut loops, &path, work);
    let path = self::path(&blocks, &loops);
    let mut figures = Figures { unknown_loops: loops.iter().filter(|l| !l.is_known).count(), ..Figures::default() };
    for n in path {
        let weight: f64 = around(&loops, n).map(|l| l.trips).product();
        figures.hot.add(&blocks[n].cost, weight);
        figures.runs.insert(blocks[n].label.clone(), weight);
        if around(&loops, n).next().is_some() {
            figures.in_loops[0] += blocks[n].cost.scalar_loads as usize;
            figures.in_loops[1] += blocks[n].cost.waits as usize;
        }
        for name in &blocks[n].accesses {
            *figures.accesses.entry(name.clone()).or_default() += 1;
        }
    }
    figures
}

impl Cost {
    fn add(&mut self, other: &Cost, times: f64) {
        let Cost { vector, multiply_adds, scalar_loads, waits, loaded, stored, shared, accesses, errors, .. } = other;
        self.wide_loads += other.wide_loads * times;
        self.word_loads += other.word_loads * times;
        self.vector += vector * times;
        self.multiply_adds += multiply_adds * times;
        self.scalar_loads += scalar_loads * times;
        self.waits += waits * times;
        self.loaded += loaded * times;
        self.stored += stored * times;
        self.shared += shared * times;
        self.accesses += accesses * times;
        self.errors += errors * times;
        self.changed += other.changed * times;
    }

    /// Returns the bytes by which paths are compared.
    fn bytes(&self) -> f64 {
        self.loaded + self.stored + self.shared - self.changed
    }
}

/// Returns the bytes per lane that a memory instruction moves.
fn width(name: &str) -> f64 {
    let pairs = if name.contains("read2") || name.contains("write2") { 2. } else { 1. };
    let each = match name {
        _ if name.contains("x4") || name.contains("b128") => 16.,
        _ if name.contains("x3") || name.contains("b96") => 12.,
        _ if name.contains("x2") || name.contains("b64") => 8.,
        _ if name.contains("byte") || name.contains("b8") || name.contains("u8") || name.contains("i8") => 1.,
        _ if name.contains("short") || name.contains("b16") || name.contains("u16") || name.contains("i16") => 2.,
        _ => 4.,
    };
    pairs * each
}

/// Returns whether an instruction accesses memory separately for each lane.
fn accesses(name: &str) -> bool {
    ["ds_", "buffer_", "global_", "flat_", "scratch_"].iter().any(|p| name.starts_with(p)) && !name.contains("_gl")
}

/// Adds a block. If `falls` is true, the previous block may run into it.
fn open(blocks: &mut Vec<Block>, label: &str, falls: bool) {
    let n = blocks.len();
    if let (true, Some(before)) = (falls, blocks.last_mut()) {
        before.next.push((n, false));
    }
    let (label, cost) = (label.to_string(), Cost::default());
    blocks.push(Block { label, cost, next: vec![], on_data: false, inverts: false, accesses: vec![] });
}

fn blocks(assembly: &str) -> Vec<Block> {
    let (mut blocks, mut labels, mut jumps) = (vec![], HashMap::new(), vec![]);
    let mut taint = Taint::default();
    // the operands of the loads that give their places in buffers, and the loads' blocks
    let mut loaded: Vec<(usize, Vec<&str>)> = vec![];
    open(&mut blocks, "", false);
    // whether the block has no instruction yet, and whether the next block may follow this one
    let (mut is_new, mut falls) = (true, true);
    for line in assembly.lines() {
        let line = line.split(';').next().unwrap_or("").trim();
        if let Some(label) = line.strip_suffix(':') {
            open(&mut blocks, label, falls);
            labels.insert(label, blocks.len() - 1);
            (is_new, falls) = (true, true);
            continue;
        }
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        if !(name.starts_with("v_") || name.starts_with("s_") || accesses(name)) {
            continue;
        }
        let operands: Vec<&str> = rest.split(',').map(str::trim).collect();
        let here = blocks.len() - 1;
        let block = &mut blocks[here];
        if name == "s_branch" || name.starts_with("s_cbranch") {
            block.on_data = taint.condition(name);
            jumps.push((here, operands[0]));
            open(&mut blocks, "", name != "s_branch");
            (is_new, falls) = (true, true);
            continue;
        }
        let is_inversion = name.starts_with("s_andn2_b") || name.starts_with("s_xor_b");
        block.inverts |= is_new && is_inversion && operands[0].starts_with("exec");
        falls = name != "s_endpgm";
        is_new = false;
        taint.step(name, &operands);
        block.cost.count(name);
        if accesses(name) {
            block.accesses.push(name.to_string());
            // the operands of a load and of a store in a buffer differ only in the first, the register of the data
            let place = operands.get(1..).unwrap_or_default();
            if name.starts_with("buffer_load_") {
                loaded.push((here, place.to_vec()));
            } else if name.starts_with("buffer_store_") && loaded.contains(&(here, place.to_vec())) {
                block.cost.changed += width(name);
            }
        }
    }
    for (from, label) in jumps {
        blocks[from].next.extend(labels.get(label).map(|to| (*to, true)));
    }
    blocks
}

impl Cost {
    fn count(&mut self, name: &str) {
        if name.starts_with("v_") {
            self.vector += 1.;
            if ["v_fma", "v_mac", "v_mad_f", "v_pk_fma", "v_dot"].iter().any(|p| name.starts_with(p)) {
                self.multiply_adds += 1.;
            }
        } else if name.starts_with("s_load") || name.starts_with("s_buffer_load") {
            self.scalar_loads += 1.;
        } else if name.starts_with("s_waitcnt") {
            self.waits += 1.;
        } else if name.starts_with("ds_") {
            self.shared += width(name);
            self.accesses += 1.;
        } else if name.contains("_atomic_umax") {
            self.errors += 1.;
        } else if name.contains("_load_") {
            self.loaded += width(name);
            *(if width(name) > 4. { &mut self.wide_loads } else { &mut self.word_loads }) += 1.;
            self.accesses += 1.;
        } else if name.contains("_store_") || name.contains("_atomic_") {
            self.stored += width(name);
            self.accesses += 1.;
        }
    }
}

/// The registers whose values depend on loaded elements or on floats. Instructions are added in the order of the code.
#[derive(Default)]
struct Taint(BTreeSet<String>);

impl Taint {
    fn condition(&self, name: &str) -> bool {
        self.0.contains(if name.contains("exec") {
            "exec"
        } else if name.contains("vcc") {
            "vcc"
        } else {
            "scc"
        })
    }

    fn step(&mut self, name: &str, operands: &[&str]) {
        // the number of operands that are results
        let results = match name {
            _ if name.starts_with("v_cmpx") || name.starts_with("s_cmp") || name.starts_with("s_bitcmp") => 0,
            _ if name.contains("_store_") || name.starts_with("ds_write") || name.starts_with("s_waitcnt") => return,
            _ if name.contains("_co_") || name.contains("div_scale") || name.contains("v_mad_u64") => 2,
            _ => 1,
        };
        let results = results.min(operands.len());
        let is_load = name.contains("_load_") && !name.starts_with("s_") || name.starts_with("ds_read");
        // floats count as data, because no index is computed from floats
        let is_float = ["_f16", "_f32", "_f64"].iter().any(|kind| name.contains(kind));
        let mut on_data =
            is_load || is_float || operands[results..].iter().flat_map(|o| registers(o)).any(|r| self.0.contains(&r));
        // accumulating multiply-adds read their result register too
        on_data |= name.contains("fmac") && registers(operands[0]).iter().any(|r| self.0.contains(r));
        let mut written: Vec<String> = operands[..results].iter().flat_map(|o| registers(o)).collect();
        if name.starts_with("v_cmpx") {
            written.push("exec".into());
        } else if name.contains("saveexec") {
            let saved = self.0.contains("exec");
            let condition = on_data;
            registers(operands[0]).into_iter().for_each(|r| self.set(r, saved));
            self.set("exec".into(), condition);
            return;
        } else if name.starts_with("s_") && !name.starts_with("s_mov") && !name.contains("load") {
            written.push("scc".into());
        }
        written.into_iter().for_each(|r| self.set(r, on_data));
    }

    fn set(&mut self, register: String, on_data: bool) {
        if on_data {
            self.0.insert(register)
        } else {
            self.0.remove(&register)
        };
    }
}

/// Returns the registers that an operand names, such as `v3`, `s[4:5]`, `vcc` or `|v2|`.
fn registers(operand: &str) -> Vec<String> {
    let operand = operand.trim_start_matches(['-', '|', '!']).split_whitespace().next().unwrap_or("");
    let operand = operand.trim_end_matches('|').trim_end_matches("_lo").trim_end_matches("_hi");
    if matches!(operand, "vcc" | "exec" | "scc") {
        return vec![operand.to_string()];
    }
    let (Some(file), rest) = (operand.get(..1).filter(|f| *f == "v" || *f == "s"), operand.get(1..).unwrap_or(""))
    else {
        return vec![];
    };
    if let Some((first, last)) =
        rest.strip_prefix('[').and_then(|r| r.strip_suffix(']')).and_then(|r| r.split_once(':'))
    {
        let (first, last): (u32, u32) = (first.parse().unwrap_or(1), last.parse().unwrap_or(0));
        return (first..=last).map(|n| format!("{file}{n}")).collect();
    }
    if rest.parse::<u32>().is_ok() { vec![operand.to_string()] } else { vec![] }
}

/// Returns the loops, from outer to inner ones. The compiler places the blocks of a loop one after another.
fn loops(blocks: &[Block]) -> Vec<Loop> {
    let mut last = BTreeMap::new();
    for (n, block) in blocks.iter().enumerate() {
        for (to, _) in block.next.iter().filter(|(to, _)| *to <= n) {
            last.insert(*to, n);
        }
    }
    let mut loops: Vec<Loop> =
        last.into_iter().map(|(first, last)| Loop { first, last, trips: 1., is_known: false }).collect();
    loops.sort_by_key(|l| std::cmp::Reverse(l.last - l.first));
    loops
}

fn around(loops: &[Loop], block: usize) -> impl Iterator<Item = &Loop> {
    loops.iter().filter(move |l| (l.first..=l.last).contains(&block))
}

/// Returns the blocks of the hot path, with one iteration of each loop.
fn path(blocks: &[Block], loops: &[Loop]) -> Vec<usize> {
    let count = blocks.len();
    let innermost: Vec<Option<&Loop>> = (0..count).map(|n| around(loops, n).last()).collect();
    let is_in = |l: &Loop, n: usize| (l.first..=l.last).contains(&n);
    // whether each block reaches the end of an iteration of its innermost loop
    let mut iterates = vec![false; count];
    for n in (0..count).rev() {
        let Some(l) = innermost[n] else { continue };
        let is_deeper = |to: usize| innermost[to].is_some_and(|i| (i.first, i.last) != (l.first, l.last));
        let goes_on = |to: usize| to > n && is_in(l, to) && (iterates[to] || is_deeper(to));
        iterates[n] = blocks[n].next.iter().any(|(to, _)| *to == l.first || goes_on(*to));
    }
    // the successors of a block, by how it was entered; the end of an iteration leads to the loop's exits
    let edges = |n: usize, by_jump: bool| -> Vec<(usize, bool)> {
        let block = &blocks[n];
        let mut next = vec![];
        for (to, jump) in &block.next {
            if *to > n {
                next.push((*to, *jump));
                continue;
            }
            let Some(l) = loops.iter().find(|l| l.first == *to) else { continue };
            let inside = blocks[l.first..=l.last].iter();
            next.extend(inside.flat_map(|b| &b.next).filter(|(to, _)| *to > l.last).map(|(to, _)| (*to, true)));
        }
        if let Some(l) = innermost[n] {
            let stays = |to: usize| is_in(l, to) && iterates[to];
            if next.iter().any(|(to, _)| stays(*to)) {
                next.retain(|(to, _)| stays(*to));
            }
        }
        if block.inverts && block.next.len() == 2 {
            let kept: Vec<_> = next.iter().copied().filter(|(_, jump)| *jump != by_jump).collect();
            next = if kept.is_empty() { next } else { kept };
        }
        next
    };
    // for each block, entered by falling through or by a jump: the cost from the block on, and the next block
    let mut best = vec![[(Cost::default(), None::<(usize, bool)>); 2]; count];
    for n in (0..count).rev() {
        let weight: f64 = around(loops, n).map(|l| l.trips).product();
        for by_jump in [false, true] {
            let better = |a: &(usize, bool), b: &(usize, bool)| {
                let (a, b) = (&best[a.0][a.1 as usize].0, &best[b.0][b.1 as usize].0);
                let order = a.errors.total_cmp(&b.errors).then(b.bytes().total_cmp(&a.bytes()));
                match blocks[n].on_data {
                    true => order.then(a.vector.total_cmp(&b.vector)),
                    false => order.then(a.accesses.total_cmp(&b.accesses)).then(b.vector.total_cmp(&a.vector)),
                }
            };
            let next = edges(n, by_jump).into_iter().min_by(better);
            let mut cost = next.map_or(Cost::default(), |(to, jump)| best[to][jump as usize].0);
            cost.add(&blocks[n].cost, weight);
            best[n][by_jump as usize] = (cost, next);
        }
    }
    let mut path = vec![];
    let mut at = (count > 0).then_some((0, false));
    while let Some((n, by_jump)) = at {
        path.push(n);
        at = best[n][by_jump as usize].1;
    }
    path
}

/// Sets the trip counts of the loops: the work of a lane divided by the work of an iteration.
fn trips(blocks: &[Block], loops: &mut [Loop], path: &[usize], work: &Work) {
    for n in 0..loops.len() {
        let (first, last) = (loops[n].first, loops[n].last);
        let is_below = |l: &Loop| l.first >= first && l.last <= last && (l.first, l.last) != (first, last);
        let (mut own, mut all) = (Cost::default(), Cost::default());
        for b in path.iter().filter(|b| (first..=last).contains(*b)) {
            all.add(&blocks[*b].cost, 1.);
            if !around(loops, *b).any(is_below) {
                own.add(&blocks[*b].cost, 1.);
            }
        }
        let outside: f64 = loops[..n].iter().filter(|l| l.first <= first && last <= l.last).map(|l| l.trips).product();
        let moves = |c: &Cost| c.loaded + c.stored > 0.;
        let each = match (own.loaded > 0., own.wide_loads > 0.) {
            (true, true) => own.loaded / work.bytes[0],
            (true, false) => own.word_loads / work.loads,
            (false, _) => own.stored / work.bytes[1],
        };
        let trips = match work.tile {
            // in a product by tiles, the loops are over chains, over the tiles of a chain, and over a tile's elements
            // along k
            Some([k, chain, ..]) if all.loaded > 0. && !moves(&own) => Some((k / chain).ceil()),
            Some([k, _, depth, _]) if own.loaded > 0. => Some(k / depth / outside),
            Some([_, _, _, sums]) if own.stored > 0. => Some(sums * work.bytes[1] / own.stored / outside),
            Some([_, _, depth, sums]) if own.multiply_adds > 0. => Some(depth * sums / own.multiply_adds),
            _ if moves(&own) && each.is_finite() && each > 0. => Some(work.elements / each / outside),
            // a tree reduction over the invocations of a workgroup
            _ if own.shared > 0. => Some(work.group.log2()),
            _ => None,
        };
        loops[n].is_known = trips.is_some();
        loops[n].trips = trips.unwrap_or(1.).max(1.);
    }
}

//! The figures of each kernel that the repository keeps (`budget.csv`), and the check that they do not grow.

use crate::driver::Result;
use std::collections::BTreeMap;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/isa/budget.csv");
const HEADER: &str =
    "row,kernel,vector instructions an element,instructions,registers,waves,spills,workgroup memory,code size";
/// The factor by which a figure may grow, because compilers order the same instructions differently from change to
/// change.
const MARGIN: f64 = 1.03;

/// The figures that the file keeps of a kernel.
pub struct Measured {
    pub row: String,
    pub kernel: String,
    /// Vector instructions per element.
    pub vector: f64,
    pub instructions: u64,
    pub registers: u64,
    pub waves: u64,
    pub spills: u64,
    /// Bytes of workgroup memory, and of code.
    pub shared: u64,
    pub code: u64,
}

/// Returns the version of the driver with which the figures of the file were made.
pub fn driver() -> Result<String> {
    Ok(read()?.lines().next().and_then(|line| line.strip_prefix("driver,")).unwrap_or("").to_string())
}

fn read() -> Result<String> {
    Ok(std::fs::read_to_string(FILE).map_err(|e| format!("{FILE}: {e}"))?)
}

/// Returns the figures of all kernels as they were when the bench was built.
pub fn figures() -> Result<Vec<Measured>> {
    let figures = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let [row, kernel, vector, counts @ ..] = &fields[..] else { return Err(format!("{FILE}: {line}").into()) };
        let counts = counts.iter().map(|f| f.parse::<u64>()).collect::<std::result::Result<Vec<_>, _>>()?;
        let &[instructions, registers, waves, spills, shared, code] = &counts[..] else {
            return Err(format!("{FILE}: {line}").into());
        };
        let (row, kernel, vector) = (row.to_string(), kernel.to_string(), vector.parse()?);
        Ok(Measured { row, kernel, vector, instructions, registers, waves, spills, shared, code })
    };
    include_str!("budget.csv").lines().skip(2).map(figures).collect()
}

/// Writes the figures of all kernels to the file.
pub fn write(driver: &str, all: &[Measured]) -> Result<()> {
    let line = |m: &Measured| {
        let Measured { vector, instructions, registers, waves, spills, shared, code, .. } = m;
        format!("{},{},{vector:.2},{instructions},{registers},{waves},{spills},{shared},{code}\n", m.row, m.kernel)
    };
    let lines: String = all.iter().map(line).collect();
    std::fs::write(FILE, format!("driver,{driver}\n{HEADER}\n{lines}"))?;
    Ok(())
}

/// Compares figures with the figures of the file. Returns a line for each figure that is worse, and the number of
/// figures that are better by more than the margin. With `is_whole`, kernels that only the file has are an error too.
pub fn compare(all: &[Measured], is_whole: bool) -> Result<(Vec<String>, usize)> {
    let text = read()?;
    let mut kept = BTreeMap::new();
    for line in text.lines().skip(2) {
        let fields: Vec<&str> = line.split(',').collect();
        let [row, kernel, figures @ ..] = &fields[..] else { return Err(format!("{FILE}: {line}").into()) };
        let figures = figures.iter().map(|f| f.parse::<f64>()).collect::<std::result::Result<Vec<_>, _>>()?;
        kept.insert((row.to_string(), kernel.to_string()), figures);
    }
    let (mut worse, mut better) = (vec![], 0);
    for m in all {
        let name = format!("{}, kernel {}", m.row, m.kernel);
        let Some(figures) = kept.remove(&(m.row.clone(), m.kernel.clone())) else {
            worse.push(format!("{name}: not in the file"));
            continue;
        };
        let &[vector, instructions, _, _, spills, ..] = &figures[..] else {
            return Err(format!("{FILE}: {name}").into());
        };
        if m.spills as f64 > spills {
            worse.push(format!("{name}: spills {} registers, not {spills}", m.spills));
        }
        let pairs = [
            ("vector instructions an element", m.vector, vector),
            ("instructions", m.instructions as f64, instructions),
        ];
        for (what, now, before) in pairs {
            // 0.01, because the file has only two digits after the point
            if now > before * MARGIN + 0.01 {
                worse.push(format!("{name}: {now:.2} {what}, not {before}"));
            }
            better += usize::from(now * MARGIN + 0.01 < before);
        }
    }
    if is_whole {
        worse.extend(kept.keys().map(|(row, kernel)| format!("{row}, kernel {kernel}: only in the file")));
    }
    Ok((worse, better))
}

//! The statements of a matmul kernel: what a lane fetches, multiplies and hands on.

use super::access;
use super::body::{Body, Fallible, line};
use std::fmt::Write;

const COMPONENTS: [&str; 4] = ["x", "y", "z", "w"];

impl Body<'_> {
    /// The slots of the shader file, with their text.
    pub fn matmul(&mut self) -> Fallible<Vec<(&'static str, String)>> {
        let parts = self.variant.spread;
        let mut batch = String::new();
        let (table, row) = (self.form.table, self.form.row);
        let both: &[usize] = &[0, 1];
        self.declare(&mut batch, "q", None, both);
        // rows of the table: n, m, then the batch axes (the host sees to it that there is one)
        self.decompose(&mut batch, "q", "batch", "params[0].z - 2u", &format!("{}u", table + 2 * row), both);
        line!(batch, "let stride_m = {};", Self::stride(&format!("{}u", table + row), 0));
        line!(batch, "let stride_n = {};", Self::stride(&format!("{table}u"), 1));

        let mut fetch = String::new();
        self.fetch(&mut fetch, 0, "a", "row_first + a_row * 4u", "stride_m", "m");
        self.fetch(&mut fetch, 1, "b", "col_first + b_col * 4u", "stride_n", "n");

        // sums are named by the part and line of a, and by the part of b
        let (mut zero, mut product, mut names) = (String::new(), String::new(), Vec::new());
        for a in 0..parts {
            for i in 0..COMPONENTS.len() {
                for b in 0..parts {
                    line!(zero, "var s{a}_{i}_{b} = vec4<T>();");
                    names.push(format!("s{a}_{i}_{b}"));
                }
            }
        }
        // unrolled by four here: drivers often leave a loop as it is, and all sixteen take long to compile
        for step in 0..4 {
            line!(product, "{{ let kk = k_tile + {step}u;");
            for p in 0..parts {
                line!(product, "let a{p} = tile_a[(kk * {parts}u + {p}u) * 16u + ty];");
                line!(product, "let b{p} = tile_b[(kk * {parts}u + {p}u) * 16u + tx];");
            }
            for a in 0..parts {
                for (i, c) in COMPONENTS.iter().enumerate() {
                    for b in 0..parts {
                        line!(product, "s{a}_{i}_{b} = s{a}_{i}_{b} + a{a}.{c} * b{b};");
                    }
                }
            }
            line!(product, "}}");
        }
        let mut sums = format!("var acc = array<vec4<T>, {}>({});\n", names.len(), names.join(", "));
        sums.push_str(&self.words());

        let mut element = format!("let v0 = {};\n", self.guard(0, "acc[e / 4u][e % 4u]".to_string()));
        self.declare_ok(&mut element);
        let columns = self.columns(|v| v != 0, |_| true);
        // here q0 and q1 are the epilogue's own, not the operands' of the whole batch
        self.declare(&mut element, "q", None, &columns);
        self.decompose(&mut element, "q", "index", "params[0].z", &format!("{table}u"), &columns);
        self.values(&mut element, |_| true)?;
        // a lane's four columns of a row are neighbours
        self.stores(&mut element, false, "(e % 4u)", "col + 1u == n");
        let slots = ["batch", "zero", "fetch", "product", "sums", "element"];
        Ok(slots.into_iter().zip([batch, zero, fetch, product, sums, element]).collect())
    }

    /// A lane's four elements (of each part) of load `n` into its tile; what lies outside is 0.
    fn fetch(&self, out: &mut String, n: usize, name: &str, first: &str, stride: &str, limit: &str) {
        let parts = self.variant.spread;
        let (dtype, wanted) = (self.kernel.loads[n].dtype, self.kernel.values[0].dtype);
        for p in 0..parts {
            line!(out, "var x{name}{p} = vec4<T>();");
        }
        line!(out, "if k_first + {name}_k < k {{\nvar o{n} = q{n};");
        let inner = format!("{}u + params[0].z * {}u", self.form.table, self.form.row);
        self.decompose(out, "o", &format!("(k_first + {name}_k)"), "params[0].w", &inner, &[n]);
        for p in 0..parts {
            line!(out, "{{ let first = {first} + {}u;", 64 * p);
            for (e, c) in COMPONENTS.iter().enumerate() {
                line!(out, "if first + {e}u < {limit} {{\nlet place = o{n} + (first + {e}u) * {stride};");
                line!(out, "let raw: {} = {};", dtype.compute().name(), self.load(n, "place"));
                let value = match dtype.compute() == wanted.compute() {
                    true => "raw".to_string(),
                    false => access::cast(dtype, wanted, "raw"),
                };
                line!(out, "x{name}{p}.{c} = {value}; }}");
            }
            line!(out, "}}");
        }
        line!(out, "}}");
        let place = if name == "a" { "a_row" } else { "b_col" };
        for p in 0..parts {
            line!(out, "tile_{name}[({name}_k * {parts}u + {p}u) * 16u + {place}] = x{name}{p};");
        }
    }
}

//! Formulas that a visitor types: `sqrt(x*x + y*y)`, `softmax(x)`, `sum(exp(-x^2))`. This module parses them by the
//! grammar below. A formula is never run as a program of another language.
//!
//! ```text
//! sum     = product { ("+" | "-") product }
//! product = factor { ("*" | "/") factor }
//! factor  = "-" factor | power
//! power   = atom [ "^" factor ]
//! atom    = number | "x" | "y" | "pi" | name "(" sum { "," sum } ")" | "(" sum ")"
//! ```

use crate::work::Kind::{self, Function, Rows, SlowFunction, Step};
use crate::work::{Speed, Work};
use cupric::{Device, Expr, Result as Computed, keep};

/// The maximum number of characters of a formula.
pub const MOST_CHARACTERS: usize = 200;
/// The maximum nesting depth of brackets, signs and powers. It is limited because the parser recurses for each.
const MOST_LEVELS: usize = 24;

type Unary = fn(&Expr) -> Expr;

/// The functions of one operand: name, kind of work and function. The functions from `sum` on reduce rows, or work along
/// rows.
const UNARY: [(&str, Kind, Unary); 30] = [
    ("abs", Step, |x| x.abs()),
    ("ceil", Step, |x| x.ceil()),
    ("cos", Function, |x| x.cos()),
    ("cosh", Function, |x| x.cosh()),
    ("erf", Function, |x| x.erf()),
    ("exp", Function, |x| x.exp()),
    ("floor", Step, |x| x.floor()),
    ("gelu", SlowFunction, |x| x.gelu()),
    ("log", Function, |x| x.log()),
    ("log1p", Function, |x| x.log1p()),
    ("neg", Step, |x| -x),
    ("relu", Step, |x| x.relu()),
    ("round", Step, |x| x.round()),
    ("sigmoid", Function, |x| x.sigmoid()),
    ("sign", Step, |x| x.sign()),
    ("sin", Function, |x| x.sin()),
    ("sqrt", Step, |x| x.sqrt()),
    ("square", Step, |x| x.square()),
    ("tan", SlowFunction, |x| x.tan()),
    ("tanh", Function, |x| x.tanh()),
    ("transpose", Step, |x| x.t()),
    ("sum", Step, |x| x.sum(keep(-1))),
    ("mean", Step, |x| x.mean(keep(-1))),
    ("max", Step, |x| x.max(keep(-1))),
    ("min", Step, |x| x.min(keep(-1))),
    ("std", Rows, |x| x.std(keep(-1))),
    ("softmax", Rows, |x| x.softmax(-1)),
    ("layernorm", Rows, |x| x.layer_norm(-1, 1e-5)),
    ("cumsum", Rows, |x| x.cumulative_sum(-1)),
    ("sort", Rows, |x| x.sort(-1)),
];

type Binary = fn(&Expr, &Expr) -> Expr;

/// The functions of two operands. The work of a product (no kind) depends on the shapes.
const BINARY: [(&str, Option<Kind>, Binary); 5] = [
    ("maximum", Some(Step), |x, y| x.maximum(y)),
    ("minimum", Some(Step), |x, y| x.minimum(y)),
    ("atan2", Some(SlowFunction), |x, y| x.atan2(y)),
    ("pow", Some(SlowFunction), |x, y| x.pow(y)),
    ("matmul", None, |x, y| x.matmul(y)),
];

/// Returns the names of all functions.
pub fn names() -> Vec<&'static str> {
    UNARY.iter().map(|(name, ..)| *name).chain(BINARY.iter().map(|(name, ..)| *name)).collect()
}

/// The value of a part of a formula: a number, or an expression over the operands.
#[derive(Clone)]
enum Value {
    Number(f64),
    Expr(Expr),
}

impl Value {
    fn expr(self) -> Expr {
        match self {
            Value::Expr(e) => e,
            Value::Number(n) => Expr::from(n),
        }
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    levels: usize,
    x: &'a Expr,
    y: &'a Expr,
    work: Work,
}

/// Builds the expression of a formula over two operands, for a device of this speed. An error says what is wrong and
/// where, or that the evaluation would take too long.
pub fn parse(text: &str, x: &Expr, y: &Expr, speed: &Speed) -> Result<Expr, String> {
    if text.chars().count() > MOST_CHARACTERS {
        return Err(format!("a formula has at most {MOST_CHARACTERS} characters"));
    }
    let mut parser = Parser { text: text.as_bytes(), at: 0, levels: 0, x, y, work: Work::default() };
    let value = parser.sum()?;
    if parser.peek().is_some() {
        return Err(parser.unexpected("the end"));
    }
    parser.work.check(speed)?;
    Ok(value.expr())
}

impl Parser<'_> {
    fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += found as usize;
        found
    }

    fn unexpected(&mut self, wanted: &str) -> String {
        match self.peek() {
            None => format!("the formula ends where {wanted} is expected"),
            Some(_) => {
                let rest = String::from_utf8_lossy(&self.text[self.at..]);
                let found: String = rest.chars().take(12).collect();
                format!("position {}: found '{found}' where {wanted} is expected", self.at + 1)
            }
        }
    }

    fn deeper<T>(&mut self, parse: fn(&mut Self) -> Result<T, String>) -> Result<T, String> {
        self.levels += 1;
        if self.levels > MOST_LEVELS {
            return Err(format!("a formula has at most {MOST_LEVELS} levels of brackets, signs and powers"));
        }
        let value = parse(self);
        self.levels -= 1;
        value
    }

    fn sum(&mut self) -> Result<Value, String> {
        let mut left = self.product()?;
        loop {
            left = match self.peek() {
                Some(b'+') => self.after(left, Self::product, |a, b| a + b, |a, b| a + b)?,
                Some(b'-') => self.after(left, Self::product, |a, b| a - b, |a, b| a - b)?,
                _ => return Ok(left),
            };
        }
    }

    fn product(&mut self) -> Result<Value, String> {
        let mut left = self.factor()?;
        loop {
            left = match self.peek() {
                Some(b'*') => self.after(left, Self::factor, |a, b| a * b, |a, b| a * b)?,
                Some(b'/') => self.after(left, Self::factor, |a, b| a / b, |a, b| a / b)?,
                _ => return Ok(left),
            };
        }
    }

    /// Skips a sign of one character, parses its right side, and combines both sides.
    fn after(
        &mut self,
        left: Value,
        parse: fn(&mut Self) -> Result<Value, String>,
        numbers: fn(f64, f64) -> f64,
        exprs: fn(&Expr, Expr) -> Expr,
    ) -> Result<Value, String> {
        self.at += 1;
        let right = parse(self)?;
        Ok(self.combined(left, right, Step, numbers, exprs))
    }

    /// Combines two values. Two numbers give a number; any other pair gives an expression.
    fn combined(
        &mut self,
        left: Value,
        right: Value,
        kind: Kind,
        numbers: fn(f64, f64) -> f64,
        exprs: fn(&Expr, Expr) -> Expr,
    ) -> Value {
        let (left, right) = match (left, right) {
            (Value::Number(a), Value::Number(b)) => return Value::Number(numbers(a, b)),
            (left, right) => (left.expr(), right.expr()),
        };
        let result = exprs(&left, right);
        self.work.add(kind, &left, &result);
        Value::Expr(result)
    }

    fn factor(&mut self) -> Result<Value, String> {
        if self.take(b'-') {
            return Ok(match self.deeper(Self::factor)? {
                Value::Number(n) => Value::Number(-n),
                Value::Expr(e) => {
                    self.work.add(Step, &e, &e);
                    Value::Expr(-e)
                }
            });
        }
        let base = self.atom()?;
        if !self.take(b'^') {
            return Ok(base);
        }
        let power = self.deeper(Self::factor)?;
        Ok(self.combined(base, power, SlowFunction, f64::powf, |a, b| a.pow(b)))
    }

    fn atom(&mut self) -> Result<Value, String> {
        if self.take(b'(') {
            let value = self.deeper(Self::sum)?;
            return if self.take(b')') { Ok(value) } else { Err(self.unexpected("')'")) };
        }
        match self.peek() {
            Some(b'0'..=b'9' | b'.') => self.number(),
            Some(b'a'..=b'z') => self.name(),
            _ => Err(self.unexpected("a number, x, y or a function")),
        }
    }

    fn number(&mut self) -> Result<Value, String> {
        let start = self.at;
        while let Some(b'0'..=b'9' | b'.' | b'e') = self.text.get(self.at) {
            self.at += 1;
            let is_exponent = self.text[self.at - 1] == b'e';
            if is_exponent && matches!(self.text.get(self.at), Some(b'-' | b'+')) {
                self.at += 1;
            }
        }
        let text = String::from_utf8_lossy(&self.text[start..self.at]).into_owned();
        text.parse().map(Value::Number).map_err(|_| format!("position {}: '{text}' is not a number", start + 1))
    }

    fn name(&mut self) -> Result<Value, String> {
        let start = self.at;
        while let Some(b'a'..=b'z' | b'0'..=b'9' | b'_') = self.text.get(self.at) {
            self.at += 1;
        }
        let name = String::from_utf8_lossy(&self.text[start..self.at]).into_owned();
        match name.as_str() {
            "x" => return Ok(Value::Expr(self.x.clone())),
            "y" => return Ok(Value::Expr(self.y.clone())),
            "pi" => return Ok(Value::Number(std::f64::consts::PI)),
            _ => {}
        }
        let unary = UNARY.iter().find(|(n, ..)| *n == name);
        let binary = BINARY.iter().find(|(n, ..)| *n == name);
        if unary.is_none() && binary.is_none() {
            return Err(format!(
                "position {}: there is no function '{name}'; there are {}",
                start + 1,
                names().join(", ")
            ));
        }
        if !self.take(b'(') {
            return Err(self.unexpected("'('"));
        }
        let first = self.deeper(Self::sum)?.expr();
        let value = match (unary, binary) {
            (Some((_, kind, f)), _) => {
                let value = f(&first);
                self.work.add(*kind, &first, &value);
                value
            }
            (_, Some((_, kind, f))) => {
                if !self.take(b',') {
                    return Err(self.unexpected("','"));
                }
                let value = f(&first, &self.deeper(Self::sum)?.expr());
                match kind {
                    Some(kind) => self.work.add(*kind, &first, &value),
                    None => self.work.add_product(&first, &value),
                }
                value
            }
            (None, None) => return Err(self.unexpected("a function")),
        };
        if self.take(b')') { Ok(Value::Expr(value)) } else { Err(self.unexpected("')'")) }
    }
}

/// How a device would evaluate a formula.
pub struct Explained {
    pub plan: String,
    pub wgsl: Vec<String>,
    pub kernels: usize,
    /// The bytes that the kernels read and write.
    pub bytes: u64,
}

/// Returns the plan of an expression.
pub fn explained(e: &Expr) -> Computed<Explained> {
    let plan = e.plan()?;
    let (read, written) = plan.bytes();
    Ok(Explained { plan: plan.to_string(), wgsl: plan.wgsl(), kernels: plan.kernels(), bytes: read + written })
}

/// Returns the two operands of formulas on a device: random numbers from -2 to 2 of shape [rows, columns], which are
/// the same on each device.
pub fn operands(device: &Device, rows: usize, columns: usize) -> Computed<[Expr; 2]> {
    let mut rng = cupric::Rng::new(1);
    let mut normal = || -> Computed<Expr> {
        let x = rng.uniform([rows, columns], cupric::DType::F32) * 4.0 - 2.0;
        Ok(x.to_device(device)?.into())
    };
    Ok([normal()?, normal()?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::{GPU, PLAIN, RELAXED, SOFTWARE_GPU};

    fn value(text: &str) -> Result<f32, String> {
        let x = cupric::array![[2.0, 3.0]];
        let y = cupric::array![[5.0, 7.0]];
        let value = parse(text, &x, &y, &PLAIN)?.broadcast_to([1, 2]).astype(cupric::DType::F32);
        value.slice(cupric::s![0, 0]).item::<f32>().map_err(|e| e.to_string())
    }

    #[test]
    fn formulas_follow_the_usual_rules() {
        let cases = [
            ("1 + 2 * 3", 7.0),
            ("-x^2", -4.0),
            ("2^3^2", 512.0),
            ("(x + y) / 2", 3.5),
            ("8 / 4 / 2", 1.0),
            ("sum(x) - max(y)", -2.0),
            ("maximum(x, y) * 1e1", 50.0),
            ("x - -x", 4.0),
        ];
        for (text, want) in cases {
            assert_eq!(value(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn wrong_formulas_say_where() {
        for text in ["", "x +", "(x", "foo(x)", "x y", "1..2", "sum x", "maximum(x)", "x $ y", "é", "sum(x,y)"] {
            assert!(value(text).is_err(), "{text}");
        }
        assert_eq!(value("x +").unwrap_err(), "the formula ends where a number, x, y or a function is expected");
        assert!(value(&"(".repeat(150)).unwrap_err().contains("levels"));
        assert!(value(&"-".repeat(150)).unwrap_err().contains("levels"));
        assert!(value(&"x".repeat(500)).unwrap_err().contains("characters"));
    }

    /// Parses a formula over two square matrices, without evaluating it.
    fn allowed(text: &str, side: usize, speed: &Speed) -> Result<Expr, String> {
        let x = cupric::zeros([side, side], cupric::DType::F32);
        parse(text, &x, &x, speed)
    }

    /// A product of products, each of which has the previous one as its left operand.
    fn products(count: usize) -> String {
        format!("{}x{}", "matmul(".repeat(count), ",y)".repeat(count))
    }

    #[test]
    fn a_formula_that_takes_long_is_refused() {
        for (text, side, speed) in [
            ("matmul(x,y)", 1024, &PLAIN),
            ("1 + sum(-matmul(x,y))", 1024, &PLAIN),
            (&products(19), 512, &PLAIN),
            (&products(19), 2048, &RELAXED),
            (&products(19), 2048, &GPU),
            ("matmul(matmul(x,y),y)", 1024, &SOFTWARE_GPU),
            ("x^x^x^x^x^x^x^x", 1024, &PLAIN),
            ("tan(tan(tan(tan(tan(tan(tan(tan(x))))))))", 1024, &PLAIN),
            ("sort(sort(sort(x)))", 1024, &SOFTWARE_GPU),
        ] {
            let refused = allowed(text, side, speed).expect_err(text);
            assert!(refused.contains("the page allows 2 s"), "{refused}");
        }
        assert_eq!(
            allowed("matmul(x,y)", 1024, &PLAIN).unwrap_err(),
            "the formula has 1.1e9 multiply-adds and 0.0e0 elements of other operations, which take about 4.1 s on the \
             CPU without relaxed SIMD; the page allows 2 s, or 5.3e8 multiply-adds. Choose a smaller shape"
        );
    }

    #[test]
    fn a_product_counts_its_own_shapes() {
        let [tall, wide] = [[2048, 1], [1, 2048]].map(|shape| cupric::zeros(shape, cupric::DType::F32));
        assert!(parse("matmul(x,y)", &tall, &wide, &PLAIN).is_ok());
        assert!(parse("matmul(matmul(x,y),x)", &tall, &wide, &PLAIN).is_ok());
        assert!(parse("matmul(matmul(x,y),matmul(x,y))", &tall, &wide, &PLAIN).is_err());
        // shapes that do not fit are an error of the evaluation
        assert!(parse("matmul(x,x)", &tall, &wide, &PLAIN).unwrap().shape().is_err());
    }

    #[test]
    fn the_formulas_that_the_page_offers_are_allowed() {
        let page = include_str!("../../site/index.html");
        let (_, offered) = page.split_once("<datalist id=\"formulas\">").unwrap();
        let offered: Vec<&str> =
            offered.split("<option value=\"").skip(1).filter_map(|o| o.split('"').next()).collect();
        assert!(offered.len() > 5 && page.contains(r#"<option value="1024 1024" selected>"#));
        for text in offered {
            for (side, speed) in [(2048, &PLAIN), (2048, &RELAXED), (2048, &GPU), (1024, &SOFTWARE_GPU)] {
                assert_eq!(allowed(text, side, speed).err(), None, "{text}");
            }
        }
        assert!(allowed("matmul(x,y)", 512, &PLAIN).is_ok() && allowed("matmul(x,y)", 2048, &RELAXED).is_ok());
        assert!(allowed(&products(19), 1024, &RELAXED).is_ok() && allowed("matmul(x,y)", 1024, &SOFTWARE_GPU).is_ok());
    }
}

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

use cupric::{Device, Expr, Result as Computed, keep};

/// The maximum number of characters of a formula.
pub const MOST_CHARACTERS: usize = 200;
/// The maximum nesting depth of brackets, signs and powers. It is limited because the parser recurses for each.
const MOST_LEVELS: usize = 24;

type Unary = fn(&Expr) -> Expr;

/// The functions of one operand, with their names. The functions from `sum` on reduce rows, or work along rows.
const UNARY: [(&str, Unary); 30] = [
    ("abs", |x| x.abs()),
    ("ceil", |x| x.ceil()),
    ("cos", |x| x.cos()),
    ("cosh", |x| x.cosh()),
    ("erf", |x| x.erf()),
    ("exp", |x| x.exp()),
    ("floor", |x| x.floor()),
    ("gelu", |x| x.gelu()),
    ("log", |x| x.log()),
    ("log1p", |x| x.log1p()),
    ("neg", |x| -x),
    ("relu", |x| x.relu()),
    ("round", |x| x.round()),
    ("sigmoid", |x| x.sigmoid()),
    ("sign", |x| x.sign()),
    ("sin", |x| x.sin()),
    ("sqrt", |x| x.sqrt()),
    ("square", |x| x.square()),
    ("tan", |x| x.tan()),
    ("tanh", |x| x.tanh()),
    ("transpose", |x| x.t()),
    ("sum", |x| x.sum(keep(-1))),
    ("mean", |x| x.mean(keep(-1))),
    ("max", |x| x.max(keep(-1))),
    ("min", |x| x.min(keep(-1))),
    ("std", |x| x.std(keep(-1))),
    ("softmax", |x| x.softmax(-1)),
    ("layernorm", |x| x.layer_norm(-1, 1e-5)),
    ("cumsum", |x| x.cumulative_sum(-1)),
    ("sort", |x| x.sort(-1)),
];

type Binary = fn(&Expr, &Expr) -> Expr;

const BINARY: [(&str, Binary); 5] = [
    ("maximum", |x, y| x.maximum(y)),
    ("minimum", |x, y| x.minimum(y)),
    ("atan2", |x, y| x.atan2(y)),
    ("pow", |x, y| x.pow(y)),
    ("matmul", |x, y| x.matmul(y)),
];

/// Returns the names of all functions.
pub fn names() -> Vec<&'static str> {
    UNARY.iter().map(|(name, _)| *name).chain(BINARY.iter().map(|(name, _)| *name)).collect()
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
}

/// Builds the expression of a formula over two operands. An error says what is wrong and where.
pub fn parse(text: &str, x: &Expr, y: &Expr) -> Result<Expr, String> {
    if text.chars().count() > MOST_CHARACTERS {
        return Err(format!("a formula has at most {MOST_CHARACTERS} characters"));
    }
    let mut parser = Parser { text: text.as_bytes(), at: 0, levels: 0, x, y };
    let value = parser.sum()?;
    match parser.peek() {
        None => Ok(value.expr()),
        Some(_) => Err(parser.unexpected("the end")),
    }
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
                Some(b'+') => combined(left, self.after(Self::product)?, |a, b| a + b, |a, b| a + b),
                Some(b'-') => combined(left, self.after(Self::product)?, |a, b| a - b, |a, b| a - b),
                _ => return Ok(left),
            };
        }
    }

    fn product(&mut self) -> Result<Value, String> {
        let mut left = self.factor()?;
        loop {
            left = match self.peek() {
                Some(b'*') => combined(left, self.after(Self::factor)?, |a, b| a * b, |a, b| a * b),
                Some(b'/') => combined(left, self.after(Self::factor)?, |a, b| a / b, |a, b| a / b),
                _ => return Ok(left),
            };
        }
    }

    fn after(&mut self, parse: fn(&mut Self) -> Result<Value, String>) -> Result<Value, String> {
        self.at += 1;
        parse(self)
    }

    fn factor(&mut self) -> Result<Value, String> {
        if self.take(b'-') {
            return Ok(match self.deeper(Self::factor)? {
                Value::Number(n) => Value::Number(-n),
                Value::Expr(e) => Value::Expr(-e),
            });
        }
        let base = self.atom()?;
        if !self.take(b'^') {
            return Ok(base);
        }
        let power = self.deeper(Self::factor)?;
        Ok(combined(base, power, f64::powf, |a, b| a.pow(b)))
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
        let unary = UNARY.iter().find(|(n, _)| *n == name);
        let binary = BINARY.iter().find(|(n, _)| *n == name);
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
            (Some((_, f)), _) => f(&first),
            (_, Some((_, f))) => {
                if !self.take(b',') {
                    return Err(self.unexpected("','"));
                }
                f(&first, &self.deeper(Self::sum)?.expr())
            }
            (None, None) => return Err(self.unexpected("a function")),
        };
        if self.take(b')') { Ok(Value::Expr(value)) } else { Err(self.unexpected("')'")) }
    }
}

/// Combines two values. Two numbers give a number; any other pair gives an expression.
fn combined(left: Value, right: Value, numbers: fn(f64, f64) -> f64, exprs: fn(&Expr, Expr) -> Expr) -> Value {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => Value::Number(numbers(a, b)),
        (Value::Expr(a), Value::Expr(b)) => Value::Expr(exprs(&a, b)),
        (Value::Expr(a), Value::Number(b)) => Value::Expr(exprs(&a, Expr::from(b))),
        (Value::Number(a), Value::Expr(b)) => Value::Expr(exprs(&Expr::from(a), b)),
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

    fn value(text: &str) -> Result<f32, String> {
        let x = cupric::array![[2.0, 3.0]];
        let y = cupric::array![[5.0, 7.0]];
        let value = parse(text, &x, &y)?.broadcast_to([1, 2]).astype(cupric::DType::F32);
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
}

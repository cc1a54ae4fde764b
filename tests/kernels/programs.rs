//! Random programs of branches, loops, switches and calls. They run as a WGSL kernel and by a tree-walking interpreter
//! for each element, and both must give the same integers.

use crate::kit::dice::Dice;
use crate::kit::stage::Stage;
use crate::kit::*;
use cupric::{Array, Device, ElementwiseKernel, KernelOptions, eval_all};
use std::fmt::Write;

on_devices! {
    fn random_programs_run_as_they_are_written(d: &Device) {
        // each program is a separate kernel, so we run few where a driver compiles it
        let count = if d.is_gpu() { 12 } else { 300 };
        let mut stage = Stage::new(7, "random kernels in WGSL", d);
        for seed in 0..count {
            program(d, seed).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
            stage.count(1);
        }
    }
}

enum Value {
    Variable(usize),
    Number(i32),
    Of(&'static str, Box<Value>, Box<Value>),
    /// `select(no, yes, a < b)`.
    Less(Box<[Value; 4]>),
}

enum Step {
    Set(usize, Value),
    If(Value, Value, Vec<Step>, Vec<Step>),
    /// A loop of at most so many turns that ends early if two values are equal; its body, and its `continuing` block.
    Loop(usize, i32, Value, Value, Vec<Step>, Vec<Step>),
    Switch(Value, Vec<(Vec<i32>, Vec<Step>)>, Vec<Step>),
    /// Sets the variable to the helper's result for a value and a pointer to the other variable.
    Call(usize, Value, usize),
    Break,
    Continue,
    Return(Value),
}

/// The variables of a function, as named in the source. The first two are parameters, which are never assigned.
struct Names(&'static [&'static str], &'static str);

const MAIN: Names = Names(&["x", "y", "r", "a", "b", "i0", "i1", "i2"], "r");
const HELPER: Names = Names(&["n", "m", "(*p)", "c", "e", "j0", "j1", "j2"], "");

struct Maker {
    dice: Dice,
    helper: bool,
    /// How many loop counters are in use.
    loops: usize,
    in_switch: bool,
}

impl Maker {
    fn value(&mut self, depth: usize) -> Value {
        match self.dice.below(if depth == 0 { 3 } else { 6 }) {
            0 | 1 => Value::Variable(self.dice.below(5 + self.loops)),
            2 => Value::Number(self.dice.between(-3, 9) as i32),
            3 | 4 => {
                let op = *self.dice.of(&["+", "-", "*", "&", "^"]);
                Value::Of(op, Box::new(self.value(depth - 1)), Box::new(self.value(depth - 1)))
            }
            _ => Value::Less(Box::new([(); 4].map(|()| self.value(depth - 1)))),
        }
    }

    fn steps(&mut self, depth: usize) -> Vec<Step> {
        let n = self.dice.between(1, 4);
        let mut steps: Vec<Step> = (0..n).map(|_| self.step(depth)).collect();
        // code behind a jump is not an error in these programs; we drop it so that WGSL does not complain
        if let Some(jump) = steps.iter().position(|s| matches!(s, Step::Break | Step::Continue | Step::Return(_))) {
            steps.truncate(jump + 1);
        }
        steps
    }

    fn step(&mut self, depth: usize) -> Step {
        let target = 2 + self.dice.below(3);
        match self.dice.below(if depth == 0 { 5 } else { 10 }) {
            0 | 1 => Step::Set(target, self.value(2)),
            2 if self.loops > 0 || self.in_switch => Step::Break,
            3 if self.loops > 0 => Step::Continue,
            4 if self.dice.one_in(3) => Step::Return(self.value(1)),
            5 | 6 => {
                let (a, b) = (self.value(1), self.value(1));
                Step::If(a, b, self.steps(depth - 1), if self.dice.one_in(2) { self.steps(depth - 1) } else { vec![] })
            }
            7 | 8 if self.loops < 3 => {
                let counter = 5 + self.loops;
                let turns = self.dice.between(1, 4) as i32;
                let (a, b) = (self.value(1), self.value(1));
                let outer = std::mem::replace(&mut self.in_switch, false);
                self.loops += 1;
                let body = self.steps(depth - 1);
                let continuing = vec![Step::Set(target, self.value(1))];
                self.loops -= 1;
                self.in_switch = outer;
                Step::Loop(counter, turns, a, b, body, continuing)
            }
            9 => {
                let outer = std::mem::replace(&mut self.in_switch, true);
                let cases = vec![(vec![0], self.steps(depth - 1)), (vec![1, 2, -1], self.steps(depth - 1))];
                let default = self.steps(depth - 1);
                self.in_switch = outer;
                Step::Switch(self.value(1), cases, default)
            }
            _ if !self.helper => {
                let other = 2 + (target - 1) % 3;
                Step::Call(target, self.value(1), other)
            }
            _ => Step::Set(target, self.value(2)),
        }
    }
}

fn print_value(value: &Value, names: &Names) -> String {
    match value {
        Value::Variable(n) => names.0[*n].to_string(),
        Value::Number(n) => format!("({n})"),
        Value::Of(op, a, b) => format!("({} {op} {})", print_value(a, names), print_value(b, names)),
        Value::Less(of) => {
            let [a, b, yes, no] = [0, 1, 2, 3].map(|n| print_value(&of[n], names));
            format!("select({no}, {yes}, {a} < {b})")
        }
    }
}

fn print(steps: &[Step], names: &Names, text: &mut String) {
    let v = |value: &Value| print_value(value, names);
    for step in steps {
        let _ = match step {
            Step::Set(n, value) => writeln!(text, "{} = {};", names.0[*n], v(value)),
            Step::If(a, b, yes, no) => {
                let _ = writeln!(text, "if {} < {} && {} != 77 {{", v(a), v(b), v(b));
                print(yes, names, text);
                let _ = writeln!(text, "}} else {{");
                print(no, names, text);
                writeln!(text, "}}")
            }
            Step::Loop(counter, turns, a, b, body, continuing) => {
                let i = names.0[*counter];
                let _ = writeln!(text, "{i} = 0;\nloop {{\nif {i} >= {turns} || {} == {} {{ break; }}", v(a), v(b));
                print(body, names, text);
                let _ = writeln!(text, "continuing {{\n{i} += 1;");
                print(continuing, names, text);
                writeln!(text, "}}\n}}")
            }
            Step::Switch(value, cases, default) => {
                let _ = writeln!(text, "switch {} {{", v(value));
                for (numbers, body) in cases {
                    let numbers: Vec<String> = numbers.iter().map(|n| n.to_string()).collect();
                    let _ = writeln!(text, "case {} {{", numbers.join(", "));
                    print(body, names, text);
                    let _ = writeln!(text, "}}");
                }
                let _ = writeln!(text, "default {{");
                print(default, names, text);
                writeln!(text, "}}\n}}")
            }
            Step::Call(n, value, other) => {
                writeln!(text, "{} = helper({}, {}, &{});", names.0[*n], v(value), names.0[1], names.0[*other])
            }
            Step::Break => writeln!(text, "break;"),
            Step::Continue => writeln!(text, "continue;"),
            Step::Return(value) if names.1.is_empty() => writeln!(text, "return {};", v(value)),
            Step::Return(value) => writeln!(text, "{} = {};\nreturn;", names.1, v(value)),
        };
    }
}

enum Way {
    On,
    Break,
    Continue,
    Return(i32),
}

fn value_of(value: &Value, variables: &[i32; 8]) -> i32 {
    match value {
        Value::Variable(n) => variables[*n],
        Value::Number(n) => *n,
        Value::Of(op, a, b) => {
            let (a, b) = (value_of(a, variables), value_of(b, variables));
            match *op {
                "+" => a.wrapping_add(b),
                "-" => a.wrapping_sub(b),
                "*" => a.wrapping_mul(b),
                "&" => a & b,
                _ => a ^ b,
            }
        }
        Value::Less(of) => {
            let [a, b, yes, no] = [0, 1, 2, 3].map(|n| value_of(&of[n], variables));
            if a < b { yes } else { no }
        }
    }
}

fn walk(steps: &[Step], variables: &mut [i32; 8], helper: &[Step]) -> Way {
    for step in steps {
        let way = match step {
            Step::Set(n, value) => {
                variables[*n] = value_of(value, variables);
                Way::On
            }
            Step::If(a, b, yes, no) => {
                let (a, b) = (value_of(a, variables), value_of(b, variables));
                walk(if a < b && b != 77 { yes } else { no }, variables, helper)
            }
            Step::Loop(counter, turns, a, b, body, continuing) => {
                variables[*counter] = 0;
                loop {
                    if variables[*counter] >= *turns || value_of(a, variables) == value_of(b, variables) {
                        break Way::On;
                    }
                    match walk(body, variables, helper) {
                        Way::Break => break Way::On,
                        Way::Return(value) => break Way::Return(value),
                        Way::On | Way::Continue => {}
                    }
                    variables[*counter] += 1;
                    walk(continuing, variables, helper);
                }
            }
            Step::Switch(value, cases, default) => {
                let value = value_of(value, variables);
                let body = cases.iter().find(|(numbers, _)| numbers.contains(&value)).map_or(default, |(_, body)| body);
                match walk(body, variables, helper) {
                    Way::Break => Way::On,
                    way => way,
                }
            }
            Step::Call(n, value, other) => {
                let mut own = [value_of(value, variables), variables[1], variables[*other], 0, 0, 0, 0, 0];
                let result = match walk(helper, &mut own, &[]) {
                    Way::Return(value) => value,
                    Way::On | Way::Break | Way::Continue => own[3],
                };
                variables[*other] = own[2];
                variables[*n] = result;
                Way::On
            }
            Step::Break => Way::Break,
            Step::Continue => Way::Continue,
            Step::Return(value) => Way::Return(value_of(value, variables)),
        };
        if !matches!(way, Way::On) {
            return way;
        }
    }
    Way::On
}

fn program(d: &Device, seed: u64) -> Result<(), Box<dyn std::error::Error>> {
    let make =
        |helper| Maker { dice: Dice::new(seed * 2 + helper as u64), helper, loops: 0, in_switch: false }.steps(3);
    let (body, helper) = (make(false), make(true));
    let mut text = String::from("var a = 0; var b = 0; var i0 = 0; var i1 = 0; var i2 = 0;\n");
    print(&body, &MAIN, &mut text);
    let mut helpers = String::from("fn helper(n: i32, m: i32, p: ptr<function, i32>) -> i32 {\n");
    helpers.push_str("var c = 0; var e = 0; var j0 = 0; var j1 = 0; var j2 = 0;\n");
    print(&helper, &HELPER, &mut helpers);
    // in WGSL every path must return, and no statement may follow a jump
    if !always_returns(&helper) {
        helpers.push_str("return c;\n");
    }
    helpers.push_str("}\n");
    let options = KernelOptions::default().helpers(&helpers);
    let shown = || format!("{text}\n{helpers}");
    let kernel = ElementwiseKernel::with_options("x: i32, y: i32", "r: i32", &text, "random", options)
        .map_err(|e| format!("{e}\n{}", shown()))?;
    let (x, y): (Vec<i32>, Vec<i32>) = (-5..6).flat_map(|x| (-4..5).map(move |y| (x, y))).unzip();
    let n = x.len();
    let [a, b] = [&x, &y].map(|v| Array::from_vec(v.clone(), [n]).and_then(|v| v.to_device(d)));
    let result = kernel.call((a?, b?));
    let [result] = eval_all([&result]).map_err(|e| format!("{e}\n{}", shown()))?;
    for (k, got) in result.to_vec::<i32>()?.into_iter().enumerate() {
        let mut variables = [x[k], y[k], 0, 0, 0, 0, 0, 0];
        let wanted = match walk(&body, &mut variables, &helper) {
            Way::Return(value) => value,
            Way::On | Way::Break | Way::Continue => variables[2],
        };
        if got != wanted {
            return Err(format!("{got} for {wanted} at x = {}, y = {}\n{}", x[k], y[k], shown()).into());
        }
    }
    Ok(())
}

fn always_returns(steps: &[Step]) -> bool {
    steps.iter().any(|step| match step {
        Step::Return(_) => true,
        Step::If(_, _, yes, no) => always_returns(yes) && always_returns(no),
        Step::Set(..) | Step::Loop(..) | Step::Switch(..) | Step::Call(..) | Step::Break | Step::Continue => false,
    })
}

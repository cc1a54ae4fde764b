//! Checks that the support matrix of the guide (`src/guide/support.md`) agrees with the tables of functions.

use super::guide::holds;
use crate::kit::operations::{Kind, OPERATIONS, Operation};
use cupric::DType;
use cupric::testing::rows;

/// The columns of the support matrix: groups of dtypes. Each function treats all dtypes of a group alike.
const GROUPS: [(&str, &[DType]); 5] = {
    use DType::*;
    [
        ("bool", &[Bool]),
        ("8 to 32 bits", &[U8, I8, U16, I16, U32, I32]),
        ("i64 u64", &[I64, U64]),
        ("f16 bf16 f32", &[F16, BF16, F32]),
        ("f64", &[F64]),
    ]
};

/// Says on which backends a function takes the dtypes of a group.
fn support(name: &str, takes: &dyn Fn(DType, bool) -> bool, group: &[DType]) -> &'static str {
    let on = |gpu| {
        let first = takes(group[0], gpu);
        assert!(group.iter().all(|d| takes(*d, gpu) == first), "{name}: {group:?} differ");
        first
    };
    match (on(false), on(true)) {
        (true, true) => "both",
        (true, false) => "CPU",
        (false, true) => "GPU",
        (false, false) => "–",
    }
}

fn head(title: &str) -> String {
    let heads: String = GROUPS.map(|g| format!(" {} |", g.0)).concat();
    let rule = "---|".repeat(GROUPS.len());
    format!("\n### {title}\n\n| function |{heads} gives |\n|---|{rule}---|\n")
}

fn line(name: &str, takes: &dyn Fn(DType, bool) -> bool, gives: &str) -> String {
    let cells: String = GROUPS.map(|g| format!(" {} |", support(name, takes, g.1))).concat();
    format!("| `{name}` |{cells} {gives} |\n")
}

/// Describes the dtype of an operation's result.
fn gives(o: &Operation) -> &'static str {
    use DType::*;
    let of = [Bool, U8, I32, I64, F16, F64].map(o.result);
    match of {
        _ if o.name == "astype" => "the type asked for",
        [Bool, U8, I32, I64, F16, F64] => "the operands' type",
        [Bool, Bool, Bool, Bool, Bool, Bool] => "bool",
        [I64, I64, I64, I64, I64, I64] => "i64",
        [F32, F32, F32, F32, F16, F64] => "the float type; of integers f32",
        // a list of methods, some of which pick an element
        [F32, F32, F32, F64, F16, F64] if o.name.ends_with("ile") => {
            "`Lower`, `Higher`, `Nearest`, `InvertedCdf`, `ClosestObservation`: the operand's type; others: as `median`"
        }
        [F32, F32, F32, F64, F16, F64] => "the float type; of i64 and u64 f64, of other integers f32",
        [I64, U64, I64, I64, F16, F64] => "the float type; of integers i64 or u64",
        _ => panic!("{}: no words for {of:?}", o.name),
    }
}

#[test]
fn the_support_matrix_is_that_of_the_table() {
    let mut table = String::new();
    let mut family = "";
    for row in rows().iter().filter(|r| !r.name().ends_with("f16")) {
        if row.family() != family {
            family = row.family();
            table += &head(family);
        }
        let gives = match row.class().as_str() {
            "Compare" | "Test" | "Logical" => "bool",
            "Float" => "the float type; of integers f32",
            _ => "the operands' type",
        };
        table += &line(row.name(), &|d, gpu| row.takes(d, gpu), gives);
    }
    // `arange` and similar functions have no operand, so no row here
    let with_operands = |o: &&Operation| !o.types.is_empty() && o.kind != Kind::Generator;
    let (along, others): (Vec<_>, Vec<_>) = OPERATIONS.iter().filter(with_operands).partition(|o| o.along_axes());
    for (title, operations) in
        [("along axes", along), ("products, gathers, scatters, joins, conversions, functions made of others", others)]
    {
        table += &head(title);
        for o in operations {
            table += &line(o.name, &|d, _| o.takes(d), gives(o));
        }
    }
    holds("src/guide/support.md", table.trim_start());
}

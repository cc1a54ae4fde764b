//! Plans and shader text for three kinds of device, none of which has to be there: as files under
//! `tests/snapshots/caps`, and every text checked by naga. The weakest device has a file where it differs from the card.
//! `CUPRIC_BLESS=1` writes them anew.

use cupric::testing::{NAMED_CAPS, plan_for};
use cupric::{Array, DType, ErrorKind, Expr, Result, keep, ones, zeros};
use std::fs;
use std::path::PathBuf;

fn stored(shape: &[usize], dtype: DType) -> Array {
    zeros(shape, dtype).eval().expect("zeros")
}

/// Each expression with the kernels it becomes on the CPU, on a card and on the weakest GPU.
fn expressions() -> Vec<(&'static str, Expr, [usize; 3])> {
    let x = stored(&[1000, 640], DType::F32);
    let row = stored(&[640], DType::F32);
    let half = stored(&[1000, 640], DType::F16);
    let bytes = stored(&[777], DType::U8);
    let (a, b) = (stored(&[64, 96], DType::F32), stored(&[96, 32], DType::F32));
    let bias = stored(&[32], DType::F32);
    let picks = stored(&[50], DType::I32);
    vec![
        ("affine", &x * 2.5 + 1.2, [1, 1, 1]),
        ("mean_square", (&x - &row).square().mean(..), [1, 1, 1]),
        ("standardize", (&x - x.mean(0)) / x.std(0), [3, 3, 3]),
        ("softmax", x.softmax(-1), [1, 1, 1]),
        ("layer_norm", x.layer_norm(-1, 1e-5), [1, 1, 1]),
        ("matmul_bias_relu", (a.matmul(&b) + &bias).relu(), [1, 1, 1]),
        ("half_scale", &half * 0.5 + &half.t().t(), [1, 1, 1]),
        ("bytes", (&bytes + 1).maximum(3), [1, 1, 1]),
        ("argmax_rows", x.argmax(-1).astype(DType::I32), [1, 1, 1]),
        ("take_columns", x.take(&picks, 1) + 1.0, [1, 1, 1]),
        ("index_add_rows", stored(&[100, 8], DType::I32).index_add(0, &picks, stored(&[50, 8], DType::I32)), [2, 2, 2]),
        ("index_max_bytes", bytes.index_max(0, &picks, &(stored(&[50], DType::U8) + 1)), [2, 2, 2]),
    ]
}

fn validate(text: &str, what: &str) {
    let module =
        naga::front::wgsl::parse_str(text).unwrap_or_else(|e| panic!("{what}: {}\n{text}", e.emit_to_string(text)));
    let mut validator =
        naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::all());
    if let Err(e) = validator.validate(&module) {
        panic!("{what}: {e:?}\n{text}");
    }
}

#[test]
fn plans_and_texts_for_named_devices() -> Result<()> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots/caps");
    let bless = std::env::var_os("CUPRIC_BLESS").is_some();
    let mut wrong = vec![];
    for (name, expression, kernels) in expressions() {
        let mut of_card = String::new();
        for (i, caps) in NAMED_CAPS.iter().enumerate() {
            // without the GPU feature there are plans but no texts
            let (plan, texts) = plan_for(&expression, caps)?;
            for (k, text) in texts.iter().enumerate() {
                validate(text, &format!("{name} on {caps}, kernel {k}"));
            }
            let count =
                plan.lines().filter(|l| l.starts_with("  ") && l.contains(": ") && l.contains("dispatch")).count();
            if count != kernels[i] {
                wrong.push(format!("{name} on {caps}: {count} kernels, not {}\n{plan}", kernels[i]));
            }
            let file = dir.join(format!("{name}.{caps}.txt"));
            let mut whole = plan.clone();
            for (k, text) in texts.iter().enumerate() {
                whole.push_str(&format!("\n--- kernel {k} ---\n{text}"));
            }
            if *caps == "card" {
                of_card.clone_from(&whole);
            } else if whole == of_card {
                if bless && file.exists() {
                    fs::remove_file(&file).expect("an old snapshot removed");
                }
                if file.exists() {
                    wrong.push(format!("{} is what the card has: it must not be there", file.display()));
                }
                continue;
            }
            if bless && cfg!(feature = "gpu") {
                fs::create_dir_all(&dir).expect("a folder for snapshots");
                fs::write(&file, &whole).expect("a snapshot");
            }
            let known = fs::read_to_string(&file).unwrap_or_default();
            let same = if cfg!(feature = "gpu") { known == whole } else { known.starts_with(&plan) };
            if !same {
                wrong
                    .push(format!("{} differs; see it with CUPRIC_BLESS=1 and git diff. Now:\n{plan}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn a_weak_device_refuses_what_it_lacks() {
    let x = ones([4], DType::I64).eval().expect("ones");
    let e = plan_for(&(&x + 1), "weak").expect_err("no i64 there");
    assert!(e.to_string().contains("SHADER_INT64"), "{e}");
    assert!(plan_for(&(&x + 1), "card").is_ok());
    // sums, positions and counts have 64 bits, and an error that names them
    let n = ones([1 << 20], DType::I32).eval().expect("ones");
    let bytes = ones([1000], DType::U8).eval().expect("ones");
    let f = ones([4], DType::F32).eval().expect("ones");
    for (e, op, dtype) in [
        (n.sum(..), "sum", "i64"),
        (bytes.sum(..), "sum", "u64"),
        (n.prod(0) + 1, "prod", "i64"),
        (f.argmax(0), "argmax", "i64"),
        (f.argmin(..), "argmin", "i64"),
        (n.count_nonzero(0), "sum", "i64"),
        (n.mean(..), "sum", "i64"),
        (n.mean(keep(0)) * 2.0, "sum", "i64"),
    ] {
        let e = plan_for(&e, "weak").expect_err("no i64 there");
        let message = e.to_string();
        assert_eq!(e.kind(), ErrorKind::Unsupported, "{message}");
        assert!(message.starts_with(&format!("{op}: dtype {dtype} ")) && message.contains("SHADER_INT64"), "{message}");
        assert!(message.contains("tests/caps.rs"), "{message}");
    }
    // what 32 bits hold needs no more
    for e in [bytes.mean(..), bytes.sum(..).astype(DType::I32), f.argmax(0).astype(DType::U8), f.greater(0).mean(0)] {
        assert!(plan_for(&e, "weak").is_ok(), "{:?}", plan_for(&e, "weak").err());
    }
    // 200 MiB in one row of a product cannot be cut
    let wide = zeros([2, 26 << 20], DType::F32).broadcast_to([2, 26 << 20]);
    let tall = zeros([26 << 20, 2], DType::F32).eval().expect("zeros");
    let e = plan_for(&wide.matmul(&tall), "weak").expect_err("too large");
    assert!(e.to_string().contains("bytes"), "{e}");
}

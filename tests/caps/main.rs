//! Snapshots of plans and shaders for three kinds of device, which need not exist on this machine: files under
//! `tests/data/snapshots/caps`. naga checks every shader. The weakest GPU has a file only if it differs from the
//! card's. `CUPRIC_BLESS=1` rewrites the files.

#[cfg(feature = "gpu")]
mod cards;

use cupric::testing::{Caps, Cooperative, NAMED_CAPS, card, cpu_within, named_caps, plan_for, plan_within};
use cupric::{Array, DType, ErrorKind, Expr, Result, keep, ones, s, zeros};
use std::fs;
use std::path::PathBuf;

fn stored(shape: &[usize], dtype: DType) -> Array {
    zeros(shape, dtype).eval().expect("zeros")
}

/// Each expression, with its number of kernels on the CPU, on a card, and on the weakest GPU.
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
        ("transposed", stored(&[1000, 640], DType::F16).t() + stored(&[640, 1000], DType::F32), [1, 1, 1]),
        ("bytes", (&bytes + 1).maximum(3), [1, 1, 1]),
        ("argmax_rows", x.argmax(-1).astype(DType::I32), [1, 1, 1]),
        ("cumulative_sum", (&x * &row).cumulative_sum(-1) / 3.0, [1, 1, 1]),
        ("cumulative_sum_columns", half.cumulative_sum(0), [1, 1, 1]),
        ("cumulative_sum_long", stored(&[3, 20_000], DType::F32).cumulative_sum(1) + 1.0, [1, 1, 1]),
        ("take_columns", x.take(&picks, 1) + 1.0, [1, 1, 1]),
        ("index_add_rows", stored(&[100, 8], DType::I32).index_add(0, &picks, stored(&[50, 8], DType::I32)), [2, 2, 2]),
        ("index_max_bytes", bytes.index_max(0, &picks, &(stored(&[50], DType::U8) + 1)), [2, 2, 2]),
    ]
}

/// The bytes of workgroup memory that a shader declares. WebGPU rounds each variable up to multiples of 16 bytes.
fn workgroup_memory(module: &naga::Module) -> u32 {
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).expect("types have layouts");
    let variables = module.global_variables.iter().map(|(_, v)| v);
    let shared = variables.filter(|v| v.space == naga::AddressSpace::WorkGroup);
    shared.map(|v| layouter[v.ty].size.next_multiple_of(16)).sum()
}

fn validate(text: &str, features: naga::valid::Capabilities, what: &str) {
    // WebGPU guarantees 16 KiB, and wgpu does not check that a shader stays within them
    validate_within(text, features, 16 << 10, what);
}

/// Like `validate`, for a shader that may declare up to `most` bytes of workgroup memory.
fn validate_within(text: &str, features: naga::valid::Capabilities, most: u32, what: &str) {
    let module =
        naga::front::wgsl::parse_str(text).unwrap_or_else(|e| panic!("{what}: {}\n{text}", e.emit_to_string(text)));
    let bytes = workgroup_memory(&module);
    assert!(bytes <= most, "{what}: {bytes} bytes of workgroup memory\n{text}");
    let mut validator = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), features);
    if let Err(e) = validator.validate(&module) {
        panic!("{what}: {e:?}\n{text}");
    }
}

#[test]
fn plans_and_texts_for_named_devices() -> Result<()> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/snapshots/caps");
    let bless = std::env::var_os("CUPRIC_BLESS").is_some();
    let mut wrong = vec![];
    for (name, expression, kernels) in expressions() {
        let mut of_card = String::new();
        for (i, caps) in NAMED_CAPS.iter().enumerate() {
            // without the GPU feature, there are plans but no shaders
            let (plan, texts) = plan_for(&expression, caps)?;
            for (k, text) in texts.iter().enumerate() {
                validate(text, naga::valid::Capabilities::all(), &format!("{name} on {caps}, kernel {k}"));
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
            } else if whole == of_card && (cfg!(feature = "gpu") || !file.exists()) {
                // plans of two GPUs may differ only in shaders, and a build without GPUs has none
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

/// The shaders of routines are written by hand. Each must stay within the workgroup memory that WebGPU guarantees.
#[test]
fn routines_keep_within_a_workgroups_memory() -> Result<()> {
    for dtype in [DType::U8, DType::F32, DType::I64] {
        let (x, n) = (stored(&[3, 5000], dtype), stored(&[5000], DType::I32));
        let flat = stored(&[5000], dtype);
        let routines = [x.sort(-1), x.argsort(-1), n.bincount(10), flat.index_add(0, &n, &flat)];
        for (i, e) in routines.iter().enumerate() {
            for caps in ["card", "weak"] {
                let (plan, texts) = plan_for(e, caps)?;
                assert_eq!(texts.is_empty(), !cfg!(feature = "gpu"), "{plan}");
                let what = format!("routine {i} of {dtype} on {caps}");
                texts.iter().for_each(|text| validate(text, naga::valid::Capabilities::all(), &what));
            }
        }
    }
    Ok(())
}

#[test]
fn a_weak_device_refuses_what_it_lacks() {
    let x = ones([4], DType::F64).eval().expect("ones");
    let e = plan_for(&(&x + 1), "weak").expect_err("no f64 there");
    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
    let message = e.to_string();
    assert!(
        message.contains("dtype f64") && message.contains("SHADER_F64") && message.contains("tests/caps/main.rs"),
        "{message}"
    );
    assert!(plan_for(&(&x + 1), "card").is_ok());
    // functions of f64 need the feature too, and a device that has it compiles them
    for e in [x.exp(), x.softmax(0), x.lgamma(), x.pow(&x)] {
        assert!(plan_for(&e, "weak").expect_err("no f64 there").to_string().contains("SHADER_F64"));
        let (_, texts) = plan_for(&e, "card").expect("f64");
        texts.iter().for_each(|text| validate(text, naga::valid::Capabilities::all(), "card"));
    }
    // the weak GPU has no 64-bit integers: kernels use pairs of 32-bit words, also for 64-bit results
    let n = ones([1 << 20], DType::I32).eval().expect("ones");
    let bytes = ones([1000], DType::U8).eval().expect("ones");
    let f = ones([4], DType::F32).eval().expect("ones");
    for e in [
        n.sum(..),
        bytes.sum(..),
        n.prod(0) + 1,
        f.argmax(0),
        f.argmin(..),
        n.count_nonzero(0),
        n.mean(keep(0)) * 2.0,
        n.cumulative_sum(0),
        bytes.cumulative_sum(0),
        bytes.sum(..).astype(DType::I32),
        f.greater(0).mean(0),
    ] {
        let (_, texts) = plan_for(&e, "weak").expect("pairs of words");
        texts.iter().for_each(|text| validate(text, naga::valid::Capabilities::empty(), "weak"));
    }
    // a row of 200 MiB is split, because a binding of the weak GPU has at most 128 MiB
    let wide = zeros([2, 26 << 20], DType::F32).broadcast_to([2, 26 << 20]);
    let tall = zeros([26 << 20, 2], DType::F32).eval().expect("zeros");
    let (_, texts) = plan_for(&wide.matmul(&tall), "weak").expect("windows");
    texts.iter().for_each(|text| validate(text, naga::valid::Capabilities::empty(), "weak"));
}

/// The lines of a plan that describe how a kernel uses the hardware.
fn schedules(plan: &str) -> Vec<String> {
    let is_one = |l: &&str| ["schedule:", "pass 1:", "indices first:"].iter().any(|s| l.trim().starts_with(s));
    plan.lines().filter(is_one).map(|l| l.trim().to_string()).collect()
}

/// The schedules of the expressions below on the CPU, on a card, and on the weakest GPU if they differ there.
const WANTED: [[&str; 3]; 9] = [
    [
        "schedule: threaded 1 × 2048, 40 KiB a task; in0 contiguous, in1 contiguous",
        "schedule: 256 lanes × 4, 4 loads in flight, 2 outer axes; in0 contiguous, in1 contiguous",
        "",
    ],
    [
        "schedule: tiles 1 × 2048, 24 KiB a task; in0 contiguous, in1 broadcast",
        "schedule: 256 lanes × 4, 4 loads in flight, 2 outer axes; in0 contiguous, in1 broadcast",
        "",
    ],
    [
        "schedule: threaded 1 × 2048, 24 KiB a task; in0 contiguous; streams out0",
        "schedule: 256 lanes × 4, 4 loads in flight, 1 outer axis; in0 contiguous",
        "",
    ],
    [
        "schedule: tiles 32 × 64 of the last two axes, 24 KiB a task; in0 contiguous, in1 transposed",
        "schedule: 256 lanes × 4, 4 loads in flight, 2 outer axes; in0 contiguous, in1 transposed",
        "",
    ],
    [
        "schedule: threaded 1 × 2048, 24 KiB a task; in0 contiguous",
        "schedule: 256 lanes × 4, 4 loads in flight, 1 outer axis; in0 contiguous; out0 in whole words",
        "",
    ],
    [
        "schedule: tiles of 2048 along a row, 16 rows a task, 256 KiB a task; in0 contiguous",
        "schedule: groups of 256, 256 lanes a row, 4 loads in flight, shuffles of 32, 1 outer axis, 1 inner axis; in0 contiguous",
        "schedule: groups of 256, 256 lanes a row, 4 loads in flight, 1 outer axis, 1 inner axis; in0 contiguous",
    ],
    [
        "schedule: product by tiles, 256 columns packed, 516 × 256 a task; in0 contiguous, in0 contiguous",
        "schedule: groups of 256, tiles 128 × 64 of 8 × 4 a lane, 16 along k, padded, 2 outer axes, 1 inner axis; in0 contiguous, in0 contiguous",
        "",
    ],
    [
        "schedule: tiles of 2048 along a row, 48 KiB a task; in0 contiguous; streams out0\n\
         pass 1: v0, then v1; pass 2: v0 v2 v3 (keeps v3), then v4; pass 3: kept v3 v5",
        "schedule: groups of 256, 256 lanes × 16 a row, shuffles of 32, 1 outer axis, 1 inner axis; in0 contiguous\n\
         pass 1: v0 (keeps v0), then v1; pass 2: kept v0 v2 v3 (keeps v3), then v4; pass 3: kept v3 v5",
        "schedule: groups of 256, 256 lanes × 16 a row, 1 outer axis, 1 inner axis; in0 contiguous\n\
         pass 1: v0 (keeps v0), then v1; pass 2: kept v0 v2 v3 (keeps v3), then v4; pass 3: kept v3 v5",
    ],
    [
        "schedule: tiles 1 × 2048, 56 KiB a task; in0 broadcast, in1 gathered\n\
         indices first: [2048, 1], tiles 2048 × 1, one task",
        "schedule: 256 lanes × 4, 4 loads in flight, 2 outer axes; in0 broadcast, in1 gathered",
        "",
    ],
];

/// Devices have different tiles or lanes where these matter, and the same ones elsewhere.
#[test]
fn schedules_differ_where_devices_do() -> Result<()> {
    let large = stored(&[2048, 2048], DType::F32);
    let half = stored(&[2048, 2048], DType::F16);
    let row = stored(&[2048], DType::F32);
    let picks = stored(&[2048], DType::I32);
    let expressions = [
        (&large + &row) * 2.0,
        &large + row.reshape([2048, 1]),
        stored(&[1 << 23], DType::F32) + 1.0,
        &large + large.t(),
        &half + 1.0,
        large.sum(1),
        large.matmul(&large),
        large.softmax(-1),
        large.take(&picks, 0),
    ];
    let said = |e: &Expr, caps: &str| -> Result<String> { Ok(schedules(&plan_for(e, caps)?.0).join("\n")) };
    let mut wrong = vec![];
    for (n, (e, want)) in expressions.iter().zip(WANTED).enumerate() {
        let card = said(e, "card")?;
        for (caps, want) in NAMED_CAPS.iter().zip(want) {
            let (have, want) = (said(e, caps)?, if want.is_empty() { &card } else { want });
            if have != want {
                wrong.push(format!("expression {n} on {caps}:\n  {have}\nnot\n  {want}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// A device with smaller workgroups uses fewer lanes, and returns an error for kernels that need more.
#[test]
fn small_workgroups_have_fewer_lanes() -> Result<()> {
    let small = Caps { workgroup: 100, max_row: 64 * 64, max_reduce: [64 * 16, 256], ..card("small") };
    let x = stored(&[1000, 640], DType::F32);
    for (e, says) in [
        (&x + 1.0, "schedule: 64 lanes × 4"),
        (x.sum(1), "groups of 64, 64 lanes a row"),
        (x.softmax(-1), "groups of 64, 64 lanes × 16 a row"),
        (x.slice(s![.., ..100]).softmax(-1), "groups of 64, 32 lanes × 4 a row"),
        (x.sum(0), "groups of 64, 1 lane a row"),
        (x.slice(s![.., ..200]).cumulative_sum(1), "groups of 64, 64 lanes × 4 a row"),
        (x.matmul(x.t()), "groups of 64, tiles 32 × 32 of 4 × 4 a lane, 16 along k"),
    ] {
        let (plan, texts) = plan_within(&e, &small)?;
        assert!(plan.contains(says), "{says}\n{plan}");
        assert_eq!(texts.is_empty(), !cfg!(feature = "gpu"), "{says}: {} texts", texts.len());
        for text in &texts {
            assert!(text.contains("const WORKGROUP = 64u;"), "{text}");
            validate(text, naga::valid::Capabilities::all(), says);
        }
    }
    // a scan with blocks below 1,024 elements would add in another order, and so give other bits
    for e in [x.cumulative_sum(1), stored(&[2, 1 << 20], DType::F32).cumulative_sum(1)] {
        let e = plan_within(&e, &small).expect_err("workgroups are too small");
        assert_eq!(e.kind(), ErrorKind::LimitExceeded, "{e}");
        assert!(e.to_string().contains("workgroups of 256 invocations; small allows 100"), "{e}");
    }
    Ok(())
}

/// A product takes the device's tile if that gives enough tiles, else the plain tile, else the smallest tile.
#[test]
fn products_take_tiles_that_fit() -> Result<()> {
    let square = |n: usize, dtype: DType| {
        let x = stored(&[n, n], dtype);
        x.matmul(&x)
    };
    let card = card("some");
    let small = |workgroup, workgroup_memory| Caps { workgroup, workgroup_memory, ..card.clone() };
    let (large, plain, least) = ("tiles 128 × 64 of 8 × 4", "tiles 64 × 64 of 4 × 4", "tiles 32 × 32 of 4 × 4");
    for (e, caps, says) in [
        (square(2048, DType::F32), card.clone(), large),
        (square(2048, DType::F16), card.clone(), large),
        (square(2048, DType::U8), card.clone(), large),
        // 32 tiles would leave most of a large card idle
        (square(512, DType::F32), card.clone(), plain),
        // 64 sums of 8 bytes need more registers than an invocation has
        (square(2048, DType::I64), card.clone(), plain),
        (square(2048, DType::F32), small(128, 48 << 10), least),
        (square(2048, DType::F32), small(256, 12_000), plain),
        (square(2048, DType::F64), small(256, 16_352), least),
    ] {
        let (plan, texts) = plan_within(&e, &caps)?;
        assert!(plan.contains(says), "{says}\n{plan}");
        texts.iter().for_each(|text| {
            validate_within(text, naga::valid::Capabilities::all(), caps.workgroup_memory as u32, says)
        });
    }
    let e = plan_within(&square(2048, DType::F64), &small(256, 8_000)).expect_err("too little memory");
    assert_eq!(e.kind(), ErrorKind::LimitExceeded, "{e}");
    assert!(
        e.to_string().contains("workgroups of 64 invocations with 8192 bytes of memory; some has 256 with 8000"),
        "{e}"
    );
    let e = plan_within(&square(2048, DType::F32), &small(32, 16 << 10)).expect_err("workgroups are too small");
    assert!(
        e.to_string()
            .contains("a product needs workgroups of 64 invocations with 4096 bytes of memory; some has 32 with 16384"),
        "{e}"
    );
    Ok(())
}

/// With smaller caches the CPU uses smaller tiles and streaming stores sooner. The bits of results stay the same.
#[test]
fn caches_change_tiles_and_no_bit() -> Result<()> {
    let of = |caches: [usize; 3], vector: usize| {
        cpu_within(&Caps { name: "cpu".into(), caches, vector, ..named_caps("cpu").expect("a CPU") })
    };
    let devices = [of([48 << 10, 2 << 20, 32 << 20], 64)?, of([8 << 10, 40 << 10, 1 << 17], 16)?, of([1; 3], 256)?];
    // multiples of 1/61 have no finite binary form, so a sum in another order would have other bits
    let numbers = |n: usize| (0..n).map(|i| ((i * 7919) % 1009) as f32 / 61.0 - 7.0).collect::<Vec<f32>>();
    let mut first: Option<(Vec<String>, Vec<Vec<u32>>)> = None;
    // Cases with the first device's schedule. On the second, only a small loop nest (11) and a product of one row (14).
    // The third has caches of unknown size: the same tiles, but streaming stores in elementwise and row kernels.
    let alike = [(0..16).collect(), vec![11, 14], vec![1, 3, 4, 5, 10, 11]];
    for (d, as_first) in devices.iter().zip(alike) {
        let x = Array::from_vec(numbers(300 * 700), [300, 700])?.to_device(d)?;
        let y = Array::from_vec(numbers(700 * 300), [700, 300])?.to_device(d)?;
        let picks = Array::from_vec((0..500).map(|i| i % 300).collect::<Vec<i32>>(), [500])?.to_device(d)?;
        let expressions = [
            &x * 2.5 + x.sqrt(),
            &x + y.t(),
            (&y.t() + 1.0).t() * 2.0,
            x.sum(0),
            x.sum(1),
            x.sum(..),
            x.softmax(-1),
            x.softmax(0),
            y.t().softmax(-1),
            x.slice(s![.., ..40]).layer_norm(-1, 1e-5),
            x.slice(s![..3]).sum(1),
            x.slice(s![.., ..3]).sum(0),
            x.take(&picks, 0) * 2.0,
            x.take(&picks, 0).softmax(-1),
            (x.slice(s![..1]).matmul(&y) + 1.0).relu(),
            x.astype(DType::I32).matmul(y.astype(DType::I32)).astype(DType::F32),
        ];
        // the loop runs over the middle axis of three first
        let turned = x.reshape([30, 10, 700]) + y.reshape([700, 10, 30]).permute_dims([2, 1, 0]);
        assert!(turned.plan()?.to_string().contains("elementwise [10, 30, 700]"), "{}", turned.plan()?);
        let (host, turned) = (numbers(300 * 700), turned.to_vec::<f32>()?);
        for (n, have) in turned.iter().enumerate() {
            let (i, j, k) = (n / 7000, n / 700 % 10, n % 700);
            assert_eq!(*have, host[n] + host[(k * 10 + j) * 30 + i], "element {i}, {j}, {k}");
        }
        let mut said = vec![];
        let mut bits = vec![];
        for e in &expressions {
            said.push(schedules(&e.plan()?.to_string()).join("\n"));
            bits.push(e.to_vec::<f32>()?.iter().map(|v| v.to_bits()).collect::<Vec<u32>>());
        }
        let (known, want) = first.get_or_insert_with(|| (said.clone(), bits.clone()));
        for (n, (have, want)) in bits.iter().zip(&*want).enumerate() {
            assert!(have == want, "expression {n} has other bits with\n{}\nthan with\n{}", said[n], known[n]);
        }
        let same: Vec<usize> = (0..said.len()).filter(|n| said[*n] == known[*n]).collect();
        assert_eq!(same, as_first, "the schedules that are as on the first device: {said:#?}");
    }
    Ok(())
}

/// A card with cooperative matrices of f16 with these side lengths, whose sums have the dtype `sums`.
fn tensor_card(sides: &[u32], sums: &str) -> Caps {
    let cooperative = |side: &u32| Cooperative { shape: [*side; 3], types: ["f16", sums].map(str::to_string) };
    Caps { cooperative: sides.iter().map(cooperative).collect(), ..card("tensor") }
}

/// On a device with cooperative matrices, all products of f16 with several columns use them, and no other products do.
#[test]
fn products_of_f16_by_cooperative_matrices() -> Result<()> {
    let half = |shape: &[usize]| stored(shape, DType::F16);
    let (a, b, bias) = (half(&[1000, 640]), half(&[640, 320]), half(&[320]));
    let tensor = tensor_card(&[8, 16], "f32");
    let by = |side: u32| format!("groups of 128, tiles 64 × 64 by cooperative matrices {side} × {side}");
    // a device with two sizes uses the larger matrices; the snapshot has one kernel and its shader
    let layer = (a.matmul(&b) + &bias).relu();
    let (plan, texts) = plan_within(&layer, &tensor)?;
    let mut whole = plan.clone();
    for text in &texts {
        validate_within(text, naga::valid::Capabilities::all(), 32 << 10, "a product of f16");
        whole.push_str(&format!("\n--- kernel 0 ---\n{text}"));
    }
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/snapshots/caps/half_matmul.tensor.txt");
    if std::env::var_os("CUPRIC_BLESS").is_some() && cfg!(feature = "gpu") {
        fs::write(&file, &whole).expect("a snapshot");
    }
    let known = fs::read_to_string(&file).unwrap_or_default();
    let same = if cfg!(feature = "gpu") { known == whole } else { known.starts_with(&plan) };
    assert!(same && plan.contains(&by(16)), "{} differs; see it with CUPRIC_BLESS=1. Now:\n{plan}", file.display());

    // a row, a batch, operands of any layout or converted, few rows with k shared: all use the matrices
    let bytes = stored(&[1000, 640], DType::U8);
    let long = [half(&[3, 5000]), half(&[5000, 2])];
    for e in [
        a.slice(s![..1]).matmul(&b),
        a.slice(s![0]).matmul(&b),
        half(&[7, 1, 640]).matmul(&b),
        b.t().matmul(a.t()),
        bytes.astype(DType::F16).matmul(&b),
        long[0].matmul(&long[1]),
    ] {
        let (plan, texts) = plan_within(&e, &tensor)?;
        let products = plan.lines().filter(|l| l.contains(": matmul [") && l.contains("dispatch")).count();
        assert!(products > 0 && plan.matches("by cooperative matrices").count() >= 1, "{plan}");
        assert!(!plan.contains("a lane"), "{plan}");
        let all = naga::valid::Capabilities::all();
        texts.iter().for_each(|text| validate_within(text, all, 32 << 10, "a product of f16"));
    }
    let (plan, _) = plan_within(&layer, &tensor_card(&[8], "f32"))?;
    assert!(plan.contains(&by(8)), "{plan}");

    // other dtypes, and devices whose matrices have an unsuitable shape or type
    let (f, bf) = (stored(&[64, 96], DType::F32), stored(&[64, 96], DType::BF16));
    let refused = [
        (a.astype(DType::F32).matmul(b.astype(DType::F32)), tensor.clone()),
        (f.matmul(f.t()), tensor.clone()),
        (bf.matmul(bf.t()), tensor.clone()),
        (layer.clone(), card("without")),
        // a result of one column would leave the other columns of a tile empty
        (a.matmul(half(&[640])), tensor.clone()),
        (layer.clone(), tensor_card(&[16], "f16")),
        (layer.clone(), tensor_card(&[32], "f32")),
        (layer.clone(), Caps { subgroup: [1, 1], ..tensor.clone() }),
        (layer.clone(), Caps { subgroup: [4, 128], ..tensor.clone() }),
        (layer.clone(), Caps { workgroup_memory: 12 << 10, ..tensor.clone() }),
    ];
    for (e, caps) in refused {
        let (plan, texts) = plan_within(&e, &caps)?;
        assert!(plan.contains(": matmul [") && !plan.contains("cooperative"), "{plan}");
        assert!(texts.iter().all(|text| !text.contains("coop")), "{plan}");
    }
    // a large product uses large tiles if eight subgroups and both factors fit into a workgroup
    let large = half(&[2048, 64]).matmul(half(&[64, 2048]));
    let small = "groups of 128, tiles 64 × 64 by cooperative matrices 16 × 16";
    for (caps, want) in [
        (tensor.clone(), "groups of 256, tiles 128 × 128 by cooperative matrices 16 × 16"),
        (Caps { workgroup_memory: 32 << 10, ..tensor.clone() }, small),
        (Caps { subgroup: [32, 64], ..tensor.clone() }, "groups of 256, tiles 64 × 64"),
    ] {
        let (plan, texts) = plan_within(&large, &caps)?;
        assert!(plan.contains(want), "{plan}");
        let most = caps.workgroup_memory as u32;
        texts.iter().for_each(|text| validate_within(text, naga::valid::Capabilities::all(), most, "a large product"));
    }
    // with subgroups of 64 lanes, a workgroup has 256 invocations
    let (plan, _) = plan_within(&layer, &Caps { subgroup: [32, 64], ..tensor })?;
    assert!(plan.contains("groups of 256, tiles 64 × 64 by cooperative matrices 16 × 16"), "{plan}");
    Ok(())
}

//! Plans for graphics cards that this machine does not have, and the shaders that a benchmark compiles for them.

use cupric::testing::{Card, ShaderChecks, Tiles, caps_of, kernels_within, plan_within, shader_checks};
use cupric::{DType, ErrorKind, Result, keep};

fn card(features: &[&str], limits: &[(&str, u64)]) -> Card {
    Card {
        name: "a card".to_string(),
        vendor: 0x1002,
        features: features.iter().map(|f| f.to_string()).collect(),
        limits: limits.iter().map(|(name, limit)| (name.to_string(), *limit)).collect(),
        subgroup: [32, 64],
        cooperative: vec![],
    }
}

#[test]
fn caps_follow_from_features_and_limits() -> Result<()> {
    let least = caps_of(&card(&[], &[]))?;
    assert_eq!((least.int64, least.max_bindings, least.workgroup, least.subgroup), (false, 7, 256, [1, 1]));
    let features = ["SHADER_INT64", "SHADER_F64", "SUBGROUP"];
    let most =
        caps_of(&card(&features, &[("max_storage_buffers_per_shader_stage", 16), ("max_buffer_size", 1 << 33)]))?;
    assert_eq!((most.int64, most.float64, most.max_bindings, most.max_buffer), (true, true, 15, 1 << 33));
    assert_eq!(most.subgroup, [32, 64]);
    assert_ne!(most.tiles, Tiles { busy: 0, ..most.tiles });
    for wrong in [card(&["SHADER_F99"], &[]), card(&[], &[("max_dreams", 1)])] {
        assert_eq!(caps_of(&wrong).unwrap_err().kind(), ErrorKind::Argument);
    }
    Ok(())
}

#[test]
fn kernels_come_with_their_work_and_their_source() -> Result<()> {
    let caps = caps_of(&card(&[], &[]))?;
    let x = super::stored(&[1000, 4096], DType::F32);
    let (text, kernels) = kernels_within(&[&(&x + 1.0), &(&x / x.sum(keep(1))), &x.sort(1)], &caps)?;
    let of = |kind: &str| kernels.iter().find(|k| k.kind == kind).unwrap_or_else(|| panic!("no {kind} in {text}"));
    let add = of("elementwise");
    assert_eq!((add.size, add.bytes, add.element_bytes), ([4_096_000, 1], 32_768_000, [4, 4]));
    assert_eq!((add.invocations, add.dispatches), (1_024_000, 1));
    let row = of("row");
    assert_eq!((row.size, row.invocations, row.element_bytes), ([1000, 4096], 256_000, [4, 4]));
    assert!(of("sort").invocations > 0);
    assert!(kernels.iter().all(|k| k.wgsl.contains("fn main(")));
    Ok(())
}

#[test]
fn generated_shaders_are_compiled_without_checks() {
    let none = ShaderChecks { bounds: false, loops: false, divisors: false, zeroes_workgroup_memory: false };
    assert_eq!(shader_checks(), Some(none));
}

/// Every lane of a row holds some of the row's elements, so a short row has fewer lanes.
#[test]
fn short_rows_have_fewer_lanes() -> Result<()> {
    for (columns, lanes) in [(32, 8), (33, 32), (128, 32), (129, 64), (256, 64), (257, 128), (512, 128), (513, 256)] {
        let row = super::stored(&[1000, columns], DType::F32).softmax(-1);
        let (plan, _) = plan_within(&row, &cupric::testing::card("rows"))?;
        assert!(plan.contains(&format!("groups of 256, {lanes} lanes × 4 a row")), "{columns} columns\n{plan}");
    }
    Ok(())
}

//! Raw shaders of a user on a GPU: their results, that they stay within their arrays, and which are rejected.

use crate::kit::*;
use cupric::{Array, DType, Device, Error, ErrorKind, Expr, RawKernel, arange, array, full, zeros};

type Result<T = ()> = std::result::Result<T, Error>;

const TRANSPOSE: &str = "
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> lengths: array<i32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
var<workgroup> tile: array<f32, 64>;

@compute @workgroup_size(8, 8)
fn transpose(@builtin(workgroup_id) g: vec3<u32>, @builtin(local_invocation_id) l: vec3<u32>) {
    let rows = u32(lengths[0]);
    let columns = u32(lengths[1]);
    let from_ = vec2(g.x * 8u + l.x, g.y * 8u + l.y);
    if from_.x < columns && from_.y < rows { tile[l.y * 8u + l.x] = x[from_.y * columns + from_.x]; }
    workgroupBarrier();
    let to = vec2(g.y * 8u + l.x, g.x * 8u + l.y);
    if to.x < rows && to.y < columns { y[to.y * rows + to.x] = tile[l.x * 8u + l.y]; }
}";

fn transpose(x: &Expr, rows: usize, columns: usize) -> Result<Array> {
    let kernel = RawKernel::new(TRANSPOSE, "transpose")?;
    let groups = [columns.div_ceil(8) as u32, rows.div_ceil(8) as u32, 1];
    let lengths = array![rows as i32, columns as i32].to_device(&x.eval()?.device())?;
    let [y] = kernel.call(groups, [x, &lengths], [([columns, rows], DType::F32)])?;
    Ok(y)
}

#[test]
fn shaders_run_between_kernels() {
    let Some(d) = gpu(1) else { return };
    works(&own(&d)).expect("shaders");
}

fn works(d: &Device) -> Result {
    let x = arange(0, 13 * 21, 1, DType::F32).reshape([13, 21]).to_device(d)?;
    let wanted = x.t().to_vec::<f32>()?;
    assert_eq!(transpose(&x, 13, 21)?.to_vec::<f32>()?, wanted);
    // operands that are an expression, a transposed view and a slice; each is read in its logical order
    assert_eq!(transpose(&(&x * 2.0), 13, 21)?.to_vec::<f32>()?, (x.t() * 2.0).to_vec::<f32>()?);
    assert_eq!(transpose(&x.t(), 21, 13)?.to_vec::<f32>()?, x.to_vec::<f32>()?);
    assert_eq!(
        transpose(&x.slice(cupric::s![3..7, ..]), 4, 21)?.to_vec::<f32>()?,
        x.slice(cupric::s![3..7, ..]).t().to_vec::<f32>()?
    );
    // operations after the shader read its output, and the operand may be changed afterwards
    let mut changed = x.clone();
    let y = transpose(&changed, 13, 21)?;
    changed.fill(0.0)?;
    assert_eq!((&y + 1.0).sum(..).item::<f32>()?, (&x + 1.0).sum(..).item::<f32>()?);
    // a hundred calls of one shader compile it only once
    let before = d.stats();
    let mut z = x.eval()?;
    for n in 0..100 {
        let (rows, columns) = if n % 2 == 0 { (13, 21) } else { (21, 13) };
        z = transpose(&z, rows, columns)?;
    }
    assert_eq!(z.to_vec::<f32>()?, x.to_vec::<f32>()?);
    assert_eq!((d.stats().compiles, d.stats().kernels - before.kernels), (before.compiles, 100));
    let (_, profile) = d.profile(|| transpose(&x, 13, 21))?;
    assert!(profile.to_string().contains("transpose") && profile.to_string().contains("raw.rs"), "{profile}");
    // shaders with atomics, a structure, bytes, no input, and no workgroups at all
    let counts = RawKernel::new(
        "struct Found { count: atomic<u32>, most: atomic<u32> }
         @group(0) @binding(0) var<storage, read_write> found: Found;
         @group(0) @binding(1) var<storage, read> bytes: array<u32>;
         @compute @workgroup_size(32) fn counts(@builtin(global_invocation_id) id: vec3<u32>) {
             if id.x < arrayLength(&bytes) {
                 for (var n = 0u; n < 4u; n++) {
                     let byte = extractBits(bytes[id.x], 8u * n, 8u);
                     if byte > 0u { atomicAdd(&found.count, 1u); }
                     atomicMax(&found.most, byte);
                 }
             }
         }",
        "counts",
    )?;
    let bytes = array![3u8, 0, 200, 0, 7].to_device(d)?;
    for (groups, wanted) in [([1, 1, 1], [3, 200]), ([0, 1, 1], [0, 0])] {
        let [found] = counts.call(groups, [&bytes], [([2], DType::U32)])?;
        assert_eq!(found.to_vec::<u32>()?, wanted);
    }
    let fill = RawKernel::new(
        "@group(0) @binding(0) var<storage, read_write> y: array<vec2<i32>>;
         @compute @workgroup_size(4) fn fill(@builtin(global_invocation_id) id: vec3<u32>) { y[id.x] = vec2<i32>(id.xx) + vec2(1, 2); }",
        "fill",
    )?;
    let [y] = fill.call_on(d, [1, 1, 1], [], [([4, 2], DType::I32)])?;
    assert_eq!(y.to_vec::<i32>()?, [1, 2, 2, 3, 3, 4, 4, 5]);
    Ok(())
}

#[test]
fn shaders_stay_within_their_arrays() {
    let Some(d) = gpu(1) else { return };
    let d = own(&d);
    let beyond = RawKernel::new(
        "@group(0) @binding(0) var<storage, read> x: array<f32>;
         @group(0) @binding(1) var<storage, read_write> y: array<f32>;
         @compute @workgroup_size(64) fn beyond(@builtin(global_invocation_id) id: vec3<u32>) {
             y[id.x * 1000u + 3u] = x[id.x * 777u] + 1.0;
             for (var n = 0u; n < 5000u; n++) { y[n] = y[n] + 0.0; }
         }",
        "beyond",
    )
    .expect("a shader");
    // arrays of the same size, allocated before and after the output, which must not change
    let kept: Vec<Array> = (0..6).map(|n| full([3], n, DType::F32).to_device(&d).unwrap()).collect();
    let x = array![5., 5., 5.].to_device(&d).unwrap();
    let [y] = beyond.call([4, 1, 1], [&x], [([3], DType::F32)]).expect("a call");
    assert!(y.to_vec::<f32>().unwrap().iter().all(|y| [0., 6.].contains(y)), "{y}");
    for (n, k) in kept.iter().enumerate() {
        assert_eq!(k.to_vec::<f32>().unwrap(), [n as f32; 3]);
    }
    assert_eq!(x.to_vec::<f32>().unwrap(), [5.; 3]);
}

#[test]
fn wrong_shaders_are_refused() {
    let new = |text: &str| RawKernel::new(text, "main").map(|k| format!("{k:?}"));
    let cases = [
        ("fn main() {", "main: shader, line 1, column"),
        ("@compute @workgroup_size(1) fn other() {}", "no compute entry point of this name; it has [\"other\"]"),
        ("@fragment fn main() {}", "no compute entry point"),
        ("@compute @workgroup_size(1) fn main() { let a: i32 = 1.5; }", "main: shader, line 1, column"),
        (
            "@group(0) @binding(0) var<uniform> n: u32;\n@compute @workgroup_size(1) fn main() {}",
            "var<storage> in group 0",
        ),
        (
            "@group(1) @binding(0) var<storage> n: u32;\n@compute @workgroup_size(1) fn main() {}",
            "var<storage> in group 0",
        ),
        (
            "@group(0) @binding(1) var<storage> n: u32;\n@compute @workgroup_size(1) fn main() {}",
            "binding 1, but bindings must be numbered from 0",
        ),
        (
            "@group(0) @binding(0) var t: texture_2d<f32>;\n@compute @workgroup_size(1) fn main() {}",
            "var<storage> in group 0",
        ),
    ];
    let e = new("override n: u32 = 4u; @compute @workgroup_size(1) fn main() {}").expect_err("an override");
    assert!(e.to_string().contains("`override` constants"), "{e}");
    for (text, wanted) in cases {
        let e = new(text).expect_err(text);
        println!("{e}");
        assert!(
            e.kind() == ErrorKind::Argument && e.to_string().contains(wanted) && e.to_string().contains("raw.rs"),
            "{text:?}: {e}"
        );
    }
    let e = RawKernel::new("", "no name").expect_err("a name");
    assert!(e.to_string().contains("is not a valid name of an entry point"), "{e}");
}

#[test]
#[allow(clippy::too_many_lines, reason = "one wrong call after another, on one device")]
fn wrong_calls_are_refused_and_the_device_goes_on() {
    let kernel = RawKernel::new(TRANSPOSE, "transpose").expect("a shader");
    assert_eq!(format!("{kernel:?}"), "RawKernel transpose(x, lengths) -> (y)");
    let (x, n) = (zeros([4], DType::F32).eval().unwrap(), array![2, 2]);
    let result = [([2, 2], DType::F32)];
    let refused = |e: Error, kind: ErrorKind, wanted: &str| {
        println!("{e}");
        assert!(
            e.kind() == kind && e.to_string().contains(wanted) && e.to_string().contains("raw.rs"),
            "{wanted}: {e}"
        );
    };
    refused(kernel.call([1, 1, 1], [&x, &n], result).unwrap_err(), ErrorKind::Unsupported, "cannot run shaders");
    let Some(d) = gpu(1) else { return };
    let d = &own(&d);
    let (x, n) = (x.to_device(d).unwrap(), n.to_device(d).unwrap());
    let argument = ErrorKind::Argument;
    refused(
        kernel.call([1, 1, 1], [&x], result).unwrap_err(),
        argument,
        "1 inputs and 1 results, but the shader reads 2 and writes 1",
    );
    refused(
        kernel.call([1, 1, 1], [&n, &n], result).unwrap_err(),
        argument,
        "the shader declares x as f32, but the array is i32",
    );
    refused(
        kernel.call([1, 1, 1], [&x, &n], [([2, 2], DType::I32)]).unwrap_err(),
        argument,
        "the shader declares y as f32",
    );
    refused(
        kernel.call([1, 1, 1], [&x, &n], [([0, 2], DType::F32)]).unwrap_err(),
        argument,
        "y needs at least 4 bytes",
    );
    refused(kernel.call([1, 1, 1], [&x, &n], [([-1, 2], DType::F32)]).unwrap_err(), ErrorKind::Shape, "negative");
    refused(
        kernel.call([1 << 30, 1, 1], [&x, &n], result).unwrap_err(),
        ErrorKind::LimitExceeded,
        "workgroups along an axis",
    );
    refused(kernel.call([1, 1, 1], [&x.log().reshape([3]), &n], result).unwrap_err(), ErrorKind::Shape, "reshape");
    let numbers = RawKernel::new(
        "struct Many { a: vec4<f32>, b: array<vec4<f32>, 3> }
         @group(0) @binding(0) var<storage, read> many: Many;
         @group(0) @binding(1) var<storage, read_write> y: array<f32>;
         @compute @workgroup_size(1) fn numbers() { y[0] = many.a.x + many.b[2].w; }",
        "numbers",
    )
    .unwrap();
    refused(
        numbers.call([1, 1, 1], [&x], [([1], DType::F32)]).unwrap_err(),
        argument,
        "many needs at least 64 bytes in the shader",
    );
    let sixteen = arange(0, 16, 1, DType::F32).to_device(d).unwrap();
    let [y] = numbers.call([1, 1, 1], [&sixteen], [([1], DType::F32)]).unwrap();
    assert_eq!(y.item::<f32>().unwrap(), 15.0);
    // an error from the driver: more invocations than any device supports
    let large = "@group(0) @binding(0) var<storage, read_write> y: array<f32>;
                 @compute @workgroup_size(16000) fn large() { y[0] = 1.0; }";
    let large = RawKernel::new(large, "large").expect("WGSL");
    refused(large.call_on(d, [1, 1, 1], [], [([1], DType::F32)]).unwrap_err(), ErrorKind::Unsupported, "workgroup");
    let wide = "@group(0) @binding(0) var<storage, read_write> y: array<f32>;
                var<workgroup> w: array<f32, 1000000>;
                @compute @workgroup_size(1) fn wide() { w[1] = 1.0; y[0] = w[1]; }";
    let wide = RawKernel::new(wide, "wide").expect("WGSL");
    refused(
        wide.call_on(d, [1, 1, 1], [], [([1], DType::F32)]).unwrap_err(),
        ErrorKind::LimitExceeded,
        "4000000 bytes of workgroup memory",
    );
    let two = "@group(0) @binding(0) var<storage, read_write> y: array<f32>;
               var<workgroup> w: array<f32, 1000000>;
               var<workgroup> v: array<f32, 4>;
               @compute @workgroup_size(1) fn large() { w[1] = 1.0; y[0] = w[1]; }
               @compute @workgroup_size(1) fn small() { v[1] = 2.0; y[0] = v[1]; }";
    let small = RawKernel::new(two, "small").expect("WGSL");
    assert_eq!(small.call_on(d, [1, 1, 1], [], [([1], DType::F32)]).unwrap()[0].item::<f32>().unwrap(), 2.0);
    let e = small.call_on(d, [1, 1, 1], [], [([1usize << 62], DType::F32)]).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::LimitExceeded, "{e}");
    let other = Device::cpu().with_memory_limit(1 << 20).unwrap();
    let e = large.call_on(&other, [1, 1, 1], [], [([1], DType::F32)]).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
    let e = kernel.call_on(&other, [1, 1, 1], [&x, &n], result).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::DeviceMismatch, "{e}");
    // after all these errors the device still works
    d.synchronize().unwrap();
    assert_eq!(transpose(&x, 2, 2).unwrap().to_vec::<f32>().unwrap(), [0.; 4]);
}

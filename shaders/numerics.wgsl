// Probes the device's own f32 operations: computes them for operands that the host chose. The host compares the results
// with its own.

// each vector has three operands a, b and c; the fourth word is unused
@group(0) @binding(0) var<storage, read> operands: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> results: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    if i >= arrayLength(&operands) {
        return;
    }
    let a = bitcast<f32>(operands[i].x);
    let b = bitcast<f32>(operands[i].y);
    let c = bitcast<f32>(operands[i].z);
    let at = i * 10u;
    results[at] = bitcast<u32>(a);
    results[at + 1u] = bitcast<u32>(a + b);
    results[at + 2u] = bitcast<u32>(a * b);
    results[at + 3u] = bitcast<u32>(a / b);
    results[at + 4u] = bitcast<u32>(sqrt(a));
    results[at + 5u] = bitcast<u32>(fma(a, b, c));
    // a compiler that contracts returns the fused result in word 6; one that reassociates returns b in word 7
    results[at + 6u] = bitcast<u32>(a * b + c);
    results[at + 7u] = bitcast<u32>((a + b) - a);
    results[at + 8u] = bitcast<u32>(i32(a));
    // a compiler that assumes that NaN and infinities do not occur returns 0
    results[at + 9u] = bitcast<u32>(a - a);
}

// Rounds to the device's f16, and returns the result as f32. The host replaces the body if the device has the type f16.
fn nearest_f16(x: f32) -> f32 {
    return x;
}

// Probes the conversions between f16 and f32. The first word of a vector has two f16, and the second word is an f32.
@compute @workgroup_size(64)
fn halves(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    if i >= arrayLength(&operands) {
        return;
    }
    let wide = unpack2x16float(operands[i].x);
    let x = bitcast<f32>(operands[i].y);
    let at = i * 5u;
    results[at] = bitcast<u32>(wide.x);
    results[at + 1u] = bitcast<u32>(wide.y);
    results[at + 2u] = pack2x16float(vec2<f32>(0.0, x)) >> 16u;
    results[at + 3u] = pack2x16float(vec2<f32>(nearest_f16(x), 0.0)) & 0xffffu;
    // a compiler may omit a conversion to f16 and back
    results[at + 4u] = bitcast<u32>(nearest_f16(x));
}

// Probes the device's own f32 operations: computes them for operands that the host chose. The host compares the results
// with its own.

// in each vector three operands a, b and c; the fourth word is unused
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
    let at = i * 11u;
    results[at] = bitcast<u32>(a);
    results[at + 1u] = bitcast<u32>(a + b);
    results[at + 2u] = bitcast<u32>(a * b);
    results[at + 3u] = bitcast<u32>(a / b);
    results[at + 4u] = bitcast<u32>(sqrt(a));
    results[at + 5u] = bitcast<u32>(fma(a, b, c));
    // a compiler that contracts returns the fused result; one that reassociates returns b
    results[at + 6u] = bitcast<u32>(a * b + c);
    results[at + 7u] = bitcast<u32>((a + b) - a);
    results[at + 8u] = pack2x16float(vec2<f32>(a, 0.0)) & 0xffffu;
    results[at + 9u] = bitcast<u32>(i32(a));
    // a compiler that assumes that NaN and infinities do not occur returns 0
    results[at + 10u] = bitcast<u32>(a - a);
}

// Conversion from f16 by the function of the device, as in half_unpack.wgsl, for devices on which the probe has seen
// that a NaN loses its sign. The sign of the f16 is put into the result.

fn f16_to_f32(bits: u32) -> f32 {
    return bitcast<f32>(bitcast<u32>(unpack2x16float(bits).x) | ((bits & 0x8000u) << 16u));
}

fn f16_high_to_f32(word: u32) -> f32 {
    return bitcast<f32>(bitcast<u32>(unpack2x16float(word).y) | (word & 0x80000000u));
}

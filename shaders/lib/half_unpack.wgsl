// Conversion from f16 by the function of the device. WGSL lets a device flush subnormals in it, so it is used only
// where the probe has seen that the device keeps them.

fn f16_to_f32(bits: u32) -> f32 {
    return unpack2x16float(bits).x;
}

fn f16_high_to_f32(word: u32) -> f32 {
    return unpack2x16float(word).y;
}

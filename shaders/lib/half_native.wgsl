// Conversion to f16 by WGSL's type of this name. It is used only where the probe has seen that the conversion rounds to
// the nearest, ties to even, and that no compiler omits a conversion to f16 and back.
//
// pack2x16float, which truncates on some devices, gets only numbers that are f16 values already. The operand is opaque,
// so that no compiler rounds a sum or product directly to f16.

fn cp_nearest_f16(x: f32) -> f32 {
    return f32(f16(cp_block(x)));
}

fn f32_to_f16(x: f32) -> u32 {
    return pack2x16float(vec2<f32>(cp_nearest_f16(x), 0.0));
}

fn f32_to_f16_pair(low: f32, high: f32) -> u32 {
    return pack2x16float(vec2<f32>(cp_nearest_f16(low), cp_nearest_f16(high)));
}

fn f16s_to_word(low: f32, high: f32) -> u32 {
    return pack2x16float(vec2<f32>(low, high));
}

fn round_f16(x: f32) -> f32 {
    return cp_nearest_f16(x);
}

// Conversion to f16 by pack2x16float. It is used only where the probe has seen that the function rounds to the nearest,
// ties to even. The operand is opaque, so that no compiler rounds a sum or product directly to f16.

fn f32_to_f16(x: f32) -> u32 {
    return pack2x16float(vec2<f32>(cp_block(x), 0.0));
}

fn f32_to_f16_pair(low: f32, high: f32) -> u32 {
    return pack2x16float(vec2<f32>(cp_block(low), cp_block(high)));
}

fn f16s_to_word(low: f32, high: f32) -> u32 {
    return pack2x16float(vec2<f32>(low, high));
}

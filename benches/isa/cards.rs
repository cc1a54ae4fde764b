//! The properties that drivers of graphics cards report, in `cards/*.json`, and the chips that Mesa's compiler knows.

use crate::driver::Result;
use cupric::testing::{Caps, Card, Cooperative, caps_of};
use serde_json::Value;

/// The cards: the name of each file, and its content.
const FILES: [(&str, &str); 8] = [
    ("rx6800", include_str!("cards/rx6800.json")),
    ("rx7900xtx", include_str!("cards/rx7900xtx.json")),
    ("h100", include_str!("cards/h100.json")),
    ("rtx4090", include_str!("cards/rtx4090.json")),
    ("a770", include_str!("cards/a770.json")),
    ("m1", include_str!("cards/m1.json")),
    ("adreno740", include_str!("cards/adreno740.json")),
    ("webgpu", include_str!("cards/webgpu.json")),
];

/// Returns the card for which kernels are planned, for a family of chips: the most common card with such a chip.
pub fn card_of(family: &str) -> &'static str {
    if family.starts_with("gfx11") { "rx7900xtx" } else { "rx6800" }
}

pub fn names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name)
}

/// Returns the capabilities that the library's device would have on a card.
pub fn caps(name: &str) -> Result<Caps> {
    let unknown = || format!("no card is called {name}: {}", names().collect::<Vec<_>>().join(", "));
    let (_, text) = FILES.iter().find(|(file, _)| *file == name).ok_or_else(unknown)?;
    let json: Value = serde_json::from_str(text)?;
    let number = |value: &Value| value.as_u64().ok_or_else(|| format!("cards/{name}.json: {value} is not a number"));
    let small = |value: &Value| Ok::<_, Box<dyn std::error::Error>>(u32::try_from(number(value)?)?);
    let list = |key: &str| json[key].as_array().cloned().unwrap_or_default();
    let limits = json["limits"].as_object().into_iter().flatten();
    let cooperative = list("cooperative").into_iter().map(|c| {
        let types = ["ab", "c"].map(|t| c[t].as_str().unwrap_or("").to_string());
        Ok(Cooperative { shape: [small(&c["m"])?, small(&c["n"])?, small(&c["k"])?], types })
    });
    let card = Card {
        name: json["name"].as_str().unwrap_or(name).to_string(),
        vendor: small(&json["vendor"])?,
        features: list("features").iter().filter_map(Value::as_str).map(str::to_string).collect(),
        limits: limits.map(|(key, value)| Ok((key.clone(), number(value)?))).collect::<Result<_>>()?,
        subgroup: [small(&json["subgroup"][0])?, small(&json["subgroup"][1])?],
        cooperative: cooperative.collect::<Result<_>>()?,
    };
    Ok(caps_of(&card)?)
}

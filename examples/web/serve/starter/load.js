// Written by cupric-serve at each build: loads the module of the crate that suits this engine.
const NAME = "@NAME@";

/** Whether this engine has relaxed SIMD and rounds its multiply-adds once, as the faster module needs. */
async function roundsOnce() {
  // a module with the function f(a, b, c), which returns a·b + c
  const bytes = [
    0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x01, 0x60, 0x03, 0x7d, 0x7d, 0x7d, 0x01, 0x7d, 0x03, 0x02, 0x01, 0x00,
    0x07, 0x05, 0x01, 0x01, 0x66, 0x00, 0x00, 0x0a, 0x16, 0x01, 0x14, 0x00, 0x20, 0x00, 0xfd, 0x13, 0x20, 0x01, 0xfd, 0x13, 0x20, 0x02,
    0xfd, 0x13, 0xfd, 0x85, 0x02, 0xfd, 0x1f, 0x00, 0x0b,
  ];
  try {
    const { instance } = await WebAssembly.instantiate(new Uint8Array(bytes));
    // the square of 1 + e is 1 + 2e + e², of which a rounded product loses the last term
    const e = 2 ** -23;
    return instance.exports.f(1 + e, 1 + e, -1 - 2 * e) === e * e;
  } catch {
    return false;
  }
}

/** Loads the module. Returns its functions, and the path of its folder. `?plain` in the page's address selects `plain/`. */
export async function load() {
  const isPlain = new URLSearchParams(location.search).has("plain");
  const folder = !isPlain && (await roundsOnce()) ? "./relaxed/" : "./plain/";
  const module = await import(`${folder}${NAME}.js`);
  await module.default({ module_or_path: new URL(`${folder}${NAME}_bg.wasm`, import.meta.url) });
  return { module, folder };
}

// A page to start from: calls the function `run` of the crate, and shows what it returns. cupric-serve does not overwrite it.
import { load } from "./load.js";

const output = document.getElementById("output");
try {
  const { module, folder } = await load();
  if (module.run) {
    output.textContent = `${await module.run()} (module ${folder})`;
  } else {
    const names = Object.keys(module).filter((name) => name !== "default" && name !== "initSync");
    output.textContent = `The crate exports: ${names.join(", ") || "nothing"}. This page calls the function run, if there is one.`;
  }
} catch (error) {
  output.textContent = `failed: ${error instanceof Error ? error.message : error}`;
}
// with ?report the server prints what the page shows
if (new URLSearchParams(location.search).has("report")) await fetch("/report", { method: "POST", body: output.textContent });

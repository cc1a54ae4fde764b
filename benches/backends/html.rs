//! The report as one HTML file: a page that contains the data and draws it, and loads nothing else.

use serde_json::Value;

const PAGE: &str = include_str!("report.html");
const SCRIPT: &str = include_str!("report.js");
const STYLE: &str = include_str!("report.css");

pub fn page(report: &Value) -> String {
    // `</script>` in a string of the data would end the script, so `<` is escaped
    let data = report.to_string().replace('<', "\\u003c");
    PAGE.replacen("/*STYLE*/", STYLE, 1).replacen("/*SCRIPT*/", SCRIPT, 1).replacen("/*DATA*/null", &data, 1)
}

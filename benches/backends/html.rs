//! The report as one file: the data in a page that draws it, with nothing fetched from anywhere.

use serde_json::Value;

const PAGE: &str = include_str!("report.html");
const SCRIPT: &str = include_str!("report.js");
const STYLE: &str = include_str!("report.css");

pub fn page(report: &Value) -> String {
    // `</script>` in a string would end the script
    let data = report.to_string().replace('<', "\\u003c");
    PAGE.replacen("/*STYLE*/", STYLE, 1).replacen("/*SCRIPT*/", SCRIPT, 1).replacen("/*DATA*/null", &data, 1)
}

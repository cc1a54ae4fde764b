//! What `CUPRIC_DEBUG` prints, and where it goes.

use cupric::*;

/// A logger that prints to the standard output.
struct Printer;

impl log::Log for Printer {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        println!("{} {}: {}", record.level(), record.target(), record.args());
    }
    fn flush(&self) {}
}

/// The work of the child processes that the next test starts.
#[test]
fn work_for_a_child() {
    if std::env::var_os("CUPRIC_TEST_LOGGER").is_some() {
        log::set_logger(&Printer).unwrap();
        log::set_max_level(log::LevelFilter::Debug);
    }
    array![1., 2.].exp().eval().unwrap();
}

#[test]
fn what_the_variable_asks_for_goes_to_the_logger_or_the_standard_error() {
    let of = |debug: &str, has_logger: bool| {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "debug::work_for_a_child", "--nocapture"]).env("CUPRIC_DEBUG", debug);
        if has_logger {
            child.env("CUPRIC_TEST_LOGGER", "1");
        }
        let output = child.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let [logged, shown] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        let logged_plan = logged.contains("DEBUG cupric::plan: plan: 1 kernel");
        (logged_plan, logged.contains("unknown word 'again'"), shown.contains("plan: 1 kernel"))
    };
    assert_eq!(of("", false), (false, false, false));
    assert_eq!(of("", true), (false, false, false));
    assert_eq!(of("plan", false), (false, false, true));
    assert_eq!(of("wgsl, plan", true), (true, false, false));
    assert_eq!(of("again,wgsl", true), (false, true, false));
}

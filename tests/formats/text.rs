//! Tables of numbers as text, with any separator or as CSV.

use crate::memory::peak;
use crate::{Folder, python, refused, same, samples};
use cupric::*;

#[track_caller]
fn read(text: &str, dtype: DType, format: &TextFormat) -> Result<Array> {
    let (result, used) = peak(|| Array::from_text_reader(text.as_bytes(), dtype, format));
    assert!(used <= 64 * text.len() + (1 << 14), "{used} bytes for {}", text.len());
    result
}

#[track_caller]
fn numbers(text: &str, format: &TextFormat) -> (Vec<usize>, Vec<f64>) {
    let x = read(text, DType::F64, format).unwrap();
    (x.shape().to_vec(), x.to_vec().unwrap())
}

#[test]
fn lines_and_columns() {
    let plain = TextFormat::new();
    assert_eq!(numbers("1 2\n\n  3\t4  # more\n#5 6\n", &plain), (vec![2, 2], vec![1., 2., 3., 4.]));
    assert_eq!(numbers("1 2\r\n3 4", &plain), (vec![2, 2], vec![1., 2., 3., 4.]));
    assert_eq!(numbers("\u{feff}7", &plain), (vec![1, 1], vec![7.]));
    assert_eq!(numbers("", &plain), (vec![0, 0], vec![]));
    assert_eq!(numbers("# nothing\n\n", &plain.clone().columns([1, 2])), (vec![0, 2], vec![]));
    assert_eq!(numbers("a b\nc d\n1 2\n", &plain.clone().skip_rows(2)), (vec![1, 2], vec![1., 2.]));
    assert_eq!(numbers("1", &plain.clone().skip_rows(9)), (vec![0, 0], vec![]));
    assert_eq!(
        numbers("1 x 2\n3 y 4 z\n", &plain.clone().columns([2, 0, 2])),
        (vec![2, 3], vec![2., 1., 2., 4., 3., 4.])
    );
    assert_eq!(numbers("1\n2\n3\nx", &plain.clone().max_rows(2)), (vec![2, 1], vec![1., 2.]));
    assert_eq!(numbers("1 % 2\n", &plain.clone().comments("%")), (vec![1, 1], vec![1.]));
    assert_eq!(numbers("1\t\t3\n", &plain.clone().delimiter('\t').missing("-1")), (vec![1, 3], vec![1., -1., 3.]));

    let tabs = plain.clone().delimiter('\t');
    assert_eq!(numbers("1\t2\n\t\n3\t4\n", &tabs.clone().missing("-1")), (vec![3, 2], vec![1., 2., -1., -1., 3., 4.]));
    refused(
        read("1\t2\n\t\n", DType::F64, &tabs),
        ErrorKind::Format,
        "line 2, column 1 (character 1): the field is empty",
    );
    refused(read("1 2\r3 4\r", DType::F64, &plain), ErrorKind::Format, "line 1: a carriage return within the line");
    refused(read("1\n", DType::F64, &plain.clone().columns([usize::MAX])), ErrorKind::Format, "line 1 has 1 columns");
    let latin = Array::from_text_reader(&b"Gr\xf6\xdfe\n1 2\n"[..], DType::F64, &plain.clone().skip_rows(1)).unwrap();
    assert_eq!(latin.to_vec::<f64>().unwrap(), [1., 2.]);

    let csv = TextFormat::csv();
    assert_eq!(numbers("1, 2 ,\"3\"\r\n4,5,\" 6 \" \n", &csv), (vec![2, 3], vec![1., 2., 3., 4., 5., 6.]));
    let named = "name,\"x, \"\"m\"\"\",y\n\"a\nb, \"\"c\"\"\",1,2\nd,3,4\n";
    assert_eq!(numbers(named, &csv.clone().names(["y", "x, \"m\""])), (vec![2, 2], vec![2., 1., 4., 3.]));
    assert_eq!(numbers("a,b\n1,2\n", &csv.clone().header()), (vec![1, 2], vec![1., 2.]));
    assert_eq!(numbers("# it's 5\"\n1,2\n", &csv.clone().comments("#")), (vec![1, 2], vec![1., 2.]));
    assert_eq!(numbers("1,\n", &csv.clone().missing("nan").columns([0])), (vec![1, 1], vec![1.]));
    assert!(numbers("1,\n", &csv.clone().missing("nan")).1[1].is_nan());
    // in CSV, comments are not allowed by default
    refused(
        read("1,#2\n", DType::F64, &csv),
        ErrorKind::Format,
        "line 1, column 2 (character 3): \"#2\" is not a number",
    );
}

#[test]
fn numbers_are_rounded_once() {
    let one = |text: &str, dtype| read(text, dtype, &TextFormat::new());
    let f64s = |text| one(text, DType::F64).unwrap().item::<f64>().unwrap();
    assert_eq!(f64s("+1.7976931348623157e308"), f64::MAX);
    assert_eq!(f64s("4.9e-324").to_bits(), 1);
    assert_eq!((f64s("-inf"), f64s("Infinity"), f64s(".5"), f64s("5.")), (-INF, INF, 0.5, 5.0));
    assert!(f64s("NaN").is_nan() && f64s("-0").is_sign_negative());
    // one digit below a tie of f16, and the f64 above that tie
    let f16s = |text| one(text, DType::F16).unwrap().to_vec_as::<f64>().unwrap()[0];
    assert_eq!(f16s("1.00146484374999983"), 1.0009765625);
    assert_eq!(f16s("1.00146484375000017"), 1.001953125);
    // a digit beyond f64 precision decides that this rounds up to the next f32
    let f32s = |text| one(text, DType::F32).unwrap().item::<f32>().unwrap();
    assert_eq!(f32s("1.00000005960464477539062500000000000000001"), 1.0 + f32::EPSILON);
    assert_eq!(f32s("1.000000059604644775390625"), 1.0);
    // 1 + 2^-11 is halfway between two f16, and 1 + 2^-8 between two bf16
    let f16s = |text| one(text, DType::F16).unwrap().item::<f16>().unwrap().to_f64();
    for (text, wanted) in [
        ("1.00048828125", 1.0),
        ("1.000488281250000000000000000001", 1.0009765625),
        ("-1.000488281250000000000000000001", -1.0009765625),
        ("100.0488281250000000000000000001e-2", 1.0009765625),
        ("1.000488281249999999999999999999", 1.0),
        ("1.00146484375", 1.001953125),
        ("1.001464843749999999999999999999", 1.0009765625),
        ("-1.001464843749999999999999999999", -1.0009765625),
        ("65519.99999999999999999999999", 65504.0),
        ("2.98023223876953125e-8", 0.0),
        ("0.0000000298023223876953125000000000000001", 2f64.powi(-24)),
        ("0e5", 0.0),
    ] {
        assert_eq!(f16s(text), wanted, "{text}");
    }
    let bf16s = |text| one(text, DType::BF16).unwrap().item::<bf16>().unwrap().to_f64();
    assert_eq!((bf16s("1.00390625"), bf16s("1.0039062500000000000000001")), (1.0, 1.0078125));
    let (beyond, outside) = ("beyond the largest finite number", "out of the range");
    for (text, dtype, why) in [
        ("1e400", DType::F64, beyond),
        ("1.7976931348623159e308", DType::F64, beyond),
        ("-1e39", DType::F32, beyond),
        ("65520", DType::F16, beyond),
        ("3.4e38x", DType::F32, "not a number"),
        ("1e39", DType::BF16, beyond),
        ("256", DType::U8, outside),
        ("-1", DType::U64, outside),
        ("1.0", DType::I32, "not a number"),
        ("9223372036854775808", DType::I64, outside),
        ("99999999999999999999999999", DType::I64, outside),
        ("2", DType::Bool, "not a number"),
        ("0x10", DType::I32, "not a number"),
        ("inf", DType::I32, "not a number"),
        ("1_000", DType::F32, "not a number"),
    ] {
        refused(one(text, dtype), ErrorKind::Format, &format!("\"{text}\" is {why} of dtype {dtype}"));
    }
    assert_eq!(one("1 0 true FALSE", DType::Bool).unwrap().to_vec::<bool>().unwrap(), [true, false, true, false]);
    assert_eq!(one("18446744073709551615", DType::U64).unwrap().item::<u64>().unwrap(), u64::MAX);
}

#[test]
fn errors_say_where() {
    let fails = |text: &str, format: &TextFormat, fact: &str| {
        drop(refused(read(text, DType::F32, format), ErrorKind::Format, fact));
    };
    let (plain, csv) = (TextFormat::new(), TextFormat::csv());
    fails("1 2\n3\n", &plain, "line 2 has 1 columns, where line 1 has 2");
    fails("# c\n\n1 2\n\n3 4 5\n", &plain, "line 5 has 3 columns, where line 3 has 2");
    fails("1 2\n3 ü4\n", &plain, "line 2, column 2 (character 3): \"\\xc3\\xbc4\" is not a number of dtype f32");
    let hint = "\"a\" is not a number of dtype f32; if the line is a header, use TextFormat::header()";
    fails("a,b\n1,2\n", &csv, hint);
    let without_hint = |text: &str, format: &TextFormat| {
        let e = refused(read(text, DType::F32, format), ErrorKind::Format, "is not a number");
        assert!(!e.to_string().contains("header"), "{e}");
    };
    without_hint("1,2\na,b\n", &csv);
    without_hint("a,b\nc,d\n", &csv.clone().header());
    fails("1e39,2\n", &csv, "\"1e39\" is beyond the largest finite number of dtype f32");
    fails("1,2\n3,\n", &csv, "line 2, column 2 (character 3): the field is empty");
    fails("1,\"2\n", &csv, "line 1: a quote is not closed");
    fails("1,\"2\"3\n", &csv, "line 1, column 2 (character 3): unexpected characters after a closing quote");
    fails("1,2\"\"\n", &csv, "line 1, column 2 (character 3): a quote inside a field");
    fails("\"a\nb\",x\n", &csv.clone().columns([1]), "line 2, column 2 (character 4): \"x\" is not a number");
    fails("1 2\n3\n", &plain.clone().columns([1]), "line 2 has 1 columns, but column 1 (counted from 0) was requested");
    fails("a,a\n", &csv.clone().names(["a"]), "line 1, column 2 (character 3): two columns are named \"a\"");
    let e = Array::from_text_reader(&b"1 2\n3 \xff\n"[..], DType::F32, &plain);
    refused(e, ErrorKind::Format, "line 2, character 3: not UTF-8");
    let absent = read("a,b\n", DType::F32, &csv.clone().names(["c"]));
    refused(absent, ErrorKind::Argument, "line 1: no column is named \"c\"");
    refused(read("", DType::F32, &csv.clone().delimiter('1')), ErrorKind::Argument, "delimiter '1'");
    let both = csv.clone().names(["a"]).columns([0]);
    refused(read("", DType::F32, &both), ErrorKind::Argument, "by position and by name");
    let folder = Folder::new("text-errors");
    refused(Array::from_text(folder.path("none"), DType::F32, &plain), ErrorKind::Io, "none: ");
    std::fs::write(folder.path("x.csv"), "1,y\n").unwrap();
    refused(Array::from_text(folder.path("x.csv"), DType::F32, &csv), ErrorKind::Format, "x.csv: line 1, column 2");
    let x = array![[1., 2.]];
    refused(x.to_text(folder.path("no/x"), &csv), ErrorKind::Io, "no/x: ");
    refused(zeros([1, 1, 1], DType::F32).to_text(folder.path("x"), &csv), ErrorKind::Shape, "has 3 axes");
    refused(x.to_text(folder.path("x"), &csv.clone().names(["a"])), ErrorKind::Shape, "1 names for 2 columns");
    let spaced = plain.clone().names(["a b", "c"]);
    refused(x.to_text(folder.path("x"), &spaced), ErrorKind::Argument, "\"a b\" cannot be written without quotes");
}

/// Reads a table in blocks of rows. Returns the blocks, and the error that ended the table.
fn blocks(text: &str, dtype: DType, format: &TextFormat, rows: usize) -> (Vec<Array>, Option<Error>) {
    let (mut found, mut error) = (vec![], None);
    let mut chunks = TextChunks::new(text.as_bytes(), dtype, format, rows).unwrap();
    for block in chunks.by_ref() {
        match block {
            Ok(block) => found.push(block),
            Err(e) => error = Some(e),
        }
    }
    assert!(chunks.next().is_none());
    (found, error)
}

#[test]
fn blocks_of_rows_are_the_whole_table() {
    let lines: Vec<String> = (0..57).map(|i| format!("{i},\"{},{i}\",{}", i * 3, 0.5 * i as f32)).collect();
    let quoted = format!("left out\nname,\"a\nb\",c\n{}\n\n", lines.join("\n# a comment\n\n"));
    let csv = TextFormat::csv().comments("#").skip_rows(1);
    let formats = [
        (csv.clone().header().columns([2, 0]), DType::F32),
        (csv.clone().names(["c", "name", "c"]), DType::F64),
        (csv.names(["name"]).max_rows(23), DType::U8),
    ];
    for (format, dtype) in formats {
        let whole = Array::from_text_reader(quoted.as_bytes(), dtype, &format).unwrap();
        assert!(whole.shape()[0] > 20, "{:?}", whole.shape());
        for rows in [1, 2, 19, 56, 57, 58, usize::MAX] {
            let (found, error) = blocks(&quoted, dtype, &format, rows);
            assert!(error.is_none(), "{error:?}");
            assert!(found[..found.len() - 1].iter().all(|block| block.shape()[0] == rows));
            same(&concat(&found, 0).eval().unwrap(), &whole);
        }
    }
    for empty in ["", "\n\n", "# nothing\n"] {
        assert!(blocks(empty, DType::F32, &TextFormat::new(), 3).0.is_empty());
    }
    assert!(blocks("a,b\n", DType::F32, &TextFormat::csv().header(), 3).0.is_empty());
}

#[test]
fn blocks_of_rows_end_at_an_error() {
    // columns are counted from the first block on, and lines from the start of the file
    let (found, error) = blocks("1 2\n3 4\n5 6\n7 8 9\n1 2\n", DType::F32, &TextFormat::new(), 2);
    assert_eq!(found.len(), 1);
    refused(Err::<(), _>(error.unwrap()), ErrorKind::Format, "line 4 has 3 columns, where line 1 has 2");
    let (_, error) = blocks("1\n2\nx\n", DType::F32, &TextFormat::csv(), 2);
    refused(Err::<(), _>(error.unwrap()), ErrorKind::Format, "TextChunks: line 3, column 1");
    let of =
        |path: &std::path::Path, rows: usize| TextChunks::open(path, DType::F32, &TextFormat::csv(), rows).map(|_| ());
    let folder = Folder::new("text-chunks");
    refused(of(&folder.path("none.csv"), 5), ErrorKind::Io, "TextChunks::open: ");
    refused(of(&folder.path("none.csv"), 0), ErrorKind::Argument, "blocks of 0 rows");
    std::fs::write(folder.path("x.csv"), "1,2\n3,y\n").unwrap();
    let last = TextChunks::open(folder.path("x.csv"), DType::F32, &TextFormat::csv(), 1).unwrap().last();
    refused(last.unwrap(), ErrorKind::Format, "x.csv: line 2, column 2");
    let both = TextFormat::csv().names(["a"]).columns([0]);
    refused(
        TextChunks::new(&b""[..], DType::F32, &both, 1).map(|_| ()),
        ErrorKind::Argument,
        "by position and by name",
    );
    let absent = TextFormat::csv().names(["c"]);
    let absent = TextChunks::new(&b"a,b\n"[..], DType::F32, &absent, 1).map(|_| ());
    refused(absent, ErrorKind::Argument, "no column is named \"c\"");
}

/// A block needs the memory of its rows, however long the table is.
#[test]
fn blocks_of_rows_need_little_memory() {
    let text = "1.5,2.5,3.5,4.5\n".repeat(50_000);
    let (sum, used) = peak(|| {
        let blocks = TextChunks::new(text.as_bytes(), DType::F32, &TextFormat::csv(), 1000).unwrap();
        blocks.map(|block| block.unwrap().sum(..).item::<f32>().unwrap() as f64).sum::<f64>()
    });
    assert_eq!(sum, 600_000.0);
    assert!(used < 100 << 10, "{used} bytes for blocks of {}", 16_000);
}

#[test]
fn what_is_written_reads_back_as_the_same_bits() {
    let mut all = samples();
    let odd = array![0.1, -0.0, 1e-45, 3.4e38, 1e16, 123456.79, INF, -INF];
    all.extend(
        [DType::F16, DType::BF16, DType::F32, DType::F64].map(|d| (d.to_string(), odd.astype(d).eval().unwrap())),
    );
    for format in
        [TextFormat::new(), TextFormat::csv(), TextFormat::csv().delimiter('\t'), TextFormat::new().delimiter('|')]
    {
        for (name, x) in all.iter().filter(|(_, x)| x.ndim() > 0 && x.size() > 0) {
            let text = x.to_text_writer(vec![], &format).unwrap();
            let y = Array::from_text_reader(&text[..], x.dtype(), &format).unwrap_or_else(|e| panic!("{name}: {e}"));
            same(&y.reshape(x.shape()).eval().unwrap(), x);
        }
    }
    let names = TextFormat::csv().names(["a,b", "c \"d\""]);
    let text = array![[1, 2]].to_text_writer(vec![], &names).unwrap();
    assert_eq!(String::from_utf8(text.clone()).unwrap(), "\"a,b\",\"c \"\"d\"\"\"\n1,2\n");
    assert_eq!(Array::from_text_reader(&text[..], DType::I32, &names).unwrap().to_vec::<i32>().unwrap(), [1, 2]);
}

#[test]
fn numpy_reads_what_is_written_and_the_other_way_round() {
    let folder = Folder::new("text-numpy");
    let x = (Rng::new(5).normal([50, 3], DType::F32) * 1e10).eval().unwrap();
    x.to_text(folder.path("x.txt"), &TextFormat::new()).unwrap();
    x.to_text(folder.path("x.csv"), &TextFormat::csv().names(["a", "b", "c"])).unwrap();
    let program = "
x = np.loadtxt('x.txt', dtype='f4')
y = np.loadtxt('x.csv', dtype='f4', delimiter=',', skiprows=1)
assert (x == y).all()
np.savetxt('theirs.txt', x, header='a b c')
np.savetxt('theirs.csv', y, delimiter=',', header='a,b,c', comments='', fmt='%.9g')
print(x.shape)
";
    let Some(said) = python(&folder, program) else { return };
    assert_eq!(said, "(50, 3)\n");
    same(&Array::from_text(folder.path("theirs.txt"), DType::F32, &TextFormat::new()).unwrap(), &x);
    same(&Array::from_text(folder.path("theirs.csv"), DType::F32, &TextFormat::csv().header()).unwrap(), &x);
}

/// Reads a CSV and fits a line.
#[test]
fn a_csv_to_a_fitted_line() {
    let text = "x,note,y\n0,\"a, b\",1.0\n1,,3.0\n2,,5.0\n3,\"\",7.0\n";
    let data = read(text, DType::F64, &TextFormat::csv().names(["x", "y"])).unwrap();
    let (x, y) = (data.slice(s![.., 0]), data.slice(s![.., 1]));
    let slope = ((&x - x.mean(..)) * (&y - y.mean(..))).sum(..) / (&x - x.mean(..)).square().sum(..);
    assert_eq!(slope.item::<f64>().unwrap(), 2.0);
}

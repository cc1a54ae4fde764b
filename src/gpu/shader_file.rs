//! The files of `shaders/` as constants. A web page downloads them with the module, so there they have no comments but
//! the marks that `gpu/wgsl/` reads, and most files that no browser can use are empty.

/// Returns the source in a file of `shaders/`.
macro_rules! shader_file {
    ($name:literal) => {
        $crate::base::platform::in_a_page!(
            {
                use $crate::gpu::shader_file::short;
                const FILE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $name));
                const SHORT: [u8; short::<0>(FILE).1] = short(FILE).0;
                match std::str::from_utf8(&SHORT) {
                    Ok(text) => text,
                    Err(_) => panic!("the rest of a shader is not UTF-8"),
                }
            },
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $name))
        )
    };
}

/// Returns the source in a file of `shaders/`, or "" in a web page: WebGPU has no f64 and no cooperative matrices.
macro_rules! native_shader_file {
    ($name:literal) => {
        $crate::base::platform::in_a_page!("", shader_file!($name))
    };
}

pub(super) use {native_shader_file, shader_file};

/// The beginnings of comments that `gpu/wgsl/` reads. They stay.
const KEPT: [&[u8]; 4] = [b"// block: ", b"// end", b"// for each ", b"// rare"];

/// Returns the first `N` bytes of a source without its comments and empty lines, and the length of the whole shortened
/// source.
#[allow(dead_code, reason = "only web pages and tests shorten sources")]
pub(super) const fn short<const N: usize>(text: &str) -> ([u8; N], usize) {
    let (text, mut short, mut len, mut at) = (text.as_bytes(), [0; N], 0, 0);
    while at < text.len() {
        // the end of this line, the start of its comment, and the end of what is before the comment
        let (mut end, mut comment) = (at, None);
        while end < text.len() && text[end] != b'\n' {
            if comment.is_none() && text[end] == b'/' && end + 1 < text.len() && text[end + 1] == b'/' {
                comment = Some(end);
            }
            end += 1;
        }
        let mut stop = end;
        if let Some(start) = comment
            && !is_kept(text, start)
        {
            stop = start;
            while stop > at && text[stop - 1] == b' ' {
                stop -= 1;
            }
        }
        // a line that is empty or has only a comment disappears
        if stop > at {
            while at < stop {
                if len < N {
                    short[len] = text[at];
                }
                len += 1;
                at += 1;
            }
            if len < N {
                short[len] = b'\n';
            }
            len += 1;
        }
        at = end + 1;
    }
    (short, len)
}

/// Returns whether the text at a position begins with one of [`KEPT`].
const fn is_kept(text: &[u8], at: usize) -> bool {
    let mut word = 0;
    while word < KEPT.len() {
        let mut same = 0;
        while same < KEPT[word].len() && at + same < text.len() && text[at + same] == KEPT[word][same] {
            same += 1;
        }
        if same == KEPT[word].len() {
            return true;
        }
        word += 1;
    }
    false
}

#[cfg(feature = "testing")]
mod tests {
    use super::short;

    crate::testing::unit_tests!(gpu_shader_file: comments_disappear_and_marks_stay);

    fn comments_disappear_and_marks_stay() {
        const FILE: &str =
            "// a title — long\n// block: one\nlet a = 1; // one\n\n    // and\n    // rare\n    b /= 2;\n// end\n";
        const SHORT: [u8; short::<0>(FILE).1] = short(FILE).0;
        assert_eq!(std::str::from_utf8(&SHORT), Ok("// block: one\nlet a = 1;\n    // rare\n    b /= 2;\n// end\n"));
    }
}

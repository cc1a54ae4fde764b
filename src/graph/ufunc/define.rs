//! The macro `define!`, which makes a static [`Ufunc`](super::Ufunc) from each row, and the list of the keys of a row.

/// Makes a static from each row, with the name of the row, and makes `ROWS`, the list of these statics. The `rows!`
/// macro of each file of rows passes its table to this macro and to `methods!` (in `ops/functions/mod.rs`).
///
/// A row consists of its documentation, `#[doc(alias(…))]` with its names in other libraries, and
/// `name(operands): Class { key: value, … }`. The keys may come in any order, each at most once. An *expression* below
/// is Rust code in which the operands' names are in scope.
///
/// | key | value |
/// |---|---|
/// | `cpu_float` | `[expression of f32, expression of f64]`, or with `; below` and cheaper ones: see below |
/// | `cpu_int` | `{ expression }` that is compiled for each of i32, u32, i64 and u64 |
/// | `cpu_bool` | `{ expression }` of bool, which is a u8 of 0 or 1, or any u8 with the property `takes_any_byte` |
/// | `wgsl_f32`, `wgsl_f64`, `wgsl_int`, `wgsl_bool` | the WGSL source: see [`Ufunc::wgsl`](super::Ufunc::wgsl) |
/// | `wgsl_long` | the WGSL source for i64 and u64, if it differs from `wgsl_int`: see below |
/// | `exact` | `{ expression }` of f64: see [`Ufunc::exact`](super::Ufunc::exact) |
/// | `exact_int`, `exact_int(w)` | `{ expression }` of i128, and of `w`, the width: see [`ExactInt`](super::ExactInt) |
/// | `domain` | `[from, to]`: see [`Ufunc::domain`](super::Ufunc::domain) |
/// | `reduce` | `{ method: …, neutral: …, empty: …, order: … }`: see below and [`Reduction`](super::UfuncReduction) |
/// | `compares` | a [`Comparison`](super::Comparison) |
/// | `threaded` | `none`, `f32`, `pairs`, `all`, `all_pairs`, `both` or `products`: see below |
/// | `cost`, `shader_cost` | a number of additions: see [`Properties`](super::Properties) |
/// | `is` | `[flag, …]` of [`Properties`](super::Properties) |
/// | `half` | `[row of f16, row of bf16]`: see [`Ufunc::half`](super::Ufunc::half) |
/// | `derivative(g, out)` | `[{ formula }, …]`, one per operand; `zero` or `unknown` can replace each: see below |
///
/// A CPU expression returns a bool as u8 in the classes `Compare`, `Test` and `Logical`, and the operands' type in the
/// other classes. In a row of one operand, `cpu_float` may be `[f32, f64; below limit32 => fast32, limit64 => fast64]`.
/// `fast32` and `fast64` are cheaper expressions that return the same bits for operands up to these magnitudes. A row
/// needs `wgsl_long` if `wgsl_int` uses an operator or a built-in function of WGSL, because not every GPU has them for
/// 64 bits.
///
/// *Threaded code* is a CPU kernel made of small functions, its *instructions*, that call each other in tail position.
/// Each instruction costs about 20 ms of compile time, so a row has only the instructions that pay off in measurements.
/// The key `threaded` selects these instructions. Without the key, a row has instructions for all types, but in the
/// classes `Float` and `FloatOnly` it has none.
///
/// `f32` selects only that type. `both` selects all types, and adds instructions that take the second operand from the
/// accumulator ([`InstructionCodes`](crate::math::simd::threaded::InstructionCodes)), and for floats the loop whose
/// second operand is one element per row, because programs use the same functions there. `products` is `both` plus, for
/// floats, instructions where one operand is the product of two others. `pairs` and `all_pairs` are `f32` and `all`,
/// plus an f32 instruction that computes each pair of equal numbers only once; random normal numbers use this
/// instruction.
///
/// In `reduce`, `method` is a name, `neutral` a [`Neutral`](super::Neutral), `empty` a number or `refused`, and `order`
/// is `fixed`, or `free` if floats return the same bits in any order. A row that picks one of its operands adds
/// `picks: Smallest` or `picks: Largest`, and `scan`, the name of its scan method. Other scan methods are named
/// `cumulative_` plus the method, or `logcumsumexp`. `loops: plain` leaves out the fast loops over short rows, and
/// `loops: narrow` leaves them out for 64-bit integers ([`Reduces`](crate::math::simd::Reduces)).
///
/// Every row that returns floats has the key `derivative`. A formula is Rust code of [`Formula`](super::Formula)s. In
/// its scope are the operands' names, `out` (the result) and `g` (the cotangent, which must be a factor of the
/// formula). The formula uses the result instead of an operand wherever that is exact, so that the operand need not be
/// stored until the derivative is computed.
macro_rules! define {
    ($(
        $(#[doc = $doc:literal])+
        $(#[doc($alias:meta)])?
        $name:ident $args:tt : $class:ident { $($key:ident $(($($w:ident),+))? : $value:tt),* $(,)? }
    )*) => {
        $(
            #[allow(non_upper_case_globals)]
            pub(crate) static $name: $crate::graph::ufunc::Ufunc = {
                #[allow(unused_imports)]
                use $crate::{base::dtype::Compute, graph::ufunc::Class};
                // a duplicate key makes two variants of one name, which the compiler rejects
                #[allow(dead_code, non_camel_case_types)]
                enum EachKeyOnce { $($key),* }
                #[allow(dead_code)]
                const REDUCES: Option<$crate::math::simd::Reduces> = $crate::graph::ufunc::define!(@loops $($key $value)*);
                #[allow(dead_code)]
                const THREADED: &str = $crate::graph::ufunc::define!(@rule $class $($key $value)*);
                let doc = concat!($($doc, " "),+);
                #[allow(unused_mut)]
                let mut row = $crate::graph::ufunc::Ufunc::new(
                    stringify!($name), doc, $crate::graph::ufunc::define!(@arity $args), Class::$class,
                );
                $( $crate::graph::ufunc::define!(@set row $class $args; $key $(($($w),+))? $value); )*
                row
            };
        )*
        #[allow(dead_code)]
        pub(crate) static ROWS: &[&$crate::graph::ufunc::Ufunc] = &[$(&$name),*];
    };

    // `@set` has one arm for each key. The arm for a key sets the corresponding field of the row
    (@set $row:ident $class:ident $args:tt; cpu_float [$f32:expr, $f64:expr]) => {
        $row.forms[Compute::F32 as usize] = $crate::graph::ufunc::define!(@forms f32 $class $args { $f32 });
        $row.forms[Compute::F64 as usize] = $crate::graph::ufunc::define!(@forms f64 $class $args { $f64 });
    };
    (@set $row:ident $class:ident $args:tt; cpu_float [
        $f32:expr, $f64:expr; below $limit32:expr => $fast32:expr, $limit64:expr => $fast64:expr
    ]) => {
        $row.forms[Compute::F32 as usize] = $crate::graph::ufunc::define!(@forms f32 $class $args { $f32 } $limit32, { $fast32 });
        $row.forms[Compute::F64 as usize] = $crate::graph::ufunc::define!(@forms f64 $class $args { $f64 } $limit64, { $fast64 });
    };
    (@set $row:ident $class:ident $args:tt; cpu_int $f:tt) => {
        $row.forms[Compute::I32 as usize] = $crate::graph::ufunc::define!(@forms i32 $class $args $f);
        $row.forms[Compute::U32 as usize] = $crate::graph::ufunc::define!(@forms u32 $class $args $f);
        $row.forms[Compute::I64 as usize] = $crate::graph::ufunc::define!(@forms i64 $class $args $f);
        $row.forms[Compute::U64 as usize] = $crate::graph::ufunc::define!(@forms u64 $class $args $f);
    };
    (@set $row:ident $class:ident $args:tt; cpu_bool $f:tt) => {
        $row.forms[Compute::Bool as usize] = $crate::graph::ufunc::define!(@forms u8 $class $args $f);
    };
    (@set $row:ident $class:ident $args:tt; wgsl_f32 $text:literal) => {
        $row.wgsl[Compute::F32 as usize] = Some($text);
    };
    (@set $row:ident $class:ident $args:tt; wgsl_f64 $text:literal) => {
        $row.wgsl[Compute::F64 as usize] = Some($text);
    };
    (@set $row:ident $class:ident $args:tt; wgsl_int $text:literal) => {
        $row.wgsl[Compute::I32 as usize] = Some($text);
        $row.wgsl[Compute::U32 as usize] = Some($text);
        // if `wgsl_long` comes before `wgsl_int`, keep the source that it has set
        if $row.wgsl[Compute::I64 as usize].is_none() {
            $row.wgsl[Compute::I64 as usize] = Some($text);
            $row.wgsl[Compute::U64 as usize] = Some($text);
        }
    };
    (@set $row:ident $class:ident $args:tt; wgsl_long $text:literal) => {
        $row.wgsl[Compute::I64 as usize] = Some($text);
        $row.wgsl[Compute::U64 as usize] = Some($text);
    };
    (@set $row:ident $class:ident $args:tt; wgsl_bool $text:literal) => {
        $row.wgsl[Compute::Bool as usize] = Some($text);
    };
    (@set $row:ident $class:ident $args:tt; exact $f:tt) => {
        $row.exact = Some($crate::graph::ufunc::define!(@exact $args $f));
    };
    (@set $row:ident $class:ident $args:tt; exact_int $f:tt) => {
        $row.exact_int = Some($crate::graph::ufunc::define!(@exact_int $args width $f));
    };
    (@set $row:ident $class:ident $args:tt; exact_int ($w:ident) $f:tt) => {
        $row.exact_int = Some($crate::graph::ufunc::define!(@exact_int $args $w $f));
    };
    (@set $row:ident $class:ident $args:tt; domain $domain:tt) => { $row.domain = $domain; };
    (@set $row:ident $class:ident $args:tt; reduce {
        method: $method:ident, neutral: $neutral:ident, empty: $empty:tt, order: $order:ident $(, loops: $loops:ident)?
        $(, picks: $extreme:ident, scan: $scan:ident)?
    }) => {
        $row.reduce = Some($crate::graph::ufunc::UfuncReduction {
            method: stringify!($method),
            cumulative: $crate::graph::ufunc::define!(@cumulative $method $($scan)?),
            neutral: $crate::graph::ufunc::Neutral::$neutral,
            empty: $crate::graph::ufunc::define!(@empty $empty),
            reorders_floats: $crate::graph::ufunc::define!(@reorders $order),
            picks: $crate::graph::ufunc::define!(@picks $($extreme)?),
        });
    };
    (@set $row:ident $class:ident $args:tt; compares $comparison:ident) => {
        $row.properties.compares = Some($crate::graph::ufunc::Comparison::$comparison);
    };
    (@set $row:ident $class:ident $args:tt; cost $cost:literal) => { $row.properties.cost = $cost; };
    (@set $row:ident $class:ident $args:tt; shader_cost $cost:literal) => { $row.properties.shader_cost = $cost; };
    (@set $row:ident $class:ident $args:tt; is [$($flag:ident),*]) => { $( $row.properties.$flag = true; )* };
    (@set $row:ident $class:ident $args:tt; threaded $rule:ident) => {};
    (@set $row:ident $class:ident $args:tt; half $rows:tt) => { $row.half = Some($rows); };
    (@set $row:ident $class:ident $args:tt; derivative ($g:ident, $out:ident) [$($partial:tt),+]) => {
        $row.derivative = Some(&[$( $crate::graph::ufunc::define!(@partial $args $g $out $partial) ),+]);
    };
    (@set $row:ident $class:ident $args:tt; derivative zero) => {
        $row.derivative = Some(&[$crate::graph::ufunc::Partial::Zero; 3]);
    };
    (@set $row:ident $class:ident $args:tt; derivative unknown) => {
        $row.derivative = Some(&[$crate::graph::ufunc::Partial::Unknown; 3]);
    };

    // `@partial` makes the derivative with respect to one operand
    (@partial $args:tt $g:ident $out:ident zero) => { $crate::graph::ufunc::Partial::Zero };
    (@partial $args:tt $g:ident $out:ident unknown) => { $crate::graph::ufunc::Partial::Unknown };
    (@partial ($x:ident) $g:ident $out:ident $f:tt) => {
        $crate::graph::ufunc::define!(@formula [$x, _, _] $g $out $f)
    };
    (@partial ($x:ident, $y:ident) $g:ident $out:ident $f:tt) => {
        $crate::graph::ufunc::define!(@formula [$x, $y, _] $g $out $f)
    };
    (@partial ($x:ident, $y:ident, $z:ident) $g:ident $out:ident $f:tt) => {
        $crate::graph::ufunc::define!(@formula [$x, $y, $z] $g $out $f)
    };
    (@formula [$($x:tt),+] $g:ident $out:ident $f:tt) => {{
        #[allow(unused_imports, unused_variables)]
        fn derivative(
            [$($x),+]: [&$crate::graph::ufunc::Formula; 3],
            $out: &$crate::graph::ufunc::Formula,
            $g: &$crate::graph::ufunc::Formula,
        ) -> $crate::graph::ufunc::Formula {
            use $crate::graph::ufunc::formula::{normal_density, one_minus, select, shared};
            $f
        }
        $crate::graph::ufunc::Partial::Is(derivative)
    }};

    // `@loops` searches the keys for `reduce`, and returns which loops the CPU has for the reduction
    (@loops reduce {
        method: $method:ident, neutral: $neutral:ident, empty: $empty:tt, order: $order:ident, loops: plain
    } $($rest:tt)*) => { Some($crate::math::simd::Reduces::Plainly) };
    (@loops reduce {
        method: $method:ident, neutral: $neutral:ident, empty: $empty:tt, order: $order:ident, loops: narrow
        $(, picks: $extreme:ident, scan: $scan:ident)?
    } $($rest:tt)*) => { Some($crate::math::simd::Reduces::NarrowQuickly) };
    (@loops reduce $value:tt $($rest:tt)*) => { Some($crate::math::simd::Reduces::Quickly) };
    (@loops $key:ident $value:tt $($rest:tt)*) => { $crate::graph::ufunc::define!(@loops $($rest)*) };
    (@loops) => { None };
    (@empty refused) => { None };
    (@empty $number:literal) => { Some($number) };
    (@cumulative logsumexp) => { "logcumsumexp" };
    (@cumulative $method:ident) => { concat!("cumulative_", stringify!($method)) };
    (@cumulative $method:ident $scan:ident) => { stringify!($scan) };
    (@picks) => { None };
    (@picks $extreme:ident) => { Some($crate::graph::ufunc::Extreme::$extreme) };
    (@reorders free) => { true };
    (@reorders fixed) => { false };
    (@arity ($a:ident)) => { 1 };
    (@arity ($a:ident, $b:ident)) => { 2 };
    (@arity ($a:ident, $b:ident, $c:ident)) => { 3 };

    // `@result` is the type of a CPU expression's result
    (@result $t:ident Compare) => { u8 };
    (@result $t:ident Test) => { u8 };
    (@result $t:ident Logical) => { u8 };
    (@result $t:ident $class:ident) => { $t };

    // `@forms` makes the loops of one compute type. A limit and a cheaper expression for operands up to this limit may
    // follow
    (@forms $t:ident $class:ident $args:tt $f:tt $($limit:expr, $fast:tt)?) => {{
        struct F;
        impl $crate::math::simd::ScalarFn<$t, $t, $t, $crate::graph::ufunc::define!(@result $t $class)> for F {
            $crate::graph::ufunc::define!(@fn call $t $class $args $f);
            $(
                const HAS_FAST_PATH: bool = true;
                #[inline(always)]
                fn on_fast_path(x: $t) -> bool { x.abs() <= $limit }
                $crate::graph::ufunc::define!(@fn fast_path $t $class $args $fast);
            )?
        }
        type R = $crate::graph::ufunc::define!(@result $t $class);
        const ARITY: usize = $crate::graph::ufunc::define!(@arity $args);
        let threaded = $crate::graph::ufunc::define!(@threaded $t R F);
        const LOOPS: Option<$crate::math::simd::Reduces> =
            $crate::math::simd::Reduces::of(REDUCES, $crate::graph::ufunc::define!(@is_long $t));
        let by_row = $crate::graph::ufunc::define!(@by_row $t $class F);
        Some($crate::math::simd::Forms::of::<$t, $t, $t, R, F>(ARITY, LOOPS).with_threaded(threaded).with_by_row(by_row))
    }};

    // `@by_row` makes the loops for each row and one element, which only functions from floats to floats have
    (@by_row $t:ident Compare $f:ident) => { None };
    (@by_row $t:ident Test $f:ident) => { None };
    (@by_row $t:ident Logical $f:ident) => { None };
    (@by_row f32 $class:ident $f:ident) => {
        match $crate::math::simd::RowLoops::exist(THREADED) {
            true => Some($crate::graph::ufunc::cast::by_row::<$f>()),
            false => None,
        }
    };
    (@by_row f64 $class:ident $f:ident) => {
        match $crate::math::simd::RowLoops::exist(THREADED) {
            true => {
                let plain = $crate::math::simd::Loops::by_row::<f64, f64, f64, f64, $f>();
                Some($crate::math::simd::RowLoops { plain, of_f16: None, to_f16: None })
            }
            false => None,
        }
    };
    (@by_row $t:ident $class:ident $f:ident) => { None };

    (@is_long i64) => { true };
    (@is_long u64) => { true };
    (@is_long $t:ident) => { false };

    // `@rule` searches the keys for the rule `threaded`
    (@rule $class:ident threaded $rule:ident $($rest:tt)*) => { stringify!($rule) };
    (@rule $class:ident $key:ident $value:tt $($rest:tt)*) => { $crate::graph::ufunc::define!(@rule $class $($rest)*) };
    (@rule Float) => { "none" };
    (@rule FloatOnly) => { "none" };
    (@rule $class:ident) => { "all" };

    // `@threaded` makes the instructions of threaded code, for words of 4 and of 8 bytes. A bool fits in words of
    // either size, and a number only in words of its own size
    (@threaded u8 $r:ident $f:ident) => {
        [$crate::graph::ufunc::define!(@words4 u8 $r $f), $crate::graph::ufunc::define!(@words8 u8 $r $f)]
    };
    (@threaded f32 $r:ident $f:ident) => {
        {
            use $crate::math::simd::threaded::{M4, N4, InstructionCodes};
            let words = $crate::graph::ufunc::define!(@words4 f32 $r $f);
            let words = InstructionCodes::with_pairs::<f32, $r, $f>(words, THREADED);
            [InstructionCodes::with_products::<u32, N4, M4, f32, $r, $f>(words, THREADED), None]
        }
    };
    (@threaded f64 $r:ident $f:ident) => {
        {
            use $crate::math::simd::threaded::{M8, N8, InstructionCodes};
            let words = $crate::graph::ufunc::define!(@words8 f64 $r $f);
            [None, InstructionCodes::with_products::<u64, N8, M8, f64, $r, $f>(words, THREADED)]
        }
    };
    (@threaded i64 $r:ident $f:ident) => { [None, $crate::graph::ufunc::define!(@words8 i64 $r $f)] };
    (@threaded u64 $r:ident $f:ident) => { [None, $crate::graph::ufunc::define!(@words8 u64 $r $f)] };
    (@threaded $t:ident $r:ident $f:ident) => { [$crate::graph::ufunc::define!(@words4 $t $r $f), None] };
    (@words4 $t:ident $r:ident $f:ident) => {
        {
            use $crate::math::simd::threaded::{M4, N4, InstructionCodes};
            InstructionCodes::by::<u32, N4, M4, $t, $t, $t, $r, $f>(THREADED, stringify!($t), ARITY)
        }
    };
    (@words8 $t:ident $r:ident $f:ident) => {
        {
            use $crate::math::simd::threaded::{M8, N8, InstructionCodes};
            InstructionCodes::by::<u64, N8, M8, $t, $t, $t, $r, $f>(THREADED, stringify!($t), ARITY)
        }
    };
    (@fn $name:ident $t:ident $class:ident ($x:ident) $f:tt) => {
        #[inline(always)]
        #[allow(unused_variables, unused_braces)]
        fn $name($x: $t, _: $t, _: $t) -> $crate::graph::ufunc::define!(@result $t $class) $f
    };
    (@fn $name:ident $t:ident $class:ident ($x:ident, $y:ident) $f:tt) => {
        #[inline(always)]
        #[allow(unused_variables)]
        fn $name($x: $t, $y: $t, _: $t) -> $crate::graph::ufunc::define!(@result $t $class) $f
    };
    (@fn $name:ident $t:ident $class:ident ($x:ident, $y:ident, $z:ident) $f:tt) => {
        #[inline(always)]
        fn $name($x: $t, $y: $t, $z: $t) -> $crate::graph::ufunc::define!(@result $t $class) $f
    };

    // `@exact` and `@exact_int` make the references for tests
    (@exact ($a:ident) $f:tt) => {{ #[allow(unused_variables)] fn exact($a: f64, _: f64, _: f64) -> f64 $f exact }};
    (@exact ($a:ident, $b:ident) $f:tt) => {{ fn exact($a: f64, $b: f64, _: f64) -> f64 $f exact }};
    (@exact ($a:ident, $b:ident, $c:ident) $f:tt) => {{ fn exact($a: f64, $b: f64, $c: f64) -> f64 $f exact }};
    (@exact_int ($a:ident) $w:ident $f:tt) => {{
        #[allow(unused_variables)] fn exact($a: i128, _: i128, _: i128, $w: u32) -> i128 $f exact
    }};
    (@exact_int ($a:ident, $b:ident) $w:ident $f:tt) => {{
        #[allow(unused_variables)] fn exact($a: i128, $b: i128, _: i128, $w: u32) -> i128 $f exact
    }};
    (@exact_int ($a:ident, $b:ident, $c:ident) $w:ident $f:tt) => {{
        #[allow(unused_variables)] fn exact($a: i128, $b: i128, $c: i128, $w: u32) -> i128 $f exact
    }};
}
pub(crate) use define;

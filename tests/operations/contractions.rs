//! Products beyond `matmul`: `einsum` with random subscripts, and `tensordot`, `inner`, `vecdot`, `outer`, `kron`,
//! `cross`, `trace`, `matrix_power`, `multi_dot` and norms, compared with plain loops. The elements are small whole
//! numbers, so that sums are equal in any order of additions; `contract/composites/` tests the accuracy for other
//! numbers.

use crate::kit::stage::Stage;
use crate::kit::*;
use cupric::DType::*;
use cupric::*;

/// A host array of whole numbers in C order.
type Whole = Host<i128>;

/// The bits of a whole number in a type.
fn bits(t: DType, x: i128) -> u64 {
    if t.is_float() { number::round_integer(t, x) } else { number::wrap(t, x) }
}

/// Random whole numbers that the type holds: 0 and 1 for bool, no negative ones for unsigned types.
fn whole(t: DType, shape: &[usize], dice: &mut Dice) -> Whole {
    Host::of(shape, |_| match t {
        Bool => dice.one_in(3) as i128,
        t if t.is_unsigned_integer() => dice.below(5) as i128,
        _ => dice.between(-3, 3) as i128,
    })
}

/// An array with these elements, stored with its axes in another order, with gaps, and some axes reversed.
fn laid_out(t: DType, host: &Whole, dice: &mut Dice, d: &Device) -> Expr {
    let ndim = host.shape.len();
    let mut order: Vec<usize> = (0..ndim).collect();
    if dice.one_in(2) {
        (1..ndim).for_each(|i| order.swap(i, dice.below(i + 1)));
    }
    let steps: Vec<isize> = (0..ndim).map(|_| *dice.of(&[1isize, 1, 1, 1, 1, 2, -1, -2])).collect();
    // memory holds the axes in `order`, each with its stride
    let stored = Host::of(&order.iter().map(|a| host.shape[*a] * steps[*a].unsigned_abs()).collect::<Vec<_>>(), |at| {
        let mut index = vec![0; ndim];
        for (place, a) in order.iter().enumerate() {
            let step = steps[*a].unsigned_abs();
            let forward = if steps[*a] < 0 { host.shape[*a] * step - 1 - at[place] } else { at[place] };
            if forward % step != 0 {
                return 1;
            }
            index[*a] = forward / step;
        }
        host.at(&index)
    });
    let words: Vec<u64> = stored.data.iter().map(|x| bits(t, *x)).collect();
    let array = kit_array(t, &words, &stored.shape, d);
    let mut back = vec![0isize; ndim];
    order.iter().enumerate().for_each(|(place, a)| back[*a] = place as isize);
    let ranges: Vec<SliceItem> =
        steps.iter().map(|step| SliceItem::Range { start: None, end: None, step: *step }).collect();
    array.permute_dims(&back[..]).slice(ranges)
}

fn kit_array(t: DType, words: &[u64], shape: &[usize], d: &Device) -> Array {
    array(t, words, shape, d).unwrap_or_else(|e| panic!("{t} {shape:?}: {e}"))
}

/// Asserts that an expression has these whole numbers.
#[track_caller]
fn same_whole(what: &str, got: &Expr, t: DType, want: &Whole) {
    let shape = got.shape().unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!(shape, want.shape, "{what}: shape");
    assert_eq!(got.dtype().unwrap(), t, "{what}: dtype");
    let got_bits = read(got).unwrap_or_else(|e| panic!("{what}: {e}"));
    let wanted: Vec<u64> = want.data.iter().map(|x| bits(t, *x)).collect();
    let equal = |g: &u64, w: &u64| g == w || t.is_float() && number::real(t, *g) == number::real(t, *w);
    let wrong = got_bits.iter().zip(&wanted).position(|(g, w)| !equal(g, w));
    if let Some(i) = wrong {
        let [g, w] = [got_bits[i], wanted[i]].map(|b| number::show(t, b));
        panic!("{what} of {t}: element {i} is {g}, not {w}\n{}", got.plan().unwrap());
    }
}

/// The dtypes that a device supports.
fn types(d: &Device) -> Vec<DType> {
    DType::ALL.into_iter().filter(|t| has(d, *t)).collect()
}

/// The sum of products given by labels: a string of labels for each operand, and one for the result. Axes within an
/// ellipsis have digits as labels.
fn defined(t: DType, terms: &[Vec<char>], operands: &[Whole], out: &[char]) -> Whole {
    let mut labels: Vec<char> = out.to_vec();
    terms.iter().flatten().for_each(|c| {
        if !labels.contains(c) {
            labels.push(*c)
        }
    });
    let extent = |c: &char| {
        let of = |(term, x): (&Vec<char>, &Whole)| -> Vec<usize> {
            term.iter().zip(&x.shape).filter(|(l, _)| *l == c).map(|(_, n)| *n).collect()
        };
        let all: Vec<usize> = terms.iter().zip(operands).flat_map(of).collect();
        all.iter().copied().find(|n| *n != 1).unwrap_or(1)
    };
    let extents: Vec<usize> = labels.iter().map(extent).collect();
    let mut sums = Host::of(&extents[..out.len()], |_| 0i128);
    for index in every_index(&extents) {
        let mut product = 1i128;
        for (term, x) in terms.iter().zip(operands) {
            let at: Vec<usize> = (term.iter().zip(&x.shape))
                .map(|(c, n)| if *n == 1 { 0 } else { index[labels.iter().position(|l| l == c).unwrap()] })
                .collect();
            product *= x.at(&at);
        }
        let flat = index[..out.len()].iter().zip(&extents).fold(0, |flat, (i, n)| flat * n + i);
        sums.data[flat] += product;
    }
    if t == Bool { sums.map(|x| (x != 0) as i128) } else { sums }
}

/// Makes a random call of `einsum`, evaluates it and compares the result.
fn one_einsum(t: DType, dice: &mut Dice, d: &Device) {
    let letters: Vec<char> = (0..5).map(|i| ['i', 'j', 'A', 'z', 'k'][i]).collect();
    let extents: Vec<usize> = letters.iter().map(|_| *dice.of(&[1usize, 2, 2, 3, 3, 4, 5])).collect();
    let empty = dice.one_in(25);
    let ellipsis: Vec<usize> = (0..2).map(|_| *dice.of(&[1usize, 2, 3])).collect();
    let uses_ellipsis = dice.one_in(3);
    let (mut text, mut terms, mut hosts) = (vec![], vec![], vec![]);
    let most = if dice.one_in(8) { 7 } else { 3 };
    let operands = 1 + dice.below(most);
    for _ in 0..operands {
        let (mut written, mut labels, mut shape) = (String::new(), vec![], vec![]);
        let count = dice.below(if operands > 3 { 3 } else { 5 });
        let place = dice.below(count + 1);
        for i in 0..=count {
            if i == place && uses_ellipsis && !dice.one_in(4) {
                written += *dice.of(&["...", " ... "]);
                let axes = dice.below(3);
                for (e, n) in ellipsis.iter().enumerate().skip(2 - axes) {
                    labels.push((b'0' + e as u8) as char);
                    shape.push(if dice.one_in(4) { 1 } else { *n });
                }
            }
            if i < count {
                let which = dice.below(letters.len());
                let length = if empty && which == 0 { 0 } else { extents[which] };
                // a letter that occurs twice in one operand has the same length both times
                let known = labels.iter().position(|l| *l == letters[which]).map(|p| shape[p]);
                let alone = if dice.one_in(6) && length != 0 { 1 } else { length };
                written.push(letters[which]);
                labels.push(letters[which]);
                shape.push(known.unwrap_or(alone));
            }
        }
        text.push(written);
        hosts.push(whole(t, &shape, dice));
        terms.push(labels);
    }
    let all: Vec<char> = terms.concat();
    let mut dots: Vec<char> = all.iter().copied().filter(char::is_ascii_digit).collect();
    dots.sort_unstable();
    dots.dedup();
    let mut once: Vec<char> = letters.iter().copied().filter(|c| all.iter().filter(|x| *x == c).count() == 1).collect();
    once.sort_unstable();
    let mut subscripts = text.join(",");
    let mut out = [&dots[..], &once].concat();
    if dice.one_in(2) {
        let mut kept: Vec<char> = letters.iter().copied().filter(|c| all.contains(c) && dice.one_in(2)).collect();
        (1..kept.len()).for_each(|i| kept.swap(i, dice.below(i + 1)));
        let at = dice.below(kept.len() + 1);
        let has_dots = !dots.is_empty() || uses_ellipsis;
        let written = kept[..at].iter().collect::<String>() + if has_dots { "..." } else { "" };
        subscripts = format!("{subscripts}->{written}{}", kept[at..].iter().collect::<String>());
        out = [&kept[..at], if has_dots { &dots[..] } else { &[] }, &kept[at..]].concat();
    }
    let shapes: Vec<&[usize]> = hosts.iter().map(|h| &h.shape[..]).collect();
    let what = format!("einsum(\"{subscripts}\") of {shapes:?}");
    let arrays: Vec<Expr> = hosts.iter().map(|h| laid_out(t, h, dice, d)).collect();
    same_whole(&what, &einsum(&subscripts, &arrays), t, &defined(t, &terms, &hosts, &out));
}

/// An operand for a function that pairs axes: its labels and random elements.
fn labelled(shape: &[usize], labels: &str, t: DType, dice: &mut Dice) -> (Vec<char>, Whole) {
    (labels.chars().collect(), whole(t, shape, dice))
}

on_devices! {
    fn random_subscripts(d: &Device) {
        let mut stage = Stage::new(6, "products: einsum", d);
        let mut dice = Dice::new(if d.is_gpu() { 21 } else { seed_of_turn(21) });
        let types = types(d);
        let trials = scaled(if d.is_gpu() { 130 } else { 4000 });
        for i in 0..trials {
            one_einsum(types[i % types.len()], &mut dice, d);
        }
        stage.count(trials);
    }

    fn pairs_of_axes(d: &Device) {
        let mut dice = Dice::new(5);
        for t in types(d) {
            // the shapes and labels of a, of b, the labels of the result, and the call
            type Call = (&'static [usize], &'static str, &'static [usize], &'static str, &'static str, fn(&Expr, &Expr) -> Expr);
            let calls: [Call; 17] = [
                (&[4], "k", &[4], "k", "", |a, b| a.vecdot(b, -1)),
                (&[3, 4], "ik", &[4], "k", "i", |a, b| a.vecdot(b, -1)),
                (&[3, 1, 4], "i1k", &[5, 4], "jk", "ij", |a, b| a.vecdot(b, -1)),
                (&[4, 3], "ki", &[4, 3], "ki", "i", |a, b| a.vecdot(b, 0)),
                (&[4], "k", &[4, 3], "ki", "i", |a, b| a.vecdot(b, 0)),
                (&[3, 4], "ik", &[2, 5, 4], "abk", "iab", |a, b| a.inner(b)),
                (&[], "", &[2, 3], "ab", "ab", |a, b| a.inner(b)),
                (&[0], "k", &[0], "k", "", |a, b| a.inner(b)),
                (&[3], "i", &[5], "j", "ij", |a, b| a.outer(b)),
                (&[0], "i", &[5], "j", "ij", |a, b| a.outer(b)),
                (&[2, 3, 4], "ikl", &[3, 4, 5], "klj", "ij", |a, b| tensordot(a, b, 2)),
                (&[2, 3], "ij", &[4], "k", "ijk", |a, b| tensordot(a, b, 0)),
                (&[2, 3, 4], "kil", &[5, 4, 2], "jlk", "ij", |a, b| tensordot(a, b, ([0, -1], [2, 1]))),
                (&[2, 3], "ki", &[2, 3], "kj", "ij", |a, b| tensordot(a, b, (0, 0))),
                (&[2, 3], "kl", &[2, 3], "kl", "", |a, b| tensordot(a, b, (.., ..))),
                (&[0, 3], "ki", &[0, 2], "kj", "ij", |a, b| tensordot(a, b, (0, 0))),
                (&[40, 30], "ik", &[30, 50], "kj", "ij", |a, b| tensordot(a, b, 1usize)),
            ];
            for (i, (a, la, b, lb, out, call)) in calls.into_iter().enumerate() {
                let ((mut la, x), (lb, y)) = (labelled(a, la, t, &mut dice), labelled(b, lb, t, &mut dice));
                // an axis of length 1 has the label of the other operand's axis, with which it broadcasts
                la.iter_mut().filter(|c| **c == '1').for_each(|c| *c = 'j');
                let want = defined(t, &[la, lb], &[x.clone(), y.clone()], &out.chars().collect::<Vec<_>>());
                let (p, q) = (laid_out(t, &x, &mut dice, d), laid_out(t, &y, &mut dice, d));
                same_whole(&format!("pair {i}"), &call(&p, &q), t, &want);
            }
        }
    }

    fn outer_and_kron_of_several_axes(d: &Device) {
        let mut dice = Dice::new(6);
        for t in types(d) {
            let and = |x: i128| if t == Bool { (x != 0) as i128 } else { x };
            let shapes: [(&[usize], &[usize]); 6] =
                [(&[2, 3], &[4, 5]), (&[3], &[2, 2]), (&[2, 1, 3], &[2]), (&[], &[3]), (&[2, 0], &[3, 2]), (&[], &[])];
            for (a, b) in shapes {
                let (x, y) = (whole(t, a, &mut dice), whole(t, b, &mut dice));
                let (p, q) = (laid_out(t, &x, &mut dice, d), laid_out(t, &y, &mut dice, d));
                let (n, m) = (x.data.len(), y.data.len());
                let want = Host::of(&[n, m], |i| and(x.data[i[0]] * y.data[i[1]]));
                same_whole("outer", &p.outer(&q), t, &want);
                let ndim = a.len().max(b.len());
                let long = |s: &[usize]| [vec![1; ndim - s.len()], s.to_vec()].concat();
                let (a, b) = (long(a), long(b));
                let (x, y) = (x.reshape(&a), y.reshape(&b));
                let shape: Vec<usize> = a.iter().zip(&b).map(|(n, m)| n * m).collect();
                let want = Host::of(&shape, |i| {
                    let part = |f: fn(usize, usize) -> usize| i.iter().zip(&b).map(|(i, m)| f(*i, *m)).collect::<Vec<_>>();
                    and(x.at(&part(|i, m| i / m)) * y.at(&part(|i, m| i % m)))
                });
                same_whole("kron", &p.kron(&q), t, &want);
            }
        }
    }

    fn cross_products(d: &Device) {
        let mut dice = Dice::new(7);
        for t in types(d).into_iter().filter(|t| *t != Bool) {
            for (a, b, axis, p, q) in [
                (vec![3], vec![3], -1, 0, 0),
                (vec![4, 3], vec![4, 3], 1, 1, 1),
                (vec![2, 1, 3], vec![5, 3], -1, 2, 1),
                (vec![3, 4], vec![3, 4], 0, 0, 0),
                (vec![5, 3, 4], vec![3, 4], -2, 1, 0),
                (vec![0, 3], vec![3], -1, 1, 0),
            ] {
                let (x, y) = (whole(t, &a, &mut dice), whole(t, &b, &mut dice));
                let (e, f) = (laid_out(t, &x, &mut dice, d), laid_out(t, &y, &mut dice, d));
                let ndim = a.len().max(b.len());
                // the axis of the vectors is last, and the other axes broadcast
                let last = |s: &Whole, axis: usize| {
                    let order: Vec<usize> = (0..s.shape.len()).filter(|d| *d != axis).chain([axis]).collect();
                    s.permute(&order)
                };
                let (x, y) = (last(&x, p), last(&y, q));
                let mut shape = vec![1; ndim];
                for s in [&x.shape, &y.shape] {
                    for (i, n) in s.iter().rev().enumerate() {
                        let to = &mut shape[ndim - 1 - i];
                        *to = if *to == 1 { *n } else { *to };
                    }
                }
                let (x, y) = (x.broadcast(&shape), y.broadcast(&shape));
                let want = Host::of(&shape, |i| {
                    let of = |h: &Whole, c: usize| h.at(&[&i[..ndim - 1], &[c % 3]].concat());
                    let c = i[ndim - 1];
                    of(&x, c + 1) * of(&y, c + 2) - of(&x, c + 2) * of(&y, c + 1)
                });
                let axis_of_result = if axis < 0 { ndim as isize + axis } else { axis } as usize;
                let order: Vec<usize> = {
                    let mut order: Vec<usize> = (0..ndim - 1).collect();
                    order.insert(axis_of_result, ndim - 1);
                    order
                };
                same_whole("cross", &e.cross(&f, axis), t, &want.permute(&order));
            }
        }
    }

    fn traces(d: &Device) {
        let mut dice = Dice::new(8);
        for t in types(d) {
            let sum = match t {
                t if t.is_float() => t,
                t if t.is_unsigned_integer() => U64,
                _ => I64,
            };
            for (shape, offset, p, q) in [
                (vec![4, 4], 0, 0, 1),
                (vec![4, 5], 2, -2, -1),
                (vec![4, 5], -3, 0, 1),
                (vec![4, 5], 9, 0, 1),
                (vec![3, 2, 4], 1, 0, 2),
                (vec![3, 2, 4], 1, 2, 0),
                (vec![0, 3], 0, 0, 1),
            ] {
                let x = whole(t, &shape, &mut dice);
                let e = laid_out(t, &x, &mut dice, d);
                let ndim = shape.len() as isize;
                let [a, b] = [p, q].map(|axis: isize| if axis < 0 { axis + ndim } else { axis } as usize);
                let others: Vec<usize> = (0..shape.len()).filter(|d| *d != a && *d != b).collect();
                let want = Host::of(&others.iter().map(|d| shape[*d]).collect::<Vec<_>>(), |i| {
                    let on = |k: &Vec<usize>| {
                        k[b] as isize - k[a] as isize == offset && others.iter().zip(i).all(|(d, v)| k[*d] == *v)
                    };
                    every_index(&shape).iter().filter(|k| on(k)).map(|k| x.at(k)).sum()
                });
                same_whole("trace", &e.trace(offset, p, q), sum, &want);
            }
        }
    }

    fn powers_and_chains(d: &Device) {
        let mut dice = Dice::new(9);
        for t in types(d) {
            for (shape, n) in [(vec![3, 3], 0), (vec![3, 3], 1), (vec![2, 3, 3], 2), (vec![3, 3], 3), (vec![2, 2], 6), (vec![0, 0], 4), (vec![0, 0], 0)] {
                let x = whole(t, &shape, &mut dice).map(|x| x.clamp(-1, 1));
                let e = laid_out(t, &x, &mut dice, d);
                let ndim = shape.len();
                let mut want = Host::of(&shape, |i| (i[ndim - 1] == i[ndim - 2]) as i128);
                for _ in 0..n {
                    let (a, b) = if ndim == 3 { ("bij", "bjk") } else { ("ij", "jk") };
                    let out: Vec<char> = if ndim == 3 { "bik" } else { "ik" }.chars().collect();
                    want = defined(t, &[a.chars().collect(), b.chars().collect()], &[want, x.clone()], &out);
                }
                same_whole(&format!("power {n}"), &e.matrix_power(n), t, &want);
            }
            for shapes in [vec![vec![2, 3], vec![3, 4]], vec![vec![3], vec![3, 4], vec![4, 2]], vec![vec![2, 3], vec![3, 4], vec![4]],
                           vec![vec![3], vec![3]], vec![vec![2, 9], vec![9, 1], vec![1, 7], vec![7, 2], vec![2, 3]], vec![vec![2, 0], vec![0, 3]]] {
                let hosts: Vec<Whole> = shapes.iter().map(|s| whole(t, s, &mut dice).map(|x| x.clamp(-1, 1))).collect();
                let exprs: Vec<Expr> = hosts.iter().map(|h| laid_out(t, h, &mut dice, d)).collect();
                let names: Vec<char> = "abcdefg".chars().collect();
                let first = (shapes[0].len() == 1) as usize;
                let terms: Vec<Vec<char>> = (0..shapes.len())
                    .map(|i| if i == 0 && first == 1 { vec![names[1]] } else { names[i..i + shapes[i].len()].to_vec() })
                    .collect();
                let all = terms.concat();
                let out: Vec<char> = all.iter().copied().filter(|c| all.iter().filter(|x| *x == c).count() == 1).collect();
                same_whole("multi_dot", &multi_dot(&exprs), t, &defined(t, &terms, &hosts, &out));
            }
        }
    }

    fn norms_of_whole_numbers(d: &Device) {
        let mut dice = Dice::new(10);
        for t in types(d) {
            let f = if t.is_float() { t } else { F32 };
            let x = whole(t, &[4, 5], &mut dice);
            let e = laid_out(t, &x, &mut dice, d);
            let row = |i: usize| (0..5).map(|j| x.at(&[i, j]).abs()).collect::<Vec<_>>();
            let column = |j: usize| (0..4).map(|i| x.at(&[i, j]).abs()).collect::<Vec<_>>();
            let rows = |g: &dyn Fn(Vec<i128>) -> i128| Host { shape: vec![4], data: (0..4).map(|i| g(row(i))).collect() };
            same_whole("norm 1", &e.vector_norm(-1, 1.0), f, &rows(&|r| r.iter().sum()));
            same_whole("norm 0", &e.vector_norm(1, 0.0), f, &rows(&|r| r.iter().filter(|x| **x != 0).count() as i128));
            same_whole("norm inf", &e.vector_norm(-1, INF), f, &rows(&|r| r.into_iter().max().unwrap()));
            same_whole("norm -inf", &e.vector_norm(-1, -INF), f, &rows(&|r| r.into_iter().min().unwrap()));
            let sums = |g: &dyn Fn(usize) -> Vec<i128>, n: usize| (0..n).map(|i| g(i).iter().sum::<i128>()).collect::<Vec<_>>();
            let (of_rows, of_columns) = (sums(&row, 4), sums(&column, 5));
            let one = |v: i128| Host { shape: vec![], data: vec![v] };
            same_whole("One", &e.matrix_norm(.., MatrixNorm::One), f, &one(*of_columns.iter().max().unwrap()));
            same_whole("-One", &e.matrix_norm((0, 1), MatrixNorm::MinusOne), f, &one(*of_columns.iter().min().unwrap()));
            same_whole("Inf", &e.matrix_norm((0, 1), MatrixNorm::Infinity), f, &one(*of_rows.iter().max().unwrap()));
            same_whole("turned", &e.matrix_norm((1, 0), MatrixNorm::One), f, &one(*of_rows.iter().max().unwrap()));
            let kept = Host { shape: vec![1, 1], data: vec![*of_rows.iter().min().unwrap()] };
            same_whole("-Inf", &e.matrix_norm(keep((0, 1)), MatrixNorm::MinusInfinity), f, &kept);
            let squares: i128 = x.data.iter().map(|x| x * x).sum();
            for norm in [e.norm(..), e.vector_norm(.., 2.0), e.matrix_norm(.., MatrixNorm::Frobenius), e.vector_norm(.., 3.0) * 0.0 + (squares as f64).sqrt()] {
                near(&norm, &[(squares as f64).sqrt()], |w| 0.01 * w.abs());
            }
        }
    }

    fn products_of_three_halves_are_rounded_once(d: &Device) {
        // 1 + 2^-6 and 1 + 2^-4: both products of two matrices are halfway between wrong ones if they are rounded
        for (t, x) in [(F16, 1.015625), (BF16, 1.0625)].into_iter().filter(|(t, _)| has(d, *t)) {
            let x = full([2, 2], x, t).eval().unwrap().to_device(d).unwrap();
            let wide = x.astype(F32);
            let want = wide.matmul(&wide).matmul(&wide).astype(t).eval().unwrap();
            let chain = einsum("ij,jk,kl->il", [&x, &x, &x]);
            assert_eq!(read(&chain).unwrap(), read(&want).unwrap(), "{t}");
            let scalar = einsum("ij,jk,ki->", [&x, &x, &x]);
            let want = (wide.matmul(&wide) * wide.t()).sum(..).astype(t);
            assert_eq!(read(&scalar).unwrap(), read(&want).unwrap(), "{t}");
        }
        if has(d, F16) {
            // the product of any two matrices overflows
            let large = full([2, 2], 256.0, F16).eval().unwrap().to_device(d).unwrap();
            let small = full([2, 2], 0.0009765625, F16).eval().unwrap().to_device(d).unwrap();
            let e = einsum("ij,jk,kl->il", [&large, &large, &small]);
            assert_eq!(e.astype(F32).to_vec::<f32>().unwrap(), [256f32; 4]);
        }
    }

    fn one_kernel_or_few(d: &Device) {
        let x = |shape: &[usize]| zeros(shape, F32).to_device(d).unwrap();
        let kernels = |e: Expr| e.plan().unwrap().kernels();
        let q = x(&[2, 4, 40, 16]);
        let scores = einsum("bhqd,bhkd->bhqk", [&q, &q]);
        assert_eq!(kernels(scores.clone()), 1, "{}", scores.plan().unwrap());
        assert!(scores.plan().unwrap().to_string().contains("matmul"));
        // axes in the order in which a model's layers produce them: no operand is copied
        let q = x(&[2, 40, 4, 16]);
        let scores = einsum("bqhd,bkhd->bhqk", [&q, &q]);
        assert_eq!(kernels(scores.clone()), 1, "{}", scores.plan().unwrap());
        // rows that consist of two axes, and sums over two axes
        let w = x(&[4, 16, 24]);
        let out = einsum("bqhd,hde->bqe", [&q, &w]);
        assert_eq!(kernels(out.clone()), 1, "{}", out.plan().unwrap());
        // an elementwise kernel if nothing is summed, or one reduction if no two sums share an element
        let (a, b) = (x(&[30, 20]), x(&[20]));
        assert_eq!(kernels(einsum("ij,j->ij", [&a, &b])), 1);
        assert_eq!(kernels(einsum("ij,ij->i", [&a, &a])), 1);
        assert_eq!(kernels(einsum("ij->j", [&a])), 1);
        // a diagonal is a view
        assert_eq!(kernels(einsum("ii->i", [&x(&[30, 30])])), 0);
        assert_eq!(kernels(a.vecdot(&b, -1)), 1);
        // a chain evaluated from its cheap end: two matrix products
        let chain = einsum("ij,jk,k->i", [&x(&[60, 50]), &x(&[50, 40]), &x(&[40])]);
        assert_eq!(kernels(chain.clone()), 2, "{}", chain.plan().unwrap());
    }
}

/// f32 has no odd numbers above 2^24.
#[test]
fn nonzero_elements_are_counted_exactly() {
    let n = (1 << 24) + 3;
    assert_eq!(ones([n], F64).vector_norm(0, 0.0).item::<f64>().unwrap(), n as f64);
    assert_eq!(ones([n, 1], F64).vector_norm(.., 0.0).item::<f64>().unwrap(), n as f64);
}

#[test]
fn what_does_not_fit_is_named() {
    let (x, v) = (zeros([3, 4], F32), zeros([4], F32));
    let says = |e: Expr, kind: ErrorKind, part: &str| {
        let e = e.eval().unwrap_err();
        assert!(e.kind() == kind && e.to_string().contains(part) && e.to_string().contains("contractions.rs"), "{e}");
    };
    use ErrorKind as K;
    says(einsum("ij,jk", [&x]), K::Argument, "2 terms for 1 operands");
    says(einsum("i", [&x]), K::Shape, "a term of 1 letters does not match an operand of shape [3, 4]");
    says(einsum("ijk...", [&x]), K::Shape, "a term of 3 letters");
    says(einsum("ij->ii", [&x]), K::Argument, "`i` twice");
    says(einsum("ij->ik", [&x]), K::Argument, "`k`, which no operand has");
    says(einsum("...j->j", [&x]), K::Argument, "has no `...`");
    says(einsum("i..j", [&x]), K::Argument, "ellipsis");
    says(einsum("...i...", [&x]), K::Argument, "ellipsis");
    says(einsum("i1", [&x]), K::Argument, "'1' is not a letter");
    says(einsum("ij->i->j", [&x]), K::Argument, "'-' is not a letter");
    says(einsum("ii", [&x]), K::Shape, "`i` occurs twice in an operand, with lengths 3 and 4");
    says(einsum("ij,i", [&*x.eval().unwrap(), &*v.eval().unwrap()]), K::Shape, "`i` in \"ij,i\" has lengths 3 and 4");
    says(einsum("...,...", [&x, &x.t()]), K::Shape, "an axis of `...`");
    says(einsum("i,i", [zeros([2], I64), zeros([2], U64)]), K::DType, "no common type");
    says(einsum("", Vec::<Expr>::new()), K::Argument, "1 terms for 0 operands");
    let far = zeros([1usize << 40], F32);
    says(einsum("i,j->ij", [&far, &far]), K::LimitExceeded, "einsum");
    says(tensordot(&x, &x, 1), K::Shape, "tensordot: shapes [3, 4] and [3, 4]");
    says(tensordot(&x, &x, 3), K::Axis, "tensordot");
    says(tensordot(&x, &x, -1), K::Axis, "tensordot");
    says(tensordot(&x, &x, ([0, 1], [0])), K::Axis, "2 axes of the first operand and 1 of the second");
    says(tensordot(&x, &x, ([0, 0], [0, 1])), K::Axis, "twice");
    says(x.vecdot(x.t(), -1), K::Shape, "vecdot: shapes [3, 4] and [4, 3]");
    says(x.vecdot(zeros([7, 4], F32), -1), K::Shape, "vecdot");
    says(x.vecdot(2.0, -1), K::Axis, "vecdot");
    says(x.inner(zeros([5], F32)), K::Shape, "inner");
    says(x.cross(&x, -1), K::Shape, "cross: shapes [3, 4] and [3, 4]: axis 1 does not have length 3");
    says(x.greater(0).cross(x.greater(0), 0), K::DType, "cross");
    says(zeros([2, 3], F32).cross(zeros([4, 3], F32), -1), K::Shape, "cross");
    says(v.trace(0, 0, 1), K::Axis, "trace");
    says(x.trace(0, 1, -1), K::Axis, "trace");
    says(x.matrix_power(2), K::Shape, "matrix_power");
    says(multi_dot([&x]), K::Argument, "1 arrays");
    says(multi_dot([&x, &x]), K::Shape, "multi_dot: shapes [[3, 4], [3, 4]]");
    says(multi_dot([&x, &v, &x]), K::Shape, "each must be a matrix");
    says(x.vector_norm(2, 2.0), K::Axis, "vector_norm");
    says(x.vector_norm(0, NAN), K::Argument, "NaN");
    says(zeros([0], F32).vector_norm(0, -INF), K::Shape, "vector_norm");
    says(x.matrix_norm(0, MatrixNorm::One), K::Axis, "1 axes");
    says(zeros([3, 0], F32).matrix_norm(.., MatrixNorm::MinusOne), K::Shape, "matrix_norm");
    says(zeros([1usize << 40], F32).outer(zeros([1usize << 40], F32)), K::LimitExceeded, "outer");
    says(zeros([1usize << 40], F32).kron(zeros([1usize << 40], F32)), K::LimitExceeded, "");
}

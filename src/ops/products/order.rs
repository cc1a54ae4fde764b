//! The order in which several operands are multiplied, chosen so that few multiplications are needed.

use super::labels::{Label, MOST};

/// Up to this many operands, all orders are tried. For 6 operands there are at most 3^6 ways to split subsets in two,
/// which take some microseconds to try.
const TRIED: usize = 6;

/// More operands than this are multiplied from left to right, because the search for the cheapest next pair would take
/// longer than the products that it saves.
const SEARCHED: usize = 64;

/// Returns the product of the lengths of the labels in a set. `labels` has one bit for each label.
fn size(labels: u128, extents: &[usize; MOST]) -> f64 {
    let along = |l: Label| if labels >> l & 1 == 1 { extents[l as usize] as f64 } else { 1.0 };
    (0..MOST as Label).map(along).product()
}

/// Returns the pairs of operands to multiply, step by step. The operands are numbered from 0, and the product of each
/// step gets the next number. `sets` has the set of labels of each operand, and `wanted` is the set of the result's
/// labels.
pub(super) fn pairs(sets: &[u128], wanted: u128, extents: &[usize; MOST]) -> Vec<(usize, usize)> {
    match sets.len() {
        0 | 1 => vec![],
        2 => vec![(0, 1)],
        n if n <= TRIED => all_orders(sets, wanted, extents),
        n if n <= SEARCHED => greedy(sets, wanted, extents),
        n => (1..n).map(|i| (if i == 1 { 0 } else { n + i - 2 }, i)).collect(),
    }
}

/// The cheapest way to multiply a subset of the operands.
#[derive(Clone, Copy)]
struct Best {
    /// The number of multiplications, and the number of elements of the intermediate results. The second number decides
    /// between two ways that need equally many multiplications.
    cost: (f64, f64),
    labels: u128,
    /// One of the two subsets whose products are multiplied last, as a set with one bit for each operand. It is 0 for a
    /// single operand, or if no split has a finite cost.
    left: usize,
}

/// Returns the pairs to multiply in the best order of all. It finds the best order of each subset of the operands from
/// the best orders of smaller subsets.
fn all_orders(sets: &[u128], wanted: u128, extents: &[usize; MOST]) -> Vec<(usize, usize)> {
    let (n, all) = (sets.len(), (1usize << sets.len()) - 1);
    let union = |subset: usize| (0..n).filter(|i| subset >> i & 1 == 1).fold(0, |labels, i| labels | sets[i]);
    let mut best: Vec<Best> = Vec::with_capacity(all + 1);
    for subset in 0..=all {
        let labels = union(subset) & (wanted | union(all & !subset));
        let single = subset.count_ones() < 2;
        let mut found = Best { cost: if single { (0.0, 0.0) } else { (f64::INFINITY, 0.0) }, labels, left: 0 };
        // the left part always has the lowest operand of the subset, so that each way to split it is tried once
        let lowest = subset & subset.wrapping_neg();
        let mut left = subset.wrapping_sub(1) & subset;
        while left > 0 && !single {
            if left & lowest != 0 {
                let (a, b) = (best[left], best[subset & !left]);
                let multiplications = a.cost.0 + b.cost.0 + size(a.labels | b.labels, extents);
                let cost = (multiplications, a.cost.1 + b.cost.1 + size(labels, extents));
                if cost < found.cost {
                    found = Best { cost, labels, left };
                }
            }
            left = (left - 1) & subset;
        }
        best.push(found);
    }
    let mut steps = vec![];
    emit(all, &best, n, &mut steps);
    steps
}

/// Appends the pairs that multiply the operands of a subset, and returns the number of their product (see [`pairs`]).
fn emit(subset: usize, best: &[Best], operands: usize, steps: &mut Vec<(usize, usize)>) -> usize {
    if subset.count_ones() == 1 {
        return subset.trailing_zeros() as usize;
    }
    // if the sizes overflow f64 there is no best split, so the lowest operand is split off
    let left = if best[subset].left == 0 { subset & subset.wrapping_neg() } else { best[subset].left };
    let a = emit(left, best, operands, steps);
    let b = emit(subset & !left, best, operands, steps);
    steps.push((a, b));
    operands + steps.len() - 1
}

/// Returns the pairs to multiply if each step multiplies the two operands or products that need the fewest
/// multiplications. If several pairs are equally good, it takes the pair with the smaller result. If the results are
/// also of equal size, it takes the pair with the lowest numbers.
fn greedy(sets: &[u128], wanted: u128, extents: &[usize; MOST]) -> Vec<(usize, usize)> {
    let mut list: Vec<Option<u128>> = sets.iter().copied().map(Some).collect();
    let mut steps = vec![];
    for _ in 1..sets.len() {
        let mut found = ((f64::INFINITY, f64::INFINITY), (0, 0), 0);
        let entries: Vec<(usize, u128)> = list.iter().enumerate().filter_map(|(i, s)| Some((i, (*s)?))).collect();
        for (at, (i, a)) in entries.iter().enumerate() {
            for (j, b) in &entries[at + 1..] {
                let others = entries.iter().filter(|(k, _)| k != i && k != j).fold(wanted, |all, (_, s)| all | s);
                let labels = (a | b) & others;
                let cost = (size(a | b, extents), size(labels, extents));
                if cost < found.0 || found.1 == (0, 0) {
                    found = (cost, (*i, *j), labels);
                }
            }
        }
        let (_, (i, j), labels) = found;
        (list[i], list[j]) = (None, None);
        list.push(Some(labels));
        steps.push((i, j));
    }
    steps
}

/// Returns a table of the best splits of a chain of matrices, by dynamic programming (Godbole 1973). The product of the
/// matrices `i..=j` takes the fewest multiplications if it is split after matrix `splits[i][j]`. Matrix i is
/// `lengths[i]` × `lengths[i + 1]`. Returns `None` for a chain of more than 64 matrices, which is multiplied from left
/// to right.
pub(super) fn chain(lengths: &[usize]) -> Option<Vec<Vec<usize>>> {
    let n = lengths.len() - 1;
    if n > mutant!(chains_of_any_length, usize::MAX, SEARCHED) {
        return None;
    }
    let mut cost = vec![vec![0.0f64; n]; n];
    let mut splits = vec![vec![0; n]; n];
    for span in 1..n {
        for i in 0..n - span {
            let j = i + span;
            cost[i][j] = f64::INFINITY;
            splits[i][j] = i;
            for k in i..j {
                let product = lengths[i] as f64 * lengths[k + 1] as f64 * lengths[j + 1] as f64;
                let all = cost[i][k] + cost[k + 1][j] + product;
                if all < cost[i][j] {
                    (cost[i][j], splits[i][j]) = (all, k);
                }
            }
        }
    }
    Some(splits)
}

#[cfg(feature = "testing")]
mod tests {
    use super::*;

    crate::testing::unit_tests! {
        products_order: the_best_of_all_orders_is_found, every_order_multiplies_each_operand_once,
        the_chain_of_the_textbook
    }

    fn the_best_of_all_orders_is_found() {
        // ij,jk,kl with long i and k: multiplying jk and kl first is cheapest
        let mut extents = [1; MOST];
        (extents[0], extents[1], extents[2], extents[3]) = (100, 2, 100, 2);
        let sets = [0b0011, 0b0110, 0b1100];
        assert_eq!(pairs(&sets, 0b1001, &extents), [(1, 2), (0, 3)]);
        assert_eq!(greedy(&sets, 0b1001, &extents), [(1, 2), (0, 3)]);
        assert_eq!(pairs(&[1; 3], 1, &extents).len(), 2);
    }

    fn every_order_multiplies_each_operand_once() {
        let extents = [3; MOST];
        for n in [1, 2, 3, 5, 6, 7, 20, 64, 65, 100] {
            let sets: Vec<u128> = (0..n).map(|i| 3 << (i % 60)).collect();
            let steps = pairs(&sets, 1, &extents);
            let mut used: Vec<usize> = steps.iter().flat_map(|s| [s.0, s.1]).collect();
            used.sort_unstable();
            assert_eq!(used, (0..2 * n - 2).collect::<Vec<_>>(), "{n}");
        }
    }

    fn the_chain_of_the_textbook() {
        // an example from Cormen et al., Introduction to Algorithms, whose best order is ((A1 (A2 A3)) ((A4 A5) A6))
        let splits = chain(&[30, 35, 15, 5, 10, 20, 25]).expect("a short chain");
        assert_eq!((splits[0][5], splits[0][2], splits[3][5]), (2, 0, 4));
        assert!(chain(&[2; SEARCHED + 1]).is_some() && chain(&[2; SEARCHED + 2]).is_none());
    }
}

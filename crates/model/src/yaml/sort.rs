//! The order of keys: letters after everything else, digits by their value.

use std::cmp::Ordering;

/// Compares as YAML libraries of the Go world do.
pub(super) fn natural(left: &str, right: &str) -> Ordering {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let Some(at) = left.iter().zip(&right).position(|(left, right)| left != right) else {
        return left.len().cmp(&right.len());
    };
    let (Some(l), Some(r)) = (left.get(at), right.get(at)) else { return Ordering::Equal };
    match (l.is_alphabetic(), r.is_alphabetic()) {
        (true, true) => return l.cmp(r),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    // After a digit that is no zero, zeros count.
    let before = left.get(..at).unwrap_or_default().iter().rev().take_while(|c| c.is_ascii_digit()).any(|c| *c != '0');
    let start = i64::from((*l == '0' || *r == '0') && before);
    let (left_value, left_digits) = number(left.get(at..).unwrap_or_default(), start);
    let (right_value, right_digits) = number(right.get(at..).unwrap_or_default(), start);
    left_value.cmp(&right_value).then(left_digits.cmp(&right_digits)).then(l.cmp(r))
}

fn number(text: &[char], start: i64) -> (i64, usize) {
    let digits = text.iter().map_while(|c| c.to_digit(10));
    digits.fold((start, 0), |(value, count), digit| (value.wrapping_mul(10).wrapping_add(i64::from(digit)), count + 1))
}

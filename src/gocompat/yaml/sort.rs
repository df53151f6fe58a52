//! The order of the keys of a map, of which nothing proves that it is one.

use std::cmp::Ordering;

use crate::gocompat::template::strconv::{is_digit, is_letter};

/// Sorts by merging: it ends whatever `compare` says, where the sort of the standard library may panic.
pub(super) fn by<T>(items: Vec<T>, compare: impl Fn(&T, &T) -> Ordering) -> Vec<T> {
    let mut runs: Vec<Vec<T>> = items.into_iter().map(|item| vec![item]).collect();
    while runs.len() > 1 {
        let mut merged = vec![];
        let mut pairs = runs.into_iter();
        while let Some(left) = pairs.next() {
            merged.push(match pairs.next() {
                Some(right) => merge(left, right, &compare),
                None => left,
            });
        }
        runs = merged;
    }
    runs.pop().unwrap_or_default()
}

fn merge<T>(left: Vec<T>, right: Vec<T>, compare: &impl Fn(&T, &T) -> Ordering) -> Vec<T> {
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let next = if compare(a, b) == Ordering::Greater { right.next() } else { left.next() };
        merged.extend(next);
    }
    merged.extend(left);
    merged.extend(right);
    merged
}

/// goyaml's order of keys: by letters, numbers within by their value.
pub(super) fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.chars().peekable(), b.chars().peekable());
    let mut number_before = false;
    loop {
        let (x, y) = match (a.peek().copied(), b.peek().copied()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) => (x, y),
        };
        if x == y {
            number_before = is_digit(x) && (number_before || x != '0');
            a.next();
            b.next();
            continue;
        }
        let by_letter = match (is_letter(x), is_letter(y)) {
            (true, true) => return x.cmp(&y),
            (true, false) => Some(Ordering::Greater),
            (false, true) => Some(Ordering::Less),
            (false, false) => None,
        };
        if let Some(order) = by_letter {
            return order;
        }
        let start = i64::from((x == '0' || y == '0') && number_before);
        let number = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| {
            let (mut number, mut count) = (start, 0);
            while let Some(digit) = chars.next_if(|c| is_digit(*c)) {
                let value = i64::from(u32::from(digit)) - i64::from(b'0');
                number = number.wrapping_mul(10).wrapping_add(value);
                count += 1;
            }
            (number, count)
        };
        let (x_number, y_number) = (number(&mut a), number(&mut b));
        return x_number.cmp(&y_number).then(x.cmp(&y));
    }
}

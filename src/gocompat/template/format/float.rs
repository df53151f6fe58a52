//! Floats as Go writes them (`internal/strconv/ftoa.go`).

/// More digits than this no `f64` has: the rest are zeros.
const DIGITS: usize = 1100;

/// The decimal digits of a float, and where the point goes.
struct Decimal {
    digits: Vec<u8>,
    point: i32,
}

impl Decimal {
    /// The digits that `{:e}` writes, without trailing zeros.
    fn of(scientific: &str) -> Decimal {
        let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
        let mut digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        let point = if digits.is_empty() { 0 } else { exponent.parse::<i32>().unwrap_or(0) + 1 };
        Decimal { digits, point }
    }

    fn digit(&self, at: i32) -> u8 {
        usize::try_from(at).ok().and_then(|at| self.digits.get(at)).copied().unwrap_or(b'0')
    }

    /// `%e`: `d.ddde±dd`
    fn exponential(&self, out: &mut Vec<u8>, precision: usize, letter: u8) {
        out.push(self.digit(0));
        if precision > 0 {
            out.push(b'.');
            let shown = self.digits.len().saturating_sub(1).min(precision);
            out.extend_from_slice(self.digits.get(1..=shown).unwrap_or_default());
            out.resize(out.len() + precision - shown, b'0');
        }
        let exponent = if self.digits.is_empty() { 0 } else { self.point - 1 };
        out.extend_from_slice(&[letter, if exponent < 0 { b'-' } else { b'+' }]);
        out.extend_from_slice(format!("{:02}", exponent.unsigned_abs()).as_bytes());
    }

    /// `%f`: `ddd.ddd`
    fn fixed(&self, out: &mut Vec<u8>, precision: usize) {
        if self.point > 0 {
            out.extend((0..self.point).map(|i| self.digit(i)));
        } else {
            out.push(b'0');
        }
        if precision > 0 {
            out.push(b'.');
            let shown = precision.min(DIGITS);
            out.extend((0..shown as i32).map(|i| self.digit(self.point + i)));
            out.resize(out.len() + precision - shown, b'0');
        }
    }
}

/// `strconv.FormatFloat(value, verb, precision, 64)`. Without a precision: as few digits as name the float.
pub fn format_float(value: f64, verb: u8, precision: Option<usize>) -> Vec<u8> {
    if value.is_nan() {
        return b"NaN".to_vec();
    }
    if value.is_infinite() {
        return if value < 0.0 { b"-Inf".to_vec() } else { b"+Inf".to_vec() };
    }
    let mut out = Vec::new();
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let value = value.abs();
    match verb {
        b'b' => binary(&mut out, value),
        b'x' | b'X' => hexadecimal(&mut out, value, precision, verb),
        b'e' | b'E' => {
            let decimal = match precision {
                Some(precision) => Decimal::of(&format!("{:.*e}", precision.min(DIGITS), value)),
                None => Decimal::of(&shortest(value)),
            };
            let precision = precision.unwrap_or(decimal.digits.len().saturating_sub(1));
            decimal.exponential(&mut out, precision, verb);
        }
        b'f' => match precision {
            Some(precision) => {
                let text = format!("{:.*}", precision.min(DIGITS), value);
                out.extend_from_slice(text.as_bytes());
                out.resize(out.len() + precision.saturating_sub(DIGITS), b'0');
            }
            None => {
                let decimal = Decimal::of(&shortest(value));
                let precision = decimal.digits.len() as i32 - decimal.point;
                decimal.fixed(&mut out, usize::try_from(precision).unwrap_or(0));
            }
        },
        _ => general(&mut out, value, precision, verb),
    }
    out
}

/// The shortest decimal that gives the float back, as `{:e}` prints it. Of two that are as near (1226708480901685.25)
/// Go takes the even one, Rust the upper.
pub(crate) fn shortest(f: f64) -> String {
    let text = format!("{f:e}");
    let digits = text.split('e').next().unwrap_or_default().bytes().filter(u8::is_ascii_digit).count();
    let even = format!("{f:.*e}", digits.saturating_sub(1));
    if even.parse() == Ok(f) { even } else { text }
}

/// `%g`: `%e` for large exponents, else `%f`.
fn general(out: &mut Vec<u8>, value: f64, precision: Option<usize>, verb: u8) {
    let decimal = match precision {
        Some(precision) => Decimal::of(&format!("{:.*e}", precision.clamp(1, DIGITS) - 1, value)),
        None => Decimal::of(&shortest(value)),
    };
    let digits = decimal.digits.len();
    let wanted = precision.map_or(digits, |p| p.max(1));
    let threshold = match precision {
        None => 6,
        Some(_) if wanted > digits && digits as i32 >= decimal.point => digits,
        Some(_) => wanted,
    };
    let exponent = decimal.point - 1;
    if exponent < -4 || exponent >= i32::try_from(threshold).unwrap_or(i32::MAX) {
        let precision = wanted.min(digits).saturating_sub(1);
        return decimal.exponential(out, precision, if verb == b'G' { b'E' } else { b'e' });
    }
    let wanted = if i32::try_from(wanted).unwrap_or(i32::MAX) > decimal.point { digits } else { wanted };
    decimal.fixed(out, usize::try_from(wanted as i32 - decimal.point).unwrap_or(0));
}

/// The mantissa with its leading bit, and the exponent of that bit.
fn parts(value: f64) -> (u64, i32) {
    let bits = value.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i32;
    let mantissa = bits & ((1 << 52) - 1);
    if exponent == 0 { (mantissa, -1022) } else { (mantissa | 1 << 52, exponent - 1023) }
}

/// `%b`: `4503599627370496p-52`
fn binary(out: &mut Vec<u8>, value: f64) {
    let (mantissa, exponent) = parts(value);
    out.extend_from_slice(format!("{mantissa}p{:+}", exponent - 52).as_bytes());
}

/// `%x`: `0x1.8p+01`
fn hexadecimal(out: &mut Vec<u8>, value: f64, precision: Option<usize>, verb: u8) {
    let (mut mantissa, mut exponent) = parts(value);
    if mantissa == 0 {
        exponent = 0;
    }
    mantissa <<= 8;
    while mantissa != 0 && mantissa & 1 << 60 == 0 {
        mantissa <<= 1;
        exponent -= 1;
    }
    if let Some(precision) = precision.filter(|p| *p < 15) {
        let shift = precision * 4;
        let extra = mantissa << shift & ((1 << 60) - 1);
        mantissa >>= 60 - shift;
        mantissa += u64::from(extra | mantissa & 1 > 1 << 59);
        mantissa <<= 60 - shift;
        if mantissa & 1 << 61 != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let hex: &[u8; 16] = if verb == b'x' { b"0123456789abcdef" } else { b"0123456789ABCDEF" };
    out.extend_from_slice(&[b'0', verb, b'0' + (mantissa >> 60 & 1) as u8]);
    mantissa <<= 4;
    let digits = match precision {
        Some(precision) => precision,
        None => (16 - mantissa.trailing_zeros().min(64) / 4) as usize,
    };
    if digits > 0 {
        out.push(b'.');
        for _ in 0..digits {
            out.push(hex[(mantissa >> 60 & 15) as usize]);
            mantissa <<= 4;
        }
    }
    out.extend_from_slice(&[if verb == b'x' { b'p' } else { b'P' }, if exponent < 0 { b'-' } else { b'+' }]);
    out.extend_from_slice(format!("{:02}", exponent.unsigned_abs()).as_bytes());
}

//! Decimal arithmetic as shopspring/decimal v1.4.0 does it for `addf`, `subf`, `mulf`, `divf`: each operand is the
//! shortest decimal that gives the float back, a quotient has 16 digits after the point.

use num_bigint::{BigInt, Sign};

use super::args::Answer;
use super::numbers::to_float;
use crate::gocompat::template::format::shortest;
use crate::gocompat::template::{CallError, Context, Value};

/// `value * 10^exp`
#[derive(Clone)]
pub(super) struct Decimal {
    value: BigInt,
    exp: i64,
}

const DIVISION_PRECISION: i64 = 16;

/// Exponents a template may come to by multiplying again and again; each product costs as much as it is long.
const MAX_DIGITS: i64 = 100_000;

impl Decimal {
    fn from_float(f: f64) -> Result<Decimal, CallError> {
        if f == 0.0 {
            return Ok(Decimal { value: BigInt::ZERO, exp: 0 });
        }
        if !f.is_finite() {
            let name = if f.is_nan() {
                "NaN"
            } else if f > 0.0 {
                "+Inf"
            } else {
                "-Inf"
            };
            return Err(CallError::new(format!("Cannot create a Decimal from {name}")));
        }
        let text = shortest(f);
        let (digits, exp) = text.split_once('e').unwrap_or((&text, "0"));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let mantissa = format!("{whole}{fraction}");
        let exp = exp.parse::<i64>().unwrap_or(0) - i64::try_from(fraction.len()).unwrap_or(0);
        Ok(Decimal { value: mantissa.parse().unwrap_or_default(), exp })
    }

    fn to_float(&self) -> f64 {
        format!("{}e{}", self.value, self.exp).parse().unwrap_or(0.0)
    }

    /// The value with this smaller exponent.
    fn at_exp(&self, exp: i64) -> BigInt {
        &self.value * power(self.exp - exp)
    }
}

fn power(exp: i64) -> BigInt {
    BigInt::from(10).pow(u32::try_from(exp).unwrap_or(0))
}

pub(super) fn add(a: &Decimal, b: &Decimal) -> Result<Decimal, CallError> {
    let exp = a.exp.min(b.exp);
    Ok(Decimal { value: a.at_exp(exp) + b.at_exp(exp), exp })
}

pub(super) fn sub(a: &Decimal, b: &Decimal) -> Result<Decimal, CallError> {
    let exp = a.exp.min(b.exp);
    Ok(Decimal { value: a.at_exp(exp) - b.at_exp(exp), exp })
}

pub(super) fn mul(a: &Decimal, b: &Decimal) -> Result<Decimal, CallError> {
    Ok(Decimal { value: &a.value * &b.value, exp: a.exp + b.exp })
}

/// `DivRound`: half away from zero.
pub(super) fn div(a: &Decimal, b: &Decimal) -> Result<Decimal, CallError> {
    if b.value.sign() == Sign::NoSign {
        return Err(CallError::new("decimal division by 0"));
    }
    let shift = a.exp - b.exp + DIVISION_PRECISION;
    let (num, den) = if shift < 0 {
        (a.value.clone(), &b.value * power(-shift))
    } else {
        (&a.value * power(shift), b.value.clone())
    };
    let (mut quotient, remainder) = (&num / &den, &num % &den);
    if remainder.magnitude() * 2u8 >= *den.magnitude() {
        let away = if num.sign() == den.sign() || num.sign() == Sign::NoSign { 1 } else { -1 };
        quotient += away;
    }
    Ok(Decimal { value: quotient, exp: -DIVISION_PRECISION })
}

/// An operation over all operands from the left.
pub(super) fn fold(
    ctx: &mut Context,
    first: &Value,
    rest: &[Value],
    f: fn(&Decimal, &Decimal) -> Result<Decimal, CallError>,
) -> Answer {
    let mut result = Decimal::from_float(to_float(first))?;
    for value in rest {
        let operand = Decimal::from_float(to_float(value))?;
        let digits = i64::try_from(result.value.bits() / 3).unwrap_or(i64::MAX);
        let size = digits.saturating_add(result.exp.abs()).saturating_add(operand.exp.abs());
        if size > MAX_DIGITS {
            return Err(CallError::new("number has too many digits"));
        }
        ctx.step(1 + size.unsigned_abs() / 16)?;
        result = f(&result, &operand)?;
    }
    Ok(result.to_float().into())
}

/// `math.Pow(10, n)` as Go computes it for a whole exponent: by repeated squaring of the mantissa, which differs from
/// the exact power in the last place.
pub(super) fn pow10(n: i64) -> f64 {
    if n == 0 {
        return 1.0;
    }
    let mut rest = n.unsigned_abs();
    if rest >= 1 << 63 {
        return if n > 0 { f64::INFINITY } else { 0.0 };
    }
    let (mut mantissa, mut exponent) = (1.0f64, 0i64);
    let (mut square, mut square_exponent) = (0.625f64, 4i64);
    while rest != 0 {
        if !(-(1 << 12)..=1 << 12).contains(&square_exponent) {
            exponent += square_exponent;
            break;
        }
        if rest & 1 == 1 {
            mantissa *= square;
            exponent += square_exponent;
        }
        square *= square;
        square_exponent <<= 1;
        if square < 0.5 {
            square += square;
            square_exponent -= 1;
        }
        rest >>= 1;
    }
    if n < 0 {
        mantissa = 1.0 / mantissa;
        exponent = -exponent;
    }
    scale(mantissa, exponent)
}

/// `math.Ldexp`
fn scale(mantissa: f64, exponent: i64) -> f64 {
    let mut exponent = exponent.clamp(-2200, 2200);
    let mut value = mantissa;
    while exponent > 1000 {
        value *= 2f64.powi(1000);
        exponent -= 1000;
    }
    while exponent < -1000 {
        value *= 2f64.powi(-1000);
        exponent += 1000;
    }
    value * 2f64.powi(i32::try_from(exponent).unwrap_or(0))
}

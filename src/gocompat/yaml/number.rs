//! Floats as `strconv` writes them where YAML is concerned.

use crate::gocompat::template::format::format_float;

/// `strconv.FormatFloat(value, 'g', -1, 32)`, which `sigs.k8s.io/yaml` writes for a float that becomes a text.
#[expect(clippy::cast_possible_truncation, reason = "a float of 32 bits is what is asked for")]
pub(super) fn format_float32(value: f64) -> String {
    let short = value as f32;
    // The digits that name the float of 32 bits, in Go's notation.
    format_float64(format!("{short:e}").parse().unwrap_or(value))
}

/// `strconv.FormatFloat(value, 'g', -1, 64)`
pub(super) fn format_float64(value: f64) -> String {
    String::from_utf8_lossy(&format_float(value, b'g', None)).into_owned()
}

//! Names of objects.

/// Whether a text can be the name of a Secret or service account (RFC 1123 subdomain).
pub(crate) fn is_object_name(name: &str) -> bool {
    let label = |label: &str| {
        let fits = label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        fits && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

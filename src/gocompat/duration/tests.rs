use proptest::prelude::*;

use super::*;

/// The cases of Go's own test of `time.ParseDuration`, and a few more.
#[test]
fn parses_what_go_parses() {
    for (text, nanos) in [
        ("0", 0),
        ("-0", 0),
        ("+0", 0),
        ("0s", 0),
        ("5s", 5_000_000_000),
        ("+5s", 5_000_000_000),
        ("-5s", -5_000_000_000),
        ("1478s", 1_478_000_000_000),
        ("5.0s", 5_000_000_000),
        ("5.6s", 5_600_000_000),
        ("5.s", 5_000_000_000),
        (".5s", 500_000_000),
        ("1.00s", 1_000_000_000),
        ("1.0040s", 1_004_000_000),
        ("100.00100s", 100_001_000_000),
        ("10ns", 10),
        ("11us", 11_000),
        ("12\u{b5}s", 12_000),
        ("12\u{3bc}s", 12_000),
        ("13ms", 13_000_000),
        ("15m", 900_000_000_000),
        ("16h", 57_600_000_000_000),
        ("3h30m", 12_600_000_000_000),
        ("10.5s4m", 250_500_000_000),
        ("-2m3.4s", -123_400_000_000),
        ("1h2m3s4ms5us6ns", 3_723_004_005_006),
        ("39h9m14.425s", 140_954_425_000_000),
        ("52763797000ns", 52_763_797_000),
        ("0.3333333333333333333h", 1_200_000_000_000),
        ("9007199254740993ns", 9_007_199_254_740_993),
        ("9223372036854775807ns", i64::MAX),
        ("9223372036854775.807us", i64::MAX),
        ("9223372036s854ms775us807ns", i64::MAX),
        ("-9223372036854775808ns", i64::MIN),
        ("-9223372036854775.808us", i64::MIN),
        ("-9223372036s854ms775us808ns", i64::MIN),
        ("-2562047h47m16.854775808s", i64::MIN),
        ("0.100000000000000000000h", 360_000_000_000),
        ("0.830103483285477580700h", 2_988_372_539_827),
    ] {
        assert_eq!(GoDuration::parse(text), Ok(GoDuration(nanos)), "{text}");
    }
}

#[test]
fn refuses_what_go_refuses() {
    for text in [
        "",
        "-",
        "+",
        "--5s",
        "s",
        ".",
        "-.",
        ".s",
        "+.s",
        " 5s",
        "hello",
        "9223372036854775810ns",
        "9223372036854775808ns",
        "-9223372036854775809ns",
        "9223372036854776us",
        "3000000h",
        "99999999999999999999999h",
        "99999999999999999999999",
        "9223372036854775.808us",
        "9223372036854ms775us808ns",
    ] {
        assert_eq!(GoDuration::parse(text), Err(ParseDurationError::Invalid(text.to_owned())));
    }
    for (text, message) in [
        ("", r#"time: invalid duration """#),
        ("bogus", r#"time: invalid duration "bogus""#),
        ("3", r#"time: missing unit in duration "3""#),
        ("1m3", r#"time: missing unit in duration "1m3""#),
        ("1d", r#"time: unknown unit "d" in duration "1d""#),
        ("5s ", r#"time: unknown unit "s " in duration "5s ""#),
        ("1\"\\", r#"time: unknown unit "\"\\" in duration "1\"\\""#),
        ("\u{fffd}\n", r#"time: invalid duration "\xef\xbf\xbd\x0a""#),
    ] {
        assert_eq!(GoDuration::parse(text).unwrap_err().to_string(), message);
    }
}

#[test]
fn prints_as_go_prints() {
    for (text, nanos) in [
        ("0s", 0),
        ("1ns", 1),
        ("-1ns", -1),
        ("1.1µs", 1_100),
        ("2.2ms", 2_200_000),
        ("3.3s", 3_300_000_000),
        ("4.213s", 4_213_000_000),
        ("1m0s", 60_000_000_000),
        ("4m5.001s", 245_001_000_000),
        ("1h0m0s", 3_600_000_000_000),
        ("1h1m1s", 3_661_000_000_000),
        ("5h6m7.001s", 18_367_001_000_000),
        ("8m0.000000001s", 480_000_000_001),
        ("2562047h47m16.854775807s", i64::MAX),
        ("-2562047h47m16.854775808s", i64::MIN),
    ] {
        assert_eq!(GoDuration(nanos).to_string(), text);
    }
}

#[test]
fn standard_durations_are_not_negative() {
    assert_eq!(GoDuration(1_500_000_000).as_std(), Duration::from_millis(1_500));
    assert_eq!(GoDuration(-1).as_std(), Duration::ZERO);
    assert_eq!(GoDuration(i64::MIN).as_std(), Duration::ZERO);
}

proptest! {
    #[test]
    fn what_is_printed_parses_back(nanos: i64) {
        let printed = GoDuration(nanos).to_string();
        prop_assert_eq!(GoDuration::parse(&printed), Ok(GoDuration(nanos)));
    }

    /// Short ones as well, which a number drawn from all of them hardly ever is.
    #[test]
    fn short_ones_too(nanos in -10_000_000_000_000i64..10_000_000_000_000) {
        let printed = GoDuration(nanos).to_string();
        prop_assert_eq!(GoDuration::parse(&printed), Ok(GoDuration(nanos)));
    }

    #[test]
    fn no_text_panics(text in "[-+]?([0-9.]{0,25}(ns|us|µs|ms|s|m|h|d)?){0,4}|.{0,12}") {
        let _ = GoDuration::parse(&text).map_err(|e| e.to_string());
    }
}

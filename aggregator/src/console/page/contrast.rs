//! The colours of `hw.css` against each other. Source: CONSOLE page, section 5.

use std::collections::BTreeMap;

/// A theme's colours by name.
type Theme<'a> = BTreeMap<&'a str, &'a str>;

#[test]
fn every_pair_of_colours_has_the_contrast_that_the_design_says() {
    let light = theme(":root,[data-theme=light]{");
    let dark = theme("[data-theme=dark]{");
    let pairs = [
        ("text", "surface", 16.5, 14.4),
        ("muted", "surface", 7.3, 7.7),
        ("accent", "surface", 6.3, 7.6),
        ("on-accent", "accent", 6.3, 8.3),
        ("ok", "surface", 6.6, 8.3),
        ("warn", "surface", 5.9, 11.0),
        ("crit", "surface", 9.3, 6.7),
        ("stale", "surface", 5.9, 6.9),
        ("border-strong", "surface", 3.8, 3.9),
        ("warn-f", "surface", 3.3, 7.1),
        ("crit-f", "surface", 9.3, 11.1),
        ("stale-f", "surface", 3.1, 3.3),
    ];
    for (one, other, in_light, in_dark) in pairs {
        for (theme, expected) in [(&light, in_light), (&dark, in_dark)] {
            let found = contrast(theme[one], theme[other]);
            assert!((found - expected).abs() < 0.1, "{one} on {other}: {found:.2}, not {expected}");
        }
    }
    for (theme, least) in [(&light, 3.1), (&dark, 4.4)] {
        let series =
            ["c1", "c2", "c3", "c4", "c5", "c6"].map(|it| contrast(theme[it], theme["surface"]));
        let found = series.into_iter().fold(f64::INFINITY, f64::min);
        assert!((found - least).abs() < 0.1, "the faintest line: {found:.2}, not {least}");
        let texts = ["text", "muted", "accent", "ok", "warn", "crit", "stale"];
        for text in texts {
            assert!(contrast(theme[text], theme["raised"]) >= 4.5, "{text} on raised");
            assert!(contrast(theme[text], theme["bg"]) >= 4.5, "{text} on bg");
        }
    }
}

#[test]
fn the_system_s_dark_is_the_chosen_dark() {
    assert_eq!(theme("[data-theme=auto]{"), theme("[data-theme=dark]{"));
}

fn theme(selector: &str) -> Theme<'static> {
    let css = include_str!("../../../assets/hw.css");
    let block = css.split_once(selector).unwrap().1.split('}').next().unwrap();
    let pairs = block.split(';').filter_map(|pair| pair.trim().strip_prefix("--")?.split_once(':'));
    pairs.filter(|(_, colour)| colour.len() == 7).collect()
}

/// Source: WCAG 2.2, contrast ratio.
fn contrast(one: &str, other: &str) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

fn luminance(colour: &str) -> f64 {
    let part = |at: usize| {
        let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
}

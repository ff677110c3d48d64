//! How a browser shows the page: on a phone and at a desk, by day and by night.

use std::env;
use std::fs;
use std::path::Path;

use fleet_tests::chromium::{Browser, Measured, Shown};

use super::page::{ReportData, page};
use super::sample;

pub(super) fn nothing_overflows() {
    let mut shown = Vec::new();
    for data in [sample::realistic(), sample::empty(), sample::single(), sample::huge(), sample::hostile()] {
        for width in [320, 360, 719, 720, 1000, 1280] {
            let page = Shown { unfolded: true, ..on_screen(&data, width, "light") };
            // The widest of the fonts that a system may have.
            shown.push(Shown { font: Some("DejaVu Sans"), ..page.clone() });
            shown.push(page);
        }
    }
    for (measured, shown) in browser().measure(&shown).iter().zip(&shown) {
        let what = format!("{} wide, {:?}", shown.width, shown.font);
        assert!(measured.overflows.is_empty(), "{what}: {:#?}", measured.overflows);
        assert!(measured.width <= shown.width, "{what}: the page is {} wide", measured.width);
        assert_eq!(measured.requests, 0, "{what}");
    }
    // It would be seen.
    let wide = page(&sample::empty()).replace("<main>", "<main><p style=\"width:400px\">wide</p>");
    let shown = Shown { page: wide, ..on_screen(&sample::empty(), 360, "light") };
    let [measured] = &browser().measure(&[shown])[..] else { panic!("one page") };
    assert!(!measured.overflows.is_empty() && measured.width > 360);
}

pub(super) fn text_from_outside_makes_no_element() {
    let hostile = on_screen(&sample::hostile(), 1280, "light");
    let bare = Shown { page: hostile.page.replace("&lt;", "<").replace("&gt;", ">"), ..hostile.clone() };
    let [escaped, bare] = &browser().measure(&[hostile, bare])[..] else { panic!("two pages") };
    assert!(escaped.foreign.is_empty(), "{:?}", escaped.foreign);
    assert!(!bare.foreign.is_empty(), "the sample is not hostile");
}

pub(super) fn the_policy_lets_no_script_run() {
    let plain = on_screen(&sample::empty(), 360, "light");
    let script = plain.page.replace("</body>", "<script>document.title = 'ran'</script></body>");
    let guarded = Shown { page: script.clone(), ..plain.clone() };
    let bare = Shown { page: script.replace("default-src 'none'", "default-src 'unsafe-inline'"), ..plain };
    let [guarded, bare] = &browser().measure(&[guarded, bare])[..] else { panic!("two pages") };
    assert_eq!(guarded.title, "Key report, 2026-11-24 23:50 UTC");
    assert_eq!(bare.title, "ran");
}

pub(super) fn pictures_are_of_their_size_and_not_blank() {
    let browser = browser();
    for width in [360, 1280] {
        let shown = ["light", "dark"].map(|scheme| on_screen(&sample::realistic(), width, scheme));
        let measured: [Measured; 2] = browser.measure(&shown).try_into().unwrap();
        assert_ne!(measured[0].background, measured[1].background, "dark is not light");
        for (shown, measured) in shown.iter().zip(measured) {
            let picture = browser.picture(shown, measured.height);
            assert_eq!((picture.width, picture.height), (width, measured.height));
            let colors = picture.colors();
            let pixels = picture.rgb.len() / 3;
            assert!(colors.len() > 100, "{} colors", colors.len());
            assert!(colors[0].1 < pixels * 9 / 10, "most of it is blank");
            // Down to its end, too: there the footer stands.
            let end = &picture.rgb[picture.rgb.len() - picture.rgb.len() / 20..];
            assert!(end.chunks_exact(3).any(|pixel| pixel != &end[..3]), "its end is blank");

            if let ("light", Some(folder)) = (shown.scheme, env::var_os("FIELDSEAL_DRAW")) {
                let png = picture.png();
                assert!(png.len() < 200 * 1024, "{} bytes", png.len());
                // Beside the manifest, wherever the tests are run from.
                let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
                fs::write(folder.join(format!("report-{width}.png")), png).unwrap();
            }
        }
    }
}

fn browser() -> Browser {
    Browser::find().expect("else the test is skipped")
}

fn on_screen(data: &ReportData, width: u32, scheme: &'static str) -> Shown {
    Shown { page: page(data), width, scheme, unfolded: false, font: None }
}

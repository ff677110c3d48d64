//! A browser without a window, for what only a browser can say of a page: what overflows, what runs, how it looks.
//!
//! Needs Chromium or Chrome in `PATH`. Where there is none, [`skip`] says so before a test is run, and [`Browser::find`]
//! answers `None`; with `FIELDSEAL_REQUIRE=chromium` (a list, separated by commas) that is a failure instead.
//!
//! Pages are shown in frames, because a window is never as narrow as a phone.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde::Deserialize;
use tempfile::TempDir;

use crate::service::required;

/// Whether tests are to be skipped: no browser is installed, and nobody requires it.
pub fn skip() -> bool {
    program().is_none() && !required("chromium")
}

/// An installed browser; each call starts it anew.
#[derive(Debug)]
pub struct Browser {
    program: PathBuf,
    dir: TempDir,
}

/// A page, and how it is to be shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its HTML.
    pub page: String,
    /// Of its frame, in pixels.
    pub width: u32,
    /// `light` or `dark`.
    pub scheme: &'static str,
    /// Whether what is folded away is unfolded first.
    pub unfolded: bool,
    /// Another font than the page asks for.
    pub font: Option<&'static str>,
}

/// What the browser says of it.
#[derive(Debug, Deserialize)]
pub struct Measured {
    /// Of the whole page, in pixels.
    pub width: u32,
    /// The same.
    pub height: u32,
    /// What reaches over the page's edge or its own, and labels that overlap: tag and class of each.
    pub overflows: Vec<String>,
    /// Elements that run, load or lead elsewhere.
    pub foreign: Vec<String>,
    /// What was loaded, and what was tried.
    pub requests: u32,
    /// The color of the body, as CSS computes it.
    pub background: String,
    /// The document's.
    pub title: String,
}

/// Pixels, three bytes each, row by row.
#[derive(Debug)]
pub struct Picture {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// The bytes.
    pub rgb: Vec<u8>,
}

impl Browser {
    /// `None` if no browser is installed.
    ///
    /// # Panics
    /// If `FIELDSEAL_REQUIRE` names `chromium` and none is installed.
    pub fn find() -> Option<Self> {
        let Some(program) = program() else {
            assert!(!required("chromium"), "FIELDSEAL_REQUIRE names chromium, but no browser is installed");
            return None;
        };
        Some(Self { program, dir: tempfile::tempdir().unwrap() })
    }

    /// Measures pages: all in one run, because to start a browser takes longer than to show a page.
    pub fn measure(&self, pages: &[Shown]) -> Vec<Measured> {
        let frames: String = pages.iter().map(|page| frame(page, 2000)).collect();
        let script = format!("<pre id=measured></pre><script>{MEASURE}</script>");
        let output = self.run(&[&frames, &script].map(String::as_str).concat(), 1280, 2000, &["--dump-dom"]);
        let dom = String::from_utf8(output.stdout).unwrap();
        let json = dom.split("<pre id=\"measured\">").nth(1).and_then(|rest| rest.split("</pre>").next());
        let json = json.filter(|json| !json.is_empty()).unwrap_or_else(|| panic!("nothing was measured: {dom:.500}"));
        serde_json::from_str(json).unwrap()
    }

    /// The upper left of the page, so high.
    pub fn picture(&self, page: &Shown, height: u32) -> Picture {
        let file = self.dir.path().join("picture.png");
        // A window has at least 500 pixels, and loses some of its height to what isn't shown.
        let (width, higher) = (page.width.max(500), height + 200);
        self.run(&frame(page, height), width, higher, &[&format!("--screenshot={}", file.display())]);
        Picture::read(&fs::read(file).unwrap()).cut(page.width, height)
    }

    fn run(&self, body: &str, width: u32, height: u32, arguments: &[&str]) -> Output {
        let file = self.dir.path().join("frames.html");
        fs::write(&file, format!("<!DOCTYPE html><meta charset=utf-8><body style=\"margin:0\">{body}")).unwrap();
        let output = Command::new(&self.program)
            .args(QUIET)
            .arg(format!("--user-data-dir={}", self.dir.path().join("profile").display()))
            .arg(format!("--window-size={width},{height}"))
            .args(arguments)
            .arg(format!("file://{}", file.display()))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        output
    }
}

impl Picture {
    fn read(png: &[u8]) -> Self {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(png));
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        let mut reader = decoder.read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut bytes).unwrap();
        let samples = info.color_type.samples();
        assert!(samples >= 3, "a screenshot has colors");
        let mut rgb = Vec::with_capacity(bytes.len());
        for pixel in bytes.chunks_exact(samples) {
            rgb.extend_from_slice(&pixel[..3]);
        }
        Self { width: info.width, height: info.height, rgb }
    }

    fn cut(self, width: u32, height: u32) -> Self {
        assert!(self.width >= width && self.height >= height, "the window was {} by {}", self.width, self.height);
        let [from, to] = [self.width, width].map(|width| width as usize * 3);
        let rows: Vec<_> = self.rgb.chunks_exact(from).take(height as usize).map(|row| &row[..to]).collect();
        Self { width, height, rgb: rows.concat() }
    }

    /// How many pixels are of each color, the most frequent first.
    pub fn colors(&self) -> Vec<([u8; 3], usize)> {
        let mut counts = HashMap::new();
        for pixel in self.pixels() {
            *counts.entry(pixel).or_insert(0) += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_unstable_by_key(|&(color, count)| (Reverse(count), color));
        counts
    }

    /// In the 256 most frequent colors, which is a third of the size: the others are shades at the edges of letters.
    pub fn png(&self) -> Vec<u8> {
        let palette: Vec<_> = self.colors().into_iter().map(|(color, _)| color).take(256).collect();
        let distance =
            |a: &[u8; 3], b: &[u8; 3]| a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b)).pow(2)).sum::<u32>();
        let mut nearest = HashMap::new();
        let indices: Vec<_> = self
            .pixels()
            .map(|pixel| {
                *nearest.entry(pixel).or_insert_with(|| {
                    let entries = palette.iter().enumerate();
                    u8::try_from(entries.min_by_key(|(_, color)| distance(color, &pixel)).unwrap().0).unwrap()
                })
            })
            .collect();
        let mut png = Vec::new();
        let mut encoder = png::Encoder::new(&mut png, self.width, self.height);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_palette(palette.concat());
        encoder.set_compression(png::Compression::High);
        encoder.set_filter(png::Filter::NoFilter);
        encoder.write_header().unwrap().write_image_data(&indices).unwrap();
        png
    }

    fn pixels(&self) -> impl Iterator<Item = [u8; 3]> {
        self.rgb.chunks_exact(3).map(|pixel| [pixel[0], pixel[1], pixel[2]])
    }
}

fn frame(shown: &Shown, height: u32) -> String {
    let Shown { page, width, scheme, unfolded, font } = shown;
    let font = font.map_or(String::new(), |font| format!("<style>* {{ font-family: \"{font}\" !important }}</style>"));
    let mut page = page.replace("</head>", &format!("{font}</head>"));
    if *unfolded {
        page = page.replace("<details>", "<details open>");
    }
    let page = page.replace('&', "&amp;").replace('"', "&quot;");
    format!(
        r#"<iframe style="display:block;border:0;width:{width}px;height:{height}px;color-scheme:{scheme}" srcdoc="{page}"></iframe>"#
    )
}

fn program() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    names.iter().find_map(|name| env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file()))
}

/// It looks nothing up on the network. Without its sandbox, because in a container it can't make one; the pages are ours.
const QUIET: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
];

const MEASURE: &str = include_str!("measure.js");

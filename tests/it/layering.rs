//! Who may import whom within the core, where the compiler holds no wall: every `crate::` path in `src/` is read and held against
//! the table of `docs/architecture.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module, and what it may import beside itself. Later rows may name earlier ones with all that those may import.
const LAYERS: &[(&str, &[&str])] = &[
    ("error", &["clock", "kind"]),
    ("kind", &[]),
    ("clock", &[]),
    ("bytes", &[]),
    ("thread", &[]),
    ("disk", &["error"]),
    ("id", &["error"]),
    ("crypto", &["id"]),
    ("envelope", &["crypto"]),
    ("keys", &["envelope", "bytes"]),
    ("subject", &["keys"]),
    ("value", &["subject"]),
    ("record", &["value"]),
    ("provider", &["keys", "thread", "disk"]),
    ("store", &["keys"]),
    ("journal", &["keys", "thread", "disk"]),
    ("rows", &["error", "bytes"]),
    ("layer", &["provider", "store", "journal", "rows"]),
    ("caught", &["layer"]),
    ("timer", &["clock"]),
    ("guard", &["layer", "timer"]),
    ("measure", &["layer"]),
    ("read_only", &["layer"]),
    ("vault", &["subject", "provider", "store", "journal", "read_only", "caught", "timer"]),
    ("declare", &["record", "vault"]),
    ("jobs", &["record", "rows", "vault"]),
    ("integrations", &["jobs"]),
    ("fuzzing", &["jobs"]),
];

/// Layers that are a function of their arguments: no I/O, no clock of their own, nothing async.
const PURE: &[&str] = &["error", "kind", "id", "bytes", "crypto", "envelope", "keys", "subject", "value", "record"];

/// Names at the crate root, and where they are from.
const ROOT: &[(&str, &str)] = &[
    ("Error", "error"),
    ("Result", "error"),
    ("Suite", "crypto"),
    ("SubjectKeys", "subject"),
    ("Plain", "value"),
    ("Sealed", "value"),
    ("Plaintext", "value"),
    ("Column", "record"),
    ("Record", "record"),
    ("layered", "layer"),
    ("Tenant", "vault"),
    ("Vault", "vault"),
];

#[test]
fn modules_import_only_what_is_below_them() {
    let allowed = closure();
    let mut wrong = Vec::new();
    for (module, file, line, path) in imports() {
        let target = path.split("::").next().unwrap();
        let target = ROOT.iter().find(|(name, _)| *name == target).map_or(target, |(_, from)| from);
        let Some(may) = allowed.get(module.as_str()) else {
            wrong.push(format!("{}:{line}: the module `{module}` is in no layer", file.display()));
            continue;
        };
        if target != module && !may.contains(target) {
            wrong.push(format!("{}:{line}: `{module}` must not import `{path}`", file.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_vault_knows_no_adapter() {
    let adapters = ["FileJournal", "LocalKeyring", "MemoryJournal", "MemoryStore"];
    for (file, code) in code_of("vault") {
        for adapter in adapters {
            assert!(!code.contains(adapter), "{} names {adapter}", file.display());
        }
    }
}

#[test]
fn cipher_crates_are_named_in_crypto_alone() {
    let crates = ["aes_gcm", "chacha20poly1305", "chacha20::", "hkdf::", "hmac::", "sha2::", "argon2::", "aes::"];
    for (module, _) in LAYERS.iter().filter(|(module, _)| *module != "crypto") {
        for (file, code) in code_of(module) {
            for name in crates {
                assert!(!uses_crate(&code, name), "{} names {name}", file.display());
            }
        }
    }
}

#[test]
fn the_lower_layers_are_sync_and_do_no_io() {
    for module in PURE {
        for (file, code) in code_of(module) {
            for word in ["async ", ".await", "std::fs", "std::net", "std::process", "SystemTime::now", "Instant::now"] {
                assert!(!code.contains(word), "{} has `{word}`", file.display());
            }
            let randomness = code.contains("SysRng") || code.contains("getrandom");
            assert!(!randomness || file.ends_with("crypto/rng.rs"), "{} draws randomness", file.display());
        }
    }
}

/// A crate's name at the start of a path: not as the end of another word or path.
fn uses_crate(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

fn closure() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let mut allowed = BTreeMap::<_, BTreeSet<_>>::new();
    // Two passes: the bottom group may name one another in any order.
    for _ in 0..2 {
        for (module, direct) in LAYERS {
            let mut may: BTreeSet<_> = direct.iter().copied().collect();
            for below in *direct {
                may.extend(allowed.get(below).into_iter().flatten().copied());
            }
            allowed.insert(*module, may);
        }
    }
    for (module, may) in &allowed {
        assert!(!may.contains(module), "`{module}` may import itself through others: the layers have a cycle");
    }
    allowed
}

/// Every `crate::` path outside of comments and test modules: module, file, line, path behind `crate::`.
fn imports() -> Vec<(String, PathBuf, usize, String)> {
    let mut found = Vec::new();
    for (file, code) in sources(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").as_path()) {
        let module = module_of(&file);
        if module == "lib" {
            continue;
        }
        for (at, _) in code.match_indices("crate::") {
            if code[..at].ends_with('$') {
                continue; // in an exported macro: the path of whoever calls it
            }
            let line = code[..at].lines().count();
            let rest = &code[at + "crate::".len()..];
            if rest.starts_with("__") {
                continue; // an exported macro for our own use: it has no place but the root
            }
            for path in first_segments(rest) {
                found.push((module.clone(), file.clone(), line, path));
            }
        }
    }
    assert!(found.len() > 100, "the sources were not found");
    found
}

/// `a::b` gives `a::b`; `{a::b, c}` gives `a::b` and `c`.
fn first_segments(rest: &str) -> Vec<String> {
    let word = |s: &str| s.chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':').collect::<String>();
    let Some(group) = rest.strip_prefix('{') else { return vec![word(rest)] };
    let (mut depth, mut start, mut paths) = (0, 0, Vec::new());
    for (i, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                paths.push(word(group[start..i].trim()));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                paths.push(word(group[start..i].trim()));
                start = i + 1;
            }
            _ => {}
        }
    }
    paths.retain(|path| !path.is_empty());
    paths
}

fn code_of(module: &str) -> Vec<(PathBuf, String)> {
    let all = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    all.into_iter().filter(|(file, _)| module_of(file) == module).collect()
}

/// The files under a folder, without comments and without what follows `#[cfg(test)]` at the end of a file.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") && !is_test(&path) {
            let text = fs::read_to_string(&path).unwrap();
            let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap()).collect();
            let code = code.join("\n");
            let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
            found.push((path, code));
        }
    }
    found
}

fn is_test(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem == "tests" || stem == "vectors")
}

fn module_of(file: &Path) -> String {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let first = file.strip_prefix(src).unwrap().components().next().unwrap();
    Path::new(first.as_os_str()).file_stem().unwrap().to_str().unwrap().to_owned()
}

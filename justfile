# The steps of .ci/run, by short names. `just` lists them; `just check test` before each commit, `just ci` for all that decides.

_list:
    @{{ just_executable() }} --list --unsorted

# What the compiler and the linters say, without running anything.
check:
    .ci/run formatting spelling pages clippy features documentation

# All tests, or those of `just test -p PACKAGE NAME`. Whose server isn't installed counts as ignored.
test *ARGS="--workspace":
    cargo test --all-features {{ ARGS }}

# Everything that decides whether a change is good; installs what it needs.
ci:
    .ci/run

# All rounds of what .ci/run runs few of: races, kills, faults, the model with each rule taken out, long fuzzing. Hours.
soak:
    .ci/run tests_in_full minimal_versions xaes model_in_full fuzzing_in_full

# One fuzz target for some seconds, from the vectors on; without a target, all of them.
fuzz TARGET='' SECONDS='60':
    {{ if TARGET == '' { 'FUZZ_SECONDS=' + SECONDS + ' .ci/run fuzzing' } else { 'python3 fuzz/seed.py && cargo +nightly fuzz run ' + TARGET + ' -- -max_total_time=' + SECONDS } }}

# The figures of README.md and docs/scale.md.
bench:
    cargo bench --bench ratio
    cargo bench --bench fields --all-features
    cargo bench --package fieldseal-sqlx --all-features --bench jobs -- 1000000 100000 /dev/shm
    cargo bench --package fieldseal-sqlx --all-features --bench damage -- 100000 /dev/shm
    cargo bench --package fieldseal-sqlx --all-features --bench lifecycle -- 100000 /dev/shm
    cargo bench --package fieldseal-sqlx --all-features --bench scale -- 20000

# The documentation as docs.rs shows it, features named.
doc *ARGS:
    RUSTDOCFLAGS='--cfg docsrs' cargo +nightly doc --workspace --all-features --no-deps {{ ARGS }}

# Says anew which types of other crates the public API shows. The change is a line in CHANGELOG.md.
external-types:
    python3 .ci/external_types.py --write

# What a release would break, against the version that is on crates.io. From the first one on.
semver:
    cargo semver-checks --version || cargo install --locked cargo-semver-checks
    cargo semver-checks --workspace --exclude fleet-tests

# What RELEASING.md asks of a machine before a tag. Soaking is apart: it takes hours.
release-check: ci
    for crate in fieldseal-derive fieldseal fieldseal-testkit fieldseal-sqlx fieldseal-aws fieldseal-openbao fieldseal-pkcs11 fieldseal-keytool; do cargo package --list --package $crate > /dev/null; done

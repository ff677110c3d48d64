//! An authority for TLS of a test's own, and certificates of it, made by the program `openssl`: see `service::skip`.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::service::find;

/// Whom a test trusts, or doesn't.
#[derive(Debug)]
pub struct Authority {
    folder: TempDir,
}

/// A server's certificate, and the key to it.
#[derive(Debug)]
pub struct Certificate {
    /// The certificate, in PEM.
    pub file: PathBuf,
    /// Its private key, in PEM, which none but the server's user reads.
    pub key: PathBuf,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// Makes one.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // PostgreSQL may run as another user.
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        let authority = Self { folder };
        authority
            .openssl(&format!("req -x509 {NEW} -keyout authority.key -out authority.pem -days 2 -subj /CN=Authority"));
        authority
    }

    /// Its own certificate.
    pub fn file(&self) -> PathBuf {
        self.path("authority.pem")
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A certificate for hosts, `DNS:localhost,IP:127.0.0.1`, that ends in so many days.
    pub fn certificate(&self, name: &str, hosts: &str, days: i32) -> Certificate {
        fs::write(self.path("extensions"), format!("subjectAltName={hosts}\n")).unwrap();
        self.openssl(&format!("req {NEW} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA authority.pem -CAkey authority.key -set_serial 2 -days {days} -extfile extensions \
             -out {name}.pem"
        ));
        self.given(name)
    }

    /// What is no server's: its own.
    pub fn as_a_server(&self) -> Certificate {
        self.given("authority")
    }

    fn given(&self, name: &str) -> Certificate {
        let [file, key] = ["pem", "key"].map(|kind| self.path(&format!("{name}.{kind}")));
        // A server that is run as nobody takes no key but its own.
        if fs::metadata(&key).unwrap().uid() == 0 {
            chown(&key, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        Certificate { file, key }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn openssl(&self, args: &str) {
        let mut openssl = Command::new(find("openssl").unwrap());
        let output = openssl.args(args.split_whitespace()).current_dir(&self.folder).output().unwrap();
        assert!(output.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

const NEW: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
/// As in [`postgres`](crate::postgres).
const NOBODY: u32 = 65_534;

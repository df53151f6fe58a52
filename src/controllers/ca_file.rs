//! Files with certificate authorities that VaultConnections name: hostile input, in a pod that serves all tenants.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::sync::Semaphore;

use crate::util::BoundedCache;

/// Longest file that is read, in bytes.
const MAX_CA_FILE_BYTES: u64 = 1024 * 1024;
/// A file system that gives no answer is waited for so long.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// So many files are read at the same time. A read cannot be cancelled: this is how many threads a file system that
/// hangs can hold.
const CONCURRENT_READS: usize = 4;
/// What is not told again to the log within [`REPEAT_LOG_AFTER`] is remembered of so many files.
const REMEMBERED_FAILURES: usize = 256;
const REPEAT_LOG_AFTER: Duration = Duration::from_secs(3600);

/// Nothing below these is read: devices, the state of the kernel and of this process, the operator's own identity.
const FORBIDDEN_DIRS: [&str; 4] = ["/dev", "/proc", "/sys", "/var/run/secrets/kubernetes.io/serviceaccount"];

/// Reads files for VaultConnections.
pub(crate) struct CaFiles {
    rules: Arc<Rules>,
    reads: Arc<Semaphore>,
    /// What the log was told of a path.
    told: Mutex<BoundedCache<PathBuf, String>>,
}

struct Rules {
    /// Where files may be; empty: wherever it is not forbidden.
    allowed: Vec<PathBuf>,
    forbidden: Vec<PathBuf>,
}

impl CaFiles {
    /// Reads below `allowed` only, or anywhere that is not forbidden if that is empty.
    pub fn new(allowed: Vec<PathBuf>) -> Self {
        Self::with_forbidden(allowed, FORBIDDEN_DIRS.map(PathBuf::from).to_vec())
    }

    fn with_forbidden(allowed: Vec<PathBuf>, forbidden: Vec<PathBuf>) -> Self {
        Self {
            rules: Arc::new(Rules { allowed, forbidden }),
            reads: Arc::new(Semaphore::new(CONCURRENT_READS)),
            told: Mutex::new(BoundedCache::new(REMEMBERED_FAILURES)),
        }
    }

    /// The PEM certificates of a file.
    ///
    /// # Errors
    /// One text, whatever the reason is: a tenant learns nothing of the files of the pod. The log has the reason.
    pub async fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        match tokio::time::timeout(READ_TIMEOUT, self.read_on_thread(PathBuf::from(path))).await {
            Ok(Ok(pem)) => return Ok(pem),
            Ok(Err(reason)) => self.tell(path, reason),
            Err(_) => self.tell(path, format!("it was not read within {} s", READ_TIMEOUT.as_secs())),
        }
        Err(format!(
            "spec.caCertPath {path:?} cannot be used: it must be a file of the operator's pod with PEM certificates, where the \
             operator may read. The operator's log says more"
        ))
    }

    async fn read_on_thread(&self, path: PathBuf) -> Result<Vec<u8>, String> {
        // The turn stays with the thread: a read that hangs holds it after the caller has given up.
        let turn = self.reads.clone().acquire_owned().await.map_err(|e| e.to_string())?;
        let rules = self.rules.clone();
        let read = tokio::task::spawn_blocking(move || {
            let pem = rules.read(&path);
            drop(turn);
            pem
        });
        read.await.map_err(|e| e.to_string())?
    }

    fn tell(&self, path: &str, reason: String) {
        let (key, now) = (PathBuf::from(path), Instant::now());
        let mut told = self.told.lock();
        if told.get(&key, now) != Some(&reason) {
            tracing::warn!(path, reason, "a file that a VaultConnection names cannot be used");
            told.insert(key, reason, now + REPEAT_LOG_AFTER, now);
        }
    }
}

impl Rules {
    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        if !path.is_absolute() {
            return Err("the path is not absolute".to_owned());
        }
        // Before and after links are followed: what is forbidden may be a link itself.
        let real = path.canonicalize().map_err(|e| e.to_string())?;
        for path in [path, &real] {
            self.check(path)?;
        }
        // Looked at before it is opened: to open a FIFO or a device may block, or do something.
        let not_a_file = || "it is not a regular file".to_owned();
        if !real.metadata().map_err(|e| e.to_string())?.is_file() {
            return Err(not_a_file());
        }
        let file = File::open(&real).map_err(|e| e.to_string())?;
        if !file.metadata().map_err(|e| e.to_string())?.is_file() {
            return Err(not_a_file());
        }
        let mut pem = Vec::new();
        file.take(MAX_CA_FILE_BYTES + 1).read_to_end(&mut pem).map_err(|e| e.to_string())?;
        if pem.len() as u64 > MAX_CA_FILE_BYTES {
            return Err(format!("it has more than {MAX_CA_FILE_BYTES} bytes"));
        }
        check_certificates(&pem)?;
        Ok(pem)
    }

    fn check(&self, path: &Path) -> Result<(), String> {
        let below = |dirs: &[PathBuf]| {
            dirs.iter().any(|dir| path.starts_with(dir) || dir.canonicalize().is_ok_and(|dir| path.starts_with(dir)))
        };
        if below(&self.forbidden) {
            return Err("nothing in that directory is read".to_owned());
        }
        if !self.allowed.is_empty() && !below(&self.allowed) {
            return Err("it is in no directory that --ca-cert-dirs names".to_owned());
        }
        Ok(())
    }
}

/// What is no bundle of certificates fails here, and not with a text of its own when the client is built.
fn check_certificates(pem: &[u8]) -> Result<(), String> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        // The parser's own message is left out: it might quote the file.
        let certificate = certificate.map_err(|_| "it is not PEM".to_owned())?;
        roots.add(certificate).map_err(|_| "it has a certificate that cannot be read".to_owned())?;
    }
    if roots.is_empty() { Err("it has no certificate".to_owned()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    /// A directory that is removed at the end.
    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("vso-ca-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&dir).unwrap();
            Self(dir.canonicalize().unwrap())
        }

        fn file(&self, name: &str, content: &[u8]) -> PathBuf {
            let path = self.0.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, content).unwrap();
            path
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn certificate() -> String {
        rcgen::generate_simple_self_signed(["vault".to_owned()]).unwrap().cert.pem()
    }

    fn rules(allowed: &[&Path], forbidden: &[&Path]) -> Rules {
        let own = |dirs: &[&Path]| dirs.iter().map(|dir| dir.to_path_buf()).collect();
        Rules { allowed: own(allowed), forbidden: own(forbidden) }
    }

    fn read(files: &CaFiles, path: &Path) -> Result<Vec<u8>, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let result = runtime.block_on(files.read(path.to_str().unwrap()));
        runtime.shutdown_background();
        result
    }

    #[test]
    fn only_a_small_regular_file_with_certificates_is_read() {
        let dir = Dir::new("kinds");
        let pem = certificate();
        let good = dir.file("good.pem", format!("# a comment\n{pem}{pem}").as_bytes());
        let link = dir.0.join("link.pem");
        symlink(&good, &link).unwrap();
        let fifo = dir.0.join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let zero = dir.0.join("zero");
        symlink("/dev/zero", &zero).unwrap();
        let files = CaFiles::new(vec![]);
        for path in [&good, &link] {
            assert!(read(&files, path).is_ok(), "{path:?}");
        }
        let bad = [
            fifo,
            zero,
            "/dev/zero".into(),
            "/proc/self/environ".into(),
            "/proc/self/root/etc/hosts".into(),
            "/sys/kernel/notes".into(),
            "/nowhere".into(),
            "good.pem".into(),
            dir.0.clone(),
            dir.file("empty", b""),
            dir.file("text", b"hello"),
            dir.file("broken", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            dir.file("big", pem.repeat(MAX_CA_FILE_BYTES as usize / pem.len() + 1).as_bytes()),
        ];
        for path in bad {
            let error = read(&files, &path).unwrap_err();
            let (_, rest) = error.split_once(path.to_str().unwrap()).unwrap();
            assert_eq!(rest.split_once("it must be").unwrap().0, "\" cannot be used: ", "{path:?}");
            assert!(!rest.contains("No such") && !rest.contains("denied"), "{rest}");
        }
    }

    #[test]
    fn a_link_leads_neither_out_of_the_allowed_nor_into_the_forbidden() {
        let dir = Dir::new("links");
        let token = dir.file("identity/ca.crt", certificate().as_bytes());
        let outside = dir.file("outside.pem", certificate().as_bytes());
        let inside = dir.file("allowed/ca.pem", certificate().as_bytes());
        let (allowed, identity) = (dir.0.join("allowed"), dir.0.join("identity"));
        let to_identity = allowed.join("identity");
        symlink(&identity, &to_identity).unwrap();
        symlink(&outside, allowed.join("outside.pem")).unwrap();
        symlink(&identity, dir.0.join("named")).unwrap();

        // A forbidden directory counts by its own name and by that of what it links to.
        let rules_of = |allowed: &[&Path]| rules(allowed, &[&dir.0.join("named")]);
        let anywhere = rules_of(&[]);
        assert!(anywhere.read(&inside).is_ok() && anywhere.read(&outside).is_ok());
        for path in [&token, &to_identity.join("ca.crt"), &dir.0.join("named/ca.crt")] {
            assert!(anywhere.read(path).is_err(), "{path:?}");
        }
        let narrow = rules_of(&[&allowed]);
        assert!(narrow.read(&inside).is_ok());
        for path in [&outside, &allowed.join("outside.pem"), &to_identity.join("ca.crt")] {
            assert!(narrow.read(path).is_err(), "{path:?}");
        }
    }
}

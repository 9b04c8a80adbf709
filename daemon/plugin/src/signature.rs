//! Whose module it is: detached Ed25519 signatures (RFC 8032).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ed25519_dalek::pkcs8::DecodePublicKey;
use ed25519_dalek::{Signature, VerifyingKey};

/// Why keys cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The folder or a file in it cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is no key.
    #[error("{} is not an Ed25519 public key in PEM (RFC 8410): {reason}", path.display())]
    Parse {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Without a key nothing could ever be installed.
    #[error("{} has no key: no file that ends with .pem", path.display())]
    None {
        /// The folder.
        path: PathBuf,
    },
}

/// The public keys by one of which a module must be signed.
#[derive(Debug, Clone)]
pub struct Keys(Vec<(String, VerifyingKey)>);

impl Keys {
    /// Reads every `.pem` file of a folder; a key is known by its file's name.
    ///
    /// # Errors
    /// A file cannot be read, is no key, or there is none.
    pub fn read(folder: &Path) -> Result<Self, KeyError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| KeyError::Read { path, source }
        };
        let mut keys = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed(folder))? {
            let path = entry.map_err(failed(folder))?.path();
            if path.extension().is_some_and(|extension| extension == "pem") {
                let text = fs::read_to_string(&path).map_err(failed(&path))?;
                let key = VerifyingKey::from_public_key_pem(&text).map_err(|error| {
                    KeyError::Parse { path: path.clone(), reason: error.to_string() }
                })?;
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                keys.push((name, key));
            }
        }
        keys.sort_by(|a, b| a.0.cmp(&b.0));
        if keys.is_empty() {
            Err(KeyError::None { path: folder.to_owned() })
        } else {
            Ok(Self(keys))
        }
    }

    /// The key that made a signature of a module.
    pub fn signer(&self, module: &[u8], signature: &[u8; 64]) -> Option<&str> {
        let signature = Signature::from_bytes(signature);
        // Strict: a signature is one of one module by one key (RFC 8032 §8.4).
        let made =
            |(_, key): &&(String, VerifyingKey)| key.verify_strict(module, &signature).is_ok();
        self.0.iter().find(made).map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::pkcs8::EncodePublicKey;
    use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
    use ed25519_dalek::{Signer, SigningKey};

    use super::*;

    #[test]
    fn a_signature_is_of_one_module_by_one_key() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Keys::read(folder.path()), Err(KeyError::None { .. })));
        let [ours, other] = [7, 8].map(|seed| SigningKey::from_bytes(&[seed; 32]));
        let pem = ours.verifying_key().to_public_key_pem(LineEnding::LF).unwrap();
        fs::write(folder.path().join("ours.pem"), pem).unwrap();
        fs::write(folder.path().join("readme.txt"), "no key").unwrap();
        let keys = Keys::read(folder.path()).unwrap();
        let signature = ours.sign(b"module").to_bytes();
        assert_eq!(keys.signer(b"module", &signature), Some("ours"));
        assert_eq!(keys.signer(b"another", &signature), None);
        assert_eq!(keys.signer(b"module", &other.sign(b"module").to_bytes()), None);
        assert_eq!(keys.signer(b"module", &[0; 64]), None);
        fs::write(
            folder.path().join("bad.pem"),
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        )
        .unwrap();
        assert!(matches!(Keys::read(folder.path()), Err(KeyError::Parse { .. })));
    }
}

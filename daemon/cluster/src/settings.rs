//! How etcd is reached.

use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};
use postern_model::cluster::Vni;
use postern_model::name::Name;

use crate::error::SettingsError;

/// How often a lease is renewed while it lasts.
pub(crate) const RENEWALS: u32 = 3;
const LEASE: std::ops::RangeInclusive<u64> = 3..=3600;

/// Keys and certificates, in PEM.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Who etcd's certificate must be signed by.
    pub ca: Vec<u8>,
    /// Our own certificate and its key, where etcd asks for one.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl std::fmt::Debug for Tls {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("identity", &self.identity.is_some()).finish_non_exhaustive()
    }
}

/// How etcd is reached, and as which cluster.
#[derive(Clone)]
pub struct Settings {
    endpoints: Vec<String>,
    pub(crate) cluster: Name,
    pub(crate) lease: Duration,
    /// The lowest and the highest to choose from.
    pub(crate) vnis: (Vni, Vni),
    tls: Option<Tls>,
    user: Option<(String, String)>,
}

impl std::fmt::Debug for Settings {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let user = self.user.as_ref().map(|(name, _)| name);
        f.debug_struct("Settings")
            .field("endpoints", &self.endpoints)
            .field("cluster", &self.cluster)
            .field("lease", &self.lease)
            .field("tls", &self.tls)
            .field("user", &user)
            .finish()
    }
}

impl Settings {
    /// An etcd in the clear. A host is missed once its lease is over, in whole seconds.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn new(
        endpoints: Vec<String>,
        cluster: Name,
        lease: Duration,
    ) -> Result<Self, SettingsError> {
        if endpoints.is_empty() {
            return Err(SettingsError::NoEndpoint);
        }
        let is_url = |text: &&String| {
            let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
            rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['/', '?', '#', '@', ' ']))
        };
        if let Some(wrong) = endpoints.iter().find(|text| !is_url(text)) {
            return Err(SettingsError::Endpoint(wrong.clone()));
        }
        if !LEASE.contains(&lease.as_secs()) {
            return Err(SettingsError::Lease);
        }
        Ok(Self { endpoints, cluster, lease, vnis: (Vni::MIN, Vni::MAX), tls: None, user: None })
    }

    /// With VNIs from the first to the last of these alone.
    #[must_use]
    pub fn with_vnis(self, vnis: (Vni, Vni)) -> Self {
        Self { vnis, ..self }
    }

    /// With TLS, for `https` endpoints.
    #[must_use]
    pub fn with_tls(self, tls: Tls) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// As a user of etcd's.
    #[must_use]
    pub fn with_user(self, name: String, password: String) -> Self {
        Self { user: Some((name, password)), ..self }
    }

    /// The lease in seconds, as etcd counts it.
    pub(crate) fn lease_seconds(&self) -> i64 {
        i64::try_from(self.lease.as_secs()).unwrap_or(i64::MAX)
    }

    /// How long one request may take, and how long etcd may be silent.
    pub(crate) fn patience(&self) -> Duration {
        self.lease / RENEWALS
    }

    pub(crate) async fn connect(&self) -> Result<Client, etcd_client::Error> {
        let patience = self.patience();
        let mut options = ConnectOptions::new()
            .with_connect_timeout(patience)
            .with_timeout(patience)
            .with_keep_alive(patience, patience)
            .with_keep_alive_while_idle(true)
            .with_auto_token_refresh(true)
            // One that has lost the others would tell what was, and take nothing.
            .with_require_leader(true);
        if let Some((name, password)) = &self.user {
            options = options.with_user(name, password);
        }
        if let Some(Tls { ca, identity }) = &self.tls {
            let mut tls = TlsOptions::new().ca_certificate(Certificate::from_pem(ca));
            if let Some((certificate, key)) = identity {
                tls = tls.identity(Identity::from_pem(certificate, key));
            }
            options = options.with_tls(tls);
        }
        Client::connect(&self.endpoints, Some(options)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named() {
        let of = |endpoints: &[&str], seconds| {
            let endpoints = endpoints.iter().map(|&text| text.to_owned()).collect();
            Settings::new(endpoints, "test".parse().unwrap(), Duration::from_secs(seconds))
        };
        assert!(of(&["http://127.0.0.1:2379", "https://etcd.example:2379"], 15).is_ok());
        assert!(matches!(of(&[], 15), Err(SettingsError::NoEndpoint)));
        for wrong in
            ["", "127.0.0.1:2379", "unix:///run/etcd", "http://", "http://a/b", "http://u@a"]
        {
            let refused = of(&["http://127.0.0.1:2379", wrong], 15);
            assert!(matches!(refused, Err(SettingsError::Endpoint(text)) if text == wrong));
        }
        for seconds in [0, 2, 3601] {
            assert!(matches!(of(&["http://a:1"], seconds), Err(SettingsError::Lease)), "{seconds}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let settings = Settings::new(
            vec!["https://a:1".to_owned()],
            "test".parse().unwrap(),
            Duration::from_secs(15),
        );
        let identity = Some((b"certificate".to_vec(), b"s3cret-key".to_vec()));
        let settings = settings
            .unwrap()
            .with_user("root".to_owned(), "s3cret-word".to_owned())
            .with_tls(Tls { ca: Vec::new(), identity });
        let text = format!("{settings:?}");
        assert!(text.contains("root") && !text.contains("s3cret"), "{text}");
    }
}

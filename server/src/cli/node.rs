//! From a configuration to a running node, and what a running node does on signals.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use tokio::signal::unix::{SignalKind, signal};

use crate::app::{App, AppSettings, BackendSettings, StartError};
use crate::auth::{Keyring, Tokens};
use crate::config::Config;
use crate::http::{HttpSettings, Origins};
use crate::net::{Network, Tls};
use crate::{admin, mysql};

/// A node that runs, with what a reload touches.
pub(super) struct Node {
    pub(super) app: App,
    /// What it was started with.
    config: Config,
    tokens: Tokens,
    certificates: Vec<Arc<Tls>>,
    data_directory: PathBuf,
}

impl Node {
    /// Starts a node as configured.
    pub(super) async fn start(config: &Config) -> anyhow::Result<Self> {
        let wrong = config.check();
        if !wrong.is_empty() {
            bail!("{}", wrong.join("\n"));
        }
        for warning in config.warnings() {
            tracing::warn!(warning, "configuration");
        }
        let data_directory = PathBuf::from(&config.server.data_dir);
        let store = crate::storage::Store::open(&data_directory, config.durability())?;
        let keyring = Keyring::new(config.keys(&data_directory)?);
        let token_settings = config.token_settings().map_err(anyhow::Error::msg)?;
        let tokens = Tokens::new(&token_settings, keyring.clone())?;
        let mut certificates = Vec::new();
        let (http, mysql) = (
            http(config, &mut certificates)?,
            mysql(config, &mut certificates)?,
        );
        let settings = AppSettings {
            shards: (config.server.shards > 0).then_some(config.server.shards),
            limits: config.engine_limits(),
            rules: config.rules().map_err(anyhow::Error::msg)?,
            tokens: tokens.clone(),
            http,
            backends: BackendSettings {
                keyring: keyring.clone(),
                language: config.language(),
                mysql,
                admin: admin::Settings {
                    address: config.admin.listen,
                    on_http: config.admin.on_http,
                    session: config.admin.session.duration(),
                    connections: config.limits.admin_connections,
                    body_time: config.limits.request_body_time.duration(),
                    write_time: config.http.write_time.duration(),
                },
            },
            cluster: config.cluster_settings(),
            ..AppSettings::new(store)
        };
        let app = App::start(settings).await.map_err(|e| explain(e, config))?;
        Ok(Self {
            app,
            config: config.clone(),
            tokens,
            certificates,
            data_directory,
        })
    }

    /// Serves until SIGTERM or SIGINT; `read` gives the configuration again on SIGHUP.
    pub(super) async fn run_until_stopped(
        self,
        read: impl Fn() -> anyhow::Result<Config>,
    ) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hang_up.recv() => match self.reload(read()).await {
                    Ok(()) => tracing::info!("configuration reloaded"),
                    Err(error) => tracing::error!(%error, "configuration not reloaded, the old one stays in force"),
                },
            }
        }
        tracing::info!("stopping");
        self.app.stop().await;
        tracing::info!("stopped");
        Ok(())
    }

    /// All is read before anything is changed.
    async fn reload(&self, config: anyhow::Result<Config>) -> anyhow::Result<()> {
        let config = config?;
        let wrong = config.check();
        if !wrong.is_empty() {
            bail!("{}", wrong.join("; "));
        }
        let keys = config.keys(&self.data_directory)?;
        let tokens = config.token_settings().map_err(anyhow::Error::msg)?;
        let rules = config.rules().map_err(anyhow::Error::msg)?;
        let certificates = self.certificates.iter().map(|tls| tls.read_again());
        let certificates = certificates.collect::<Result<Vec<_>, _>>()?;
        // Should what follows fail, some positions are told as not recovered that could have been.
        self.app.store().review(Arc::clone(&rules)).await?;
        // The last that may fail, and it changes nothing then.
        self.tokens.reload(&tokens)?;
        for (tls, certificate) in self.certificates.iter().zip(certificates) {
            tls.put(certificate);
        }
        self.app.set_keys(keys);
        self.app.set_escaping(&config.language());
        self.app.hub().set_rules(rules);
        for key in self.config.needs_restart(&config) {
            tracing::warn!(
                key,
                "this setting was changed, but it stays as it was until the next start"
            );
        }
        Ok(())
    }
}

fn http(config: &Config, certificates: &mut Vec<Arc<Tls>>) -> anyhow::Result<HttpSettings> {
    let section = &config.http;
    let limits = &config.limits;
    let address = section
        .listen
        .context("http.listen is empty: a node needs its browser port")?;
    let tls = tls(
        &section.tls_certificate,
        &section.tls_key,
        &["http/1.1"],
        certificates,
    )?;
    let files = &section.files;
    Ok(HttpSettings {
        address,
        capacity: (limits.connections > 0).then_some(limits.connections),
        head_timeout: limits.request_head_time.duration(),
        body_timeout: limits.request_body_time.duration(),
        write_timeout: section.write_time.duration(),
        tenant_capacity: (limits.tenant_connections > 0).then_some(limits.tenant_connections),
        head_bytes: limits.request_head.0,
        origins: Origins::from_list(section.origins.clone()),
        files: (!files.is_empty()).then(|| PathBuf::from(files)),
        node: config.server.node.clone(),
        ping_every: section.ping.duration(),
        tls,
        forwarded_from: networks(&section.trusted_proxies)?,
        proxy_protocol_from: networks(&section.proxy_protocol)?,
        legacy: config.legacy.enabled,
        largest_tenant: config.server.tenants.saturating_sub(1),
        close_wait: section.close_wait.duration(),
        restart_spread: config.server.restart_spread.duration(),
    })
}

fn mysql(
    config: &Config,
    certificates: &mut Vec<Arc<Tls>>,
) -> anyhow::Result<Option<mysql::Settings>> {
    let section = &config.mysql;
    let Some(address) = section.listen else {
        return Ok(None);
    };
    Ok(Some(mysql::Settings {
        address,
        tls: tls(
            &section.tls_certificate,
            &section.tls_key,
            &[],
            certificates,
        )?,
        proxies: networks(&section.proxy_protocol)?,
        packet_bytes: config.limits.insert.0 + (64 << 10),
        require_tls: section.require_tls,
        max_connections: section.connections,
        tenant_connections: match section.tenant_connections {
            0 => usize::MAX,
            most => most,
        },
        strangers: section.strangers,
        log_in_time: section.log_in_time.duration(),
        wait_time: section.idle_time.duration(),
        write_time: section.write_time.duration(),
        read_time: section.read_time.duration(),
        stop_time: section.stop_time.duration(),
        prepared_statements: section.prepared_statements,
        long_data_bytes: section.long_data.0,
        ..mysql::Settings::default()
    }))
}

fn tls(
    certificate: &str,
    key: &str,
    protocols: &[&str],
    certificates: &mut Vec<Arc<Tls>>,
) -> anyhow::Result<Option<Arc<Tls>>> {
    if certificate.is_empty() {
        return Ok(None);
    }
    let tls = Tls::load(Path::new(certificate), Path::new(key), protocols)?;
    let tls = Arc::new(tls);
    certificates.push(Arc::clone(&tls));
    Ok(Some(tls))
}

fn networks(texts: &[String]) -> anyhow::Result<Vec<Network>> {
    let networks = texts.iter().map(|text| text.parse::<Network>());
    Ok(networks.collect::<Result<_, _>>()?)
}

/// Which flag to change when a port is taken.
fn explain(error: StartError, config: &Config) -> anyhow::Error {
    let StartError::Listen { address, .. } = &error else {
        return error.into();
    };
    let flag = match Some(*address) {
        listen if listen == config.mysql.listen => "--mysql",
        listen if listen == config.admin.listen => "--admin",
        _ => "--http",
    };
    let hint = format!(
        "is another server using port {}? Choose another with {flag} {}:PORT (0 = any free one)",
        address.port(),
        address.ip()
    );
    anyhow::anyhow!("{error}; {hint}")
}

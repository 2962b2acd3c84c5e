//! The first packets of a connection: our greeting and what the client says about itself.

use mysql_common::collations::CollationId;
use mysql_common::constants::{CapabilityFlags, StatusFlags};
use mysql_common::io::ParseBuf;
use mysql_common::packets::{AuthPlugin, HandshakePacket, HandshakeResponse};
use rustls::crypto::aws_lc_rs;

use super::SERVER_VERSION;

/// What a scramble is made of.
pub(super) type Scramble = [u8; 20];

/// What the server can do, beside TLS.
const CAPABILITIES: CapabilityFlags = CapabilityFlags::CLIENT_LONG_PASSWORD
    .union(CapabilityFlags::CLIENT_FOUND_ROWS)
    .union(CapabilityFlags::CLIENT_LONG_FLAG)
    .union(CapabilityFlags::CLIENT_CONNECT_WITH_DB)
    .union(CapabilityFlags::CLIENT_PROTOCOL_41)
    .union(CapabilityFlags::CLIENT_TRANSACTIONS)
    .union(CapabilityFlags::CLIENT_SECURE_CONNECTION)
    .union(CapabilityFlags::CLIENT_MULTI_STATEMENTS)
    .union(CapabilityFlags::CLIENT_MULTI_RESULTS)
    .union(CapabilityFlags::CLIENT_PS_MULTI_RESULTS)
    .union(CapabilityFlags::CLIENT_PLUGIN_AUTH)
    .union(CapabilityFlags::CLIENT_CONNECT_ATTRS)
    .union(CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA)
    .union(CapabilityFlags::CLIENT_DEPRECATE_EOF);

/// Length of the packet with which a client asks for TLS: flags, size, character set, filler.
const SSL_REQUEST: usize = 32;

/// How a client proves its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plugin {
    /// `mysql_native_password`.
    Native,
    /// `caching_sha2_password`.
    Sha2,
}

/// A client's first packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Hello {
    /// It wants TLS first.
    Tls,
    /// It logs in.
    LogIn(LogIn),
}

/// Who wants to log in, and the first proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogIn {
    /// What both sides can do.
    pub(super) capabilities: CapabilityFlags,
    pub(super) user: String,
    /// Empty = none yet.
    pub(super) proof: Vec<u8>,
    /// The plugin that made the proof. `None` for one that we don't have.
    pub(super) plugin: Option<Plugin>,
    /// May be empty: none chosen.
    pub(super) database: String,
}

/// The packet can't be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("Bad handshake")]
pub(super) struct BadHandshake;

impl Plugin {
    /// As in packets.
    pub(super) fn name(self) -> &'static [u8] {
        match self {
            Self::Native => b"mysql_native_password",
            Self::Sha2 => b"caching_sha2_password",
        }
    }

    fn of(plugin: Option<&AuthPlugin<'_>>) -> Option<Self> {
        match plugin {
            None | Some(AuthPlugin::MysqlNativePassword) => Some(Self::Native),
            Some(AuthPlugin::CachingSha2Password) => Some(Self::Sha2),
            Some(_) => None,
        }
    }
}

/// Twenty random bytes, none of them zero (it would end the scramble) and all of them ASCII, as clients may assume.
pub(super) fn scramble() -> Scramble {
    let mut bytes = Scramble::default();
    aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut bytes)
        .expect("the system's random numbers are available once the process runs");
    bytes.map(|byte| (byte & 0x7f).max(1))
}

/// What we can do.
pub(super) fn capabilities(tls: bool) -> CapabilityFlags {
    if tls {
        CAPABILITIES | CapabilityFlags::CLIENT_SSL
    } else {
        CAPABILITIES
    }
}

/// The server's first packet. It names the older plugin: each client has it or, from MySQL 9 on, answers with the
/// newer one and no proof, to be asked for it. Older ones could not answer to the newer name.
pub(super) fn greeting(
    connection: u32,
    scramble: &Scramble,
    tls: bool,
) -> HandshakePacket<'static> {
    let mut first = [0; 8];
    first.copy_from_slice(&scramble[..8]);
    let mut second = scramble[8..].to_vec();
    second.push(0);
    HandshakePacket::new(
        10,
        SERVER_VERSION.as_bytes(),
        connection,
        first,
        Some(second),
        capabilities(tls),
        CollationId::UTF8MB4_GENERAL_CI as u8,
        StatusFlags::SERVER_STATUS_AUTOCOMMIT,
        Some(Plugin::Native.name()),
    )
}

/// Reads the client's first packet.
pub(super) fn hello(packet: &[u8], tls: bool) -> Result<Hello, BadHandshake> {
    let (&[low, high], _) = packet.split_first_chunk::<2>().ok_or(BadHandshake)?;
    let flags = CapabilityFlags::from_bits_truncate(u32::from(u16::from_le_bytes([low, high])));
    if !flags.contains(CapabilityFlags::CLIENT_PROTOCOL_41) {
        return old_log_in(packet).map(Hello::LogIn);
    }
    if flags.contains(CapabilityFlags::CLIENT_SSL) && packet.len() == SSL_REQUEST {
        return if tls {
            Ok(Hello::Tls)
        } else {
            Err(BadHandshake)
        };
    }
    let response: HandshakeResponse<'_> = ParseBuf(packet).parse(()).map_err(|_| BadHandshake)?;
    Ok(Hello::LogIn(LogIn {
        capabilities: response.capabilities() & capabilities(tls),
        user: text(response.user())?,
        proof: response.scramble_buf().to_vec(),
        plugin: Plugin::of(response.auth_plugin()),
        database: text(response.db_name().unwrap_or_default())?,
    }))
}

/// Reads `COM_CHANGE_USER`. What both sides can do stays as it was. (`mysql_common` reads it too, but gives out none of
/// its fields.)
pub(super) fn change_user(
    packet: &[u8],
    capabilities: CapabilityFlags,
) -> Result<LogIn, BadHandshake> {
    let mut rest = ParseBuf(packet);
    rest.checked_skip(1);
    let user = text(rest.eat_null_str())?;
    let proof = rest.checked_eat_u8_str().ok_or(BadHandshake)?.to_vec();
    let database = text(rest.eat_null_str())?;
    let plugin = if rest.checked_skip(2) && !rest.is_empty() {
        Plugin::of(Some(&AuthPlugin::from_bytes(rest.eat_null_str())))
    } else {
        Some(Plugin::Native)
    };
    Ok(LogIn {
        capabilities,
        user,
        proof,
        plugin,
        database,
    })
}

/// The log-in of clients from before MySQL 4.1: flags (2 bytes), packet size (3), user. Health checks still send it.
fn old_log_in(packet: &[u8]) -> Result<LogIn, BadHandshake> {
    let mut rest = ParseBuf(packet.get(5..).ok_or(BadHandshake)?);
    Ok(LogIn {
        capabilities: CapabilityFlags::empty(),
        user: text(rest.eat_null_str())?,
        proof: rest.eat_null_str().to_vec(),
        plugin: None,
        database: String::new(),
    })
}

fn text(bytes: &[u8]) -> Result<String, BadHandshake> {
    String::from_utf8(bytes.to_vec()).map_err(|_| BadHandshake)
}

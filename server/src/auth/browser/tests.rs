use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use cometql_protocol::wire::Connect;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

use super::*;
use crate::auth::{Algorithm, JwtKey, KeySource, Keyring, TokenSettings};

const SECRET: &str = "a secret of more than thirty-two characters";
const TENANT: TenantId = TenantId(0);

/// Read once: the token of a user is the same text wherever a test asks for it, so that the one which was revoked is the
/// one which is offered.
static NOW: LazyLock<u64> = LazyLock::new(|| {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap().as_secs()
});

fn token(user: u64) -> String {
    let claims = json!({"sub": user.to_string(), "exp": *NOW + 3600, "role": "x"});
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap()
}

async fn browser() -> Browser {
    let settings = TokenSettings {
        keys: vec![JwtKey {
            name: "test".into(),
            id: None,
            algorithm: Some(Algorithm::HS256),
            source: KeySource::Secret(SECRET.into()),
            tenant: None,
            issuer: None,
            audience: None,
            leeway_s: 0,
        }],
        derived_secret: false,
    };
    let tokens = Tokens::new(&settings, Keyring::default()).unwrap();
    let store = Store::in_memory();
    let user = |number| UserId::new(number).unwrap();
    let hashes = vec![(user(5), "h5".to_owned()), (user(6), String::new())];
    store.set_hashes(TENANT, hashes).await.unwrap();
    store.revoke_tokens(TENANT, vec![token(9)]).await.unwrap();
    Browser::new(tokens, store)
}

#[derive(Clone, Copy)]
enum Door {
    Ours,
    Refresh,
    Legacy,
}

async fn check(
    door: Door,
    user: Option<u64>,
    hash: Option<&str>,
    token: Option<&str>,
    expected: Result<Option<u64>, ErrorCode>,
) {
    let credentials = Credentials {
        tenant: TENANT,
        connect: Connect {
            user,
            hash: hash.map(Into::into),
            token: token.map(Into::into),
            ..Connect::default()
        },
        legacy: matches!(door, Door::Legacy),
        refresh: matches!(door, Door::Refresh),
    };
    let result = browser().await.authenticate(credentials).await;
    let result = result.map(|identity| identity.user.map(UserId::get));
    assert_eq!(
        result.map_err(|reject| reject.code),
        expected,
        "{user:?} {hash:?}"
    );
}

#[tokio::test]
async fn our_protocol() {
    let refused = Err(ErrorCode::Unauthorized);
    check(Door::Ours, None, None, None, Ok(None)).await;
    check(Door::Ours, Some(5), Some("h5"), None, Ok(Some(5))).await;
    check(Door::Ours, Some(5), Some("h6"), None, refused).await;
    check(Door::Ours, Some(7), Some("h5"), None, refused).await;
    check(Door::Ours, Some(6), Some(""), None, refused).await;
    check(Door::Ours, Some(7), Some(""), None, refused).await;
    check(Door::Ours, Some(0), Some("h5"), None, refused).await;
    check(Door::Ours, Some(5), None, None, refused).await;
    check(Door::Ours, None, Some("h5"), None, refused).await;
    check(Door::Ours, None, None, Some(&token(7)), Ok(Some(7))).await;
    check(Door::Ours, Some(7), None, Some(&token(7)), Ok(Some(7))).await;
    check(Door::Ours, Some(8), None, Some(&token(7)), refused).await;
    check(Door::Ours, None, None, Some(&token(9)), refused).await;
    check(Door::Ours, Some(5), None, Some("h5"), refused).await;
    check(Door::Ours, Some(5), Some("h5"), Some(&token(5)), refused).await;
}

#[tokio::test]
async fn refresh_needs_a_token_of_the_same_user() {
    let refused = Err(ErrorCode::Unauthorized);
    check(Door::Refresh, Some(7), None, Some(&token(7)), Ok(Some(7))).await;
    check(Door::Refresh, Some(8), None, Some(&token(7)), refused).await;
    check(Door::Refresh, Some(5), Some("h5"), None, refused).await;
    check(Door::Refresh, None, None, None, refused).await;
}

#[tokio::test]
async fn the_original_protocol_has_one_field_for_hash_and_token() {
    let refused = Err(ErrorCode::Unauthorized);
    check(Door::Legacy, Some(5), None, Some("h5"), Ok(Some(5))).await;
    check(Door::Legacy, Some(5), None, Some("h6"), refused).await;
    check(Door::Legacy, Some(7), None, Some(&token(7)), Ok(Some(7))).await;
    check(Door::Legacy, Some(8), None, Some(&token(7)), refused).await;
    check(Door::Legacy, None, None, Some(&token(7)), refused).await;
    check(Door::Legacy, Some(0), None, Some(&token(7)), refused).await;
    check(Door::Legacy, None, None, None, Ok(None)).await;
}

#[tokio::test]
async fn a_token_gives_a_digest_an_end_and_claims() {
    let text = token(7);
    let credentials = Credentials {
        tenant: TENANT,
        connect: Connect {
            user: Some(7),
            token: Some(text.clone()),
            ..Connect::default()
        },
        legacy: true,
        refresh: false,
    };
    let browser = browser().await;
    let identity = browser.authenticate(credentials).await.unwrap();
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    assert_eq!(identity.token_digest, Some(digest));
    assert!(identity.expires.is_some());
    let claims = identity.claims.unwrap();
    assert!(claims.contains(&("role".to_owned(), "x".to_owned())));
    let stored = browser.store.hash(TENANT, UserId::new(7).unwrap()).await;
    assert_eq!(stored.unwrap().unwrap().len(), 32);
}

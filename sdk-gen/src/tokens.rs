//! Tokens (JWT) for browsers and listeners, made without a server.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Map, Value, json};

use crate::CometError;
use crate::calls::user_id;
use crate::options::within;

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, uniffi::Enum)]
pub enum Algorithm {
    /// A secret that both sides know.
    Hs256,
    /// RSA with SHA-256; the key is a PEM text.
    Rs256,
    /// The curve P-256; the key is a PEM text (PKCS #8).
    Es256,
    /// Ed25519; the key is a PEM text (PKCS #8).
    EdDsa,
}

/// A key that signs tokens: the other half of an entry of `[[jwt_keys]]` in the server's configuration.
#[derive(Clone, PartialEq, Eq, Hash, uniffi::Record)]
#[uniffi::export(Debug)]
pub struct TokenKey {
    /// The secret, or the private key as PEM text.
    pub key: String,
    /// What the key is for. None = HS256.
    #[uniffi(default = None)]
    pub algorithm: Option<Algorithm>,
    /// The `id` of the server's entry, which goes into the token's header as `kid`. None = no `kid`.
    #[uniffi(default = None)]
    pub id: Option<String>,
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct Claims {
    /// Whose token it is: the user's id, 1 to 2^53 - 1 (`sub`).
    pub user: u64,
    /// For how many seconds it holds from now on: 1 to 315,360,000 (`exp`, `iat`).
    #[uniffi(default = 3600)]
    pub life_s: u64,
    /// The number of the tenant (`tenant`). None = the tenant of the server's key, else tenant 0.
    #[uniffi(default = None)]
    pub tenant: Option<u32>,
    /// Who issues it (`iss`), where the server's key asks for that.
    #[uniffi(default = None)]
    pub issuer: Option<String>,
    /// For whom it is (`aud`), where the server's key asks for that.
    #[uniffi(default = None)]
    pub audience: Option<String>,
    /// Further claims, which channel rules can ask for: the text of a JSON object. Empty = none.
    #[uniffi(default = "")]
    pub further: String,
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKey")
            .field("algorithm", &self.algorithm)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Makes a token that logs a browser in. No server is asked. Fails with `Invalid` when the key is none of its algorithm, or when a
/// claim is not valid.
#[uniffi::export]
pub fn mint_token(key: TokenKey, claims: Claims) -> Result<String, CometError> {
    let algorithm = key.algorithm.unwrap_or(Algorithm::Hs256);
    let header = Header {
        kid: key.id,
        ..Header::new(algorithm.of_library())
    };
    let bad = |error| CometError::invalid(format!("the key is none for {algorithm:?}: {error}"));
    let signer = algorithm.signer(key.key.as_bytes()).map_err(bad)?;
    jsonwebtoken::encode(&header, &claims.to_json()?, &signer).map_err(bad)
}

impl Algorithm {
    fn of_library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }

    fn signer(self, key: &[u8]) -> Result<EncodingKey, jsonwebtoken::errors::Error> {
        match self {
            Self::Hs256 => Ok(EncodingKey::from_secret(key)),
            Self::Rs256 => EncodingKey::from_rsa_pem(key),
            Self::Es256 => EncodingKey::from_ec_pem(key),
            Self::EdDsa => EncodingKey::from_ed_pem(key),
        }
    }
}

impl Claims {
    fn to_json(&self) -> Result<Map<String, Value>, CometError> {
        user_id(self.user)?;
        let life = within("life_s", self.life_s, 1..=315_360_000)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_secs());
        let mut claims = self.further()?;
        let mut said = |name: &str, value| match claims.insert(name.to_owned(), value) {
            None => Ok(()),
            Some(_) => Err(CometError::invalid(format!(
                "further names {name:?}, which has a field of its own"
            ))),
        };
        said("sub", json!(self.user.to_string()))?;
        said("iat", json!(now))?;
        said("exp", json!(now + life))?;
        if let Some(tenant) = self.tenant {
            said("tenant", json!(tenant))?;
        }
        if let Some(issuer) = &self.issuer {
            said("iss", json!(issuer))?;
        }
        if let Some(audience) = &self.audience {
            said("aud", json!(audience))?;
        }
        Ok(claims)
    }

    fn further(&self) -> Result<Map<String, Value>, CometError> {
        if self.further.is_empty() {
            return Ok(Map::new());
        }
        serde_json::from_str(&self.further)
            .map_err(|error| CometError::invalid(format!("further is no JSON object: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::signature::KeyPair as _;
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD as STANDARD;
    use jsonwebtoken::{DecodingKey, Validation};

    use super::*;

    fn claims() -> Claims {
        Claims {
            user: 5,
            life_s: 60,
            tenant: Some(7),
            issuer: None,
            audience: Some("chat".to_owned()),
            further: r#"{"role":"editor"}"#.to_owned(),
        }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Claims, &mut TokenKey), expected: &str) {
        let mut claims = claims();
        let mut key = TokenKey {
            key: "thirty-two characters of a secret".to_owned(),
            algorithm: None,
            id: None,
        };
        change(&mut claims, &mut key);
        let error = mint_token(key, claims).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }

    #[test]
    fn what_a_token_says() {
        let mut said = claims().to_json().unwrap();
        let (issued, ends) = (said.remove("iat").unwrap(), said.remove("exp").unwrap());
        assert_eq!(ends.as_u64().unwrap() - issued.as_u64().unwrap(), 60);
        let expected = json!({"sub": "5", "tenant": 7, "aud": "chat", "role": "editor"});
        assert_eq!(Value::from(said), expected);
    }

    #[test]
    fn what_no_token_says() {
        check(|c, _| c.user = 0, "invalid: a user's id is 1 to");
        check(|c, _| c.user = 1 << 53, "invalid: a user's id is 1 to");
        check(|c, _| c.life_s = 0, "invalid: life_s must be");
        check(|c, _| c.further = "[]".to_owned(), "invalid: further is no");
        let further = r#"{"sub":"6"}"#;
        check(
            |c, _| c.further = further.to_owned(),
            "invalid: further names",
        );
        check(
            |_, k| k.algorithm = Some(Algorithm::EdDsa),
            "invalid: the key is none for EdDsa",
        );
    }

    /// A token of this private key is one for that public key.
    #[track_caller]
    fn check_signed(algorithm: Algorithm, private: String, public: &DecodingKey) {
        let key = TokenKey {
            key: private,
            algorithm: Some(algorithm),
            id: Some("a".to_owned()),
        };
        let token = mint_token(key, claims()).unwrap();
        let mut wanted = Validation::new(algorithm.of_library());
        wanted.set_audience(&["chat"]);
        let read = jsonwebtoken::decode::<Value>(&token, public, &wanted).unwrap();
        assert_eq!(read.claims["sub"], "5");
        assert_eq!(read.header.kid.as_deref(), Some("a"));
    }

    #[test]
    fn tokens_that_public_keys_verify() {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let public = DecodingKey::from_ec_pem(pair.public_key_pem().as_bytes()).unwrap();
        check_signed(Algorithm::Es256, pair.serialize_pem(), &public);
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let public = DecodingKey::from_ed_pem(pair.public_key_pem().as_bytes()).unwrap();
        check_signed(Algorithm::EdDsa, pair.serialize_pem(), &public);
        let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let public = DecodingKey::from_rsa_der(pair.public_key().as_ref());
        let private = STANDARD.encode(pair.as_der().unwrap().as_ref());
        let private =
            format!("-----BEGIN PRIVATE KEY-----\n{private}\n-----END PRIVATE KEY-----\n");
        check_signed(Algorithm::Rs256, private, &public);
    }

    #[test]
    fn no_key_is_printed() {
        let key = TokenKey {
            key: "secret".to_owned(),
            algorithm: None,
            id: Some("a".to_owned()),
        };
        let shown = format!("{key:?}");
        assert_eq!(shown, r#"TokenKey { algorithm: None, id: Some("a"), .. }"#);
    }
}

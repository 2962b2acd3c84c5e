use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::KeyPair;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::EncodingKey;
use serde_json::json;

use super::super::keyring::Keys;
use super::*;

const SECRET: &str = "a secret of more than thirty-two characters";

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn secret_key(tenant: Option<u32>) -> JwtKey {
    JwtKey {
        name: "test".into(),
        id: None,
        algorithm: Some(Algorithm::HS256),
        source: KeySource::Secret(SECRET.into()),
        tenant: tenant.map(TenantId),
        issuer: None,
        audience: None,
        leeway_s: 0,
    }
}

fn tokens(keys: Vec<JwtKey>) -> Tokens {
    let keyring = Keyring::new(Keys {
        tenants: BTreeMap::from([(TenantId(0), vec!["SqlKey".into()])]),
        tenant_limit: 10,
        ..Keys::default()
    });
    let settings = TokenSettings {
        keys,
        derived_secret: true,
    };
    Tokens::new(&settings, keyring).unwrap()
}

fn sign_with(header: &Header, claims: &Value, key: &EncodingKey) -> String {
    jsonwebtoken::encode(header, claims, key).unwrap()
}

fn sign(claims: &Value, secret: &str) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    sign_with(&Header::default(), claims, &key)
}

fn pem(label: &str, der: &[u8]) -> String {
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        STANDARD.encode(der)
    )
}

/// The public half as identity providers publish it.
fn jwk(pair: &rcgen::KeyPair, algorithm: Algorithm) -> Value {
    let raw = pair.public_key_raw();
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    match algorithm {
        Algorithm::ES256 => json!({
            "kty": "EC", "crv": "P-256", "kid": "k1", "use": "sig",
            "x": text(&raw[1..33]), "y": text(&raw[33..]),
        }),
        _ => json!({"kty": "OKP", "crv": "Ed25519", "kid": "k1", "alg": "EdDSA", "x": text(raw)}),
    }
}

#[track_caller]
fn check(key: JwtKey, claims: Value, expected: Result<u64, TokenError>) {
    let result = tokens(vec![key]).verify(TenantId(0), &sign(&claims, SECRET), false);
    assert_eq!(
        result.map(|verified| verified.user.get()),
        expected,
        "{claims}"
    );
}

#[test]
fn claims() {
    let exp = now() + 60;
    let key = || secret_key(None);
    check(key(), json!({"sub": "7", "exp": exp}), Ok(7));
    check(key(), json!({"user_id": 7, "exp": exp}), Ok(7));
    check(
        key(),
        json!({"sub": "auth0|1", "user_id": 7, "exp": exp}),
        Ok(7),
    );
    check(key(), json!({"sub": "7", "user_id": 7, "exp": exp}), Ok(7));
    let huge = json!({"sub": "9007199254740991", "exp": exp});
    check(key(), huge, Ok(9_007_199_254_740_991));
    for nobody in [
        json!({"exp": exp}),
        json!({"user_id": "7", "exp": exp}),
        json!({"user_id": 7.5, "exp": exp}),
        json!({"user_id": -7, "exp": exp}),
        json!({"sub": "0", "exp": exp}),
        json!({"sub": "07", "exp": exp}),
        json!({"sub": "9007199254740992", "exp": exp}),
        json!({"sub": "7", "user_id": 8, "exp": exp}),
    ] {
        check(key(), nobody, Err(TokenError::NoUser));
    }
    check(key(), json!({"sub": "7"}), Err(TokenError::MissingClaim));
    check(
        key(),
        json!({"sub": "7", "exp": "soon"}),
        Err(TokenError::MissingClaim),
    );
    check(
        key(),
        json!({"sub": "7", "exp": now() - 10}),
        Err(TokenError::Expired),
    );
    let early = json!({"sub": "7", "exp": exp, "nbf": exp});
    check(key(), early, Err(TokenError::NotYetValid));
    let lenient = JwtKey {
        leeway_s: 30,
        ..key()
    };
    check(lenient, json!({"sub": "7", "exp": now() - 10}), Ok(7));
}

#[test]
fn issuer_and_audience() {
    let exp = now() + 60;
    let key = || JwtKey {
        issuer: Some("us".into()),
        audience: Some("chat".into()),
        ..secret_key(None)
    };
    check(
        key(),
        json!({"sub": "7", "exp": exp, "iss": "us", "aud": ["x", "chat"]}),
        Ok(7),
    );
    check(
        key(),
        json!({"sub": "7", "exp": exp, "iss": "them", "aud": "chat"}),
        Err(TokenError::WrongIssuer),
    );
    check(
        key(),
        json!({"sub": "7", "exp": exp, "iss": "us", "aud": "mail"}),
        Err(TokenError::WrongAudience),
    );
    check(
        key(),
        json!({"sub": "7", "exp": exp, "aud": "chat"}),
        Err(TokenError::MissingClaim),
    );
    check(
        secret_key(None),
        json!({"sub": "7", "exp": exp, "aud": "any"}),
        Ok(7),
    );
}

#[test]
fn tenants() {
    #[track_caller]
    fn check(key_of: Option<u32>, claims: Value, connection: u32, accepted: bool) {
        let tokens = tokens(vec![secret_key(key_of)]);
        let mut claims = claims;
        claims["sub"] = json!("7");
        claims["exp"] = json!(now() + 60);
        let result = tokens.verify(TenantId(connection), &sign(&claims, SECRET), false);
        let expected = if accepted {
            Ok(7)
        } else {
            Err(TokenError::WrongTenant)
        };
        assert_eq!(result.map(|verified| verified.user.get()), expected);
    }
    check(Some(3), json!({}), 3, true);
    check(Some(3), json!({}), 0, false);
    check(Some(3), json!({"tenant": 3}), 3, true);
    check(Some(3), json!({"tenant": 4}), 4, false);
    check(Some(3), json!({"tenant": 4}), 3, false);
    // A key of all tenants: its tokens must say whose they are, or are tenant 0's.
    check(None, json!({}), 0, true);
    check(None, json!({}), 3, false);
    check(None, json!({"tenant": 3}), 3, true);
    check(None, json!({"dev_id": "3"}), 3, true);
    check(None, json!({"dev_id": 3, "tenant": 4}), 3, false);
    check(None, json!({"tenant": null}), 0, false);
    check(None, json!({"tenant": -1}), 0, false);
}

#[test]
fn signatures_and_key_ids() {
    let claims = json!({"sub": "7", "exp": now() + 60});
    let tokens = tokens(vec![JwtKey {
        id: Some("k1".into()),
        ..secret_key(None)
    }]);
    let header = |kid: Option<&str>| Header {
        kid: kid.map(Into::into),
        ..Header::default()
    };
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let verify = |token: &str| tokens.verify(TenantId(0), token, false).map(|_| ());
    assert_eq!(
        verify(&sign_with(&header(Some("k1")), &claims, &key)),
        Ok(())
    );
    for kid in [Some("k2"), None] {
        let token = sign_with(&header(kid), &claims, &key);
        assert_eq!(verify(&token), Err(TokenError::UnknownKey), "{kid:?}");
    }
    let other = EncodingKey::from_secret(b"another secret");
    let forged = sign_with(&header(Some("k1")), &claims, &other);
    assert_eq!(verify(&forged), Err(TokenError::BadSignature));
    let critical = Header {
        crit: Some(vec!["b64".into()]),
        ..header(Some("k1"))
    };
    let critical = sign_with(&critical, &claims, &key);
    assert_eq!(verify(&critical), Err(TokenError::Malformed));
    for garbage in ["", "a.b", "a.b.c", "....", &"x".repeat(TOKEN_BYTES + 1)] {
        assert_eq!(verify(garbage), Err(TokenError::Malformed));
    }
}

#[test]
fn no_signature_and_other_algorithms_are_refused() {
    let body = URL_SAFE_NO_PAD.encode(json!({"sub": "7", "exp": now() + 60}).to_string());
    for header in [r#"{"alg":"none"}"#, r#"{"alg":"None","typ":"JWT"}"#, "{}"] {
        let token = format!("{}.{body}.", URL_SAFE_NO_PAD.encode(header));
        let result = tokens(vec![secret_key(None)]).verify(TenantId(0), &token, true);
        assert_eq!(result, Err(TokenError::Malformed), "{header}");
    }
    let hs512 = Header::new(jsonwebtoken::Algorithm::HS512);
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let token = sign_with(&hs512, &json!({"sub": "7", "exp": now() + 60}), &key);
    let result = tokens(vec![secret_key(None)]).verify(TenantId(0), &token, true);
    assert_eq!(result, Err(TokenError::UnknownKey));
}

/// The classic: the attacker knows the public key and signs with it as if it were an HMAC secret.
#[test]
fn a_public_key_is_not_a_secret() {
    let private = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let public = pem("RSA PUBLIC KEY", private.public_key().as_ref());
    let pkcs8 = private.as_der().unwrap();
    let tokens = tokens(vec![JwtKey {
        algorithm: Some(Algorithm::RS256),
        source: KeySource::Pem(public.clone()),
        ..secret_key(None)
    }]);
    let claims = json!({"sub": "7", "exp": now() + 60});
    let verify = |token: &str| tokens.verify(TenantId(0), token, true).map(|_| ());

    let key = EncodingKey::from_rsa_pem(pem("PRIVATE KEY", pkcs8.as_ref()).as_bytes()).unwrap();
    let rs256 = Header::new(jsonwebtoken::Algorithm::RS256);
    assert_eq!(verify(&sign_with(&rs256, &claims, &key)), Ok(()));
    let result = verify(&sign(&claims, &public));
    assert_eq!(
        result,
        Err(TokenError::BadSignature),
        "only the derived secret is tried"
    );
    let rs512 = Header::new(jsonwebtoken::Algorithm::RS512);
    let result = verify(&sign_with(&rs512, &claims, &key));
    assert_eq!(result, Err(TokenError::UnknownKey));
}

#[test]
fn elliptic_curves_from_pem_files_and_key_sets() {
    let claims = json!({"sub": "7", "exp": now() + 60});
    for (algorithm, library, kind) in [
        (
            Algorithm::ES256,
            jsonwebtoken::Algorithm::ES256,
            &rcgen::PKCS_ECDSA_P256_SHA256,
        ),
        (
            Algorithm::EdDSA,
            jsonwebtoken::Algorithm::EdDSA,
            &rcgen::PKCS_ED25519,
        ),
    ] {
        let pair = rcgen::KeyPair::generate_for(kind).unwrap();
        let private = pair.serialize_pem();
        let key = match algorithm {
            Algorithm::ES256 => EncodingKey::from_ec_pem(private.as_bytes()).unwrap(),
            _ => EncodingKey::from_ed_pem(private.as_bytes()).unwrap(),
        };
        let header = Header {
            kid: Some("k1".into()),
            ..Header::new(library)
        };
        let token = sign_with(&header, &claims, &key);
        let jwk = jwk(&pair, algorithm);
        let set = json!({"keys": [jwk, {"kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB"}]});
        for (source, pinned) in [
            (KeySource::Pem(pair.public_key_pem()), Some(algorithm)),
            (KeySource::Jwks(set.to_string()), None),
        ] {
            let tokens = tokens(vec![JwtKey {
                algorithm: pinned,
                source,
                ..secret_key(None)
            }]);
            let result = tokens.verify(TenantId(0), &token, false);
            assert_eq!(
                result.map(|verified| verified.user.get()),
                Ok(7),
                "{algorithm:?}"
            );
        }
    }
}

#[test]
fn the_derived_secret_counts_only_on_the_original_endpoint() {
    let tokens = tokens(vec![]);
    let exp = now() + 60;
    let token = sign(&json!({"user_id": 7, "exp": exp}), "SqlKey0");
    let verify = |token: &str, legacy| {
        let result = tokens.verify(TenantId(0), token, legacy);
        result.map(|verified| verified.user.get())
    };
    assert_eq!(verify(&token, true), Ok(7));
    assert_eq!(verify(&token, false), Err(TokenError::UnknownKey));
    let text_id = sign(&json!({"sub": "7", "exp": exp}), "SqlKey0");
    assert_eq!(verify(&text_id, true), Err(TokenError::NoUser));
    let without_tenant = sign(&json!({"user_id": 7, "exp": exp}), "SqlKey");
    assert_eq!(verify(&without_tenant, true), Err(TokenError::BadSignature));
    assert_eq!(
        tokens.user_of(TenantId(0), &token).map(UserId::get),
        Some(7)
    );
    assert_eq!(tokens.user_of(TenantId(1), &token), None);

    tokens.reload(&TokenSettings::default()).unwrap();
    assert_eq!(verify(&token, true), Err(TokenError::UnknownKey));
}

#[test]
fn claims_become_sorted_texts() {
    let claims = json!({"sub": "7", "exp": now() + 60, "roles": ["b", "a"], "vip": true, "n": 3});
    let tokens = tokens(vec![secret_key(None)]);
    let verified = tokens
        .verify(TenantId(0), &sign(&claims, SECRET), false)
        .unwrap();
    let texts: Vec<_> = verified
        .claims
        .iter()
        .filter(|(name, _)| name != "exp")
        .map(|(name, text)| format!("{name}={text}"))
        .collect();
    assert_eq!(texts, ["n=3", "roles=a", "roles=b", "sub=7", "vip=true"]);
}

#[test]
fn unusable_keys_are_named() {
    #[track_caller]
    fn check(key: JwtKey, expected: &str) {
        let settings = TokenSettings {
            keys: vec![key],
            derived_secret: false,
        };
        let error = Tokens::new(&settings, Keyring::default()).err().unwrap();
        let error = error.to_string();
        assert!(error.starts_with("jwt key test: "), "{error}");
        assert!(error.contains(expected), "{error}");
    }
    let with = |source, algorithm| JwtKey {
        source,
        algorithm,
        ..secret_key(None)
    };
    let url = |url: &str| KeySource::JwksUrl {
        url: url.into(),
        refresh_s: 60,
    };
    check(
        with(KeySource::Secret("x".into()), Some(Algorithm::RS256)),
        "public key",
    );
    check(with(KeySource::Secret("x".into()), None), "algorithm");
    check(
        with(KeySource::Pem("x".into()), Some(Algorithm::ES256)),
        "PEM",
    );
    let private = "-----BEGIN PRIVATE KEY-----".to_owned();
    check(
        with(KeySource::Pem(private), Some(Algorithm::ES256)),
        "private",
    );
    check(with(KeySource::Jwks("{}".into()), None), "Key Set");
    check(
        with(KeySource::Jwks(r#"{"keys":[]}"#.into()), None),
        "no usable key",
    );
    check(with(url("http://example.com/keys"), None), "https");
    check(with(url("file:///etc/keys"), None), "https");
}

#[tokio::test]
async fn a_key_set_is_fetched_and_kept_over_failures_and_reloads() {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let key = EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes()).unwrap();
    let algorithm = jsonwebtoken::Algorithm::EdDSA;
    let body = json!({"keys": [jwk(&pair, Algorithm::EdDSA)]}).to_string();

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let serve_once = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut socket, _) = listener.accept().unwrap();
        let mut head = [0; 1024];
        _ = socket.read(&mut head).unwrap();
        let length = body.len();
        write!(
            socket,
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
    });

    let settings = TokenSettings {
        keys: vec![JwtKey {
            algorithm: None,
            source: KeySource::JwksUrl { url, refresh_s: 60 },
            ..secret_key(None)
        }],
        derived_secret: false,
    };
    let tokens = Tokens::new(&settings, Keyring::default()).unwrap();
    let header = Header {
        kid: Some("k1".into()),
        ..Header::new(algorithm)
    };
    let token = sign_with(&header, &json!({"sub": "7", "exp": now() + 60}), &key);
    let verify = || tokens.verify(TenantId(0), &token, false).map(|_| ());
    assert_eq!(verify(), Err(TokenError::UnknownKey));
    let start = std::time::Instant::now();
    assert!(tokens.refresh_due(start).await.is_some());
    serve_once.join().unwrap();
    assert_eq!(verify(), Ok(()));
    // The server is gone now.
    let later = start + std::time::Duration::from_secs(61);
    assert!(tokens.refresh_due(later).await.is_some());
    assert_eq!(verify(), Ok(()));
    tokens.reload(&settings).unwrap();
    assert_eq!(verify(), Ok(()));
}

use hyper::Request;

use super::*;
use crate::fixture::Credential;
use crate::http::Answer;

const CLUSTER: &str = "https://cluster.test";
const AUDIENCE: &str = "https://registry.example";
const SUBJECT: &str = "system:serviceaccount:team:puller";
const SCOPE: &str = "repository:team/app:pull";

/// A realm that trusts the cluster whose key is the other half.
fn scene() -> (WorkloadRealm, Signer) {
    let cluster = Signer::new().unwrap();
    let realm = WorkloadRealm::start(CLUSTER, &cluster.keys(), AUDIENCE).unwrap();
    realm.admit(SUBJECT, "team/app", &["pull"]);
    (realm, cluster)
}

/// What a kubelet's token says, with one claim changed.
fn claims(name: &str, value: Value) -> Value {
    let now = now();
    let mut claims = json!({
        "iss": CLUSTER, "aud": [AUDIENCE], "sub": SUBJECT,
        "iat": now, "nbf": now, "exp": now + 3600,
        "kubernetes.io": { "pod": { "name": "app-0" } },
    });
    claims[name] = value;
    claims
}

fn right() -> Value {
    claims("iss", json!(CLUSTER))
}

async fn get(realm: &WorkloadRealm, token: &str, scope: &str) -> Answer {
    let credential = Credential {
        username: "jwt".to_owned(),
        password: token.to_owned(),
    };
    let request = Request::get(format!("/token?service=s&scope={scope}"))
        .header("host", "localhost")
        .header("authorization", format!("Basic {}", credential.auth()));
    let request = request.body(Default::default()).unwrap();
    realm.endpoint().send(request).await.unwrap()
}

async fn post(realm: &WorkloadRealm, form: &[(&str, &str)]) -> Answer {
    let form = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    let request = Request::post("/token").header("host", "localhost");
    let request = request.body(form.into()).unwrap();
    realm.endpoint().send(request).await.unwrap()
}

/// The claims of a token, if the realm has signed it for the registry.
fn signed(realm: &WorkloadRealm, answer: &Answer) -> Value {
    let answer = answer.json().unwrap();
    assert_eq!(answer["token"], answer["access_token"]);
    let keys: jsonwebtoken::jwk::JwkSet = serde_json::from_value(realm.keys()).unwrap();
    let token = answer["token"].as_str().unwrap();
    let header = jsonwebtoken::decode_header(token).unwrap();
    let key = keys.find(&header.kid.unwrap()).unwrap();
    let key = jsonwebtoken::DecodingKey::from_jwk(key).unwrap();
    let mut rules = jsonwebtoken::Validation::new(header.alg);
    rules.set_issuer(&[realm.issuer()]);
    rules.set_audience(&[SERVICE]);
    rules.set_required_spec_claims(&["exp", "nbf", "iss", "aud"]);
    let claims = jsonwebtoken::decode::<Value>(token, &key, &rules)
        .unwrap()
        .claims;
    let life = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    assert_eq!(answer["expires_in"], life);
    claims
}

#[tokio::test]
async fn a_good_token_is_traded_for_one_that_the_registry_takes() {
    let (realm, cluster) = scene();
    let token = cluster.sign(&right()).unwrap();
    let claims = signed(&realm, &get(&realm, &token, SCOPE).await);
    assert_eq!(claims["sub"], SUBJECT);
    let access = json!([{ "type": "repository", "name": "team/app", "actions": ["pull"] }]);
    assert_eq!(claims["access"], access);
    let form = [("username", "any"), ("password", &token), ("scope", SCOPE)];
    assert_eq!(signed(&realm, &post(&realm, &form).await)["access"], access);

    let granted = |username: &str| Asked {
        username: Some(username.to_owned()),
        subject: Some(SUBJECT.to_owned()),
        pod: Some("app-0".to_owned()),
        verdict: Ok(vec![SCOPE.to_owned()]),
    };
    assert_eq!(realm.asked(), [granted("jwt"), granted("any")]);
}

#[tokio::test]
async fn nobody_gets_more_than_is_theirs() {
    let (realm, cluster) = scene();
    realm.admit("system:serviceaccount:team:other", "team/other", &["pull"]);
    let token = cluster.sign(&right()).unwrap();
    for (scope, granted) in [
        ("repository:team/app:push,pull", json!(["pull"])),
        ("repository:team/app:push", json!(null)),
        ("repository:team/other:pull", json!(null)),
        ("repository:team/app-2:pull", json!(null)),
        ("registry:catalog:*", json!(null)),
        ("registry:team/app:pull", json!(null)),
    ] {
        let claims = signed(&realm, &get(&realm, &token, scope).await);
        assert_eq!(claims["access"][0]["actions"], granted, "{scope}");
    }
    let two = "repository:team/app:pull&scope=repository:team/other:pull+repository:team/app:pull";
    let claims = signed(&realm, &get(&realm, &token, two).await);
    assert_eq!(claims["access"].as_array().unwrap().len(), 2, "{claims}");
}

#[tokio::test]
async fn who_cannot_be_verified_gets_nothing() {
    let (realm, cluster) = scene();
    let forger = Signer::new().unwrap();
    let sign = |name: &str, value: Value| cluster.sign(&claims(name, value)).unwrap();
    let good = cluster.sign(&right()).unwrap();
    let (good_head, good_signature) = good.rsplit_once('.').unwrap();
    let other = sign("sub", json!("system:serviceaccount:team:other"));
    let (other_head, _) = other.rsplit_once('.').unwrap();
    let mut confused = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    confused.kid = jsonwebtoken::decode_header(&good).unwrap().kid;
    let public = jsonwebtoken::EncodingKey::from_secret(cluster.keys().to_string().as_bytes());
    let confused = jsonwebtoken::encode(&confused, &right(), &public).unwrap();
    let unsigned = format!("{good_head}.");
    let swapped = format!("{other_head}.{good_signature}");
    let now = now();
    for (token, refusal) in [
        (swapped, Refusal::Signature),
        (unsigned, Refusal::Signature),
        (confused, Refusal::Signature),
        (forger.sign(&right()).unwrap(), Refusal::UnknownKey),
        (sign("iss", json!("https://other.test")), Refusal::Issuer),
        (sign("iss", json!([CLUSTER])), Refusal::Issuer),
        (sign("aud", json!("https://other.test")), Refusal::Audience),
        (sign("aud", json!([AUDIENCE, CLUSTER])), Refusal::Audience),
        (sign("aud", json!([])), Refusal::Audience),
        (sign("aud", json!(null)), Refusal::Malformed),
        (sign("exp", json!(now - 1)), Refusal::Expired),
        (sign("exp", json!(null)), Refusal::Malformed),
        (sign("nbf", json!(now + 30)), Refusal::NotYet),
        (sign("sub", json!(null)), Refusal::Malformed),
        (other, Refusal::NotAdmitted),
        (Credential::new().password, Refusal::Malformed),
        (String::new(), Refusal::Malformed),
    ] {
        let answer = get(&realm, &token, SCOPE).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{refusal:?}");
        let told: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(told["errors"][0]["message"], refusal.as_str());
        let asked = realm.asked().pop().unwrap();
        assert_eq!(asked.verdict, Err(refusal));
        // What an unverified token says of itself is worth nothing.
        let verified = refusal == Refusal::NotAdmitted;
        assert_eq!(asked.subject.is_some(), verified, "{refusal:?}");
    }
    let answer = post(&realm, &[("username", "jwt")]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let asked = realm.asked().pop().unwrap();
    assert_eq!(asked.verdict, Err(Refusal::NoCredential));
    assert_eq!(get(&realm, &good, SCOPE).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_token_is_good_until_the_second_in_which_it_ends() {
    let (realm, cluster) = scene();
    let end = now() + 2;
    let token = cluster.sign(&claims("exp", json!(end))).unwrap();
    // What is signed for the registry ends with it, although it could live longer.
    let claims = signed(&realm, &get(&realm, &token, SCOPE).await);
    assert_eq!(claims["exp"], end);
    crate::eventually("the end", async || {
        anyhow::ensure!(now() >= end, "not yet");
        Ok(())
    })
    .await
    .unwrap();
    get(&realm, &token, SCOPE).await;
    let asked = realm.asked().pop().unwrap();
    assert_eq!(asked.verdict, Err(Refusal::Expired));
}

#[tokio::test]
async fn the_dismissed_are_strangers() {
    let (realm, cluster) = scene();
    let token = cluster.sign(&right()).unwrap();
    assert_eq!(get(&realm, &token, SCOPE).await.status, StatusCode::OK);
    realm.dismiss(SUBJECT);
    let answer = get(&realm, &token, SCOPE).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let asked = realm.asked().pop().unwrap();
    assert_eq!(asked.verdict, Err(Refusal::NotAdmitted));
}

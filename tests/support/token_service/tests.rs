use std::time::Duration;

use hyper::Request;

use super::*;
use crate::http::Answer;

async fn post(service: &TokenService, form: &'static str) -> Answer {
    let request = Request::post("/token").header("host", "localhost");
    let request = request.body(form.into()).unwrap();
    service.endpoint().send(request).await.unwrap()
}

async fn get(service: &TokenService) -> Answer {
    let request = Request::get("/token?service=s").header("host", "localhost");
    // u:p
    let request = request.header("authorization", "Basic dTpw");
    service
        .endpoint()
        .send(request.body(Default::default()).unwrap())
        .await
        .unwrap()
}

#[tokio::test]
async fn the_password_comes_back_as_the_token_whichever_way_it_came() {
    let service = TokenService::start().unwrap();
    let answer = get(&service).await.json().unwrap();
    assert_eq!(
        answer,
        serde_json::json!({ "token": "p", "access_token": "p" })
    );
    let answer = post(&service, "grant_type=password&username=u&password=a%2Bb").await;
    assert_eq!(answer.json().unwrap()["token"], "a+b");
    let answer = post(&service, "grant_type=refresh_token&refresh_token=r").await;
    assert_eq!(answer.json().unwrap()["token"], "r");
    let answer = service.endpoint().get("/token").await.unwrap();
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);

    let seen = service.seen();
    let users: Vec<_> = seen.iter().map(|seen| seen.username.as_deref()).collect();
    assert_eq!(users, [Some("u"), Some("u"), None, None]);
    assert_eq!(seen[0].uri, "/token?service=s");
}

#[tokio::test]
async fn it_misbehaves_as_told() {
    let service = TokenService::start().unwrap();
    service.set(Mode::ReturnFor(7));
    assert_eq!(get(&service).await.json().unwrap()["expires_in"], 7);

    service.set(Mode::GetOnly);
    let answer = post(&service, "grant_type=password&password=p").await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(get(&service).await.status, StatusCode::OK);

    service.set(Mode::Refuse(StatusCode::TOO_MANY_REQUESTS));
    let answer = get(&service).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(
        answer.text().contains("TOO_MANY_REQUESTS"),
        "{}",
        answer.text()
    );

    service.set(Mode::Silent);
    let silence = tokio::time::timeout(Duration::from_millis(200), get(&service));
    assert!(silence.await.is_err());
    assert_eq!(service.seen().len(), 5);
}

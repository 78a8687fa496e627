use pullkeeper_core::authfile::Shape;
use zeroize::Zeroizing;

use super::*;
use crate::cluster::Cluster;
use crate::config::{
    BadEntry, DelegationSettings, Expected, Grant, HandOut, KubernetesSettings, Listen, Owner,
    RequiredAction, Subject, TokenFlow, ValidationSettings,
};
use crate::delegation::Means;
use crate::gate::Gate;
use crate::source::{Item, Observation, Payload};

fn settings() -> BrokerSettings {
    BrokerSettings {
        listen: Listen::Off,
        allowed_users: vec![0],
        allowed_groups: vec![5],
        store: StorePolicy::Ignore,
        exchange_cache: "/nowhere".into(),
    }
}

/// A broker that has learnt these sources; `None` is one that has not answered.
fn broker(sources: &[(&str, Option<&str>)]) -> Broker {
    delegating(sources, &[])
}

fn delegations(settings_of: &[DelegationSettings], board: &Arc<Board>) -> Delegations {
    let cluster = Cluster::new(&KubernetesSettings {
        kubeconfig: None,
        events: false,
        rollouts: false,
        watch_timeout: Duration::ZERO,
        request_timeout: Duration::ZERO,
    });
    let means = Means {
        board,
        cluster: &cluster,
        shelf: None,
    };
    Delegations::new(settings_of, &means).unwrap()
}

fn delegating(sources: &[(&str, Option<&str>)], settings_of: &[DelegationSettings]) -> Broker {
    let board = Arc::new(Board::new(None));
    let delegations = delegations(settings_of, &board);
    let broker = Broker::new(settings(), delegations, board);
    broker.learn(&wish(sources));
    broker
}

/// Sources that are named `NAMESPACE/NAME` are for the pods of that namespace.
fn wish(sources: &[(&str, Option<&str>)]) -> Wish {
    let observations: Vec<_> = sources
        .iter()
        .map(|(source, text)| Observation {
            source: (*source).into(),
            namespace: source
                .split_once('/')
                .map(|(namespace, _)| namespace.into()),
            items: text.map(|text| vec![item(source, text)]),
            trouble: None,
        })
        .collect();
    let mut gate = Gate::new(ValidationSettings {
        bad_entry: BadEntry::Skip,
        allow_empty: false,
        required_registries: Vec::new(),
        required_action: RequiredAction::Warn,
    });
    gate.pass(&observations)
}

fn item(id: &str, text: &str) -> Item {
    Item {
        id: id.to_owned(),
        revision: None,
        content: Ok(Payload {
            shape: Shape::ConfigJson,
            bytes: Arc::new(Zeroizing::new(text.as_bytes().to_vec())),
        }),
        seen: tokio::time::Instant::now(),
    }
}

async fn ask(broker: &Broker, server: &str) -> Answer {
    let server = server.to_owned();
    broker
        .answer(&Request::Docker { server }, Asker::Root)
        .await
}

fn message(answer: Answer) -> String {
    match answer {
        Answer::Unavailable { message } => message,
        other => panic!("{other:?}"),
    }
}

const ONE: &str = r#"{"auths":{"a.example":{"auth":"dXNlcjpwYXNz"},"b.example":{"auth":"bar"},"c.example":{"identitytoken":"t"}}}"#;

#[tokio::test]
async fn entries_are_found_and_what_no_source_has_is_not_ours() {
    let broker = broker(&[("global", Some(ONE))]);
    assert_eq!(
        ask(&broker, "https://a.example:443/v2/").await,
        Answer::Found {
            username: "user".to_owned(),
            secret: Secret::new("pass".to_owned()),
        }
    );
    assert_eq!(
        ask(&broker, "c.example").await,
        Answer::Found {
            username: "<token>".to_owned(),
            secret: Secret::new("t".to_owned()),
        }
    );
    assert_eq!(ask(&broker, "other.example").await, Answer::NotOurs);
    let image = Request::Kubelet {
        image: "a.example/team/app".to_owned(),
        service_account_token: None,
        service_account_annotations: Default::default(),
    };
    assert!(matches!(
        broker.answer(&image, Asker::Root).await,
        Answer::Found { .. }
    ));
    assert_eq!(
        broker.registries(),
        [("a.example", "user"), ("c.example", "<token>")]
            .map(|(registry, user)| (registry.to_owned(), user.to_owned()))
            .into()
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_broken_or_not_read_yet_is_never_told_as_a_miss() {
    let one = broker(&[("global", Some(ONE))]);
    let words = message(ask(&one, "b.example/x").await);
    assert!(
        words.contains("b.example") && words.contains("global"),
        "{words}"
    );

    let two = broker(&[("global", Some(ONE)), ("teams", None)]);
    assert!(matches!(ask(&two, "a.example").await, Answer::Found { .. }));
    let words = message(ask(&two, "other.example").await);
    assert!(words.contains("source teams"), "{words}");

    let none = Broker::new(
        settings(),
        Delegations::default(),
        Arc::new(Board::new(None)),
    );
    assert!(message(ask(&none, "a.example").await).contains("no source has been read"));
    let refused = broker(&[("global", Some("{}"))]);
    assert!(message(ask(&refused, "a.example").await).contains("source global"));
}

#[tokio::test(start_paused = true)]
async fn a_request_right_after_the_start_waits_for_the_sources() {
    let broker = Arc::new(Broker::new(
        settings(),
        Delegations::default(),
        Arc::new(Board::new(None)),
    ));
    let asking = tokio::spawn({
        let broker = Arc::clone(&broker);
        async move { ask(&broker, "a.example").await }
    });
    tokio::time::sleep(WARM_UP / 2).await;
    broker.learn(&wish(&[("global", None)]));
    tokio::time::sleep(WARM_UP / 4).await;
    assert!(!asking.is_finished());
    broker.learn(&wish(&[("global", Some(ONE))]));
    assert!(matches!(asking.await.unwrap(), Answer::Found { .. }));

    // Later an outage does not slow every pull down.
    tokio::time::sleep(WARM_UP).await;
    broker.learn(&wish(&[("global", Some(ONE)), ("teams", None)]));
    let begun = Instant::now();
    message(ask(&broker, "other.example").await);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[test]
fn peers_are_admitted_by_user_or_group() {
    let broker = broker(&[]);
    let peer = |uid, gid| Peer(Some(Owner { uid, gid }));
    assert!(broker.admits(peer(0, 7)) && broker.admits(peer(7, 5)));
    assert!(!broker.admits(peer(7, 7)) && !broker.admits(Peer(None)));
    broker.configure(
        BrokerSettings {
            allowed_users: vec![7],
            ..settings()
        },
        None,
    );
    assert!(broker.admits(peer(7, 7)) && !broker.admits(peer(0, 7)));
}

#[test]
fn login_tools_are_told_what_the_policy_says() {
    let broker = broker(&[]);
    let request = StoreRequest {
        server: "a.example".to_owned(),
    };
    assert_eq!(broker.store(&request), StoreAnswer::Ignored);
    broker.configure(
        BrokerSettings {
            store: StorePolicy::Refuse,
            ..settings()
        },
        None,
    );
    let StoreAnswer::Refused { message } = broker.store(&request) else {
        panic!("not refused");
    };
    assert!(message.contains("a.example"), "{message}");
}

/// What kubelet asks for a pod of the namespace.
fn of_pod(namespace: &str, image: &str) -> Request {
    let claims = serde_json::json!({
        "sub": format!("system:serviceaccount:{namespace}:default"),
        "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": "default", "uid": "u"}},
    });
    let claims = base64::Engine::encode(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD,
        claims.to_string(),
    );
    Request::Kubelet {
        image: image.to_owned(),
        service_account_token: Some(Secret::new(format!("e30.{claims}.c2ln"))),
        service_account_annotations: Default::default(),
    }
}

async fn user(broker: &Broker, request: Request, asker: Asker) -> String {
    match broker.answer(&request, asker).await {
        Answer::Found { username, .. } => username,
        Answer::NotOurs => "nobody".to_owned(),
        Answer::Unavailable { message } => message,
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_a_namespaces_own_is_for_its_pods_alone() {
    const TEAM: &str = r#"{"auths":{"a.example":{"auth":"dGVhbTpwYXNz"},"own.example":{"auth":"dGVhbTpwYXNz"},"c.example":{"auth":"bar"}}}"#;
    let broker = broker(&[("global", Some(ONE)), ("team/pull", Some(TEAM))]);
    let root = Asker::Root;
    // The namespace's own comes first, and the rest of the node's is still there.
    assert_eq!(
        user(&broker, of_pod("team", "a.example/x"), root).await,
        "team"
    );
    assert_eq!(
        user(&broker, of_pod("team", "own.example/x"), root).await,
        "team"
    );
    // A broken entry of its own is not replaced by the node's.
    let words = user(&broker, of_pod("team", "c.example/x"), root).await;
    assert!(words.contains("team/pull"), "{words}");
    for namespace in ["other", "team2", ""] {
        let pod = |image| of_pod(namespace, image);
        assert_eq!(user(&broker, pod("a.example/x"), root).await, "user");
        assert_eq!(user(&broker, pod("own.example/x"), root).await, "nobody");
    }
    // Who is not root could have made the token up; docker's clients show none.
    assert_eq!(
        user(&broker, of_pod("team", "own.example/x"), Asker::Other).await,
        "nobody"
    );
    let server = "own.example".to_owned();
    assert_eq!(
        user(&broker, Request::Docker { server }, root).await,
        "nobody"
    );
    assert!(!broker.registries().contains_key("own.example"));
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_cannot_be_read_holds_up_its_own_pods_alone() {
    let broker = broker(&[("global", Some(ONE)), ("team/pull", None)]);
    let root = Asker::Root;
    let begun = tokio::time::Instant::now();
    assert_eq!(
        user(&broker, of_pod("other", "a.example/x"), root).await,
        "user"
    );
    assert_eq!(
        user(&broker, of_pod("other", "z.example/x"), root).await,
        "nobody"
    );
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let words = user(&broker, of_pod("team", "a.example/x"), root).await;
    assert!(words.contains("team/pull"), "{words}");
}

/// A delegation for `d.example` that refuses for want of a token, or of an entry in the sources.
fn delegation(grant: Grant) -> DelegationSettings {
    DelegationSettings {
        name: "d".to_owned(),
        registries: vec![Query::of_server("d.example").unwrap()],
        grant,
        credential: None,
        credential_file: None,
        ca_file: None,
    }
}

#[tokio::test(start_paused = true)]
async fn what_needs_no_source_waits_for_none() {
    let pass_through = delegation(Grant::PassThrough {
        subject: Subject::Workload(Expected {
            audience: "https://d.example".to_owned(),
            issuer: None,
        }),
        username: "jwt".to_owned(),
    });
    let begun = tokio::time::Instant::now();
    let broker = delegating(&[("global", None)], &[pass_through]);
    let words = message(ask(&broker, "d.example").await);
    assert!(words.contains("only kubelet's provider gets"), "{words}");
    assert_eq!(begun.elapsed(), Duration::ZERO);

    let registry_token = |file: Option<&str>| DelegationSettings {
        credential_file: file.map(Into::into),
        ..delegation(Grant::RegistryToken(TokenFlow {
            realms: vec![],
            secure: true,
            hand_out: HandOut::Credential,
        }))
    };
    let query = Query::of_server("d.example").unwrap();
    let board = Arc::new(Board::new(None));
    let from_file = delegations(&[registry_token(Some("/f"))], &board);
    assert!(!from_file.find(&query).unwrap().needs_sources());
    let broker = delegating(&[("global", None)], &[registry_token(None)]);
    assert!(broker.delegations().find(&query).unwrap().needs_sources());
}

//! Exchanges with products that are not to be had for a test: one strict stub for each file in `delegation_products/`.
//!
//! A stub takes a request that is right in method, path, content type, authorization and every field, and refuses any
//! other one.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pullkeeper_core::wire::Answer;
use serde::Deserialize;
use support::agent::Site;
use support::fixture::{Credential, workload_token};
use support::scripted::{Say, Scripted};

use crate::helper_protocols::{body, of_pod, site};

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Product {
    endpoint: Endpoint,
    /// Lines of the delegation, without those that say where the stub is.
    delegation: String,
    request: Wanted,
    answer: Reply,
    handed_out: HandedOut,
    /// What it says to somebody whom it does not know.
    refusal: Reply,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Endpoint {
    Registry,
    TokenEndpoint,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    method: String,
    path: String,
    /// The whole header.
    authorization: Option<String>,
    /// The user of Basic; the password is the token.
    basic: Option<String>,
    #[serde(default)]
    query: Fields,
    form: Option<Fields>,
    json: Option<Fields>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reply {
    status: u16,
    body: String,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct HandedOut {
    username: String,
    /// Whether the answer says how long it is good.
    kept: bool,
}

type Fields = BTreeMap<String, String>;

const AUDIENCE: &str = "https://audience.example";

/// One product, its stub and an agent's site.
struct Scene {
    product: Product,
    stub: Scripted,
    site: Site,
    registry: String,
    /// What the stub hands out.
    token: String,
}

impl Scene {
    fn new(file: &Path) -> Result<Self> {
        let name = file
            .file_stem()
            .and_then(|name| name.to_str())
            .context("no name")?;
        let product: Product = toml::from_str(&std::fs::read_to_string(file)?)?;
        let stub = Scripted::start(Say::Nothing)?;
        let place = format!("http://{}", stub.authority());
        let (registry, at) = match product.endpoint {
            Endpoint::Registry => (stub.authority(), "registry_scheme = \"http\"".to_owned()),
            Endpoint::TokenEndpoint => {
                let path = &product.request.path;
                (
                    "r.example".to_owned(),
                    format!("token_endpoint = \"{place}{path}\""),
                )
            }
        };
        let delegation = format!(
            "[[delegation]]\nname = \"{name}\"\nregistries = [\"{registry}\"]\naudience = \"{AUDIENCE}\"\n{at}\n{}",
            product.delegation
        );
        // The token is a JSON Web Token where it has to say itself when it ends.
        let jwt = workload_token("anywhere", "puller", "anything");
        let token = if product.answer.body.contains("{jwt}") {
            jwt
        } else {
            Credential::new().password
        };
        Ok(Self {
            site: site(name, &body(&[]), &delegation)?,
            product,
            stub,
            registry,
            token,
        })
    }

    /// From now on the stub takes this subject alone.
    fn know(&self, subject: &str) {
        let (subject, product, token) =
            (subject.to_owned(), self.product.clone(), self.token.clone());
        self.stub.say(Say::judged(move |request| {
            match product.request.check(request, &subject) {
                Ok(()) => product.answer.say(&token),
                Err(why) => Say::response("418 Not What Was Wanted", "", &format!("{why:#}")),
            }
        }));
    }

    async fn ask(&self, subject: &str) -> Result<Answer> {
        let image = format!("{}/team/app", self.registry);
        self.site.ask(&of_pod(&image, subject.to_owned())).await
    }

    /// What comes with a request that is as the product wants it.
    async fn is_handed_out(&self, subject: &str) -> Result<()> {
        self.know(subject);
        match self.ask(subject).await? {
            Answer::Found { username, secret } => {
                ensure!(
                    username == self.product.handed_out.username,
                    "user {username}"
                );
                ensure!(secret.expose() == self.token, "another secret");
                Ok(())
            }
            other => bail!("{other:?}; {}", self.complaint(subject)),
        }
    }

    /// Why the stub does not like the last request.
    fn complaint(&self, subject: &str) -> String {
        let heard = self.stub.heard();
        let checked = heard
            .last()
            .map(|request| self.product.request.check(request, subject));
        format!("{checked:?}")
    }

    async fn run(&self) -> Result<()> {
        let agent = self.site.start().await?;
        let subject = |account: &str| workload_token("team", account, AUDIENCE);
        let (alpha, beta, gamma) = (subject("alpha"), subject("beta"), subject("gamma"));
        self.is_handed_out(&alpha).await?;
        self.is_handed_out(&alpha).await?;
        let kept = if self.product.handed_out.kept { 1 } else { 2 };
        ensure!(
            self.stub.heard().len() == kept,
            "{} requests",
            self.stub.heard().len()
        );
        self.is_handed_out(&beta).await?;
        ensure!(
            self.stub.heard().len() == kept + 1,
            "an answer was shared between accounts"
        );

        self.stub.say(self.product.refusal.say(""));
        let Answer::Unavailable { message } = self.ask(&gamma).await? else {
            bail!("a refusal is told as something else");
        };
        ensure!(message.contains(&self.stub.authority()), "{message}");
        ensure!(
            !message.contains("fixture-secret"),
            "the answer's body is told"
        );
        let path = |request: &String| request.lines().next().unwrap_or_default().contains("e30.");
        ensure!(!self.stub.heard().iter().any(path), "a token in a URL");
        agent.stop().await?;
        Ok(())
    }
}

impl Wanted {
    fn check(&self, request: &str, subject: &str) -> Result<()> {
        let (head, sent) = request.split_once("\r\n\r\n").context("no request")?;
        let mut lines = head.lines();
        let mut first = lines.next().unwrap_or_default().split(' ');
        let (method, target) = (
            first.next().unwrap_or_default(),
            first.next().unwrap_or_default(),
        );
        ensure!(method == self.method, "method {method}");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        ensure!(path == self.path, "path {path}");
        ensure!(fields(query.as_bytes())? == self.query, "query {query}");
        let headers: Vec<_> = lines.filter_map(|line| line.split_once(": ")).collect();
        let header = |name: &str| -> Result<Option<&str>> {
            let mut found = headers
                .iter()
                .filter(|(found, _)| found.eq_ignore_ascii_case(name));
            let first = found.next().map(|(_, value)| *value);
            ensure!(found.next().is_none(), "two of {name}");
            Ok(first)
        };
        let filled = |text: &String| text.replace("{subject}", subject);
        let basic =
            |user: &String| format!("Basic {}", STANDARD.encode(format!("{user}:{subject}")));
        let authorization = self
            .authorization
            .as_ref()
            .map(filled)
            .or(self.basic.as_ref().map(basic));
        ensure!(
            header("authorization")? == authorization.as_deref(),
            "authorization"
        );
        let filled = |fields: &Fields| -> Fields {
            fields
                .iter()
                .map(|(name, value)| (name.clone(), filled(value)))
                .collect()
        };
        let content = header("content-type")?;
        match (&self.form, &self.json) {
            (Some(form), _) => {
                ensure!(
                    content == Some("application/x-www-form-urlencoded"),
                    "{content:?}"
                );
                ensure!(fields(sent.as_bytes())? == filled(form), "form");
            }
            (_, Some(json)) => {
                ensure!(content == Some("application/json"), "{content:?}");
                ensure!(
                    serde_json::from_str::<Fields>(sent)? == filled(json),
                    "object"
                );
            }
            (None, None) => ensure!(content.is_none() && sent.is_empty(), "a body"),
        }
        Ok(())
    }
}

impl Reply {
    fn say(&self, token: &str) -> Say {
        let body = self.body.replace("{token}", token).replace("{jwt}", token);
        Say::response(&format!("{} Said", self.status), "", &body)
    }
}

/// Decoded; no name twice.
fn fields(encoded: &[u8]) -> Result<Fields> {
    let mut fields = Fields::new();
    for (name, value) in form_urlencoded::parse(encoded) {
        let former = fields.insert(name.to_string(), value.to_string());
        ensure!(former.is_none(), "two of {name}");
    }
    Ok(fields)
}

/// Presets that `delegated_sso` tries.
const ON_REAL_PARTS: [&str; 4] = [
    "harbor-next",
    "namespace-secrets",
    "openshift-integrated",
    "zot",
];

/// The words of the configuration, as the generated page has them.
fn presets() -> Result<Vec<&'static str>> {
    let page = include_str!("../../docs/usage/configure.md");
    let row = page.lines().find(|line| line.starts_with("| `preset` |"));
    let words = row
        .and_then(|row| row.split(" | ").nth(2))
        .context("no presets")?;
    let words: Vec<_> = words
        .split(", ")
        .map(|word| word.trim_matches(['`', '"']))
        .collect();
    ensure!(words.len() > ON_REAL_PARTS.len(), "{words:?}");
    Ok(words)
}

#[tokio::test]
async fn every_product_is_asked_as_it_wants_to_be() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("it/delegation_products");
    let mut files: Vec<_> = std::fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.sort();
    let products: Vec<_> = files
        .iter()
        .filter_map(|file| file.file_stem()?.to_str())
        .collect();
    for preset in presets()? {
        let tried = products.contains(&preset) || ON_REAL_PARTS.contains(&preset);
        ensure!(tried, "{preset} has no stub");
    }
    for file in files {
        let product = file.file_stem().unwrap_or_default().display();
        let scene = Scene::new(&file).with_context(|| format!("{product}"))?;
        scene.run().await.with_context(|| format!("{product}"))?;
        println!("{product}: asked as it wants to be");
    }
    Ok(())
}

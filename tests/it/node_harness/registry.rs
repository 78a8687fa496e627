//! A registry with passwords, no more than these tests need.

use anyhow::{Context, Result, ensure};
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use serde_json::json;
use support::fixture::Credential;
use support::http::{Answer, Endpoint, Method};
use support::node::{Blob, Image};
use support::ports::Port;
use support::process::{Process, Program};
use support::scratch::Scratch;
use support::{eventually, patience};

pub(super) struct Registry {
    _process: Process,
    credential: Credential,
    port: Port,
    _folder: Scratch,
}

impl Registry {
    pub(super) async fn start(credential: &Credential) -> Result<Self> {
        let (folder, port) = (Scratch::new("registry")?, Port::free()?);
        // The hash that the registry wants is one that the C library makes.
        let hash = Program::installed("perl")?
            .args(["-e", "print crypt(<STDIN>, q($2b$04$) . 'a' x 22)"])
            .input(credential.password.as_str())
            .run(patience())
            .await?
            .success()?
            .stdout;
        let passwords = folder.write("htpasswd", format!("{}:{hash}\n", credential.username))?;
        let config = json!({
            "version": "0.1",
            "storage": { "filesystem": { "rootdirectory": folder.join("data") } },
            "http": { "addr": port.address().to_string(), "secret": "of no use" },
            "auth": { "htpasswd": { "realm": "test", "path": passwords } },
        });
        let config = folder.write("config.json", config.to_string())?;
        let process = Program::installed("docker-registry")?
            .arg("serve")
            .arg(config)
            .spawn(folder.path())?;
        let registry = Self {
            _process: process,
            credential: credential.clone(),
            port,
            _folder: folder,
        };
        eventually("the registry serves", async || {
            registry
                .send(Method::GET, "/v2/", "", Vec::new())
                .await?
                .json()
        })
        .await?;
        Ok(registry)
    }

    pub(super) fn host(&self) -> String {
        self.port.address().to_string()
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.host())
    }

    /// Uploads an image as `repository:tag`.
    pub(super) async fn push(&self, repository: &str, tag: &str, image: &Image) -> Result<()> {
        for blob in [&image.layer, &image.config] {
            self.upload(repository, blob).await?;
        }
        let Blob {
            bytes, media_type, ..
        } = &image.manifest;
        let path = format!("/v2/{repository}/manifests/{tag}");
        created(
            &self
                .send(Method::PUT, &path, media_type, bytes.clone())
                .await?,
        )
    }

    async fn upload(&self, repository: &str, blob: &Blob) -> Result<()> {
        let path = format!("/v2/{repository}/blobs/uploads/");
        let answer = self.send(Method::POST, &path, "", Vec::new()).await?;
        let location = answer.headers.get("location").context("no upload")?;
        let location = location.to_str()?.trim_start_matches(&self.url());
        let path = format!("{location}&digest={}", blob.digest);
        let octets = "application/octet-stream";
        created(
            &self
                .send(Method::PUT, &path, octets, blob.bytes.clone())
                .await?,
        )
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        media_type: &str,
        body: Vec<u8>,
    ) -> Result<Answer> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.host())
            .header("authorization", format!("Basic {}", self.credential.auth()))
            .header("content-type", media_type)
            .body(Full::new(Bytes::from(body)))?;
        Endpoint::plain(self.port.address()).send(request).await
    }
}

fn created(answer: &Answer) -> Result<()> {
    ensure!(answer.status == 201, "{}: {}", answer.status, answer.text());
    Ok(())
}

//! How token endpoints want to be asked, and how they answer: the grants of OAuth 2.0, and products with ways of their own.
//!
//! Nothing here is code: what differs between endpoints is in these tables, and one request is built from any of them.

use clap::ValueEnum;

/// One way to get one token from one endpoint.
#[derive(Debug, PartialEq, Eq)]
pub struct TokenProtocol {
    /// The grant's or the preset's word.
    pub name: &'static str,
    /// Where the endpoint is.
    pub at: At,
    /// How parameters travel.
    pub body: Body,
    /// How the token travels that is exchanged for another one.
    pub carrier: Carrier,
    /// Parameters that are always sent.
    pub fixed: &'static [(&'static str, &'static str)],
    /// Parameters that the configuration may set.
    pub parameters: Parameters,
    /// Whether a client authenticates itself with ID and secret (RFC 6749 section 2.3.1).
    pub client: Client,
    /// The only status that means success.
    pub status: u16,
    /// The field of the answer that is handed out.
    pub token: &'static str,
    /// The user name that goes with it.
    pub username: Username,
}

/// Where an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Where the configuration says.
    Configured,
    /// Here, unless the configuration says otherwise.
    Fixed(&'static str),
    /// At the registry itself under this path, unless the configuration says otherwise.
    Registry(&'static str),
}

/// How parameters travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// POST, as a form.
    Form,
    /// POST, as a JSON object of strings.
    Json,
    /// GET, in the URL. Never the token.
    Query,
}

/// How the token travels that is exchanged for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// There is none: the client's ID and secret are enough.
    Nothing,
    /// As this parameter.
    Field(&'static str),
    /// As this parameter, from a file that is replaced when the answer has a new one in this same field.
    Stored(&'static str),
    /// As bearer token (RFC 6750 section 2.1).
    Bearer,
    /// As password of HTTP's Basic (RFC 7617), for the configured user.
    Basic,
}

/// Parameters that the configuration may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameters {
    /// Every one, and `scope`.
    Any,
    /// These, and whether each is needed.
    Known(&'static [(&'static str, bool)]),
}

/// Whether a client authenticates itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// It does not.
    Never,
    /// It does where the configuration names its credential.
    Optional,
    /// It does.
    Required,
}

/// The user name that goes with what is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Username {
    /// The configuration's, or this one.
    Configured(Option<&'static str>),
    /// This field of the answer.
    Answered(&'static str),
}

/// What most endpoints of OAuth 2.0 have in common.
const OAUTH: TokenProtocol = TokenProtocol {
    name: "",
    at: At::Configured,
    body: Body::Form,
    carrier: Carrier::Nothing,
    fixed: &[],
    parameters: Parameters::Any,
    client: Client::Never,
    status: 200,
    token: "access_token",
    username: Username::Configured(Some(TOKEN_USER)),
};

/// Beside a token, unless the configuration says otherwise: never empty, and never `<token>`.
pub(super) const TOKEN_USER: &str = "jwt";

const TOKEN_EXCHANGE: (&str, &str) = (
    "grant_type",
    "urn:ietf:params:oauth:grant-type:token-exchange",
);
const ID_TOKEN: (&str, &str) = (
    "subject_token_type",
    "urn:ietf:params:oauth:token-type:id_token",
);

/// RFC 6749 section 4.4.
static CLIENT_CREDENTIALS: TokenProtocol = TokenProtocol {
    name: "client-credentials",
    fixed: &[("grant_type", "client_credentials")],
    client: Client::Required,
    ..OAUTH
};

/// RFC 7523 section 2.2: the token proves who the client is.
static CLIENT_ASSERTION: TokenProtocol = TokenProtocol {
    name: "client-assertion",
    carrier: Carrier::Field("client_assertion"),
    fixed: &[
        ("grant_type", "client_credentials"),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ),
    ],
    ..OAUTH
};

/// RFC 7523 section 2.1: the token is the grant.
static JWT_BEARER: TokenProtocol = TokenProtocol {
    name: "jwt-bearer",
    carrier: Carrier::Field("assertion"),
    fixed: &[("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")],
    client: Client::Required,
    ..OAUTH
};

/// RFC 8693. The type of the subject token is a parameter, for endpoints differ in what they call a workload's token.
pub(super) static TOKEN_EXCHANGE_GRANT: TokenProtocol = TokenProtocol {
    name: "token-exchange",
    carrier: Carrier::Field("subject_token"),
    fixed: &[TOKEN_EXCHANGE],
    client: Client::Optional,
    ..OAUTH
};

/// The parameter of [`TOKEN_EXCHANGE_GRANT`] that RFC 8693 requires, and what it is when the configuration is silent.
pub(super) const SUBJECT_TOKEN_TYPE: (&str, &str) =
    ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt");

/// RFC 6749 section 6.
static REFRESH_TOKEN: TokenProtocol = TokenProtocol {
    name: "refresh-token",
    carrier: Carrier::Stored("refresh_token"),
    fixed: &[("grant_type", "refresh_token")],
    client: Client::Optional,
    ..OAUTH
};

/// JFrog Artifactory from 7.77: OpenID Connect integration of its Access service.
static ARTIFACTORY: TokenProtocol = TokenProtocol {
    name: "artifactory",
    at: At::Registry("/access/api/v1/oidc/token"),
    body: Body::Json,
    carrier: Carrier::Field("subject_token"),
    fixed: &[TOKEN_EXCHANGE, ID_TOKEN],
    parameters: Parameters::Known(&[
        ("provider_name", true),
        ("identity_mapping_name", false),
        ("project_key", false),
        ("provider_type", false),
    ]),
    username: Username::Answered("username"),
    ..OAUTH
};

/// Chainguard's security token service.
static CHAINGUARD: TokenProtocol = TokenProtocol {
    name: "chainguard",
    at: At::Fixed("https://issuer.enforce.dev/sts/exchange"),
    body: Body::Query,
    carrier: Carrier::Bearer,
    fixed: &[("aud", "cgr.dev")],
    parameters: Parameters::Known(&[("identity", true)]),
    token: "token",
    username: Username::Configured(Some("user")),
    ..OAUTH
};

/// Cloudsmith; the organization is in the path of its endpoint.
static CLOUDSMITH: TokenProtocol = TokenProtocol {
    name: "cloudsmith",
    body: Body::Json,
    carrier: Carrier::Field("oidc_token"),
    parameters: Parameters::Known(&[("service_slug", true)]),
    status: 201,
    token: "token",
    username: Username::Configured(Some("token")),
    ..OAUTH
};

/// Docker Hub's OpenID Connect connections; the user name is the organization's.
static DOCKER_HUB: TokenProtocol = TokenProtocol {
    name: "docker-hub",
    at: At::Fixed("https://identity.docker.com/oauth/token"),
    carrier: Carrier::Field("subject_token"),
    fixed: &[TOKEN_EXCHANGE, ID_TOKEN],
    parameters: Parameters::Known(&[("connection_id", true), ("expires_in", false)]),
    username: Username::Configured(None),
    ..OAUTH
};

/// Google's security token service, for a workload identity pool that may read Artifact Registry itself.
static GOOGLE: TokenProtocol = TokenProtocol {
    name: "google-artifact-registry",
    at: At::Fixed("https://sts.googleapis.com/v1/token"),
    carrier: Carrier::Field("subject_token"),
    fixed: &[
        TOKEN_EXCHANGE,
        SUBJECT_TOKEN_TYPE,
        (
            "requested_token_type",
            "urn:ietf:params:oauth:token-type:access_token",
        ),
        ("scope", "https://www.googleapis.com/auth/cloud-platform"),
    ],
    parameters: Parameters::Known(&[("audience", true)]),
    username: Username::Configured(Some("oauth2accesstoken")),
    ..OAUTH
};

/// Quay's robot federation; the user name is the robot's, `organization+robot`.
static QUAY: TokenProtocol = TokenProtocol {
    name: "quay",
    at: At::Registry("/oauth2/federation/robot/token"),
    body: Body::Query,
    carrier: Carrier::Basic,
    parameters: Parameters::Known(&[]),
    token: "token",
    username: Username::Configured(None),
    ..OAUTH
};

/// The words of the configuration for how a credential is obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GrantWord {
    /// OAuth 2.0 client credentials with the token as client assertion (RFC 7523): nothing is stored
    ClientAssertion,
    /// OAuth 2.0 client credentials with client ID and secret
    ClientCredentials,
    /// the token as authorization grant (RFC 7523), with client ID and secret
    JwtBearer,
    /// the token itself is the password: nothing is asked and nothing stored
    PassThrough,
    /// a refresh token from `token_file`, which is replaced where the endpoint gives a new one
    RefreshToken,
    /// the registry's own token flow, with the credential of its token service
    RegistryToken,
    /// OAuth 2.0 token exchange (RFC 8693)
    TokenExchange,
}

/// The words of the configuration for products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PresetWord {
    /// JFrog Artifactory's OpenID Connect integration; `parameters`: provider_name, and as needed identity_mapping_name, project_key, provider_type
    Artifactory,
    /// Chainguard's registry; `parameters`: identity
    Chainguard,
    /// Cloudsmith, with the organization's `token_endpoint`; `parameters`: service_slug
    Cloudsmith,
    /// Docker Hub's OpenID Connect connections, with the organization as `username`; `parameters`: connection_id, and as needed expires_in
    DockerHub,
    /// Google Artifact Registry; `parameters`: audience, the pool provider's resource name
    GoogleArtifactRegistry,
    /// Harbor Next: pass-through
    HarborNext,
    /// pull Secrets of the pod's namespace, read with its service account, as CRI-O's provider does it; `audience` is the API server's, and with `realms` the entry is that of the registry's single sign-on
    NamespaceSecrets,
    /// OpenShift's integrated registry: pass-through with an `audience` of the API server's
    OpenshiftIntegrated,
    /// Quay's robot federation, with the robot as `username`: `organization+robot`
    Quay,
    /// zot: pass-through
    Zot,
}

/// What a word stands for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Method {
    NamespaceSecrets,
    RegistryToken,
    PassThrough {
        /// Whether a token may be handed out that the API server takes too.
        api_server: bool,
    },
    Exchange(&'static TokenProtocol),
}

impl From<GrantWord> for Method {
    fn from(word: GrantWord) -> Self {
        match word {
            GrantWord::ClientAssertion => Self::Exchange(&CLIENT_ASSERTION),
            GrantWord::ClientCredentials => Self::Exchange(&CLIENT_CREDENTIALS),
            GrantWord::JwtBearer => Self::Exchange(&JWT_BEARER),
            GrantWord::PassThrough => Self::PassThrough { api_server: false },
            GrantWord::RefreshToken => Self::Exchange(&REFRESH_TOKEN),
            GrantWord::RegistryToken => Self::RegistryToken,
            GrantWord::TokenExchange => Self::Exchange(&TOKEN_EXCHANGE_GRANT),
        }
    }
}

impl From<PresetWord> for Method {
    fn from(word: PresetWord) -> Self {
        match word {
            PresetWord::Artifactory => Self::Exchange(&ARTIFACTORY),
            PresetWord::Chainguard => Self::Exchange(&CHAINGUARD),
            PresetWord::Cloudsmith => Self::Exchange(&CLOUDSMITH),
            PresetWord::DockerHub => Self::Exchange(&DOCKER_HUB),
            PresetWord::GoogleArtifactRegistry => Self::Exchange(&GOOGLE),
            PresetWord::HarborNext | PresetWord::Zot => Self::PassThrough { api_server: false },
            PresetWord::NamespaceSecrets => Self::NamespaceSecrets,
            PresetWord::OpenshiftIntegrated => Self::PassThrough { api_server: true },
            PresetWord::Quay => Self::Exchange(&QUAY),
        }
    }
}

impl Method {
    /// The protocol, where one token is asked of one endpoint.
    pub(super) fn protocol(self) -> Option<&'static TokenProtocol> {
        match self {
            Self::Exchange(protocol) => Some(protocol),
            Self::NamespaceSecrets | Self::RegistryToken | Self::PassThrough { .. } => None,
        }
    }

    /// Whether a workload's token, or one from a file, is handed out or exchanged.
    pub(super) fn takes_subject(self) -> bool {
        match self {
            Self::RegistryToken => false,
            Self::NamespaceSecrets | Self::PassThrough { .. } => true,
            Self::Exchange(protocol) => {
                !matches!(protocol.carrier, Carrier::Nothing | Carrier::Stored(_))
            }
        }
    }
}

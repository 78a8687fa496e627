//! What a `[[delegation]]` may say, and what becomes of it.

use clap::ValueEnum;
use pullkeeper_core::authfile::Key;
use pullkeeper_core::origin::Origin;
use pullkeeper_core::query::Query;

use super::protocol::{
    At, Body, Carrier, Client, GrantWord, Method, Parameters, PresetWord, TOKEN_USER,
    TokenProtocol, Username,
};
use super::{DelegationSettings, Expected, Grant, HandOut, Subject, TokenFlow};
use crate::config::merge::Placed;
use crate::config::resolve::Resolver;
use crate::config::table::Delegation;
use crate::config::{Place, syntax};

/// The scheme of a registry's URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scheme {
    /// not encrypted, for registries on this machine alone
    Http,
    /// encrypted
    Https,
}

/// The words of the configuration for [`HandOut`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum HandOutWord {
    /// user name and password
    Credential,
    /// a token that clients exchange by POST; for token services that take POST
    IdentityToken,
}

/// Audiences that API servers take: a token for one of them is good for more than pulling.
const API_SERVERS: [&str; 4] = [
    "https://kubernetes.default.svc",
    "https://kubernetes.default.svc.cluster.local",
    "kubernetes.default.svc",
    "api",
];

/// A table under examination.
#[derive(Clone, Copy)]
pub(super) struct Written<'w> {
    pub(super) table: &'w Delegation,
    pub(super) place: &'w Place,
    method: Method,
}

impl Resolver {
    /// Checks one table.
    pub(in crate::config) fn delegation(
        &mut self,
        Placed {
            value: table,
            place,
        }: &Placed<Delegation>,
    ) -> Option<DelegationSettings> {
        let key = "delegation.registries";
        if table.registries.is_none() {
            self.missing(key, place);
            return None;
        }
        let registries = self.each(key, &table.registries, syntax::registry_pattern)?;
        let Some(first) = registries.first() else {
            self.bad(key, place, "must have at least one registry".to_owned());
            return None;
        };
        let name = match &table.name {
            None => Some(default_name(first)),
            name => self.optional("delegation.name", name, syntax::source_name),
        };
        let credential = self.optional("delegation.credential", &table.credential, |text| {
            syntax::registry(text)?;
            let key = Key::parse(text).map_err(str::to_owned)?;
            Ok(Query::of_key(&key))
        });
        let key = "delegation.credential_file";
        let credential_file = self.optional(key, &table.credential_file, syntax::file_path);
        let ca_file = self.optional("delegation.ca_file", &table.ca_file, syntax::file_path);
        let written = Written {
            table,
            place,
            method: self.method(table)?,
        };
        self.fits(written);
        let grant = match written.method {
            Method::NamespaceSecrets => self.namespace_secrets(written, &registries),
            Method::RegistryToken => {
                let flow = self.token_flow(written, &registries);
                flow.map(Grant::RegistryToken)
            }
            Method::PassThrough { .. } => self.pass_through(written, &registries),
            Method::Exchange(protocol) => self.exchange(written, protocol, &registries),
        };
        Some(DelegationSettings {
            name: name?,
            registries,
            grant: grant?,
            credential,
            credential_file,
            ca_file,
        })
    }

    /// Nobody who is handed a token may find it good elsewhere: what one delegation passes through, no other one uses.
    pub(in crate::config) fn check_audiences(&mut self, all: &[(&DelegationSettings, &Place)]) {
        for (index, (one, place)) in all.iter().enumerate() {
            let audience = one.grant.subject().and_then(Subject::audience);
            let handed_out = |grant: &Grant| matches!(grant, Grant::PassThrough { .. });
            // Who chose that by name knows that it is good elsewhere.
            let audience = audience.filter(|audience| !is_api_servers(audience));
            let other = all.iter().take(index).find(|(other, _)| {
                let same = other.grant.subject().and_then(Subject::audience) == audience;
                same && (handed_out(&one.grant) || handed_out(&other.grant))
            });
            if let (Some(_), Some((_, first))) = (audience, other) {
                let why = format!(
                    "is that of another delegation ({first}): whoever is handed such a token could use it there"
                );
                self.bad("delegation.audience", place, why);
            }
        }
    }

    fn method(&mut self, table: &Delegation) -> Option<Method> {
        match (&table.grant, &table.preset) {
            (Some(_), Some(preset)) => {
                let why = "cannot be set beside `grant`".to_owned();
                self.bad("delegation.preset", &preset.place, why);
                None
            }
            (None, None) => Some(Method::RegistryToken),
            (grant, None) => self
                .optional("delegation.grant", grant, syntax::word::<GrantWord>)
                .map(Into::into),
            (None, preset) => self
                .optional("delegation.preset", preset, syntax::word::<PresetWord>)
                .map(Into::into),
        }
    }

    fn namespace_secrets(&mut self, written: Written<'_>, registries: &[Query]) -> Option<Grant> {
        let subject = self.subject(written);
        let flow = match &written.table.realms {
            None => None,
            Some(_) => Some(self.token_flow(written, registries)?),
        };
        Some(Grant::NamespaceSecrets {
            subject: subject?,
            flow,
        })
    }

    fn pass_through(&mut self, written: Written<'_>, registries: &[Query]) -> Option<Grant> {
        let (subject, username) = (
            self.subject(written),
            self.token_user(written, Some(TOKEN_USER)),
        );
        self.one_host(written, registries, "handed out");
        Some(Grant::PassThrough {
            subject: subject?,
            username: username?,
        })
    }

    /// The one registry, where a workload's token goes to it: a pattern could be met by a host of somebody else, and
    /// of two hosts each could use at the other what it was sent.
    pub(super) fn one_host(
        &mut self,
        written: Written<'_>,
        registries: &[Query],
        what: &str,
    ) -> Option<()> {
        let first = registries.first()?.registry();
        let one = registries.iter().all(|other| other.registry() == first);
        if one && !first.contains('*') {
            return Some(());
        }
        let why = format!(
            "must be one host, without stars, where a token is {what}; write a delegation for each, with an audience \
             of its own"
        );
        self.bad("delegation.registries", written.place, why);
        None
    }

    pub(super) fn token_user(
        &mut self,
        written: Written<'_>,
        default: Option<&str>,
    ) -> Option<String> {
        match (&written.table.username, default) {
            (None, Some(default)) => Some(default.to_owned()),
            (username, _) => {
                let key = "delegation.username";
                self.required_at(key, username, written.place, syntax::token_user)
            }
        }
    }

    pub(super) fn subject(&mut self, written: Written<'_>) -> Option<Subject> {
        let Written { table, place, .. } = written;
        let key = "delegation.token_file";
        let path = self.optional(key, &table.token_file, syntax::file_path);
        let issuer = table.service_account_issuer.as_ref();
        let issuer = issuer.map(|issuer| issuer.value.clone());
        let api_server = matches!(
            written.method,
            Method::NamespaceSecrets | Method::PassThrough { api_server: true }
        );
        let key = "delegation.audience";
        let parse = |text: &str| audience(text, api_server);
        let audience = match &table.token_file {
            // What is in the file may be no JSON Web Token at all.
            Some(_) => self.optional(key, &table.audience, parse),
            None => self.required_at(key, &table.audience, place, parse),
        };
        let expected = audience.map(|audience| Expected { audience, issuer });
        match (&table.token_file, path) {
            (None, _) => expected.map(Subject::Workload),
            (Some(_), path) => path.map(|path| Subject::File { path, expected }),
        }
    }

    pub(super) fn stored(&mut self, Written { table, place, .. }: Written<'_>) -> Option<Subject> {
        let key = "delegation.token_file";
        let path = self.required_at(key, &table.token_file, place, syntax::file_path);
        path.map(|path| Subject::Stored { path })
    }

    fn token_flow(&mut self, written: Written<'_>, registries: &[Query]) -> Option<TokenFlow> {
        let Written { table, place, .. } = written;
        let key = "delegation.realms";
        if table.realms.is_none() {
            self.missing(key, place);
            return None;
        }
        let realms = self.each(key, &table.realms, syntax::safe_origin)?;
        if realms.is_empty() {
            self.bad(key, place, "must have at least one origin".to_owned());
        }
        Some(TokenFlow {
            realms,
            secure: self.secure(written, registries)?,
            hand_out: self.hand_out(written)?,
        })
    }

    fn hand_out(&mut self, written: Written<'_>) -> Option<HandOut> {
        match &written.table.hand_out {
            None => Some(HandOut::Credential),
            hand_out => self
                .optional("delegation.hand_out", hand_out, syntax::word::<HandOutWord>)
                .map(Into::into),
        }
    }

    /// Whether the registry is asked over https.
    pub(super) fn secure(&mut self, written: Written<'_>, registries: &[Query]) -> Option<bool> {
        let key = "delegation.registry_scheme";
        let scheme = match &written.table.registry_scheme {
            None => Scheme::Https,
            scheme => self.optional(key, scheme, syntax::word)?,
        };
        let local = |registry: &Query| {
            Origin::of_authority(false, &registry.registry()).is_ok_and(|o| o.is_loopback())
        };
        if scheme == Scheme::Http && !registries.iter().all(local) {
            let why = "can be http only for registries on a loopback address".to_owned();
            self.bad(key, written.place, why);
        }
        Some(scheme == Scheme::Https)
    }

    /// Keys that mean nothing for what was chosen are mistakes.
    fn fits(&mut self, Written { table, method, .. }: Written<'_>) {
        let protocol = method.protocol();
        let is = |wanted: fn(&TokenProtocol) -> bool| protocol.is_some_and(wanted);
        let namespace = matches!(method, Method::NamespaceSecrets);
        let registry_token = matches!(method, Method::RegistryToken) || namespace;
        let pass_through = matches!(method, Method::PassThrough { .. });
        let subject = method.takes_subject();
        let client = registry_token || is(|protocol| protocol.client != Client::Never);
        let at_registry = is(|protocol| matches!(protocol.at, At::Registry(_)));
        let rows = [
            ("realms", registry_token),
            ("hand_out", registry_token),
            ("registry_scheme", registry_token || at_registry),
            (
                "issuer",
                is(|protocol| protocol.at == At::Configured && protocol.body == Body::Form),
            ),
            ("token_endpoint", protocol.is_some()),
            ("parameters", protocol.is_some()),
            (
                "scope",
                is(|protocol| protocol.parameters == Parameters::Any),
            ),
            ("audience", subject),
            ("service_account_issuer", subject),
            (
                "token_file",
                subject && !namespace
                    || is(|protocol| matches!(protocol.carrier, Carrier::Stored(_))),
            ),
            ("credential", client),
            ("credential_file", client && !namespace),
            (
                "username",
                pass_through || is(|protocol| matches!(protocol.username, Username::Configured(_))),
            ),
        ];
        let chosen = if table.preset.is_some() {
            "preset"
        } else {
            "grant"
        };
        for line in table.lines() {
            if rows.contains(&(line.key, false)) {
                let why = format!("means nothing with this `{chosen}`");
                self.bad(&format!("delegation.{}", line.key), &line.place, why);
            }
        }
    }
}

impl From<HandOutWord> for HandOut {
    fn from(word: HandOutWord) -> Self {
        match word {
            HandOutWord::Credential => Self::Credential,
            HandOutWord::IdentityToken => Self::IdentityToken,
        }
    }
}

fn default_name(registry: &Query) -> String {
    let name = registry.registry().replace([':', '*'], "-");
    name.trim_matches(['-', '.']).to_owned()
}

fn is_api_servers(audience: &str) -> bool {
    API_SERVERS.contains(&audience.trim_end_matches('/')) || audience.ends_with(".cluster.local")
}

/// One audience for one registry, never one of the API server's (S1 of the security rules) unless that was asked for.
fn audience(text: &str, api_server: bool) -> Result<String, String> {
    if text.is_empty() || text.contains(char::is_control) {
        return Err("must be the audience, such as the registry's URL".to_owned());
    }
    if is_api_servers(text) && !api_server {
        return Err(
            "must not be an audience of the API server: the registry could use the token there"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}

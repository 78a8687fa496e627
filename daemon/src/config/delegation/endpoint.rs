//! What a `[[delegation]]` with a token endpoint may say about it.

use std::collections::BTreeMap;

use pullkeeper_core::origin::{Origin, Url};
use pullkeeper_core::query::Query;

use super::protocol::{
    At, Body, Carrier, Client, Parameters, SUBJECT_TOKEN_TYPE, TOKEN_EXCHANGE_GRANT, TokenProtocol,
    Username,
};
use super::written::Written;
use super::{Exchange, Grant, TokenService};
use crate::config::resolve::Resolver;
use crate::config::{Place, syntax};

impl Resolver {
    pub(super) fn exchange(
        &mut self,
        written: Written<'_>,
        protocol: &'static TokenProtocol,
        registries: &[Query],
    ) -> Option<Grant> {
        let service = self.token_service(written, protocol, registries);
        let username = match protocol.username {
            Username::Answered(_) => Some(None),
            Username::Configured(default) => self.token_user(written, default).map(Some),
        };
        let subject = match protocol.carrier {
            Carrier::Nothing => Some(None),
            Carrier::Stored(_) => self.stored(written).map(Some),
            Carrier::Field(_) | Carrier::Bearer | Carrier::Basic => self.subject(written).map(Some),
        };
        let parameters = self.parameters(written, protocol);
        let table = written.table;
        let named = table.credential.is_some() || table.credential_file.is_some();
        Some(Grant::Exchange(Exchange {
            protocol,
            service: service?,
            subject: subject?,
            client: match protocol.client {
                Client::Never => false,
                Client::Optional => named,
                Client::Required => true,
            },
            parameters: parameters?,
            username: username?,
        }))
    }

    fn parameters(
        &mut self,
        Written { table, place, .. }: Written<'_>,
        protocol: &TokenProtocol,
    ) -> Option<BTreeMap<String, String>> {
        let key = "delegation.parameters";
        let mut parameters = BTreeMap::new();
        let mut good = true;
        let mut bad = |resolver: &mut Self, place: &Place, why: String| {
            resolver.bad(key, place, why);
            good = false;
        };
        if let Some(written) = &table.parameters {
            parameters.clone_from(&written.value);
            for name in written.value.keys() {
                let fixed = protocol.fixed.iter().any(|(fixed, _)| fixed == name);
                let secret = matches!(protocol.carrier, Carrier::Field(field) | Carrier::Stored(field) if field == name)
                    || matches!(name.as_str(), "client_secret" | "password");
                match protocol.parameters {
                    _ if fixed => bad(
                        self,
                        &written.place,
                        format!("must not have `{name}`, which is always the same"),
                    ),
                    _ if secret => bad(
                        self,
                        &written.place,
                        format!("must not have `{name}`: a secret has no place here"),
                    ),
                    Parameters::Any if name == "scope" => {
                        bad(
                            self,
                            &written.place,
                            "must not have `scope`; set the key `scope`".to_owned(),
                        );
                    }
                    Parameters::Any => {}
                    Parameters::Known(known) if known.iter().any(|(known, _)| known == name) => {}
                    Parameters::Known(known) => {
                        let known: Vec<_> = known.iter().map(|(known, _)| *known).collect();
                        bad(
                            self,
                            &written.place,
                            format!("can have {}, and not `{name}`", one_of(&known)),
                        );
                    }
                }
            }
        }
        if let Parameters::Known(known) = protocol.parameters {
            for (name, _) in known
                .iter()
                .filter(|(name, needed)| *needed && !parameters.contains_key(*name))
            {
                bad(self, place, format!("must have `{name}`"));
            }
        }
        if *protocol == TOKEN_EXCHANGE_GRANT {
            let (name, value) = SUBJECT_TOKEN_TYPE;
            parameters
                .entry(name.to_owned())
                .or_insert_with(|| value.to_owned());
        }
        if let Some(scope) = &table.scope {
            parameters.insert("scope".to_owned(), scope.value.clone());
        }
        good.then_some(parameters)
    }

    fn token_service(
        &mut self,
        written: Written<'_>,
        protocol: &TokenProtocol,
        registries: &[Query],
    ) -> Option<TokenService> {
        let Written { table, place, .. } = written;
        if let (Some(issuer), Some(_)) = (&table.issuer, &table.token_endpoint) {
            let why = "cannot be set beside `token_endpoint`".to_owned();
            self.bad("delegation.issuer", &issuer.place, why);
            return None;
        }
        if table.issuer.is_some() {
            let issuer = self.optional("delegation.issuer", &table.issuer, syntax::safe_url);
            return issuer.map(TokenService::Issuer);
        }
        let key = "delegation.token_endpoint";
        let endpoint = match (&table.token_endpoint, protocol.at) {
            (None, At::Fixed(url)) => Url::parse(url).ok(),
            (None, At::Registry(path)) => self.at_registry(written, registries, path),
            (endpoint, _) => self.required_at(key, endpoint, place, syntax::safe_url),
        }?;
        if protocol.body == Body::Query && endpoint.target().contains('?') {
            self.bad(key, place, "must have no query; it is added".to_owned());
            return None;
        }
        Some(TokenService::Endpoint(endpoint))
    }

    fn at_registry(
        &mut self,
        written: Written<'_>,
        registries: &[Query],
        path: &str,
    ) -> Option<Url> {
        self.one_host(written, registries, "exchanged at the registry itself")?;
        let secure = self.secure(written, registries)?;
        let origin = Origin::of_authority(secure, &registries.first()?.registry());
        Url::parse(&format!("{}{path}", origin.ok()?)).ok()
    }
}

fn one_of(names: &[&str]) -> String {
    match names {
        [] => "nothing".to_owned(),
        names => format!("`{}`", names.join("`, `")),
    }
}

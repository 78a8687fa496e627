//! The fields of a configuration file (kubelet, `config/{v1,v1beta1,v1alpha1}/types.go`), decoded strictly: names
//! count in their letter case, unknown and repeated ones are faults, and `null` is the same as nothing.

use super::document::Value;
use super::fault::What;

/// A file, as far as it could be decoded.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) providers: Vec<Raw>,
}

/// A provider before its rules are checked.
#[derive(Debug, Default)]
pub(super) struct Raw {
    /// Its place in the file.
    pub(super) at: usize,
    pub(super) name: String,
    pub(super) api_version: String,
    pub(super) match_images: Vec<String>,
    pub(super) default_cache_duration: Option<String>,
    pub(super) token: Option<RawToken>,
}

#[derive(Debug, Default)]
pub(super) struct RawToken {
    pub(super) audience: String,
    pub(super) cache_type: String,
    pub(super) require_service_account: Option<bool>,
    pub(super) required_annotations: Vec<String>,
    pub(super) optional_annotations: Vec<String>,
}

/// What is found wrong, with the path of the field.
pub(super) type Findings = Vec<(String, What)>;

/// The versions that the file itself can have.
const VERSIONS: [&str; 3] = [
    "kubelet.config.k8s.io/v1",
    "kubelet.config.k8s.io/v1beta1",
    "kubelet.config.k8s.io/v1alpha1",
];

/// Decodes a document for kubelet of this minor version.
pub(super) fn decode(document: &Value, minor: u32) -> (File, Findings) {
    let mut file = File::default();
    if is_internal(document) {
        let what = What::InternalVersion;
        return (file, vec![("apiVersion".to_owned(), what)]);
    }
    let mut decoder = Decoder::default();
    let names = ["apiVersion", "kind", "providers"];
    let [version, kind, providers] = decoder.fields("", Some(document), names);
    let version = decoder.text("apiVersion", version);
    let kind = decoder.text("kind", kind);
    if kind != "CredentialProviderConfig" {
        decoder.find("kind", What::Kind { found: kind });
    }
    let tokens = version == VERSIONS[0];
    if !VERSIONS.contains(&version.as_str()) {
        decoder.find("apiVersion", What::ApiVersion { found: version });
    }
    for (at, value) in decoder.list("providers", providers).iter().enumerate() {
        let provider = decoder.provider(at, value, tokens, minor);
        file.providers.push(provider);
    }
    (file, decoder.findings)
}

/// kubelet reads the form that it decodes into, too (apimachinery, `pkg/runtime`, `APIVersionInternal`).
fn is_internal(document: &Value) -> bool {
    let Value::Object(members) = document else {
        return false;
    };
    let internal = Value::Text("kubelet.config.k8s.io/__internal".to_owned());
    members
        .iter()
        .any(|(name, value)| name == "apiVersion" && *value == internal)
}

#[derive(Default)]
struct Decoder {
    findings: Findings,
}

impl Decoder {
    fn provider(&mut self, at: usize, value: &Value, tokens: bool, minor: u32) -> Raw {
        let path = format!("providers[{at}]");
        let names = [
            "name",
            "matchImages",
            "defaultCacheDuration",
            "apiVersion",
            "args",
            "env",
            "tokenAttributes",
        ];
        let [name, images, duration, version, args, env, token] =
            self.fields(&path, Some(value), names);
        let field = |name: &str| format!("{path}.{name}");
        self.texts(&field("args"), args);
        let env_path = field("env");
        for (at, variable) in self.list(&env_path, env).iter().enumerate() {
            let path = format!("{env_path}[{at}]");
            let [name, value] = self.fields(&path, Some(variable), ["name", "value"]);
            self.text(&format!("{path}.name"), name);
            self.text(&format!("{path}.value"), value);
        }
        let token = match token {
            Some(_) if !tokens => {
                self.find(&field("tokenAttributes"), What::UnknownField { hint: None });
                None
            }
            None | Some(Value::Null) => None,
            Some(token) => Some(self.token(&field("tokenAttributes"), token, minor)),
        };
        Raw {
            at,
            name: self.text(&field("name"), name),
            api_version: self.text(&field("apiVersion"), version),
            match_images: self.texts(&field("matchImages"), images),
            default_cache_duration: self.optional_text(&field("defaultCacheDuration"), duration),
            token,
        }
    }

    fn token(&mut self, path: &str, value: &Value, minor: u32) -> RawToken {
        let names = [
            "serviceAccountTokenAudience",
            "cacheType",
            "requireServiceAccount",
            "requiredServiceAccountAnnotationKeys",
            "optionalServiceAccountAnnotationKeys",
        ];
        let fields = self.fields(path, Some(value), names);
        let [audience, cache_type, required, keys, optional_keys] = fields;
        let field = |name: &str| format!("{path}.{name}");
        if cache_type.is_some() && minor < 34 {
            self.find(&field("cacheType"), What::UnknownField { hint: None });
        }
        RawToken {
            audience: self.text(&field(names[0]), audience),
            cache_type: self.text(&field(names[1]), cache_type),
            require_service_account: self.boolean(&field(names[2]), required),
            required_annotations: self.texts(&field(names[3]), keys),
            optional_annotations: self.texts(&field(names[4]), optional_keys),
        }
    }

    /// The values of these fields of an object; of repeated ones the last.
    fn fields<'v, const N: usize>(
        &mut self,
        path: &str,
        value: Option<&'v Value>,
        names: [&'static str; N],
    ) -> [Option<&'v Value>; N] {
        let mut fields = [None; N];
        let members = match value {
            Some(Value::Object(members)) => members,
            None | Some(Value::Null) => return fields,
            Some(other) => {
                self.wrong_type(path, "an object", other);
                return fields;
            }
        };
        for (at, (name, value)) in members.iter().enumerate() {
            let field = match path {
                "" => name.clone(),
                _ => format!("{path}.{name}"),
            };
            if members[..at].iter().any(|(before, _)| before == name) {
                self.find(&field, What::DuplicateField);
            }
            match names.iter().position(|known| known == name) {
                Some(known) => fields[known] = Some(value),
                None => {
                    let hint = names
                        .into_iter()
                        .find(|known| known.eq_ignore_ascii_case(name));
                    self.find(&field, What::UnknownField { hint });
                }
            }
        }
        fields
    }

    fn list<'v>(&mut self, path: &str, value: Option<&'v Value>) -> &'v [Value] {
        match value {
            Some(Value::List(elements)) => return elements,
            None | Some(Value::Null) => {}
            Some(other) => self.wrong_type(path, "a list", other),
        }
        &[]
    }

    fn texts(&mut self, path: &str, value: Option<&Value>) -> Vec<String> {
        let elements = self.list(path, value).iter().enumerate();
        elements
            .map(|(at, element)| self.text(&format!("{path}[{at}]"), Some(element)))
            .collect()
    }

    fn text(&mut self, path: &str, value: Option<&Value>) -> String {
        self.optional_text(path, value).unwrap_or_default()
    }

    fn optional_text(&mut self, path: &str, value: Option<&Value>) -> Option<String> {
        match value? {
            Value::Text(text) => return Some(text.clone()),
            Value::Null => {}
            other => self.wrong_type(path, "a string", other),
        }
        None
    }

    fn boolean(&mut self, path: &str, value: Option<&Value>) -> Option<bool> {
        match value? {
            Value::Bool(value) => return Some(*value),
            Value::Null => {}
            other => self.wrong_type(path, "true or false", other),
        }
        None
    }

    fn wrong_type(&mut self, path: &str, expected: &'static str, found: &Value) {
        let found = found.kind();
        self.find(path, What::WrongType { expected, found });
    }

    fn find(&mut self, path: &str, what: What) {
        self.findings.push((path.to_owned(), what));
    }
}

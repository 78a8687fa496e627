// Reader-oracle says what the real readers of registry auth files do with a document, and whether kubelet
// starts with a configuration of credential providers.
//
// It links the upstream code of kubelet, containers/image and docker/cli, reads one JSON request per
// line on stdin and answers each with one JSON line on stdout. The reader models in core are tested
// against it; nothing else uses it.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	docker "github.com/docker/cli/cli/config"
	"github.com/sirupsen/logrus"
	containersref "go.podman.io/image/v5/docker/reference"
	containers "go.podman.io/image/v5/pkg/docker/config"
	"go.podman.io/image/v5/types"
	v1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	kubelet "k8s.io/kubernetes/pkg/credentialprovider"
	"k8s.io/kubernetes/pkg/credentialprovider/secrets"
	"k8s.io/kubernetes/pkg/util/parsers"
)

type request struct {
	Client    string          `json:"client"`   // kubelet, pull-secret, containers, docker, provider-config, provider-match or kubelet-flag
	Document  []byte          `json:"document"` // the file, or the secret's data
	Legacy    bool            `json:"legacy"`   // it is a .dockercfg, not a config.json
	Image     string          `json:"image"`
	Repeat    int             `json:"repeat"` // how often to look up, because map order can decide
	Provider  providerRequest `json:"provider"`
	Arguments []string        `json:"arguments"` // kubelet's, without its name
	Flag      string          `json:"flag"`
}

type response struct {
	Image    *image    `json:"image"` // null when distribution/reference refuses it
	Outcomes []outcome `json:"outcomes"`
}

type image struct {
	Domain string `json:"domain"`
	Path   string `json:"path"`
	Tag    string `json:"tag"`
	Digest string `json:"digest"`
}

// outcome is one of the ways a lookup ended; exactly one field is set, none when nothing was found.
type outcome struct {
	DocumentError bool         `json:"document_error,omitempty"`
	ImageError    bool         `json:"image_error,omitempty"`
	LookupError   bool         `json:"lookup_error,omitempty"`
	Helper        *string      `json:"helper,omitempty"`
	Credentials   []credential `json:"credentials,omitempty"`
}

type credential struct {
	Username      []byte `json:"username"`
	Password      []byte `json:"password"`
	IdentityToken []byte `json:"identity_token"`
	RegistryToken []byte `json:"registry_token"`
}

func main() {
	silence()
	dir, err := os.MkdirTemp("", "reader-oracle-")
	check(err)
	defer os.RemoveAll(dir)
	files := layout(dir)

	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var r request
		check(json.Unmarshal(lines.Bytes(), &r))
		switch r.Client {
		case "provider-config":
			check(answers.Encode(providerConfig(r.Provider, dir)))
		case "provider-match":
			check(answers.Encode(providerMatch(r.Provider)))
		case "kubelet-flag":
			check(answers.Encode(kubeletFlag(r.Arguments, r.Flag)))
		default:
			check(answers.Encode(answer(r, files)))
		}
	}
	check(lines.Err())
}

// files are the places that the readers read from; nothing else on the machine can reach them.
type files struct {
	document   string // config.json in a folder of its own, as docker wants it
	containers *types.SystemContext
	legacy     *types.SystemContext
}

func layout(dir string) files {
	empty := filepath.Join(dir, "empty")
	check(os.Mkdir(empty, 0o700))
	registries := filepath.Join(dir, "registries.conf")
	check(os.WriteFile(registries, nil, 0o600))
	document := filepath.Join(dir, "config.json")
	// Without a helper to run, the attempt to run one is an error that names it.
	os.Clearenv()
	check(os.Setenv("PATH", empty))
	check(os.Setenv("HOME", empty))
	sys := types.SystemContext{SystemRegistriesConfPath: registries, SystemRegistriesConfDirPath: empty}
	modern, legacy := sys, sys
	modern.AuthFilePath, legacy.LegacyFormatAuthFilePath = document, document
	return files{document, &modern, &legacy}
}

func answer(r request, f files) response {
	check(os.WriteFile(f.document, r.Document, 0o600))
	named, err := reference.ParseNormalizedNamed(r.Image)
	if err != nil {
		return response{}
	}
	parsed := image{Domain: reference.Domain(named), Path: reference.Path(named)}
	if tagged, ok := named.(reference.Tagged); ok {
		parsed.Tag = tagged.Tag()
	}
	if digested, ok := named.(reference.Digested); ok {
		parsed.Digest = digested.Digest().String()
	}
	look := map[string]func() outcome{
		"kubelet":     func() outcome { return nodeFile(r, f) },
		"pull-secret": func() outcome { return pullSecret(r) },
		"containers":  func() outcome { return authFile(r, f) },
		"docker":      func() outcome { return dockerConfig(parsed.Domain, f) },
	}
	return response{&parsed, repeat(r.Repeat, look[r.Client])}
}

// repeat collects the different outcomes.
func repeat(times int, look func() outcome) []outcome {
	seen := map[string]bool{}
	outcomes := []outcome{}
	for range times {
		one := look()
		key, err := json.Marshal(one)
		check(err)
		if !seen[string(key)] {
			seen[string(key)] = true
			outcomes = append(outcomes, one)
		}
	}
	return outcomes
}

func nodeFile(r request, f files) outcome {
	var cfg kubelet.DockerConfig
	var err error
	if r.Legacy {
		cfg, err = kubelet.ReadDockerConfigFileFromBytes(r.Document)
	} else {
		cfg, err = kubelet.ReadSpecificDockerConfigJSONFile(f.document)
	}
	if err != nil {
		return outcome{DocumentError: true}
	}
	keyring := &kubelet.BasicDockerKeyring{}
	keyring.Add(nil, cfg)
	return keyringLookup(keyring, r.Image)
}

func pullSecret(r request) outcome {
	secret := v1.Secret{Type: v1.SecretTypeDockerConfigJson, Data: map[string][]byte{v1.DockerConfigJsonKey: r.Document}}
	if r.Legacy {
		secret = v1.Secret{Type: v1.SecretTypeDockercfg, Data: map[string][]byte{v1.DockerConfigKey: r.Document}}
	}
	keyring, err := secrets.MakeDockerKeyring([]v1.Secret{secret}, kubelet.UnionDockerKeyring{})
	if err != nil {
		return outcome{DocumentError: true}
	}
	return keyringLookup(keyring, r.Image)
}

func keyringLookup(keyring kubelet.DockerKeyring, image string) outcome {
	repository, _, _, err := parsers.ParseImageName(image)
	if err != nil {
		return outcome{ImageError: true}
	}
	var out outcome
	found, _ := keyring.Lookup(repository)
	for _, c := range found {
		out.Credentials = append(out.Credentials, credential{
			[]byte(c.Username), []byte(c.Password), []byte(c.IdentityToken), []byte(c.RegistryToken)})
	}
	return out
}

func authFile(r request, f files) outcome {
	named, err := containersref.ParseNormalizedNamed(r.Image)
	if err != nil {
		return outcome{ImageError: true}
	}
	sys := f.containers
	if r.Legacy {
		sys = f.legacy
	}
	c, err := containers.GetCredentialsForRef(sys, named)
	if err != nil {
		// Lookup errors and document errors come out alike except for their text.
		return failure(err, strings.Contains(err.Error(), "reading JSON file"))
	}
	if c == (types.DockerAuthConfig{}) {
		return outcome{}
	}
	return outcome{Credentials: []credential{{[]byte(c.Username), []byte(c.Password), []byte(c.IdentityToken), nil}}}
}

func dockerConfig(domain string, f files) outcome {
	cfg, err := docker.Load(filepath.Dir(f.document))
	if err != nil {
		return outcome{DocumentError: true}
	}
	c, err := cfg.GetAuthConfig(domain)
	if err != nil {
		return failure(err, false)
	}
	if c.Username == "" && c.Password == "" && c.IdentityToken == "" && c.RegistryToken == "" {
		return outcome{}
	}
	return outcome{Credentials: []credential{{
		[]byte(c.Username), []byte(c.Password), []byte(c.IdentityToken), []byte(c.RegistryToken)}}}
}

// failure reads the name of the helper out of the error of the attempt to run it.
func failure(err error, document bool) outcome {
	program := ""
	if _, rest, ok := strings.Cut(err.Error(), "exec: "); ok { // not in PATH, quoted
		quoted, _ := strconv.QuotedPrefix(rest)
		program, _ = strconv.Unquote(quoted)
	} else if _, rest, ok := strings.Cut(err.Error(), "fork/exec "); ok { // a name with a slash is a path
		program, _, _ = strings.Cut(rest, ": no such file or directory")
		program, _, _ = strings.Cut(program, ": invalid argument") // a NUL in it
	}
	if helper, ok := strings.CutPrefix(program, "docker-credential-"); ok {
		return outcome{Helper: &helper}
	}
	return outcome{DocumentError: document, LookupError: !document}
}

func silence() {
	logrus.SetOutput(io.Discard)
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(flags)
	check(errors.Join(flags.Set("logtostderr", "false"), flags.Set("alsologtostderr", "false"),
		flags.Set("stderrthreshold", "FATAL")))
	klog.SetOutput(io.Discard)
}

func check(err error) {
	if err != nil {
		log.Fatalf("reader-oracle: %v", err)
	}
}

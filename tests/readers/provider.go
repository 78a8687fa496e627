package main

import (
	"os"
	"path/filepath"
	_ "unsafe" // for go:linkname

	"k8s.io/apimachinery/pkg/util/sets"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/component-base/metrics/legacyregistry"
	kubelet "k8s.io/kubernetes/pkg/credentialprovider"
	"k8s.io/kubernetes/pkg/credentialprovider/plugin"
	_ "k8s.io/kubernetes/pkg/features"
	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"
)

// providerRequest asks whether kubelet starts with a configuration of credential providers.
type providerRequest struct {
	Directory bool    `json:"directory"` // the flag names the directory, not the only file in it
	Files     []entry `json:"files"`
	Programs  []entry `json:"programs"`
	NoBinDir  bool    `json:"no_bin_dir"`
	Tokens    bool    `json:"tokens"` // the feature gate for service account tokens
	// Patterns and images to match with each other.
	Pattern string `json:"pattern"`
	Image   string `json:"image"`
}

type entry struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"` // file, program, directory, link, link-to-directory or dangling
	Content []byte `json:"content"`
}

type providerResponse struct {
	Error     string     `json:"error"` // empty when kubelet starts
	Hash      string     `json:"hash"`  // as its metric tells it
	Providers []provider `json:"providers"`
	Matches   bool       `json:"matches"`
}

type provider struct {
	Name        string           `json:"name"`
	APIVersion  string           `json:"api_version"`
	MatchImages []string         `json:"match_images"`
	Nanoseconds int64            `json:"nanoseconds"`
	Token       *tokenAttributes `json:"token"`
}

type tokenAttributes struct {
	Audience  string   `json:"audience"`
	CacheType string   `json:"cache_type"`
	Required  bool     `json:"required"`
	Keys      []string `json:"keys"`
	Optional  []string `json:"optional"`
}

// Registering is once for a process. What it remembers is forgotten between two requests.
//
//go:linkname seenProviderNames k8s.io/kubernetes/pkg/credentialprovider/plugin.seenProviderNames
var seenProviderNames sets.String

// Only kubelet's own decoder tells what it has decoded.
//
//go:linkname readCredentialProviderConfig k8s.io/kubernetes/pkg/credentialprovider/plugin.readCredentialProviderConfig
func readCredentialProviderConfig(path string) (*kubeletconfig.CredentialProviderConfig, string, error)

func providerConfig(r providerRequest, scratch string) providerResponse {
	dir, err := os.MkdirTemp(scratch, "provider-")
	check(err)
	defer os.RemoveAll(dir)
	config, bin := filepath.Join(dir, "config"), filepath.Join(dir, "bin")
	lay(config, dir, r.Files)
	if !r.NoBinDir {
		lay(bin, dir, r.Programs)
	}
	if !r.Directory {
		config = filepath.Join(config, r.Files[0].Name)
	}
	check(utilfeature.DefaultMutableFeatureGate.SetFromMap(
		map[string]bool{"KubeletServiceAccountTokenForCredentialProviders": r.Tokens}))

	seenProviderNames = sets.NewString()
	if err := plugin.RegisterCredentialProviderPlugins(config, bin, nil, nil); err != nil {
		return providerResponse{Error: err.Error()}
	}
	response := providerResponse{Hash: hashOfMetric()}
	read, _, err := readCredentialProviderConfig(config)
	check(err)
	for _, p := range read.Providers {
		response.Providers = append(response.Providers, provider{
			p.Name, p.APIVersion, p.MatchImages, p.DefaultCacheDuration.Nanoseconds(), token(p.TokenAttributes)})
	}
	return response
}

func token(t *kubeletconfig.ServiceAccountTokenAttributes) *tokenAttributes {
	if t == nil {
		return nil
	}
	return &tokenAttributes{t.ServiceAccountTokenAudience, string(t.CacheType), *t.RequireServiceAccount,
		filled(t.RequiredServiceAccountAnnotationKeys), filled(t.OptionalServiceAccountAnnotationKeys)}
}

// filled makes no difference between an empty list and none, as kubelet makes none.
func filled(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return list
}

func providerMatch(r providerRequest) providerResponse {
	matches, err := kubelet.URLsMatchStr(r.Pattern, r.Image)
	if err != nil {
		return providerResponse{Error: err.Error()}
	}
	return providerResponse{Matches: matches}
}

func lay(dir, scratch string, entries []entry) {
	check(os.Mkdir(dir, 0o700))
	for _, e := range entries {
		path := filepath.Join(dir, e.Name)
		switch e.Kind {
		case "file":
			check(os.WriteFile(path, e.Content, 0o600))
		case "program":
			check(os.WriteFile(path, e.Content, 0o700))
		case "directory":
			check(os.Mkdir(path, 0o700))
		case "link":
			target, err := os.CreateTemp(scratch, "target-")
			check(err)
			_, err = target.Write(e.Content)
			check(err)
			check(target.Chmod(0o700))
			check(target.Close())
			check(os.Symlink(target.Name(), path))
		case "link-to-directory":
			check(os.Symlink(scratch, path))
		case "dangling":
			check(os.Symlink(filepath.Join(scratch, "nowhere"), path))
		}
	}
}

func hashOfMetric() string {
	families, err := legacyregistry.DefaultGatherer.Gather()
	check(err)
	for _, family := range families {
		if family.GetName() == "kubelet_credential_provider_config_info" {
			return family.GetMetric()[0].GetLabel()[0].GetValue()
		}
	}
	return ""
}

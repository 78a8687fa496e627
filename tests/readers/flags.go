package main

import (
	"io"

	"github.com/spf13/pflag"
	cliflag "k8s.io/component-base/cli/flag"
)

// flagsResponse is what kubelet's way of parsing makes of a command line.
type flagsResponse struct {
	Runs  bool    `json:"runs"`  // kubelet would not end because of the line
	Value *string `json:"value"` // null when the flag is not set
}

// kubeletFlag parses as `NewKubeletCommand` does, with one flag of each kind that matters (cmd/kubelet/app/server.go).
func kubeletFlag(arguments []string, name string) flagsResponse {
	flags := pflag.NewFlagSet("kubelet", pflag.ContinueOnError)
	flags.SetNormalizeFunc(cliflag.WordSepNormalizeFunc)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	flags.String("image-credential-provider-config", "", "")
	flags.String("image-credential-provider-bin-dir", "", "")
	flags.Bool("fail-swap-on", true, "")
	flags.Int32("oom-score-adj", -999, "")
	if flags.Parse(arguments) != nil || flags.NArg() > 0 {
		return flagsResponse{}
	}
	response := flagsResponse{Runs: true}
	if flag := flags.Lookup(name); flag.Changed {
		value := flag.Value.String()
		response.Value = &value
	}
	return response
}

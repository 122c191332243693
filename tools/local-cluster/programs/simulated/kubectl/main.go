// Command kubectl is the client of the server's version whose requests are not held back: it has no flag
// for that, and a benchmark against it would measure its five requests a second.
package main

import (
	"os"

	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
)

func main() {
	flags := genericclioptions.NewConfigFlags(true).WithWrapConfigFn(func(config *rest.Config) *rest.Config {
		config.QPS, config.Burst = 5000, 10000
		return config
	})
	options := cmd.KubectlOptions{
		Arguments:   os.Args,
		ConfigFlags: flags,
		IOStreams:   genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr},
	}
	if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommandWithArgs(options)); err != nil {
		util.CheckErr(err)
	}
}

// Command pause is the only program of the local cluster's smallest image. Run
// without arguments it holds a pod's namespaces, as every pod's first container
// must. Run by local-path-provisioner, with `-p DIRECTORY -a create|delete`, it
// makes or removes a volume's directory.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	if len(os.Args) == 1 {
		pause()
		return
	}
	if err := volume(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "pause: %v\n", err)
		os.Exit(1)
	}
}

// pause waits until it is told to end, and reaps what is left to it where a pod
// shares its process namespace.
func pause() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		for {
			pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if pid <= 0 || err != nil {
				break
			}
		}
	}
}

// volume does what local-path-provisioner asks for. The size and the mode it
// passes are of no use here: a directory has no size, and every volume is one.
func volume(arguments []string) error {
	flags := flag.NewFlagSet("pause", flag.ContinueOnError)
	path := flags.String("p", "", "the volume's directory, absolute")
	action := flags.String("a", "", "create or delete")
	_ = flags.String("s", "", "the volume's size in bytes (not used)")
	_ = flags.String("m", "", "the volume's mode (not used)")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if !filepath.IsAbs(*path) || filepath.Clean(*path) == "/" {
		return fmt.Errorf("-p must be an absolute path below the root, not %q", *path)
	}
	switch *action {
	case "create":
		// Pods run under any user: the directory is as open as a new emptyDir.
		if err := os.Mkdir(*path, 0o777); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		return os.Chmod(*path, 0o777)
	case "delete":
		return os.RemoveAll(*path)
	default:
		return fmt.Errorf("-a must be create or delete, not %q", *action)
	}
}

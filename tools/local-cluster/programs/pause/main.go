// Command pause is the only program of the local cluster's smallest image. It holds a pod's namespaces, as every
// pod's first container must.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

// main waits until it is told to end, and reaps what is left to it where a pod shares its process namespace.
func main() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			os.Exit(0)
		}
		for {
			pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if pid <= 0 || err != nil {
				break
			}
		}
	}
}

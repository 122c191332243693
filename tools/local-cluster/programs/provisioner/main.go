// Command provisioner makes and removes the directories that are the local cluster's volumes. All nodes are on
// this machine, so it does that itself, where a provisioner for real nodes has to start a pod on one of them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v10/controller"
)

// name is what the StorageClass calls this provisioner.
const name = "rates.internal/directories"

func main() {
	kubeconfig := flag.String("kubeconfig", "", "how to reach the API server")
	folders := directories{}
	flag.Var(folders, "node", "NAME=FOLDER: where the volumes of a node are; once for each node")
	flag.Parse()
	if err := run(*kubeconfig, folders); err != nil {
		fmt.Fprintf(os.Stderr, "provisioner: %v\n", err)
		os.Exit(1)
	}
}

func run(kubeconfig string, folders directories) error {
	if len(folders) == 0 {
		return errors.New("no --node NAME=FOLDER is given")
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("--kubeconfig: %w", err)
	}
	// The default rate is for one of many clients; thirty environments at once would wait for it.
	config.QPS, config.Burst = 100, 200
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	controller.NewProvisionController(klog.FromContext(ctx), client, name, folders, controller.LeaderElection(false)).Run(ctx)
	return nil
}

// directories holds the folder of each node's volumes.
type directories map[string]string

func (folders directories) String() string { return "" }

// Set takes one NAME=FOLDER.
func (folders directories) Set(text string) error {
	node, folder, found := strings.Cut(text, "=")
	if !found || node == "" || !filepath.IsAbs(folder) {
		return errors.New("expected NAME=FOLDER, the folder absolute")
	}
	folders[node] = filepath.Clean(folder)
	return nil
}

// Provision makes a volume's directory on the node that the scheduler chose.
func (folders directories) Provision(
	_ context.Context, wanted controller.ProvisionOptions,
) (*core.PersistentVolume, controller.ProvisioningState, error) {
	fail := func(err error) (*core.PersistentVolume, controller.ProvisioningState, error) {
		return nil, controller.ProvisioningFinished, err
	}
	for _, mode := range wanted.PVC.Spec.AccessModes {
		if mode != core.ReadWriteOnce && mode != core.ReadWriteOncePod {
			return fail(fmt.Errorf("a directory of one node cannot be %s: use ReadWriteOnce or ReadWriteOncePod", mode))
		}
	}
	if wanted.PVC.Spec.Selector != nil {
		return fail(errors.New("claims with a selector are not supported"))
	}
	if wanted.SelectedNode == nil {
		return fail(errors.New("no node is chosen: the StorageClass must have volumeBindingMode WaitForFirstConsumer"))
	}
	node := wanted.SelectedNode.Name
	folder, known := folders[node]
	if !known {
		return fail(fmt.Errorf("node %s has no folder for volumes", node))
	}
	path := filepath.Join(folder, wanted.PVName)
	if err := makeOpen(path); err != nil {
		return fail(err)
	}
	return &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: wanted.PVName},
		Spec: core.PersistentVolumeSpec{
			AccessModes:                   wanted.PVC.Spec.AccessModes,
			Capacity:                      core.ResourceList{core.ResourceStorage: wanted.PVC.Spec.Resources.Requests[core.ResourceStorage]},
			NodeAffinity:                  only(node),
			PersistentVolumeReclaimPolicy: *wanted.StorageClass.ReclaimPolicy,
			// Of a local volume the kubelet reports what is used, and of a hostPath nothing.
			PersistentVolumeSource: core.PersistentVolumeSource{
				Local: &core.LocalVolumeSource{Path: path},
			},
		},
	}, controller.ProvisioningFinished, nil
}

// Delete removes a volume's directory, and nothing that is not directly in a node's folder.
func (folders directories) Delete(_ context.Context, volume *core.PersistentVolume) error {
	if volume.Spec.Local == nil {
		return fmt.Errorf("volume %s is no directory", volume.Name)
	}
	path := volume.Spec.Local.Path
	for _, folder := range folders {
		if filepath.Join(folder, volume.Name) == path {
			return os.RemoveAll(path)
		}
	}
	return fmt.Errorf("%s is not in the folder of any node: it is left as it is", path)
}

// makeOpen makes a directory that pods of any user may write to, as a new emptyDir is.
func makeOpen(path string) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	return os.Chmod(path, 0o777)
}

// only is the affinity to one node.
func only(node string) *core.VolumeNodeAffinity {
	return &core.VolumeNodeAffinity{Required: &core.NodeSelector{NodeSelectorTerms: []core.NodeSelectorTerm{{
		MatchExpressions: []core.NodeSelectorRequirement{{
			Key:      core.LabelHostname,
			Operator: core.NodeSelectorOpIn,
			Values:   []string{node},
		}},
	}}}}
}

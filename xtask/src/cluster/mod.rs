//! The local cluster: real Kubernetes components on this machine.

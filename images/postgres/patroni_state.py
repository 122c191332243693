"""What Patroni keeps of its cluster in ConfigMaps, and in the labels of the pods. A pod's cluster is its name without
the ordinal."""

from kubernetes_api import Refused, call

CLUSTER_LABEL = "rates.internal/cluster"
ROLE_LABEL = "rates.internal/role"


class Record:
    """One ConfigMap: `config`, `leader`, `failover` or `sync`. One that is not there is empty."""

    def __init__(self, cluster, part, seconds=5):
        self.path = "configmaps/{}-{}".format(cluster, part)
        try:
            metadata = call("GET", self.path, seconds=seconds)["metadata"]
        except Refused as refused:
            if refused.status != 404:
                raise
            metadata = {}
        self.annotations = metadata.get("annotations") or {}
        self.version = metadata.get("resourceVersion")

    def get(self, name):
        return self.annotations.get(name) or ""

    def change(self, annotations, seconds=5):
        """Refused with status 409 where it has changed since it was read."""
        metadata = {"resourceVersion": self.version, "annotations": annotations}
        call("PATCH", self.path, {"metadata": metadata}, seconds)


def cluster_of(pod):
    return pod.rsplit("-", 1)[0]


def others_with_the_data(pod):
    """The other instances that hold all that was acknowledged, as far as Patroni wrote it down: the leader, and those
    whose word a commit waits for."""
    cluster = cluster_of(pod)
    names = {Record(cluster, "leader").get("leader"), *Record(cluster, "sync").get("sync_standby").split(",")}
    return sorted(name for name in names if name not in ("", pod))


def pods(cluster, seconds=5, **labels):
    wanted = {CLUSTER_LABEL: cluster, **{"rates.internal/" + name: value for name, value in labels.items()}}
    selector = "%2C".join("{}%3D{}".format(name.replace("/", "%2F"), value) for name, value in wanted.items())
    return [item["metadata"] for item in call("GET", "pods?labelSelector=" + selector, seconds=seconds)["items"]]

"""Before Patroni promotes this server: takes the role's label from every other pod of the cluster, so that the primary's
Service leads nobody to one that is frozen or lost and still believes in itself.

Part of Patroni's own process, as another Python takes seconds to start on a busy node. A promotion waits for it for a
second; it goes on beside it then, and the operator repeats it.
"""

import threading

from kubernetes_api import call
from patroni_state import ROLE_LABEL, cluster_of, pods
from words import speaker

say = speaker("fencing")

WAIT_SECONDS = 1
REQUEST_SECONDS = 3


def take_labels(own):
    try:
        for pod in pods(cluster_of(own), REQUEST_SECONDS, role="primary"):
            if pod["name"] != own:
                call("PATCH", "pods/" + pod["name"], {"metadata": {"labels": {ROLE_LABEL: None}}}, REQUEST_SECONDS)
                say("{} is the primary's pod no more".format(pod["name"]))
    except (OSError, ValueError, KeyError) as error:
        say("the label of the primary before could not be taken: {}".format(error))


def fence(own):
    thread = threading.Thread(target=take_labels, args=(own,), daemon=True)
    thread.start()
    thread.join(WAIT_SECONDS)


def fence_before_promotions(own):
    from patroni.postgresql import Postgresql

    pre_promote = Postgresql._pre_promote

    def fence_first(self):
        fence(own)
        return pre_promote(self)

    Postgresql._pre_promote = fence_first

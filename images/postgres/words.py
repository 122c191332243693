"""What the pod's programs say in the container's log."""

import sys
import time


def speaker(name):
    """Gives a function that writes a line with the time and this name."""

    def say(text):
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        print("{} {}: {}".format(moment, name, text), file=sys.stderr, flush=True)

    return say

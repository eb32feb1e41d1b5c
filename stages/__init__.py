"""The stages of the pipeline, which ``dvc.yaml`` runs. Each stage is a module."""

import os
import signal
import sys

# As shells count what a signal has ended.
INTERRUPTED = 128 + signal.SIGINT

# Most of a short stage's time is spent on imports: interrupted there, it ends in one line too. This
# is read first, before a stage's own imports; only for `python -m`, whose process is the stage's.
if sys.argv[0] == "-m" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:

    def _end(*_: object) -> None:
        os.write(sys.stderr.fileno(), b"interrupted\n")
        os._exit(INTERRUPTED)

    signal.signal(signal.SIGINT, _end)

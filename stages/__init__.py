"""The stages of the pipeline, which ``dvc.yaml`` runs. Each stage is a module."""

import os
import signal
import sys

# A short stage spends most of its time on imports. Python runs this before them, so that a stage
# that is interrupted during its imports ends with one line, too. This is done only for `python -m`,
# because then the process runs nothing but the stage.
if sys.argv[0] == "-m" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:

    def _end(*_: object) -> None:
        os.write(sys.stderr.fileno(), b"interrupted\n")
        os._exit(1)

    signal.signal(signal.SIGINT, _end)

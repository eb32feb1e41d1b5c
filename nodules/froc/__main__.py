"""``python -m nodules.froc``: LUNA16's official score of a submission."""

from __future__ import annotations

import argparse

from nodules.froc.command import SUMMARY, add_arguments, run

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m nodules.froc", description=SUMMARY)
    add_arguments(parser)
    run(parser.parse_args())

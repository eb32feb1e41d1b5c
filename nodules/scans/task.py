"""What all tasks about one scan have in common, wherever the scan is worked on."""

from __future__ import annotations

from dataclasses import dataclass

from nodules.jobs.checkpoint import digest
from nodules.scans.scan import Scan


@dataclass(frozen=True, eq=False, kw_only=True)
class TaskOfScan:
    """A task about one scan, as `nodules.jobs.resumable.work_on_scans` takes it.

    Parameters
    ----------
    scan
        The scan, with the place of its voxels.
    code
        The `nodules.jobs.code.code_digest` of the code that made this task.
    """

    scan: Scan
    code: str

    @property
    def payload_bytes(self) -> int:
        """The size of the scan's voxels in bytes."""
        return self.scan.header.payload_bytes

    @property
    def key(self) -> str:
        """The digest of everything that affects the result."""
        scan = self.scan
        return digest(self.code, scan.seriesuid, scan.header, scan.checksum, *self._also_affects())

    def _also_affects(self) -> tuple[object, ...]:
        """Give what affects the result beside the scan and the code.

        Returns
        -------
        parts
            The values, as `nodules.jobs.checkpoint.digest` takes them.
        """
        raise NotImplementedError

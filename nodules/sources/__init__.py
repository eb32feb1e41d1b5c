"""The sources of the data, of which ``data.source`` in ``params.yaml`` names one."""

"""Where data come from: what ``data.source`` in params.yaml names."""

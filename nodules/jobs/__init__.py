"""Long work: in parallel, interrupted and gone on with."""

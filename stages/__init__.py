"""What dvc.yaml runs: one thin module a stage."""

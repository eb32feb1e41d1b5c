"""Networks that come with the package, trained on real nodules."""

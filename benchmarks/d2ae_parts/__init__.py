"""Parts of the benchmark of d2ae."""

"""The book's tooling: manifest, pairs, checks, execution and rendering."""

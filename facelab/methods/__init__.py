"""The five papers, one room each."""

"""From renders of a morphable model to photo-like faces of new people (Gecer et al. 2018)."""

"""Who is in a picture: find faces (mtcnn), align them (align), measure and compare (embedder)."""

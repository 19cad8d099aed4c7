"""Labelled faces under one interface: drawn on the fly, packed in a file, or read from one."""

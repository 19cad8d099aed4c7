"""Public datasets of faces: what each is, how it is fetched, read, framed and packed.

`table.SETS` has them by name; `preparation.main` is what every script in data_scripts/ calls.
"""

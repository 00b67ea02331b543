"""Everything but model files and engine builds in one archive, and back, on either database.

`archive.py` is the file, `tables.py` what goes into it, `secret_part.py` what is kept apart from
it, `taking.py` and `restoring.py` the two ways.
"""

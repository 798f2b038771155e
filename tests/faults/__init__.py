"""Fault injection: processes killed at random, files with flipped bits.

`python -m tests.faults` runs as much of it as you like.
"""

"""Contract tests: what every plug-in of a kind must satisfy.

One module per kind of plug-in. Each holds check functions, `check_*(plugin)`,
that raise AssertionError; it runs all of them over every plug-in it finds, and
each of them on a planted broken plug-in that it must reject. Import the checks
to try a plug-in of your own.
"""

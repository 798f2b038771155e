"""The contracts of `weightspace.testing`, on every plug-in in the tree.

One module per kind of plug-in. Each runs all checks over every plug-in it
finds, and each of them on a planted broken plug-in that it must reject.
"""

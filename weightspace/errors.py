"""What users read in one line, unlike a bug, which has a traceback."""


class UserError(ValueError):
  """A request that cannot be met: the message says why, and what to do.

  It names the file, flag or field, what was expected and what to do. Launchers
  print it in one line. Any other ValueError is a bug.
  """


class MissingPackage(UserError, ImportError):
  """A package that is not installed; the message says how to install it."""

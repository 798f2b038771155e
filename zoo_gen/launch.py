"""What all launchers share: flags parsed, errors in one line, devices set up.

A launcher imports nothing heavy at its top, so that its --help is quick.
"""

import sys
import traceback
from collections.abc import Callable, Sequence

from absl import app, flags, logging


def run(main: Callable[[], int | None], required: Sequence[str] = ()) -> None:
  """Parses flags and runs `main`, which takes no arguments.

  One XLA device is made of each CPU core. A ValueError or OSError, which say
  what is wrong with what the user asked for, ends the program with status 1
  and that one line; so does an unknown field of a config, with the nearest
  name. Other exceptions are bugs and keep their traceback.

  Args:
    main: the program; what it returns is the exit status.
    required: names of flags that must be given.
  """
  flags.mark_flags_as_required(required)

  def launch(argv):
    if len(argv) > 1:
      raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
    logging.set_verbosity(logging.WARNING)  # jax is chatty about backends
    from weightspace import parallel

    parallel.use_all_cores()
    try:
      return main()
    except (ValueError, OSError) as error:
      sys.exit(f"error: {error}")
    except KeyboardInterrupt:
      print("interrupted; run again to go on", file=sys.stderr)
      sys.exit(130)

  app.run(launch, flags_parser=_parse)


def _parse(args):
  try:
    return app.parse_flags_with_usage(args)
  except (AttributeError, KeyError) as error:
    # How config_flags refuses a field that the config does not have
    if "ml_collections" not in traceback.extract_tb(error.__traceback__)[-1][0]:
      raise
    sys.exit(f"error: no such config field: {_plain(error)}")


def _plain(error):
  text = str(error)  # a repr: in quotes, with escapes
  if text[:1] in ("'", '"') and text[:1] == text[-1:]:
    text = text[1:-1]
  return " ".join(text.replace("\\'", "'").replace("\\n", " ").split())

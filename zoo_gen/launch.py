"""What all launchers share: flags parsed, errors in one line, devices set up.

A launcher imports nothing heavy at its top, so that its --help is quick.
"""

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence

from absl import app, flags, logging


def define_distributed() -> flags.FlagHolder[str]:
  """The flag of launchers that may be one of several processes."""
  return flags.DEFINE_string(
      "distributed", "auto", "Whether this is one of several processes: auto"
      " asks SLURM or the TPU, off, or ADDRESS,COUNT,INDEX with host:port of"
      " process 0.",
  )  # fmt: skip


def run(
    main: Callable[[], int | None],
    required: Sequence[str] = (),
    distributed: flags.FlagHolder[str] | None = None,
) -> None:
  """Parses flags and runs `main`, which takes no arguments.

  One XLA device is made of each CPU core. A ValueError or OSError, which say
  what is wrong with what the user asked for, ends the program with status 1
  and that one line; so does an unknown field of a config, with the nearest
  name. Other exceptions are bugs and keep their traceback.

  Args:
    main: the program; what it returns is the exit status.
    required: names of flags that must be given.
    distributed: of `define_distributed`; `main` then runs in a process that
      has joined the others.
  """
  flags.mark_flags_as_required(required)

  def launch(argv):
    if len(argv) > 1:
      raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
    logging.set_verbosity(logging.WARNING)  # jax is chatty about backends
    from weightspace import parallel, processes
    from zoo_gen.distributed import joined

    parallel.use_all_cores()
    how = "off" if distributed is None else distributed.value
    with (
        _errors_in_one_line(),
        joined(processes.job(how, os.environ)),
        _errors_in_one_line(),  # before the others are left
    ):
      return main()

  app.run(launch, flags_parser=_parse)


@contextlib.contextmanager
def _errors_in_one_line() -> Iterator[None]:
  try:
    yield
  except (ValueError, OSError) as error:
    sys.exit(f"error: {error}")
  except KeyboardInterrupt:
    print("interrupted; run again to go on", file=sys.stderr)
    sys.exit(130)


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

"""What all launchers share: flags, one-line errors, devices, processes.

The only module of the library that has flags, prints and changes global state;
only launchers import it. It imports nothing heavy at its top, so that --help
is quick.
"""

import contextlib
import errno
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence

from absl import app, flags, logging

from weightspace import processes
from weightspace.errors import UserError

# A process that is silent for so long counts as dead, which ends the others
HEARTBEAT_SECONDS = 30
# Processes that finish early wait for the others
_SHUTDOWN_SECONDS = 30 * 24 * 3600
_TERMINATED = 143  # the exit status after a SIGTERM that was answered


flags.disclaim_key_flags()  # those defined here are the launcher's


def define_config(default: str | None, text: str) -> flags.FlagHolder:
  """The flag of launchers that have a config: FILE.py or FILE.py:ARGUMENT.

  Its fields are flags too. Those that are tuples are Python literals, or words
  divided by commas: --config.properties=task,accuracy.

  Args:
    default: of the flag.
    text: what the config is of, for --help.
  """
  from ml_collections import config_flags

  from weightspace import config_words

  config_words.register()
  return config_flags.DEFINE_config_file("config", default, text)


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

  JAX's settings that change numbers are pinned, see `weightspace.settings`, and
  one XLA device is made of each CPU core. A UserError, or an OSError such as a
  full disk, ends the program with status 1 and one line that says what is
  wrong; so does an unknown field of a config, with the nearest name. Other
  exceptions are bugs and keep their traceback.

  Args:
    main: the program; it returns the exit status.
    required: names of flags that must be given.
    distributed: of `define_distributed`; `main` then runs in a process that
      has joined the others.
  """
  flags.mark_flags_as_required(required)

  def launch(argv):
    if len(argv) > 1:
      raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
    # Where a terminal cannot show a letter, its code is shown
    sys.stdout.reconfigure(errors="backslashreplace")
    logging.set_verbosity(logging.WARNING)  # jax is chatty about backends
    from weightspace import parallel, settings

    settings.pin()
    parallel.use_all_cores()
    how = "off" if distributed is None else distributed.value
    with (
        _errors_in_one_line(),
        joined(processes.job(how, os.environ)),
        _errors_in_one_line(),  # before this process leaves the others
    ):
      return main()

  app.run(launch, flags_parser=_parse)


@contextlib.contextmanager
def joined(
    job: processes.Job | None, *, heartbeat: int = HEARTBEAT_SECONDS
) -> Iterator[None]:
  """Makes this process one of a job.

  Call it before anything touches a device. A process that ends as planned, or
  by a SIGTERM that it has answered, waits until the others end too. One that
  fails exits at once, so that the others notice.

  Args:
    job: None does nothing.
    heartbeat: seconds after which a silent process counts as dead.

  Raises:
    OSError: the others cannot be reached.
  """
  if job is None:
    yield
    return
  import jax

  # JAX's service would catch the SIGTERM that training watches for
  jax.config.update("jax_enable_preemption_service", False)
  try:
    jax.distributed.initialize(
        *job,
        heartbeat_timeout_seconds=heartbeat,
        shutdown_timeout_seconds=_SHUTDOWN_SECONDS,
    )
  except RuntimeError as error:
    raise OSError(f"no way to the other processes: {error}") from error
  try:
    yield
  except SystemExit as error:
    if error.code not in (None, 0, _TERMINATED):
      _exit_now(error.code)
    jax.distributed.shutdown()
    raise
  except BaseException as error:
    traceback.print_exc()
    lost = isinstance(error, jax.errors.JaxRuntimeError)
    _exit_now(_lost_another() if lost else 1)
  jax.distributed.shutdown()


def _lost_another():
  import jax

  return (
      f"error: process {jax.process_index()} of {jax.process_count()} failed in"
      " what it does together with the others. Most likely another process"
      " stopped: its own output says why. Run all of them again to go on"
  )


def _exit_now(code):
  if not isinstance(code, int):
    print(code, file=sys.stderr)
    code = 1
  sys.stdout.flush()
  sys.stderr.flush()
  # JAX's own exit handler would wait for the others
  os._exit(code)


@contextlib.contextmanager
def _errors_in_one_line() -> Iterator[None]:
  try:
    yield
  except (UserError, OSError) as error:
    sys.exit(f"error: {_message(error)}")
  except KeyboardInterrupt:
    print("interrupted; run again to go on", file=sys.stderr)
    sys.exit(130)


_ADVICE = {
    errno.EACCES: "; choose a place that you may read and write",
    errno.EPERM: "; choose a place that you may read and write",
    errno.EROFS: "; choose a place that is not read-only",
    errno.ENOSPC: "; free some space and run again",
    errno.EDQUOT: "; free some space and run again",
}


def _message(error):
  """An error in one line; the system's own begin with a number."""
  text = str(error)
  if isinstance(error, OSError) and error.errno and error.filename:
    advice = _ADVICE.get(error.errno, "")
    text = f"{error.filename}: {error.strerror}{advice}"
  return " ".join(text.split())


_FROM_HOME = re.compile(r"(--?[\w.]+=)?(~(?:/.*)?)", re.DOTALL)


def _expand_home(argument):
  """--zoo=~/zoo, of which shells leave the ~ as it is; of all flags."""
  match = _FROM_HOME.fullmatch(argument)
  if not match:
    return argument
  from weightspace.io import files  # imports NumPy, which --help does without

  return (match[1] or "") + files.expand_home(match[2])


_HELP = {"--help", "-help", "--helpshort", "--helpfull"}
_CONFIG = re.compile(r"--?config=(.+)")


def _parse(args):
  try:
    args = [args[0], *map(_expand_home, args[1:])]
    return flags.FLAGS(args)
  except SystemExit:
    if not _HELP.isdisjoint(args):  # it has just printed the flags
      with _errors_in_one_line():
        _print_fields(args)
    raise
  except UserError as error:
    sys.exit(f"error: {error}")
  except flags.Error as error:
    # config_flags quotes the whole traceback of what a config raised
    _, of_config, message = str(error).rpartition("errors.UserError: ")
    if of_config:
      sys.exit(f"error: {' '.join(message.split())}")
    sys.exit(f"error: {' '.join(str(error).split())}; --help lists all flags")
  except (AttributeError, KeyError) as error:
    # How config_flags refuses a field that the config does not have
    if "ml_collections" not in traceback.extract_tb(error.__traceback__)[-1][0]:
      raise
    sys.exit(f"error: no such config field: {_plain(error)}")


def _print_fields(args):
  """The fields of the config that was given."""
  from weightspace import config_help

  for match in filter(None, map(_CONFIG.fullmatch, args)):
    print("\n" + config_help.describe(match[1]))


def _plain(error):
  text = str(error)  # a repr: in quotes, with escapes
  if text[:1] in ("'", '"') and text[:1] == text[-1:]:
    text = text[1:-1]
  return " ".join(text.replace("\\'", "'").replace("\\n", " ").split())

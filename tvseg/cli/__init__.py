"""The command line. Sub-commands load when they are called, so that help answers at once."""

import importlib
import io
import logging
import os
import sys
import warnings
from typing import Any, TextIO

import click

import tvseg
from tvseg.errors import UserError, escaped, one_line
from tvseg.extras import EXTRAS, how_to_install

COMMANDS = {
    "data": "tvseg.cli.data:data",
    "train": "tvseg.cli.train:train",
    "train-localizer": "tvseg.cli.train_localizer:train_localizer",
    "sweep": "tvseg.cli.sweep:sweep",
    "eval": "tvseg.cli.eval:evaluate",
    "report": "tvseg.cli.report:report",
    "predict": "tvseg.cli.predict:predict",
    "predict-merge": "tvseg.cli.predict_merge:predict_merge",
    "view": "tvseg.cli.view:view",
    "show": "tvseg.cli.show:show",
    "export": "tvseg.cli.export:export",
    "faces": "tvseg.cli.faces:faces",
    "bench": "tvseg.cli.bench:bench",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for arg in args:
            option, separator, value = arg.partition("=") if arg.startswith("--") else ("", "", arg)
            if not value and (separator or not option):
                raise click.UsageError(
                    f"{option or 'an argument'} is empty; is a shell variable unset?", ctx
                )
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (UserError, OSError) as error:
            if ctx.params["verbose"] or isinstance(error, BrokenPipeError):
                raise
            click.ClickException(one_line(error)).show()
            ctx.exit(getattr(error, "exit_code", 1))
        except ModuleNotFoundError as error:
            module = str(error.name).partition(".")[0]
            if ctx.params["verbose"] or module not in EXTRAS:
                raise
            raise click.ClickException(how_to_install(module)) from error


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "show_default": True}
)
@click.version_option(tvseg.__version__, prog_name="tvseg")
@click.option("-v", "--verbose", is_flag=True, help="Show more of a training, and tracebacks.")
@click.option("-q", "--quiet", is_flag=True, help="Hide progress bars.")
def cli(verbose: bool, quiet: bool) -> None:
    """Segment optic disc and cup with translation-variant convolution (TVConv).

    To try it on synthetic photographs, run tvseg data synth DIR, then
    tvseg train --holdout A --data DIR --config smoke.

    Exit codes: 0 success, 1 failure, 2 wrong usage, 3 some inputs failed and are listed,
    4 training stopped by SIGTERM, to be continued with --resume; sweep stopped by a signal, to be
    continued by the same command.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None where it is closed
            stream.reconfigure(errors="backslashreplace")  # names that no encoding has
    # Read when torch loads OpenMP. By default idle threads spin, which on a busy machine takes the
    # cores from those that they wait for: see docs/operator.md, "Busy machines".
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when MLflow is imported
    terminal = sys.stderr is not None and sys.stderr.isatty()
    if quiet or not terminal:
        os.environ["TQDM_DISABLE"] = "1"  # read when tqdm is imported, by a sub-command
    if sys.stderr is not None:
        lines = logging.DEBUG if verbose else logging.INFO
        _log_to_stderr(logging.WARNING if quiet or (terminal and not verbose) else lines)


def main() -> None:
    """Run the command line."""
    warnings.filterwarnings("ignore", module=r"PIL\.")  # what is wrong with a file is an error
    cli()


class _Stderr(logging.StreamHandler[TextIO]):
    """Shows each message on a line of its own."""

    def format(self, record: logging.LogRecord) -> str:
        return escaped(record.getMessage())


def _log_to_stderr(level: int) -> None:
    log = logging.getLogger("tvseg")
    log.handlers = [handler for handler in log.handlers if not isinstance(handler, _Stderr)]
    handler = _Stderr()
    handler.setLevel(level)
    log.addHandler(handler)
    log.setLevel(min(level, logging.INFO))  # for train.log in the run folder

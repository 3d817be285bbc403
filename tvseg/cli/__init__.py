"""The command line. Sub-commands load when they are called, so that help answers at once."""

import importlib
import sys

import click

import tvseg

COMMANDS = {
    "data": "tvseg.cli.data:data",
    "train": "tvseg.cli.train:train",
    "eval": "tvseg.cli.eval:evaluate",
    "predict": "tvseg.cli.predict:predict",
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(tvseg.__version__, prog_name="tvseg")
@click.option("-v", "--verbose", is_flag=True, help="Show where an error comes from.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bars.")
@click.pass_context
def cli(ctx: click.Context, verbose: bool, quiet: bool) -> None:
    """Optic disc and cup segmentation with translation-variant convolution (TVConv).

    Try it on photographs that it draws itself: tvseg data synth DIR, then
    tvseg train --holdout A --data DIR --config configs/smoke.yaml.
    """
    ctx.obj = {"verbose": verbose}
    if quiet:
        import os

        os.environ["TQDM_DISABLE"] = "1"


def main() -> None:
    """Run the command line; a user's mistake gets one line and an exit code.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 some inputs failed and are listed.
    """
    verbose = bool({"-v", "--verbose"} & set(sys.argv[1:]))
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        sys.exit(130)
    except (ValueError, OSError) as error:
        if verbose:
            raise
        click.echo(f"Error: {_one_line(error)}", err=True)
        sys.exit(2 if type(error).__name__ == "ConfigError" else 1)


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        named = f"{error.filename}: " if error.filename else ""
        return f"{named}{error.strerror}"
    return " ".join(str(error).split())

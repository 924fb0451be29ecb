"""``framework stubs``: stubs of the names that scripts see, for editors and type checkers."""

from __future__ import annotations

from pathlib import Path

import click

from framework.cli import loading, options, streams


@click.command(short_help="Write .pyi files of the classes and names that scripts see.")
@options.folder
@click.option(
    "--out",
    metavar="FOLDER",
    default="stubs",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder for the files. It is created if it is missing.",
)
@click.option("--check", "check_only", is_flag=True, help="Write nothing, and name the stale files.")
def stubs(folder: str, out: Path, check_only: bool) -> None:
    """Write .pyi files for the definitions in DIR (default: ./definitions).

    They give editors and mypy the names that scripts see: `atom`, `model`,
    `context` and the built-in objects, with the fields and methods of each class.
    Use them for Python in `.py` files. The command removes files of an earlier run
    that are no longer needed. Other files in the folder stay.

    Exit code 0: written, or with --check all up to date; 1: mistakes in the definitions, or stale files.
    """
    from framework.definitions import render
    from framework.process import files
    from framework.stubs import HEADER
    from framework.stubs import stubs as stubs_of

    checked = loading.load(folder, options.DEFAULT_HOST, options.DEFAULT_PORT)
    if checked.errors:
        click.echo(render(checked, "text"), err=True)
        raise SystemExit(1)
    wanted = {out / path: text for path, text in stubs_of(checked.definitions).items()}
    stale = [path for path, text in wanted.items() if _content(path) != text]
    ours = (path for path in sorted(out.rglob("*.pyi")) if (_content(path) or "").startswith(HEADER))
    left = [path for path in ours if path not in wanted]
    if check_only:
        for path in (*stale, *left):
            click.echo(f"{path} is stale")
        if stale or left:
            click.echo(f"run `framework stubs {folder} --out {out}`", err=True)
            raise SystemExit(1)
        click.echo(f"{len(wanted)} files in {out} are up to date")
        return
    try:
        for path in stale:
            path.parent.mkdir(parents=True, exist_ok=True)
            with files.replacing(path, None) as part:
                part.write_text(wanted[path], encoding="utf-8")
        for path in left:
            path.unlink()
    except OSError as error:
        options.cannot_run(f"{error.filename} cannot be written: {error.strerror}")
    streams.done()
    click.echo(f"{len(wanted)} files in {out}: {len(stale)} written, {len(left)} removed")


def _content(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
